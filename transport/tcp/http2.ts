import { randomBytes, randomUUID } from "node:crypto";
import type { ServerHttp2Session } from "node:http2";
import "../../base/polyfills.js";
import { background, guard, InputError, StateError, TransportError } from "../../base/index.js";
import { WebTransportSession } from "../adapter/from-web-transport.js";
import { CarrierError, carrierError } from "../carrier-error.js";
import { MOQ_LITE_05, offerProtocol, requestUrl, urlProtocol } from "../protocol.js";
import { closeInfoOf, endOf, type Refusal } from "../refusal.js";
import { RequestQueue } from "../request-queue.js";
import type { Session, SessionRequest, SessionServer } from "../session.js";
import { authorities, withTlsAuthorities } from "../tls/authorities.js";
import type { Certificate } from "../tls/certificate.js";
import {
  type Answer,
  type Header,
  hasHttp3,
  importLibrary,
  type LibraryClient,
  type LibraryServer,
  type LibrarySession,
} from "./http2-library.js";

/** Options of {@link connectHttp2}. */
export interface Http2ConnectOptions {
  /** SHA-256 hashes of certificates to trust; without any, the system's certificate authorities. */
  readonly certificateHashes?: readonly Uint8Array[];
  /** PEM certificates of the authorities to trust instead of the system's. */
  readonly ca?: string;
  /** Application protocols in order of preference. Default: `moq-lite-05`. */
  readonly protocols?: readonly string[];
  /** Timeout in milliseconds. Default 10 000. */
  readonly timeoutMs?: number;
  /** Aborts the attempt. */
  readonly signal?: AbortSignal;
}

/** Options of {@link listenHttp2}. */
export interface Http2ListenOptions {
  /** Host name or address to bind to. */
  readonly host: string;
  /** TCP port, and UDP port where HTTP/3 is available; 0 picks a free one. */
  readonly port: number;
  /** The server's certificate. */
  readonly certificate: Certificate;
  /** Supported application protocols, in order of preference. Default: `moq-lite-05`. */
  readonly protocols?: readonly string[];
}

/**
 * The library's defaults of 16 KB stall an echo of some 60 KB, and 1 MB stalls one of 4 MB: a peer that reads and
 * writes on one stream needs a window larger than the data in flight.
 */
const WINDOWS = {
  initialStreamFlowControlWindow: 16 << 20,
  streamFlowControlWindowSizeLimit: 16 << 20,
  initialSessionFlowControlWindow: 16 << 20,
  sessionFlowControlWindowSizeLimit: 16 << 20,
};
const FAREWELL_MS = 100;
/** A server that accepts a session only to refuse it sends the reason right behind its answer. */
const REFUSAL_MS = 10;
/** All requests share one stream of the library, whatever their own path. */
const PATH = "/";

/**
 * The library's client with two additions: authorities other than the system's, and `failed`, which gets the error of
 * its connection.
 */
function extend(WebTransport: LibraryClient, ca: string | undefined, failed: (cause: Error) => void): LibraryClient {
  return class extends WebTransport {
    override createClient(options: unknown) {
      const made = super.createClient(options);
      const { args } = made.client;
      const make = args.createReliableClient;
      args.createReliableClient = (client) => {
        const reliable = make(client);
        const open = reliable.createTransport.bind(reliable);
        // It opens its TLS connection within this call.
        reliable.createTransport = (path) => {
          withTlsAuthorities(ca, () => open(path));
          reliable.clientInt?.on("error", failed);
        };
        return reliable;
      };
      return made;
    }
  };
}

/**
 * Opens a WebTransport session over HTTP/2, or over HTTP/3 where its optional package is installed.
 *
 * @throws TransportError `CONNECT_FAILED`, `CONNECT_TIMEOUT`, `ABORTED` or `HTTP3_UNAVAILABLE`.
 */
