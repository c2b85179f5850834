import { createSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { isIPv6 } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { background, guard, InputError, StateError, TransportError } from "../../base/index.js";
import { CarrierError, carrierError } from "../carrier-error.js";
import { MOQ_LITE_05, offerProtocol, urlProtocol } from "../protocol.js";
import { closeInfoOf, endOf, type Refusal, refusalOf } from "../refusal.js";
import { RequestQueue } from "../request-queue.js";
import type {
  BidirectionalStream,
  CloseInfo,
  Datagrams,
  OpenOptions,
  ReceiveStream,
  SendStream,
  Session,
  SessionRequest,
  SessionServer,
} from "../session.js";
import { isKeepalive, KEEPALIVE, KEEPALIVE_MS } from "../tcp/keepalive.js";
import { StreamOpenLimiter } from "../tcp/stream-open-limiter.js";
import { authorities, withAuthorities } from "../tls/authorities.js";
import type { Certificate } from "../tls/certificate.js";
import {
  loadNative,
  type NativeBinding,
  type NativeClient,
  type NativeOptions,
  type NativeRequest,
  type NativeServer,
  type NativeSession,
} from "./native.js";
import { QuicReceiveStream, QuicSendStream, SessionStreams } from "./quic-stream.js";

/** How long a refused client is waited for. */
const ANSWER_MS = 500;
/** A server that takes a session only to refuse it says why in the packet behind its answer. */
const REFUSAL_MS = 10;
/** How long the largest datagram size is taken for granted. */
const MAX_SIZE_MS = 1000;
/** How long `SessionServer.close` waits for the binding to let go of the UDP port. */
const PORT_RELEASE_MS = 2_000;

/** Options of {@link connectQuic}. */
export interface QuicConnectOptions {
  /** SHA-256 hashes of certificates to trust; without any, the system's certificate authorities. */
  readonly certificateHashes?: readonly Uint8Array[];
  /**
   * Certificate authorities to trust instead of the system's, as PEM, over QUIC and WebSocket alike. Default: those of
   * `SSL_CERT_FILE` and `NODE_EXTRA_CA_CERTS` where set, else the system's. Hashes go before it.
   */
  readonly ca?: string;
  /** Trusts any certificate. For tests only. */
  readonly insecure?: boolean;
  /** Application protocols in order of preference. Default: `moq-lite-05`. */
  readonly protocols?: readonly string[];
  /** Gives up after this long. Default 10 000. */
  readonly timeoutMs?: number;
  /** Gives up when aborted. */
  readonly signal?: AbortSignal;
  /** Gives up when aborted, as it does after `timeoutMs`. @internal */
  readonly unanswered?: AbortSignal;
  /** Where the native binding comes from. */
  readonly native?: NativeOptions;
}

/** Options of {@link listenQuic}. */
export interface QuicListenOptions {
  /** Host name or address to bind to. */
  readonly host: string;
  /** UDP port; 0 picks a free one. */
  readonly port: number;
  /** What the server proves its identity with. */
  readonly certificate: Certificate;
  /** Application protocols spoken here. Default: `moq-lite-05`. */
  readonly protocols?: readonly string[];
  /** Where the native binding comes from. */
  readonly native?: NativeOptions;
}

/**
 * Opens a WebTransport session over QUIC.
 *
 * Throws a {@link TransportError}: `CONNECT_FAILED`, `CONNECT_TIMEOUT`, `CERTIFICATE_UNTRUSTED`, `ABORTED`, what the
 * server refuses the session with, or as {@link loadNative} does.
 */
export async function connectQuic(target: URL, options: QuicConnectOptions = {}): Promise<Session> {
  const { NapiClient } = loadNative(options.native);
  const protocols = options.protocols ?? [MOQ_LITE_05];
  const url = offerProtocol(target, protocols);
  const client = makeClient(NapiClient, options);
  const timeoutMs = options.timeoutMs ?? 10_000;
  const connecting = client.connect(url.href, { protocols: [...protocols] });

  const started = performance.now();
  let timer: NodeJS.Timeout | undefined;
  let onAbort: (() => void) | undefined;
  let onUnanswered: (() => void) | undefined;
  try {
    const native = await Promise.race([
      connecting,
      new Promise<never>((_, reject) => {
        const abandon = (error: TransportError): void => {
          connecting.then((late) => late.close(0, ""), ignore);
          reject(error);
        };
        onUnanswered = () => {
          const detail = `no answer in ${Math.round(performance.now() - started)} ms`;
          abandon(new CarrierError("CONNECT_TIMEOUT", { host: target.host, carrier: "quic", detail }));
        };
        timer = setTimeout(onUnanswered, timeoutMs);
        onAbort = () => abandon(new TransportError("ABORTED", `Connecting to ${target.host} was given up.`));
        options.signal?.addEventListener("abort", onAbort, { once: true });
        options.unanswered?.addEventListener("abort", onUnanswered, { once: true });
        if (options.signal?.aborted) onAbort();
      }),
    ]);
    const session = new QuicSession(native, url, native.protocol || urlProtocol(url, protocols));
    if (await within(REFUSAL_MS, session.closed)) throw endOf(await session.closed);
    return session;
  } catch (cause) {
    throw carrierError(cause, target.host, "quic");
  } finally {
    clearTimeout(timer);
    if (onAbort) options.signal?.removeEventListener("abort", onAbort);
    if (onUnanswered) options.unanswered?.removeEventListener("abort", onUnanswered);
  }
}

function makeClient(
  NapiClient: NativeBinding["NapiClient"],
  { insecure, certificateHashes = [], ca }: QuicConnectOptions,
): NativeClient {
  if (insecure) return NapiClient.disableVerify();
  if (certificateHashes.length > 0)
    return NapiClient.withCertificateHashes(certificateHashes.map((hash) => Buffer.from(hash)));
  const trusted = authorities(ca);
  if (trusted === undefined) return NapiClient.withSystemRoots();
  return withAuthorities(trusted, () => NapiClient.withSystemRoots());
}

/**
 * Listens for WebTransport sessions over QUIC.
 *
 * Throws a {@link TransportError}: `PORT_IN_USE`, `LISTEN_FAILED`, or as {@link loadNative} does.
 */
export async function listenQuic(options: QuicListenOptions): Promise<SessionServer> {
  const binding = loadNative(options.native);
  const host = await resolveHost(options.host);
  // The binding does not tell which port it got for port 0, so one is picked first; somebody else may be faster.
  for (let attempt = 0; ; attempt++) {
    const port = options.port === 0 ? await freePort(host) : options.port;
    try {
      const native = bind(binding, host, port, options.certificate);
      return new QuicServer(native, host, port, options.protocols ?? [MOQ_LITE_05], options.native);
    } catch (cause) {
      const busy = text(cause).includes("os error 98") || /in use|only one usage/i.test(text(cause));
      if (busy && options.port === 0 && attempt < 4) continue;
      if (busy) {
        throw new TransportError("PORT_IN_USE", `UDP port ${port} of ${options.host} is in use by another program.`, {
          cause,
        });
      }
      throw new TransportError("LISTEN_FAILED", `Cannot listen on ${options.host}:${port} (UDP): ${text(cause)}.`, {
        cause,
      });
    }
  }
}

class QuicSession implements Session, Datagrams {
  readonly backend = "quic";
  readonly remoteAddress = undefined;
  readonly closed: Promise<CloseInfo>;
  readonly protocol: string;
  readonly url: URL;
  #native: NativeSession | undefined;
  #keepalive: NodeJS.Timeout;
  #opens = new StreamOpenLimiter();
  #streams = new SessionStreams();
  #maxSize = 0;
  #maxSizeAt = Number.NEGATIVE_INFINITY;
  #settleClosed!: (info: CloseInfo) => void;

  constructor(native: NativeSession, url: URL, protocol: string) {
    this.#native = native;
    this.url = url;
    this.protocol = protocol;
    this.closed = new Promise((resolve) => {
      this.#settleClosed = resolve;
    });
    this.#keepalive = setInterval(
      guard("transport.keepalive", () => this.send(KEEPALIVE)),
      KEEPALIVE_MS,
    );
    this.#keepalive.unref();
    native.closed().then(
      ({ closeCode, reason }) => this.#end(closeInfo(closeCode, reason)),
      (cause: unknown) => this.#end({ closeCode: 0, reason: text(cause), lost: true }),
    );
  }

  get datagrams(): Datagrams {
    return this;
  }

  get maxSize(): number {
    // A native call for each datagram would double its cost, and the path's limit changes rarely.
    const now = performance.now();
    if (now - this.#maxSizeAt > MAX_SIZE_MS) {
      this.#maxSizeAt = now;
      this.#maxSize = this.#askMaxSize();
    }
    return this.#native ? this.#maxSize : 0;
  }

  send(data: Uint8Array): boolean {
    try {
      if (!this.#native) return false;
      this.#native.sendDatagram(data);
      return true;
    } catch {
      return false;
    }
  }

  async receive(): Promise<Uint8Array | undefined> {
    // The binding's own incoming queue is bounded and drops its oldest.
    for (;;) {
      const data = await this.#native?.recvDatagram().catch(ignore);
      if (!data) return undefined;
      if (!isKeepalive(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    }
  }

  async openUnidirectional(options?: OpenOptions): Promise<SendStream> {
    const native = await this.#open(
      (session) => session.openUni(),
      (late) => void late.reset(0).catch(ignore),
    );
    return new QuicSendStream(native, this.#streams, options?.priority ?? 0);
  }

  async openBidirectional(options?: OpenOptions): Promise<BidirectionalStream> {
    const native = await this.#open(
      (session) => session.openBi(),
      (late) => {
        void late.takeSend().reset(0).catch(ignore);
        void late.takeRecv().stop(0).catch(ignore);
      },
    );
    return {
      send: new QuicSendStream(native.takeSend(), this.#streams, options?.priority ?? 0),
      receive: new QuicReceiveStream(native.takeRecv(), this.#streams),
    };
  }

  async acceptUnidirectional(): Promise<ReceiveStream | undefined> {
    const native = await this.#native?.acceptUni().catch(ignore);
    return native ? new QuicReceiveStream(native, this.#streams) : undefined;
  }

  async acceptBidirectional(): Promise<BidirectionalStream | undefined> {
    const native = await this.#native?.acceptBi().catch(ignore);
    if (!native) return undefined;
    return {
      send: new QuicSendStream(native.takeSend(), this.#streams, 0),
      receive: new QuicReceiveStream(native.takeRecv(), this.#streams),
    };
  }

  close(info: Partial<CloseInfo> = {}): void {
    const { closeCode = 0, reason = "" } = info;
    this.#native?.close(closeCode, reason);
    this.#end({ closeCode, reason });
  }

  #askMaxSize(): number {
    try {
      return this.#native?.maxDatagramSize() ?? 0;
    } catch {
      return 0;
    }
  }

  #end(info: CloseInfo): void {
    clearInterval(this.#keepalive);
    // The UDP socket lives as long as anything of the binding refers to it.
    this.#native = undefined;
    this.#streams.close();
    this.#settleClosed(info);
  }

  #open<T>(start: (session: NativeSession) => Promise<T>, discard: (late: T) => void): Promise<T> {
    const session = this.#native;
    if (!session) return Promise.reject(new TransportError("SESSION_CLOSED", "The session has ended."));
    return this.#opens.open(() => start(session), discard);
  }
}

class QuicRequest implements SessionRequest {
  readonly backend = "quic";
  readonly remoteAddress = undefined;
  readonly origin = undefined;
  readonly url: URL;
  #native: NativeRequest | undefined;
  #protocols: readonly string[];
  #onSession: (session: QuicSession) => void;

  constructor(
    native: NativeRequest,
    url: URL,
    protocols: readonly string[],
    onSession: (session: QuicSession) => void,
  ) {
    this.#native = native;
    this.url = url;
    this.#protocols = protocols;
    this.#onSession = onSession;
  }

  async accept(): Promise<Session> {
    const native = await this.#take()
      .ok()
      .catch((cause: unknown) => {
        throw new TransportError("CONNECT_FAILED", `The client left before it was accepted: ${text(cause)}.`, {
          cause,
        });
      });
    const session = new QuicSession(native, this.url, native.protocol || urlProtocol(this.url, this.#protocols));
    this.#onSession(session);
    return session;
  }

  async reject(refusal: Refusal | number): Promise<void> {
    const { closeCode, reason } = closeInfoOf(typeof refusal === "number" ? refusalOf(refusal) : refusal);
    const taken = this.#take().ok();
    taken.catch(ignore);
    // A client that left meanwhile is waited for by the binding for 30 s.
    const closed = taken.then(async (native) => {
      native.close(closeCode, reason);
      await native.closed();
    });
    await within(ANSWER_MS, closed);
  }

  #take(): NativeRequest {
    const native = this.#native;
    if (!native) throw new StateError("REQUEST_TAKEN", "The request was already accepted or refused.");
    this.#native = undefined;
    return native;
  }
}

class QuicServer implements SessionServer {
  readonly backend = "quic";
  readonly address: { readonly host: string; readonly port: number };
  #native: NativeServer | undefined;
  #nativeOptions: NativeOptions | undefined;
  #protocols: readonly string[];
  #sessions = new Set<QuicSession>();
  #requests = new RequestQueue();
  #stopping = false;
  #pump: Promise<void>;
  #closed: Promise<void> | undefined;

  constructor(native: NativeServer, host: string, port: number, protocols: readonly string[], options?: NativeOptions) {
    this.#native = native;
    this.#nativeOptions = options;
    this.#protocols = protocols;
    this.address = { host, port };
    this.#pump = this.#run(native);
  }

  accept(): Promise<SessionRequest | undefined> {
    return this.#requests.next();
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #run(native: NativeServer): Promise<void> {
    // Handshakes only proceed while an accept is pending in the binding, so one always is.
    while (!this.#stopping) {
      const request = await native.accept().catch(ignore);
      if (!request) break;
      void this.#offer(request);
    }
  }

  async #offer(native: NativeRequest): Promise<void> {
    try {
      const url = new URL(await native.url);
      const request = new QuicRequest(native, url, this.#protocols, (session) => this.#track(session));
      if (this.#stopping || !this.#requests.push(request)) await request.reject(503);
    } catch {
      await native.reject(400).catch(ignore);
    }
  }

  #track(session: QuicSession): void {
    if (this.#stopping) session.close();
    this.#sessions.add(session);
    background(
      "transport.session",
      session.closed.then(() => this.#sessions.delete(session)),
    );
  }

  async setCertificate(certificate: Certificate): Promise<void> {
    // The binding takes a certificate only when it binds.
    await this.#stop();
    if (this.#closed) return;
    const { host, port } = this.address;
    this.#native = bind(loadNative(this.#nativeOptions), host, port, certificate);
    this.#stopping = false;
    this.#pump = this.#run(this.#native);
  }

  async #close(): Promise<void> {
    const waiting = this.#requests.close();
    this.#stopping = true;
    await Promise.all(waiting.map((request) => request.reject(503)));
    await this.#stop();
  }

  async #stop(): Promise<void> {
    this.#stopping = true;
    for (const session of this.#sessions) session.close();

    // Closing the binding's server while its accept is pending deadlocks its thread, and only a request ends an
    // accept: knock on our own door.
    const { host, port } = this.address;
    const door = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
    const knock = loadNative(this.#nativeOptions).NapiClient.disableVerify();
    const knocked = knock.connect(`https://${bracket(door, port)}/`).then((session) => session.close(0, ""), ignore);
    if (!(await within(PORT_RELEASE_MS, this.#pump))) return;
    this.#native?.close();
    this.#native = undefined;
    await within(ANSWER_MS, knocked);
    await released(host, port);
  }
}

function bind(binding: NativeBinding, host: string, port: number, { cert, key }: Certificate): NativeServer {
  return binding.NapiServer.bind(bracket(host, port), Buffer.from(cert), Buffer.from(key));
}

/**
 * Waits until a UDP port can be bound again. The binding's socket is freed with the last JavaScript object that refers
 * to it, so garbage is collected on the way; when the program itself still holds streams, this gives up quietly.
 */
async function released(host: string, port: number): Promise<void> {
  let collect: (() => void) | undefined;
  for (const end = performance.now() + PORT_RELEASE_MS; performance.now() < end; ) {
    if (await canBind(host, port)) return;
    if (!collect) {
      setFlagsFromString("--expose-gc");
      collect = runInNewContext("gc") as () => void;
    }
    collect();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Waits for a promise, but not for ever; tells whether it was settled in time. */
async function within(ms: number, promise: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  const settled = promise.then(
    () => true,
    () => true,
  );
  return Promise.race([settled, late]).finally(() => clearTimeout(timer));
}

async function canBind(host: string, port: number): Promise<boolean> {
  return (await bindOnce(host, port)) !== undefined;
}

async function freePort(host: string): Promise<number> {
  const port = await bindOnce(host, 0);
  if (port === undefined) throw new TransportError("LISTEN_FAILED", `No free UDP port on ${host}.`);
  return port;
}

function bindOnce(host: string, port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket(isIPv6(host) ? "udp6" : "udp4");
    socket.once("error", () => {
      socket.close();
      resolve(undefined);
    });
    socket.bind({ address: host, port, exclusive: true }, () => {
      const bound = socket.address().port;
      socket.close(() => resolve(bound));
    });
  });
}

async function resolveHost(host: string): Promise<string> {
  try {
    return (await lookup(host)).address;
  } catch (cause) {
    throw new InputError("INVALID_HOST", `The host ${host} is not an address of this machine.`, { cause });
  }
}

function bracket(host: string, port: number): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}

function closeInfo(closeCode: number, reason: string): CloseInfo {
  // The binding reports a broken connection as code 0 with its own words as the reason.
  return reason.startsWith("connection error") || reason.startsWith("session error")
    ? { closeCode, reason, lost: true }
    : { closeCode, reason };
}

function text(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

function ignore(): undefined {}
