import { background, StateError, settlesWithin, TransportError } from "../../base/index.js";
import { CarrierError, carrierError } from "../carrier-error.js";
import { MOQ_LITE_05, offerProtocol, urlProtocol } from "../protocol.js";
import { closeInfoOf, endOf, type Refusal, refusalOf } from "../refusal.js";
import { RequestQueue } from "../request-queue.js";
import type { Session, SessionRequest, SessionServer } from "../session.js";
import { authorities, withAuthorities } from "../tls/authorities.js";
import type { Certificate } from "../tls/certificate.js";
import { whyQuicRefuses } from "../tls/pem-pair.js";
import {
  loadNative,
  type NativeBinding,
  type NativeClient,
  type NativeOptions,
  type NativeRequest,
  type NativeServer,
} from "./native.js";
import { ignore, QuicSession, text } from "./quic-session.js";
import { bracket, freePort, released, resolveHost } from "./udp-port.js";

/** How long to wait for a refused client. */
const ANSWER_MS = 500;
/** A server that accepts a session only to refuse it sends the reason in the packet behind its answer. */
const REFUSAL_MS = 10;
/** How long to wait at the end for the binding to free a UDP port. */
const PORT_RELEASE_MS = 2_000;
/** The same before a port that this process left is listened on again: what still refers to its socket must end first. */
const PORT_REUSE_MS = 10_000;
/** Ports that servers of this process left without waiting; the binding may still hold them. */
const left = new Set<string>();

/** Options of {@link connectQuic}. */
export interface QuicConnectOptions {
  /** SHA-256 hashes of certificates to trust; without any, the system's certificate authorities. */
  readonly certificateHashes?: readonly Uint8Array[];
  /**
   * Certificate authorities to trust instead of the system's, as PEM, over QUIC and WebSocket alike. Default: those of
   * `SSL_CERT_FILE` and `NODE_EXTRA_CA_CERTS` where set, else the system's. Hashes take precedence.
   */
  readonly ca?: string;
  /** Trusts any certificate. For tests only. */
  readonly insecure?: boolean;
  /** Application protocols in order of preference. Default: `moq-lite-05`. */
  readonly protocols?: readonly string[];
  /** Timeout in milliseconds. Default 10 000. */
  readonly timeoutMs?: number;
  /** Aborts the attempt. */
  readonly signal?: AbortSignal;
  /** Aborts the attempt like `timeoutMs`. @internal */
  readonly unanswered?: AbortSignal;
  /** Location of the native binding. */
  readonly native?: NativeOptions;
}

/** Options of {@link listenQuic}. */
export interface QuicListenOptions {
  /** Host name or address to bind to. */
  readonly host: string;
  /** UDP port; 0 picks a free one. */
  readonly port: number;
  /** The server's certificate. */
  readonly certificate: Certificate;
  /** Supported application protocols. Default: `moq-lite-05`. */
  readonly protocols?: readonly string[];
  /**
   * Whether `close` waits until any program can bind the port again, which takes up to two seconds and collects garbage.
   * Without it, only this process can bind it at once. Default: true, unless `port` is 0. @internal
   */
  readonly freesPort?: boolean;
  /** Location of the native binding. */
  readonly native?: NativeOptions;
}

/**
 * Opens a WebTransport session over QUIC.
 *
 * Throws a {@link TransportError}: `CONNECT_FAILED`, `CONNECT_TIMEOUT`, `CERTIFICATE_UNTRUSTED`, `ABORTED`, the
 * server's refusal, or any error of {@link loadNative}.
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
    if (await settlesWithin(REFUSAL_MS, session.closed)) throw endOf(await session.closed);
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
 * Throws a {@link TransportError}: `PORT_IN_USE`, `LISTEN_FAILED`, or any error of {@link loadNative}; an `InputError`
 * (`CERTIFICATE_UNUSABLE`).
 */
export async function listenQuic(options: QuicListenOptions): Promise<SessionServer> {
  const binding = loadNative(options.native);
  const host = await resolveHost(options.host);
  const freesPort = options.freesPort ?? options.port !== 0;
  // The binding does not report the port it got for port 0, so this picks one first; another program may be faster.
  for (let attempt = 0; ; attempt++) {
    const port = options.port === 0 ? await freePort(host) : options.port;
    try {
      if (left.delete(bracket(host, port))) await released(host, port, PORT_REUSE_MS);
      const native = bind(binding, host, port, options.certificate);
      return new QuicServer(native, { host, port }, { ...options, freesPort });
    } catch (cause) {
      const busy = text(cause).includes("os error 98") || /in use|only one usage/i.test(text(cause));
      if (busy && options.port === 0 && attempt < 4) continue;
      if (busy) {
        throw new TransportError("PORT_IN_USE", `UDP port ${port} of ${options.host} is in use by another program.`, {
          cause,
        });
      }
      const why = text(cause).replace(/ \(os error \d+\)$/, "");
      throw (
        whyQuicRefuses(why) ??
        new TransportError("LISTEN_FAILED", `Cannot listen on ${options.host}:${port} (UDP): ${why}.`, { cause })
      );
    }
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
    // The binding waits 30 s for a client that left meanwhile.
    const closed = taken.then(async (native) => {
      native.close(closeCode, reason);
      await native.closed();
    });
    await settlesWithin(ANSWER_MS, closed);
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
  #options: QuicListenOptions;
  #protocols: readonly string[];
  #sessions = new Set<QuicSession>();
  #requests = new RequestQueue();
  #stopping = false;
  #pump: Promise<void>;
  #closed: Promise<void> | undefined;

  constructor(
    native: NativeServer,
    address: { readonly host: string; readonly port: number },
    options: QuicListenOptions,
  ) {
    this.#native = native;
    this.#options = options;
    this.#protocols = options.protocols ?? [MOQ_LITE_05];
    this.address = address;
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
    const { host, port } = this.address;
    await released(host, port, PORT_RELEASE_MS);
    if (this.#closed) return;
    this.#native = bind(loadNative(this.#options.native), host, port, certificate);
    this.#stopping = false;
    this.#pump = this.#run(this.#native);
  }

  async #close(): Promise<void> {
    const waiting = this.#requests.close();
    this.#stopping = true;
    await Promise.all(waiting.map((request) => request.reject(503)));
    await this.#stop();
    const { host, port } = this.address;
    if (this.#options.freesPort) await released(host, port, PORT_RELEASE_MS);
    else left.add(bracket(host, port));
  }

  async #stop(): Promise<void> {
    this.#stopping = true;
    for (const session of this.#sessions) session.close();

    // Closing the binding's server while its accept is pending deadlocks its thread, and only a request ends an accept:
    // connect to our own port.
    const { host, port } = this.address;
    const door = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
    const knock = loadNative(this.#options.native).NapiClient.disableVerify();
    const knocked = knock.connect(`https://${bracket(door, port)}/`).then((session) => session.close(0, ""), ignore);
    if (!(await settlesWithin(PORT_RELEASE_MS, this.#pump))) return;
    this.#native?.close();
    this.#native = undefined;
    await settlesWithin(ANSWER_MS, knocked);
  }
}

function bind(binding: NativeBinding, host: string, port: number, { cert, key }: Certificate): NativeServer {
  return binding.NapiServer.bind(bracket(host, port), Buffer.from(cert), Buffer.from(key));
}
