import "./polyfills.js";
import QmuxSession from "@moq/qmux";
import { background, every, guard, InputError, sleep } from "../base/index.js";
import { Liveness, PROBE } from "./path/liveness.js";
import { MOQ_LITE_05, offerProtocol, urlProtocol } from "./protocol.js";
import { isKeepalive, KEEPALIVE, KEEPALIVE_MS } from "./tcp/keepalive.js";

/** Options of {@link connect}. */
export interface BrowserConnectOptions {
  /** SHA-256 hashes of certificates to trust, for `https://`; without any, the browser's certificate authorities. */
  readonly certificateHashes?: readonly Uint8Array[];
  /** Application protocols in order of preference. Default: `moq-lite-05`. */
  readonly protocols?: readonly string[];
  /** Head start of WebTransport over WebSocket, in milliseconds. Default 300. */
  readonly headStartMs?: number;
  /** Timeout in milliseconds. Default 10 000. */
  readonly timeoutMs?: number;
}

/** A session in a browser. */
export interface BrowserConnection {
  /** For `Connection.connect(url, { transport })` of `@kixelated/moq`; exposes the application protocol. */
  readonly transport: WebTransport & { readonly protocol: string };
  /** The application protocol, or "". */
  readonly protocol: string;
  /** The URL that was dialled. */
  readonly url: URL;
  /** The carrier that connected first. */
  readonly backend: "webtransport" | "qmux";
  /** Detects when the relay sends nothing any more, not even an answer. */
  readonly liveness: Liveness;
  /** Whether datagrams queue up because the connection takes them too slowly. */
  readonly backedUp: boolean;
  /** Sends one datagram beside the library's; false when it cannot be sent. */
  sendDatagram(data: Uint8Array): boolean;
  /** Gets every incoming datagram first; returns true to consume it. Replaceable at any time. */
  tap: ((datagram: Uint8Array) => boolean) | undefined;
}

/**
 * Opens a session from a web page: WebTransport first, QMux over a WebSocket a little later or as soon as that failed.
 *
 * `http://` URLs, for development, fetch the certificate's SHA-256 from `/certificate.sha256` and pin it, and refuse
 * `certificateHashes`. Rejects with an `Error` in one sentence when neither works.
 */
export async function connect(target: string | URL, options: BrowserConnectOptions = {}): Promise<BrowserConnection> {
  const { protocols = [MOQ_LITE_05], headStartMs = 300, timeoutMs = 10_000 } = options;
  const url = offerProtocol(new URL(target), protocols);
  if (url.protocol === "http:" && options.certificateHashes !== undefined)
    throw new InputError(
      "INVALID_OPTION",
      `connect.certificateHashes must come with an https:// URL, but is given with ${url.origin}.`,
    );
  const limit = timeLimit(timeoutMs);
  const expired = new Promise<never>((_, reject) => {
    limit.addEventListener("abort", () => reject(new Error(`${url.host} did not answer in ${timeoutMs} ms.`)));
  });
  expired.catch(() => undefined);
  let done = false;

  const dial = async (backend: "webtransport" | "qmux", open: () => Promise<DialledTransport>): Promise<Dialled> => {
    const opening = open();
    try {
      const transport = await Promise.race([opening, expired]);
      transport.closed.catch(() => undefined);
      await Promise.race([transport.ready, expired]);
      if (done) throw new Error("Another carrier was faster.");
      done = true;
      return { backend, transport };
    } catch (cause) {
      opening.then(
        (late) => late.close(),
        () => undefined,
      );
      throw cause;
    }
  };

  const first = dial("webtransport", () => openWebTransport(url, { ...options, protocols, limit }));
  const second = (async () => {
    await Promise.race([passing(headStartMs, () => done), first.catch(() => undefined)]);
    if (done) throw new Error("Another carrier was faster.");
    return dial("qmux", () => openQmux(url, { protocols, limit }));
  })();
  try {
    const { backend, transport } = await Promise.any([first, second]);
    return new Connection(transport, backend, url, transport.protocol || urlProtocol(url, protocols));
  } catch (cause) {
    const reasons = (cause as AggregateError).errors.map((error) =>
      (error instanceof Error ? error.message : `${error}`).replace(/\.$/, ""),
    );
    throw new Error(`Cannot connect to ${url.host}: ${[...new Set(reasons)].join("; ")}.`, { cause });
  }
}

