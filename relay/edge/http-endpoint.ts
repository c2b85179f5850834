import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { guard, InputError, TransportError } from "../../base/index.js";
import type { Certificate } from "../../transport/index.js";

// First byte of a TLS record that carries a handshake, RFC 8446 section 5.1.
const TLS_HANDSHAKE = 22;
/** How long a connection may idle between two requests. */
const KEEP_ALIVE_MS = 5000;
/** How often the server checks for slow connections. */
const CHECK_MS = 1000;

/** Limits of connections without a session. */
export interface ConnectionLimits {
  /** At once. */
  readonly connections: number;
  /** At once from one address. */
  readonly connectionsPerAddress: number;
  /** Milliseconds until a connection must have sent a request, including TLS. */
  readonly handshakeMs: number;
}

/** Connections that were refused, by reason. */
export interface ConnectionCounters {
  limit: number;
  address: number;
  timeout: number;
}

/** A TCP port that speaks HTTP and HTTPS. */
export interface HttpEndpoint {
  readonly server: Server;
  /** Current connections without a session. */
  readonly connections: number;
  /** Changes the certificate of future HTTPS connections; open ones stay. */
  setCertificate(certificate: Certificate): void;
}

/**
 * Listens for HTTP and HTTPS on one TCP port and distinguishes them by the first byte, so that `http://` and `https://` clients
 * find pages, the fingerprint and the WebSocket in the same place. Throws a `TransportError` (`PORT_IN_USE`,
 * `LISTEN_FAILED`) or an `InputError` (`INVALID_HOST`).
 */
export async function listenHttp({
  host,
  port,
  certificate,
  handler,
  limits,
  counters,
}: {
  readonly host: string;
  readonly port: number;
  readonly certificate: Certificate;
  readonly handler: RequestListener;
  readonly limits: ConnectionLimits;
  readonly counters: ConnectionCounters;
}): Promise<HttpEndpoint> {
  // Later than the deadline of a new connection, which counts the connections it ends.
  const timeoutMs = 2 * limits.handshakeMs;
  const timeouts = {
    headersTimeout: timeoutMs,
    requestTimeout: timeoutMs,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: CHECK_MS,
  };
  const server = createServer(timeouts, handler);
  const secure = createSecureServer(
    { ...timeouts, cert: certificate.cert, key: certificate.key, handshakeTimeout: timeoutMs },
    handler,
  );
  const waiting = new WaitingSockets(limits, counters);
  for (const each of [server, secure]) each.on("request", (request) => waiting.asked(request.socket));
  secure.on(
    "upgrade",
    guard("relay.upgrade", (...args) => server.emit("upgrade", ...args)),
  );
  server.on("upgrade", (_, socket: Socket) => waiting.left(socket));
  secure.on("tlsClientError", (_, socket) => socket.destroy());
  const [plain] = server.listeners("connection") as ((socket: Socket) => void)[];
  server.removeAllListeners("connection");
  const sockets = new Set<Socket>();
  // The server's own list lacks connections without a byte, and those that became TLS or a WebSocket.
  server.closeAllConnections = () => {
    for (const socket of sockets) socket.destroy();
  };
  const take = guard("relay.connection", (socket: Socket) => {
    socket.on("error", () => socket.destroy());
    if (!waiting.take(socket)) return socket.destroy();
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.once("data", (chunk) => {
      socket.pause();
      socket.unshift(chunk);
      if (chunk[0] === TLS_HANDSHAKE) secure.emit("connection", socket);
      else plain?.call(server, socket);
      process.nextTick(() => socket.resume());
    });
  });
  server.on("connection", take);
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const busy = cause.code === "EADDRINUSE";
      if (cause.code === "ENOTFOUND" || cause.code === "EADDRNOTAVAIL" || cause.code === "EAI_AGAIN")
        return reject(new InputError("INVALID_HOST", `The host ${host} is not an address of this machine.`, { cause }));
      reject(
        new TransportError(
          busy ? "PORT_IN_USE" : "LISTEN_FAILED",
          busy
            ? `TCP port ${port} of ${host} is in use by another program.`
            : `Cannot listen on ${host}:${port} (TCP): ${cause.message}.`,
          { cause },
        ),
      );
    });
    server.listen(port, host, resolve);
  });
  return {
    server,
    get connections() {
      return waiting.size;
    },
    setCertificate: ({ cert, key }) => secure.setSecureContext({ cert, key }),
  };
}

/**
 * Connections without a session: bounded in number, by address, and in the time until they send a request. They are
 * keyed by address and port, because a TLS connection has two sockets.
 */
class WaitingSockets {
  readonly #limits: ConnectionLimits;
  readonly #counters: ConnectionCounters;
  readonly #deadlines = new Map<string, NodeJS.Timeout>();
  readonly #perAddress = new Map<string, number>();

  constructor(limits: ConnectionLimits, counters: ConnectionCounters) {
    this.#limits = limits;
    this.#counters = counters;
  }

  get size(): number {
    return this.#deadlines.size;
  }

  /** Counts a connection; false without room for it. */
  take(socket: Socket): boolean {
    const { remoteAddress: address = "" } = socket;
    const name = nameOf(socket);
    const { connections, connectionsPerAddress, handshakeMs } = this.#limits;
    const ofAddress = this.#perAddress.get(address) ?? 0;
    if (this.#deadlines.size >= connections || ofAddress >= connectionsPerAddress) {
      this.#counters[ofAddress >= connectionsPerAddress ? "address" : "limit"]++;
      return false;
    }
    const end = guard("relay.handshake", () => {
      this.#counters.timeout++;
      socket.destroy();
    });
    const deadline = setTimeout(end, handshakeMs);
    this.#deadlines.set(name, deadline);
    this.#perAddress.set(address, ofAddress + 1);
    socket.once("close", () => this.#forget(name, address));
    return true;
  }

  /** It sent a request: from now on HTTP's own timeouts apply. */
  asked(socket: Socket): void {
    clearTimeout(this.#deadlines.get(nameOf(socket)));
  }

  /** It becomes a session, which is counted elsewhere. */
  left(socket: Socket): void {
    this.#forget(nameOf(socket), socket.remoteAddress ?? "");
  }

  #forget(name: string, address: string): void {
    const deadline = this.#deadlines.get(name);
    if (deadline === undefined) return;
    clearTimeout(deadline);
    this.#deadlines.delete(name);
    const ofAddress = (this.#perAddress.get(address) ?? 1) - 1;
    if (ofAddress > 0) this.#perAddress.set(address, ofAddress);
    else this.#perAddress.delete(address);
  }
}

function nameOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

/** The port that an HTTP server got. */
export function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

/** Stops an HTTP server and all its connections. */
export async function closeHttp(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
