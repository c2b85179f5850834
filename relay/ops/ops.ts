import { createServer, type Server } from "node:http";
import type { Registry } from "prom-client";
import { whyUnusable } from "../../base/bytes/bounded-file.js";
import { TransportError } from "../../base/index.js";
import { SitePolicy } from "../admission/site-policy.js";
import { type ConnectionCounters, WaitingSockets } from "../edge/waiting-sockets.js";

/** Far more than watch over a relay. */
const LIMITS = { connections: 64, connectionsPerAddress: 64, handshakeMs: 10_000 };
/** Answers a second that are made; further requests get the last one, because a relay's audio waits meanwhile. */
const ANSWERS_PER_SECOND = 20;

/** Sources of the operations port. */
export interface OpsSource {
  readonly metrics: Registry;
  /** False while the relay drains or does not listen. */
  readonly ready: () => boolean;
  /** Every announced broadcast, for people. */
  readonly broadcasts: () => unknown;
  /** More host names that the port answers to, such as a proxy's. */
  readonly allowedHosts?: readonly string[] | undefined;
  readonly counters: ConnectionCounters;
  /** The port that the relay itself listens on. */
  readonly relayPort: number;
}

/** Opens the operations port on loopback: `/metrics`, `/health`, `/ready`, `/broadcasts`. */
export async function listenOps(port: number, source: OpsSource): Promise<Server> {
  const policy = new SitePolicy({ host: "127.0.0.1", allowedHosts: source.allowedHosts });
  const metrics = sparing(() => source.metrics.metrics());
  const broadcasts = sparing(() => `${JSON.stringify(source.broadcasts(), undefined, 2)}\n`);
  const waiting = new WaitingSockets(LIMITS, source.counters);
  const server = createServer((request, response) => {
    if (!waiting.asks(request.socket, response)) return;
    const answer = (status: number, type: string, text: string): void => {
      response.writeHead(status, {
        "content-type": type,
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
      });
      response.end(text);
    };
    const refusal = policy.refuse({ host: request.headers.host, origin: request.headers.origin });
    if (refusal) return answer(refusal.status, "text/plain", `${refusal.code}: ${refusal.message}\n`);
    switch (request.url?.split("?", 1)[0]) {
      case "/metrics":
        metrics().then(
          (text) => answer(200, source.metrics.contentType, text),
          () => answer(500, "text/plain", "The metrics cannot be collected.\n"),
        );
        return;
      case "/health":
        return answer(200, "text/plain", "ok\n");
      case "/ready":
        return source.ready() ? answer(200, "text/plain", "ready\n") : answer(503, "text/plain", "not ready\n");
      case "/broadcasts":
        broadcasts().then(
          (text) => answer(200, "application/json", text),
          () => answer(500, "text/plain", "The broadcasts cannot be listed.\n"),
        );
        return;
      default:
        return answer(404, "text/plain", "Not found.\n");
    }
  });
  server.on("connection", (socket) => {
    if (!waiting.take(socket)) socket.destroy();
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const isTaken = cause.code === "EADDRINUSE";
      const why = isTaken
        ? `The ops port ${port} is in use by ${port === source.relayPort ? "the relay itself" : "another program"}.`
        : `Cannot listen on the ops port ${port}: ${whyUnusable(cause)}.`;
      reject(new TransportError(isTaken ? "PORT_IN_USE" : "LISTEN_FAILED", why, { cause }));
    });
    server.listen(port, "127.0.0.1", resolve);
  });
  return server;
}

/** Renews an answer for the first requests of a second alone. */
function sparing(make: () => string | Promise<string>): () => Promise<string> {
  let latest: Promise<string> | undefined;
  let since = Number.NEGATIVE_INFINITY;
  let made = 0;
  return () => {
    const now = performance.now();
    if (now - since >= 1000) {
      since = now;
      made = 0;
    }
    if (latest === undefined || made < ANSWERS_PER_SECOND) {
      made++;
      latest = (async () => make())();
    }
    return latest;
  };
}