/** As `AbortSignal.timeout`, but in time where the browser slows timers down. */
function timeLimit(milliseconds: number): AbortSignal {
  const limit = new AbortController();
  background(
    "transport.limit",
    sleep(milliseconds).then(() => limit.abort()),
  );
  return limit.signal;
}

/** A page busy for as long as the head start must find time to notice that WebTransport has connected. */
const HEAD_START_STEPS = 6;

/** Resolves after some milliseconds in which the page could also do other things, or once it is `done`. */
async function passing(milliseconds: number, done: () => boolean): Promise<void> {
  for (let step = 0; step < HEAD_START_STEPS && !done(); step++) await sleep(milliseconds / HEAD_START_STEPS);
}

/** How long the peer may take to send its QMux parameters before the session continues without datagrams. */
const PARAMETERS_MS = 1_000;

type DialledTransport = WebTransport & { readonly protocol?: string };

interface Dialled {
  readonly backend: "webtransport" | "qmux";
  readonly transport: DialledTransport;
}

interface DialOptions {
  readonly protocols: readonly string[];
  /** Aborts when the carrier took too long to open. */
  readonly limit: AbortSignal;
}

async function openQmux(url: URL, { protocols, limit }: DialOptions): Promise<DialledTransport> {
  const versions = Object.fromEntries(protocols.map((protocol) => [protocol, null]));
  // QMux measures idleness by the system's clock, which may jump; `liveness` detects a dead path.
  const qmux = new QmuxSession(url, { protocols: [...protocols], versions, config: { maxIdleTimeout: 0n } });
  let isReady = false;
  let isOver = false;
  const end = (): void => {
    isOver = true;
  };
  qmux.closed.then(end, end);
  limit.addEventListener("abort", () => isReady || qmux.close());
  await qmux.ready;
  isReady = true;
  // Datagram support shows only once the peer's parameters are in, and no event reports that.
  for (let waited = 0; !isOver && qmux.datagrams.maxDatagramSize === 0 && waited < PARAMETERS_MS; waited += 5) {
    await sleep(5);
  }
  // WebTransport may still be about to connect.
  if (isOver) throw new Error(`The WebSocket of ${url.host} closed at once.`);
  return qmux;
}

async function openWebTransport(
  url: URL,
  { protocols, limit, certificateHashes = [] }: DialOptions & Pick<BrowserConnectOptions, "certificateHashes">,
): Promise<DialledTransport> {
  if (typeof WebTransport === "undefined") throw new Error("This browser has no WebTransport.");
  const secure = new URL(url);
  const hashes = [...certificateHashes];
  if (url.protocol === "http:") {
    secure.protocol = "https:";
    // Chromium's WebTransport tries only the first address of a name, which is ::1, and relays listen on 127.0.0.1.
    if (secure.hostname === "localhost") secure.hostname = "127.0.0.1";
    hashes.push(await fetchFingerprint(url, limit));
  }
  const init: WebTransportOptions & { protocols: string[] } = {
    congestionControl: "low-latency",
    protocols: [...protocols],
  };
  if (hashes.length > 0) {
    init.serverCertificateHashes = hashes.map((hash) => ({ algorithm: "sha-256", value: Uint8Array.from(hash) }));
  }
  return new WebTransport(secure, init);
}