export async function connectHttp2(target: URL, options: Http2ConnectOptions = {}): Promise<Session> {
  if (target.protocol !== "https:") {
    throw new InputError("INVALID_URL", `The URL ${target.href} must begin with https:// for the http2 backend.`);
  }
  const { protocols = [MOQ_LITE_05], certificateHashes = [], timeoutMs = 10_000, signal } = options;
  const url = offerProtocol(target, protocols);
  const [http3, { WebTransport }] = await Promise.all([hasHttp3(), importLibrary()]);
  if (signal?.aborted) throw new TransportError("ABORTED", `Connecting to ${url.host} was given up.`);
  let failure: Error | undefined;
  // Reading all authorities takes a while, and a pinned certificate needs none.
  const ca = certificateHashes.length > 0 ? undefined : authorities(options.ca);
  const Client = extend(WebTransport, ca, (cause) => {
    failure ??= cause;
  });
  const transport = new Client(url.href, {
    ...WINDOWS,
    forceReliable: !http3,
    protocols: [...protocols],
    // By itself the library gives up after 8 s, and with another error than ours.
    quicConnectTimeout: timeoutMs + 500,
    ...(certificateHashes.length > 0 && {
      serverCertificateHashes: certificateHashes.map((hash) => ({ algorithm: "sha-256", value: Buffer.from(hash) })),
    }),
  });
  transport.closed.catch(ignore);
  let timer: NodeJS.Timeout | undefined;
  let onAbort: (() => void) | undefined;
  try {
    await Promise.race([
      transport.ready,
      new Promise<never>((_, reject) => {
        const giveUp = guard("transport.connect", () => {
          const detail = `no answer in ${timeoutMs} ms`;
          reject(new CarrierError("CONNECT_TIMEOUT", { host: url.host, carrier: "http2", detail }));
        });
        timer = setTimeout(giveUp, timeoutMs);
        onAbort = () => reject(new TransportError("ABORTED", `Connecting to ${url.host} was given up.`));
        signal?.addEventListener("abort", onAbort, { once: true });
      }),
    ]);
  } catch (cause) {
    transport.ready.then(() => transport.close(), ignore);
    throw carrierError(failure ?? cause, url.host, "http2");
  } finally {
    clearTimeout(timer);
    if (onAbort) signal?.removeEventListener("abort", onAbort);
  }
  const session = wrap(transport, url, undefined, transport.protocol || urlProtocol(url, protocols));
  const pause = new Promise<undefined>((resolve) => setTimeout(resolve, REFUSAL_MS));
  const refused = await Promise.race([session.closed, pause]);
  if (refused) throw endOf(refused);
  return session;
}

/**
 * Listens for WebTransport sessions over HTTP/2, and over HTTP/3 where its optional package is installed.
 *
 * @throws TransportError `PORT_IN_USE`, `LISTEN_FAILED` or `HTTP3_UNAVAILABLE`.
 */
export async function listenHttp2(options: Http2ListenOptions): Promise<SessionServer> {
  const { host, port, certificate, protocols = [MOQ_LITE_05] } = options;
  const [http3, { HttpServer }] = await Promise.all([hasHttp3(), importLibrary()]);
  const http = new HttpServer({
    ...WINDOWS,
    host,
    port,
    secret: randomBytes(16).toString("hex"),
    cert: certificate.cert,
    privKey: certificate.key,
    reliability: http3 ? "both" : "reliableOnly",
  });
  const server = new Http2Server(http, protocols);
  http.startServer();
  try {
    await http.ready;
    server.track();
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EADDRINUSE") {
      throw new TransportError("PORT_IN_USE", `TCP port ${port} of ${host} is in use by another program.`, { cause });
    }
    throw new TransportError("LISTEN_FAILED", `Cannot listen on ${host}:${port} (TCP): ${text(cause)}.`, { cause });
  }
  return server;
}

class Http2Server implements SessionServer {
  readonly backend = "http2";
  #http: LibraryServer;
  #protocols: readonly string[];
  #requests = new RequestQueue();
  #accepting = new Map<string, (session: LibrarySession) => void>();
  #sessions = new Set<Session>();
  #connections = new Set<ServerHttp2Session>();
  #closed: Promise<void> | undefined;

