import type { IncomingMessage, Server } from "node:http";
import type { Server as SecureServer } from "node:https";
import { isIPv6, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { connect as connectTls, type TLSSocket } from "node:tls";
import "../../base/polyfills.js";
import QmuxSession, { selectSubprotocol } from "@moq/qmux";
import { type WebSocket, WebSocketServer, WebSocket as WsClient } from "ws";
import { background, guard, StateError, TransportError } from "../../base/index.js";
import { WebTransportSession } from "../adapter/from-web-transport.js";
import { CarrierError, carrierError } from "../carrier-error.js";
import { MOQ_LITE_05, offerProtocol, requestUrl, urlProtocol } from "../protocol.js";
import { closeInfoOf, type Refusal, readReason, refusalOf } from "../refusal.js";
import { RequestQueue } from "../request-queue.js";
import type { Session, SessionRequest, SessionServer } from "../session.js";
import { authorities } from "../tls/authorities.js";
import { KEEPALIVE_MS } from "./keepalive.js";
import { balanceReading } from "./read-balance.js";

/**
 * Bounds of a WebSocket message; QMux records are smaller. Each of its frames, and each piece that arrives of one, takes far
 * more memory than its bytes until the message is whole.
 */
const MESSAGES = { maxPayload: 1 << 20, maxFragments: 256, maxBufferedChunks: 4096, perMessageDeflate: false } as const;
/** How long the peer may take to send its QMux parameters, or an upgraded socket to close. */
const HANDSHAKE_MS = 5_000;
/**
 * QMux measures idleness by the system's clock, which may jump by an hour; here the WebSocket's own pings detect it.
 */
const QMUX = { maxIdleTimeout: 0n };
/** Maximum bytes read of a refusal's body. */
const MAX_REASON_BYTES = 4096;
/** How long a refused client may take to read the reason. */
const REFUSED_MS = 1000;
/** How long a client may take to close its end of a session that has ended. */
const CLOSE_MS = 1000;
/** The drafts with flow control: without it a client's data has no bound. */
const WIRE_VERSIONS = ["qmux-02", "qmux-01", "qmux-00"] as const;

/** Options of {@link connectQmux}. */
export interface QmuxConnectOptions {
  /** SHA-256 hashes of certificates to trust over `https://`; without any, the system's certificate authorities. */
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
}

/** Options of {@link listenQmux}. */
export interface QmuxListenOptions {
  /** A listening HTTP or HTTPS server whose WebSocket upgrades become sessions; closing the backend leaves it open. */
  readonly httpServer: Server | SecureServer;
  /** Supported application protocols, in order of preference. Default: `moq-lite-05`. */
  readonly protocols?: readonly string[];
}

/**
 * Opens a session over QMux on a WebSocket: `http://` becomes `ws://`, `https://` becomes `wss://`.
 *
 * @throws TransportError `CONNECT_FAILED`, `CONNECT_TIMEOUT`, `CERTIFICATE_UNTRUSTED`, `ABORTED`, or the server's
 * refusal.
 */
export async function connectQmux(target: URL, options: QmuxConnectOptions = {}): Promise<Session> {
  const protocols = options.protocols ?? [MOQ_LITE_05];
  const url = offerProtocol(target, protocols);
  const timeoutMs = options.timeoutMs ?? 10_000;
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;
  let socket: WebSocket | undefined;
  try {
    signal.throwIfAborted();
    const secured = url.protocol === "https:" ? await openTls(url, options, signal) : undefined;
    const address = new URL(url);
    address.protocol = secured ? "wss:" : "ws:";
    socket = new WsClient(address, offered(protocols), {
      ...MESSAGES,
      ...(secured && { createConnection: () => secured }),
    });
    // Before it opens: the server's first message may come with its answer.
    const qmux = new QmuxSession(asSocket(socket), { config: QMUX });
    await opened(socket, signal);
    // A server that named no version leaves it to SETUP: the URL's is known to our own alone, and they name one.
    return await startSession(socket, qmux, url, undefined, [], signal);
  } catch (cause) {
    socket?.terminate();
    if (timeout.aborted) {
      const detail = `no answer in ${timeoutMs} ms`;
      throw new CarrierError("CONNECT_TIMEOUT", { host: url.host, carrier: "qmux", detail }, { cause });
    }
    if (signal.aborted) throw new TransportError("ABORTED", `Connecting to ${url.host} was given up.`, { cause });
    throw carrierError(cause, url.host, "qmux");
  }
}

/** Turns the WebSocket upgrades of an HTTP server into session requests. */
export function listenQmux(options: QmuxListenOptions): SessionServer {
  return new QmuxServer(options.httpServer, options.protocols ?? [MOQ_LITE_05]);
}

class QmuxServer implements SessionServer {
  readonly backend = "qmux";
  readonly address: { readonly host: string; readonly port: number };
  #http: Server | SecureServer;
  #protocols: readonly string[];
  #webSockets: WebSocketServer;
  #sockets = new Set<WebSocket>();
  #sessions = new Set<Session>();
  #requests = new RequestQueue();
  #closed: Promise<void> | undefined;
  #onUpgrade = guard("transport.upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) =>
    this.#offer(request, socket, head),
  );

  constructor(http: Server | SecureServer, protocols: readonly string[]) {
    const address = http.address();
    if (address === null || typeof address === "string") {
      throw new StateError("NOT_LISTENING", "options.httpServer must be listening on a TCP port.");
    }
    this.address = { host: address.address, port: address.port };
    this.#http = http;
    this.#protocols = protocols;
    this.#webSockets = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      ...MESSAGES,
      // One message of a session at a time, so that a flood of one waits for all others.
      allowSynchronousEvents: false,
      handleProtocols: (names) => select(names, protocols) ?? false,
    });
    http.on("upgrade", this.#onUpgrade);
  }

  accept(): Promise<SessionRequest | undefined> {
    return this.#requests.next();
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  #offer(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on("error", () => socket.destroy());
    const scheme = "encrypted" in socket ? "https" : "http";
    const url = requestUrl(scheme, request.headers.host ?? "localhost", request.url ?? "/");
    if (url === undefined) {
      refuse(socket, 400);
      return;
    }
    const names = request.headers["sec-websocket-protocol"]?.split(",").map((name) => name.trim());
    if (select(names ?? [], this.#protocols) === undefined) {
      refuse(socket, 400);
      return;
    }
    const offer = new QmuxRequest({
      url,
      remoteAddress: (socket as Socket).remoteAddress,
      socket,
      origin: request.headers.origin,
      start: () => this.#accept(request, socket, head, url),
    });
    if (!this.#requests.push(offer)) void offer.reject(503);
  }

  async #accept(request: IncomingMessage, socket: Duplex, head: Buffer, url: URL): Promise<Session> {
    const remoteAddress = (socket as Socket).remoteAddress;
    const [webSocket, qmux] = await new Promise<[WebSocket, QmuxSession]>((resolve, reject) => {
      if (socket.destroyed) return reject(gone());
      socket.once("close", () => reject(gone()));
      this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => {
        balanceReading(webSocket, socket);
        resolve([webSocket, QmuxSession.accept(asSocket(webSocket), { config: QMUX })]);
      });
    });
    this.#sockets.add(webSocket);
    webSocket.once("close", () => this.#sockets.delete(webSocket));
    try {
      const signal = AbortSignal.timeout(HANDSHAKE_MS);
      const session = await startSession(webSocket, qmux, url, remoteAddress, this.#protocols, signal);
      this.#sessions.add(session);
      background(
        "transport.session",
        session.closed.then(() => {
          this.#sessions.delete(session);
          const cut = guard("transport.close", () => webSocket.terminate());
          setTimeout(cut, CLOSE_MS).unref();
        }),
      );
      if (this.#closed) session.close();
      return session;
    } catch (cause) {
      webSocket.terminate();
      throw new TransportError("CONNECT_FAILED", `The client did not begin QMux: ${text(cause)}.`, { cause });
    }
  }

  async #close(): Promise<void> {
    this.#http.off("upgrade", this.#onUpgrade);
    for (const request of this.#requests.close()) void request.reject(503);
    for (const session of this.#sessions) session.close();
    // Sends the close frame first, then closes the socket; cuts off a peer that does not answer.
    await Promise.all(
      [...this.#sockets].map((socket) => {
        const cut = setTimeout(() => socket.terminate(), 1_000);
        return new Promise<void>((resolve) => {
          if (socket.readyState === socket.CLOSED) resolve();
          socket.once("close", () => resolve());
        }).finally(() => clearTimeout(cut));
      }),
    );
    this.#webSockets.close();
  }
}

class QmuxRequest implements SessionRequest {
  readonly backend = "qmux";
  readonly url: URL;
  readonly remoteAddress: string | undefined;
  readonly origin: string | undefined;
  #options: QmuxRequestOptions;
  #taken = false;

  constructor(options: QmuxRequestOptions) {
    this.url = options.url;
    this.remoteAddress = options.remoteAddress;
    this.origin = options.origin;
    this.#options = options;
  }

  async accept(): Promise<Session> {
    this.#take();
    return this.#options.start();
  }

  async reject(refusal: Refusal | number): Promise<void> {
    this.#take();
    const { origin, socket, start } = this.#options;
    const why = typeof refusal === "number" ? refusalOf(refusal) : refusal;
    // Only browsers send an origin, and they hide the status and body of a refused WebSocket from the page. A forbidden
    // page gets no session, not even for a reason.
    if (origin === undefined || why.status === 403) return refuse(socket, why.status, closeInfoOf(why).reason);
    const session = await start();
    session.close(closeInfoOf(why));
  }

  #take(): void {
    if (this.#taken) throw new StateError("REQUEST_TAKEN", "The request was already accepted or refused.");
    this.#taken = true;
  }
}

interface QmuxRequestOptions {
  readonly url: URL;
  readonly remoteAddress: string | undefined;
  readonly socket: Duplex;
  readonly origin: string | undefined;
  readonly start: () => Promise<Session>;
}

async function startSession(
  socket: WebSocket,
  qmux: QmuxSession,
  url: URL,
  remoteAddress: string | undefined,
  protocols: readonly string[],
  signal: AbortSignal,
): Promise<Session> {
  await qmux.ready;
  const hasRecords = socket.protocol.startsWith("qmux-02") || socket.protocol.startsWith("qmux-01");
  // Datagram support shows only once the peer's parameters are in, and no event reports that.
  while (hasRecords && qmux.datagrams.maxDatagramSize === 0) {
    if (signal.aborted || socket.readyState !== socket.OPEN) throw gone();
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  heartbeat(socket);
  return new WebTransportSession(qmux, {
    backend: "qmux",
    protocol: qmux.protocol || urlProtocol(url, protocols),
    url,
    remoteAddress,
    datagrams: hasRecords,
  });
}

/** Identical at run time; only the event types of `ws` and of the DOM differ. */
function asSocket(socket: WebSocket): Parameters<typeof QmuxSession.accept>[0] {
  return socket as unknown as Parameters<typeof QmuxSession.accept>[0];
}

function heartbeat(socket: WebSocket): void {
  let silent = 0;
  socket.on("pong", () => {
    silent = 0;
  });
  const beat = guard("transport.heartbeat", () => {
    if (++silent > 3) socket.terminate();
    else socket.ping();
  });
  const timer = setInterval(beat, KEEPALIVE_MS);
  timer.unref();
  socket.once("close", () => clearInterval(timer));
}

/** Connects and checks the certificate before sending anything, so that only a pinned server sees the URL. */
function openTls(url: URL, options: QmuxConnectOptions, signal: AbortSignal): Promise<TLSSocket> {
  const { certificateHashes = [], insecure = false } = options;
  const ca = certificateHashes.length > 0 ? undefined : authorities(options.ca);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  return new Promise((resolve, reject) => {
    const socket = connectTls({
      host,
      port: Number(url.port || 443),
      ...(isIPv6(host) || /^[\d.]+$/.test(host) ? {} : { servername: host }),
      ALPNProtocols: ["http/1.1"],
      rejectUnauthorized: !insecure && certificateHashes.length === 0,
      ...(ca !== undefined && { ca }),
    });
    const abort = (): void => void socket.destroy(new Error("aborted"));
    signal.addEventListener("abort", abort, { once: true });
    socket.once("error", reject);
    socket.once("secureConnect", () => {
      signal.removeEventListener("abort", abort);
      const hash = socket.getPeerCertificate().fingerprint256?.replaceAll(":", "").toLowerCase();
      if (certificateHashes.length > 0 && !certificateHashes.some((pin) => Buffer.from(pin).toString("hex") === hash)) {
        socket.destroy(new Error("the server's certificate is not one of options.certificateHashes"));
        return;
      }
      resolve(socket);
    });
  });
}

function opened(socket: WebSocket, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(new Error("aborted"));
    signal.addEventListener("abort", abort, { once: true });
    socket.once("error", reject);
    socket.once("unexpected-response", (_, response) => {
      refusalIn(response).then(reject, reject);
    });
    socket.once("open", () => {
      signal.removeEventListener("abort", abort);
      resolve();
    });
  });
}

/** Protocols that a client offers; last the form before QMux, as some relays know no other. */
function offered(protocols: readonly string[]): string[] {
  const named = protocols.flatMap((protocol) => WIRE_VERSIONS.map((version) => `${version}.${protocol}`));
  return [...named, ...WIRE_VERSIONS, "webtransport"];
}

function select(names: Iterable<string>, protocols: readonly string[]): string | undefined {
  const versions = Object.fromEntries(protocols.map((protocol) => [protocol, null]));
  const known = [...names].filter((name) => WIRE_VERSIONS.some((version) => name.startsWith(version)));
  return selectSubprotocol(known, { protocols: [...protocols], versions });
}

function refuse(socket: Duplex, status: number, reason = ""): void {
  const type = "Content-Type: text/plain; charset=utf-8";
  const head = `HTTP/1.1 ${status} \r\nConnection: close\r\n${type}\r\nContent-Length: ${Buffer.byteLength(reason)}`;
  // A peer that does not close its end would keep the connection.
  socket.end(`${head}\r\n\r\n${reason}`, () => setTimeout(() => socket.destroy(), REFUSED_MS).unref());
}

/** A server's reason for refusing a WebSocket: code and sentence from its body, if any. */
async function refusalIn(response: IncomingMessage): Promise<Error> {
  let body = "";
  response.setEncoding("utf8");
  for await (const piece of response) {
    body += piece;
    if (body.length > MAX_REASON_BYTES) break;
  }
  const status = response.statusCode ?? 0;
  const said = readReason(body);
  if (said) return said;
  if (status === 401 || status === 403) return new TransportError("UNAUTHORIZED", refusalOf(status).message);
  return new Error(`the server answered with HTTP status ${status}`);
}

function gone(): Error {
  return new Error("the peer has left");
}

function text(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