async function fetchFingerprint(url: URL, signal: AbortSignal): Promise<Uint8Array> {
  const response = await fetch(new URL("/certificate.sha256", url), { signal });
  const text = response.ok ? (await response.text()).trim() : "";
  if (!/^[0-9a-f]{64}$/i.test(text)) throw new Error(`${url.origin}/certificate.sha256 is not a SHA-256 in hex.`);
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

/** Datagrams that wait for a slow reader; newer ones are dropped. */
const MAX_WAITING_DATAGRAMS = 1024;

class Connection implements BrowserConnection {
  readonly transport: WebTransport & { readonly protocol: string };
  readonly protocol: string;
  readonly url: URL;
  readonly backend: "webtransport" | "qmux";
  readonly liveness: Liveness;
  tap: ((datagram: Uint8Array) => boolean) | undefined;
  #datagrams: WebTransportDatagramDuplexStream;
  #writer: WritableStreamDefaultWriter<Uint8Array> | undefined;

  constructor(transport: WebTransport, backend: "webtransport" | "qmux", url: URL, protocol: string) {
    this.protocol = protocol;
    this.url = url;
    this.backend = backend;
    this.#datagrams = transport.datagrams;
    this.#writer = openWriter(transport.datagrams);
    this.liveness = new Liveness({ ask: () => ask(transport, protocol) });
    this.transport = this.#present(transport);
    const stopKeepalive = every(
      KEEPALIVE_MS,
      guard("transport.keepalive", () => this.sendDatagram(KEEPALIVE)),
    );
    const end = (): void => {
      stopKeepalive();
      this.liveness.close();
    };
    transport.closed.then(end, end);
  }

  get backedUp(): boolean {
    return (this.#writer?.desiredSize ?? 0) <= 0;
  }

  sendDatagram(data: Uint8Array): boolean {
    if (!this.#writer || data.byteLength > this.#datagrams.maxDatagramSize) return false;
    this.#writer.write(data).catch(() => {
      this.#writer = undefined;
    });
    return true;
  }

  /** The transport itself except for its protocol and its datagrams, which {@link sendDatagram} and the tap share. */
  #present(transport: WebTransport): WebTransport & { readonly protocol: string } {
    const shared = this.#shareDatagrams();
    const protocol = this.protocol;
    return new Proxy(transport, {
      get(target, name) {
        if (name === "protocol") return protocol;
        if (name === "datagrams") return shared;
        // Host objects only work as their own receiver.
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    }) as WebTransport & { readonly protocol: string };
  }

  #shareDatagrams(): WebTransportDatagramDuplexStream {
    const datagrams = this.#datagrams;
    const reader = datagrams.readable.getReader();
    const readable = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          const pump = async (): Promise<void> => {
            for (;;) {
              const { value, done } = await reader.read();
              if (done) return controller.close();
              this.liveness.heard();
              if (isKeepalive(value) || this.tap?.(value)) continue;
              if ((controller.desiredSize ?? 0) > 0) controller.enqueue(value);
            }
          };
          pump().catch(() => {
            try {
              controller.close();
            } catch {
              // The reader cancelled it.
            }
          });
        },
      },
      { highWaterMark: MAX_WAITING_DATAGRAMS },
    );
    const writable = new WritableStream<Uint8Array>({ write: (data) => void this.sendDatagram(data) });
    return {
      readable,
      writable,
      get maxDatagramSize() {
        return datagrams.maxDatagramSize;
      },
    } as WebTransportDatagramDuplexStream;
  }
}

/** Asks the relay for a sign of life, as `watchSession` does outside of browsers. */
async function ask(transport: WebTransport, protocol: string): Promise<boolean> {
  if (protocol === "") return false;
  const { readable, writable } = await transport.createBidirectionalStream();
  const reader = readable.getReader();
  const writer = writable.getWriter();
  writer.write(PROBE).catch(() => {});
  writer.close().catch(() => {});
  try {
    await reader.read();
    void reader.cancel().catch(() => {});
    return true;
  } catch (cause) {
    // A reset is an answer; the end of the session is not.
    return (cause as { source?: string }).source === "stream";
  }
}

/** Newer browsers have `createWritable` in place of `writable`. */
function openWriter(datagrams: WebTransportDatagramDuplexStream): WritableStreamDefaultWriter<Uint8Array> | undefined {
  const { createWritable } = datagrams as { createWritable?: () => WritableStream<Uint8Array> };
  return (createWritable ? createWritable.call(datagrams) : datagrams.writable)?.getWriter();
}