  constructor(http: LibraryServer, protocols: readonly string[]) {
    this.#http = http;
    this.#protocols = protocols;
    http.setRequestCallback(({ header }) => this.#offer(header));
    void this.#run(http.sessionStream(PATH, { noAutoPaths: true }).getReader());
  }

  get address(): { readonly host: string; readonly port: number } {
    return this.#http.address() ?? { host: "", port: 0 };
  }

  accept(): Promise<SessionRequest | undefined> {
    return this.#requests.next();
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async setCertificate(certificate: Certificate): Promise<void> {
    this.#http.updateCert(certificate.cert, certificate.key, true);
  }

  /** The library neither ends connections when it stops nor lists them. Call this once it listens. */
  track(): void {
    const transport = this.#http.transportInt;
    for (const { serverInt } of [transport, ...(transport?.transportsInts ?? [])].filter(
      (each) => each !== undefined,
    )) {
      serverInt?.on("session", (connection) => {
        this.#connections.add(connection);
        connection.once("close", () => this.#connections.delete(connection));
      });
    }
  }

  #offer(header: Header): Promise<Answer> {
    return new Promise((resolve) => {
      const refuse = (status: number): void => resolve({ status, path: PATH });
      const authority = header[":authority"] ?? header.authority ?? header.host ?? "localhost";
      const url = requestUrl("https", String(authority), String(header[":path"] ?? "/"));
      if (url === undefined) return refuse(400);
      const origin = [header.origin].flat()[0];
      const offered = [header["wt-available-protocols"] ?? []].flat();
      const selected = this.#protocols.find((protocol) => offered.includes(protocol));
      const start = (): Promise<Session> => {
        const id = randomUUID();
        const session = new Promise<LibrarySession>((settle) => this.#accepting.set(id, settle));
        resolve({ status: 200, path: PATH, userData: { id }, ...(selected && { selectedProtocol: selected }) });
        return this.#begin(session, url, selected ?? urlProtocol(url, this.#protocols));
      };
      if (!this.#requests.push(new Http2Request({ url, origin }, start, refuse))) refuse(503);
    });
  }

  async #begin(opening: Promise<LibrarySession>, url: URL, protocol: string): Promise<Session> {
    const transport = await opening;
    transport.closed.catch(ignore);
    await transport.ready;
    // Over HTTP/2 the server's first two-way stream is number 0, and the library's receiving end of that one loses the
    // rest of every capsule split in two. Skip that number.
    transport.objint?.streamIdMngrBi?.getNextOutgoingStreamId();
    const session = wrap(transport, url, transport.peerAddress, protocol);
    this.#sessions.add(session);
    background(
      "transport.session",
      session.closed.then(() => this.#sessions.delete(session)),
    );
    if (this.#closed) session.close();
    return session;
  }

  async #run(sessions: ReadableStreamDefaultReader<LibrarySession>): Promise<void> {
    for (let next = await sessions.read(); !next.done; next = await sessions.read()) {
      const id = next.value.userData.id ?? "";
      this.#accepting.get(id)?.(next.value);
      this.#accepting.delete(id);
    }
  }

  async #close(): Promise<void> {
    for (const request of this.#requests.close()) void request.reject(503);
    for (const session of this.#sessions) session.close();
    this.#http.stopServer();
    // The last bytes are sent first; a client may keep its connection open for ever.
    await new Promise((resolve) => setTimeout(resolve, FAREWELL_MS));
    for (const connection of this.#connections) connection.destroy();
    await this.#http.closed;
  }
}

class Http2Request implements SessionRequest {
  readonly backend = "http2";
  readonly remoteAddress = undefined;
  readonly url: URL;
  readonly origin: string | undefined;
  #start: () => Promise<Session>;
  #refuse: (status: number) => void;
  #taken = false;

  constructor(
    { url, origin }: { url: URL; origin: string | undefined },
    start: () => Promise<Session>,
    refuse: (status: number) => void,
  ) {
    this.url = url;
    this.origin = origin;
    this.#start = start;
    this.#refuse = refuse;
  }

  async accept(): Promise<Session> {
    this.#take();
    return this.#start();
  }

  async reject(refusal: Refusal | number): Promise<void> {
    this.#take();
    // The library gives a client no body, so a reason needs a session.
    if (typeof refusal === "number") return this.#refuse(refusal);
    const session = await this.#start();
    session.close(closeInfoOf(refusal));
  }

  #take(): void {
    if (this.#taken) throw new StateError("REQUEST_TAKEN", "The request was already accepted or refused.");
    this.#taken = true;
  }
}

function wrap(transport: WebTransport, url: URL, remoteAddress: string | undefined, protocol: string): Session {
  return new WebTransportSession(transport, { backend: "http2", protocol, url, remoteAddress, datagrams: true });
}

function text(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

function ignore(): void {}
