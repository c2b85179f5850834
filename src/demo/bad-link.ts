import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { WebSocketServer } from "ws";
import { guard } from "../../base/index.js";
import { LinkModel, type LinkSettings } from "./link-model.js";

/** Maximum browsers behind the link, and how long a silent one keeps its place, in milliseconds. */
const MAX_PEERS = 16;
const IDLE_MS = 60_000;
/** Packets in flight in one direction. */
const MAX_WAITING = 4096;
const BUFFER_BYTES = 1 << 20;
const SWEEP_MS = 10_000;

interface Waiting {
  readonly at: number;
  readonly send: () => void;
}

/** One direction of the link: delays packets. */
class Direction {
  readonly model = new LinkModel();
  readonly #waiting: Waiting[] = [];
  #timer: NodeJS.Timeout | undefined;

  pass(bytes: number, send: () => void): void {
    const at = this.model.offer(performance.now(), bytes);
    if (at === undefined || this.#waiting.length >= MAX_WAITING) return;
    this.#waiting.push({ at, send });
    if (this.#waiting.length === 1) this.#arm();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#waiting.length = 0;
  }

  #arm(): void {
    const [first] = this.#waiting;
    if (!first) return;
    const wait = Math.max(0, first.at - performance.now());
    this.#timer = setTimeout(
      guard("demo.link", () => this.#release()),
      wait,
    );
  }

  #release(): void {
    // Timers fire up to a millisecond early or late.
    const until = performance.now() + 0.5;
    while (this.#waiting.length > 0 && this.#waiting[0]!.at <= until) this.#waiting.shift()!.send();
    this.#arm();
  }
}

interface Peer {
  readonly socket: Socket;
  heardAt: number;
}

/**
 * A link between a browser and a relay on this machine that can be made bad. It carries QUIC and the relay's
 * certificate hash, but no WebSocket, which would bypass it.
 */
export class BadLink {
  readonly #relayPort: number;
  readonly #front: Socket;
  readonly #http = createServer((request, response) => void this.#answer(request, response));
  /** Closes each: a browser whose QUIC is slow tries one, too, and prints a refusal on the page's console. */
  readonly #webSockets = new WebSocketServer({ server: this.#http });
  readonly #up = new Direction();
  readonly #down = new Direction();
  readonly #peers = new Map<string, Peer>();
  readonly #sweep: NodeJS.Timeout;

  private constructor(relayPort: number) {
    this.#relayPort = relayPort;
    this.#front = newSocket();
    this.#webSockets.on("error", () => {});
    this.#webSockets.on("connection", (socket) => socket.on("error", () => {}).close());
    this.#front.on("message", (packet, from) => this.#receive(packet, from));
    this.#sweep = setInterval(
      guard("demo.link.sweep", () => this.#forget()),
      SWEEP_MS,
    );
    this.#sweep.unref();
  }

  /** Opens a link to the relay at this port of this machine, on a free port. */
  static async open(relayPort: number): Promise<BadLink> {
    const link = new BadLink(relayPort);
    link.#http.listen(0, "127.0.0.1");
    await once(link.#http, "listening");
    link.#front.bind(link.port, "127.0.0.1");
    await once(link.#front, "listening");
    return link;
  }

  /** Port for browsers, at 127.0.0.1. */
  get port(): number {
    return (this.#http.address() as AddressInfo).port;
  }

  /** Those of both directions. */
  get settings(): LinkSettings {
    return this.#up.model.settings;
  }

  /** Changes both directions. */
  set(settings: LinkSettings): void {
    this.#up.model.set(settings);
    this.#down.model.set(settings);
  }

  /** Loses everything for this many milliseconds. */
  cut(ms: number): void {
    const until = performance.now() + ms;
    this.#up.model.cut(until);
    this.#down.model.cut(until);
  }

  /** Ends the link; packets in flight are lost. */
  async close(): Promise<void> {
    clearInterval(this.#sweep);
    this.#up.close();
    this.#down.close();
    for (const { socket } of this.#peers.values()) socket.close();
    this.#peers.clear();
    this.#front.close();
    for (const socket of this.#webSockets.clients) socket.terminate();
    this.#http.closeAllConnections();
    this.#http.close();
    await once(this.#http, "close");
  }

  #receive(packet: Uint8Array, from: { readonly address: string; readonly port: number }): void {
    const key = `${from.address}:${from.port}`;
    const peer = this.#peers.get(key) ?? this.#admit(key, from);
    peer.heardAt = performance.now();
    this.#up.pass(packet.length, () => sendTo(peer.socket, packet, this.#relayPort));
  }

  #admit(key: string, from: { readonly address: string; readonly port: number }): Peer {
    // Each attempt to connect comes from a port of its own, and most of them end without a word.
    if (this.#peers.size >= MAX_PEERS) this.#drop(this.#quietest);
    const socket = newSocket();
    socket.on("message", (reply) => this.#down.pass(reply.length, () => sendTo(this.#front, reply, from.port)));
    const peer = { socket, heardAt: performance.now() };
    this.#peers.set(key, peer);
    return peer;
  }

  get #quietest(): string {
    const [first] = [...this.#peers].sort(([, one], [, other]) => one.heardAt - other.heardAt);
    return first![0];
  }

  #drop(key: string): void {
    this.#peers.get(key)?.socket.close();
    this.#peers.delete(key);
  }

  #forget(): void {
    const before = performance.now() - IDLE_MS;
    for (const [key, { heardAt }] of this.#peers) if (heardAt < before) this.#drop(key);
  }

  /** A browser needs only the certificate's hash before QUIC; the relay decides which pages get it. */
  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== "GET" || request.url !== "/certificate.sha256") {
      response.writeHead(404).end();
      return;
    }
    try {
      const { origin } = request.headers;
      const headers = origin === undefined ? {} : { Origin: origin };
      const answer = await fetch(`http://127.0.0.1:${this.#relayPort}/certificate.sha256`, { headers });
      const allowed = answer.headers.get("access-control-allow-origin");
      response.writeHead(answer.status, allowed === null ? {} : { "Access-Control-Allow-Origin": allowed });
      response.end(await answer.text());
    } catch {
      response.writeHead(502).end();
    }
  }
}

function sendTo(socket: Socket, packet: Uint8Array, port: number): void {
  try {
    socket.send(packet, port, "127.0.0.1", () => {});
  } catch {
    // The peer was dropped while the packet was in flight.
  }
}

function newSocket(): Socket {
  const socket = createSocket({ type: "udp4", recvBufferSize: BUFFER_BYTES, sendBufferSize: BUFFER_BYTES });
  // A port without a listener; the link continues for the others.
  socket.on("error", () => {});
  return socket;
}
