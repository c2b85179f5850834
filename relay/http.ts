import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { TransportError } from "../base/index.js";
import type { Certificate } from "../transport/index.js";

// First byte of a TLS record that carries a handshake, RFC 8446 section 5.1.
const TLS_HANDSHAKE = 22;
const FIRST_BYTE_MS = 10_000;

/** A TCP port that speaks HTTP and HTTPS. */
export interface HttpDoor {
  readonly server: Server;
  /** Changes the certificate of the HTTPS connections to come; those that are open stay. */
  setCertificate(certificate: Certificate): void;
}

/**
 * Listens for HTTP and HTTPS on one TCP port, told apart by the first byte, so that `http://` and `https://` clients
 * find pages, the fingerprint and the WebSocket in the same place. Throws a `TransportError` (`PORT_IN_USE`,
 * `LISTEN_FAILED`).
 */
export async function listenHttp(
  host: string,
  port: number,
  certificate: Certificate,
  handler: RequestListener,
): Promise<HttpDoor> {
  const server = createServer(handler);
  const secure = createSecureServer({ cert: certificate.cert, key: certificate.key }, handler);
  secure.on("upgrade", (...args) => server.emit("upgrade", ...args));
  secure.on("tlsClientError", (_, socket) => socket.destroy());
  const [plain] = server.listeners("connection") as ((socket: Socket) => void)[];
  server.removeAllListeners("connection");
  const sockets = new Set<Socket>();
  // The server's own knows neither what has sent no byte yet nor what went on as TLS or as a WebSocket.
  server.closeAllConnections = () => {
    for (const socket of sockets) socket.destroy();
  };
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.setTimeout(FIRST_BYTE_MS, () => socket.destroy());
    socket.once("data", (chunk) => {
      socket.setTimeout(0);
      socket.removeAllListeners("timeout");
      socket.pause();
      socket.unshift(chunk);
      if (chunk[0] === TLS_HANDSHAKE) secure.emit("connection", socket);
      else plain?.call(server, socket);
      process.nextTick(() => socket.resume());
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const busy = cause.code === "EADDRINUSE";
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
  return { server, setCertificate: ({ cert, key }) => secure.setSecureContext({ cert, key }) };
}

/** The port an HTTP server got. */
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
