import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { whyUnusable } from "../../base/bytes/bounded-file.js";
import { guard, InputError, TransportError } from "../../base/index.js";
import type { Certificate } from "../../transport/index.js";
import { type ConnectionCounters, type ConnectionLimits, WaitingSockets } from "./waiting-sockets.js";

// First byte of a TLS record that carries a handshake, RFC 8446 section 5.1.
const TLS_HANDSHAKE = 22;
/** How long a connection may idle between two requests. */
const KEEP_ALIVE_MS = 5000;
/** How often the server checks for slow connections. */
const CHECK_MS = 1000;

/** A TCP port that speaks HTTP and HTTPS. */
export interface HttpEndpoint {
  readonly server: Server;
  /** Current connections without a session. */
  readonly connections: number;
  /** Changes the certificate of future HTTPS connections; open ones stay. */
  setCertificate(certificate: Certificate): void;
}

/**
 * Listens for HTTP and HTTPS on one TCP port and distinguishes them by the first byte, so that `http://` and
 * `https://` clients find pages, the fingerprint and the WebSocket in the same place.
 *
 * @throws TransportError `PORT_IN_USE`, `LISTEN_FAILED`; InputError `INVALID_HOST`.
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
  const waiting = new WaitingSockets(limits, counters);
  const answer: RequestListener = (request, response) => {
    if (waiting.asks(request.socket, response)) handler(request, response);
  };
  const server = createServer(timeouts, answer);
  const secure = createSecureServer(
    { ...timeouts, cert: certificate.cert, key: certificate.key, handshakeTimeout: timeoutMs },
    answer,
  );
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
            : `Cannot listen on ${host}:${port} (TCP): ${whyUnusable(cause)}.`,
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
