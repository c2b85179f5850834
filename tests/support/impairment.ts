import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";

/** Losses in bursts after Gilbert and Elliott: a good and a bad state, and a probability of loss in the bad one. */
export interface Burst {
  /** Probability, at each packet, of going from good to bad. */
  readonly enter: number;
  /** Probability, at each packet, of going from bad to good. */
  readonly leave: number;
  /** Probability of losing a packet in the bad state. */
  readonly loss: number;
}

/** Impairment of one direction of a path. A field that is left out has no effect. */
export interface Link {
  /** Time every packet takes, in milliseconds. */
  readonly delayMs?: number;
  /** Each packet takes up to this much longer, evenly distributed. */
  readonly jitterMs?: number;
  /** Probability of losing a packet, independently of others. */
  readonly loss?: number;
  /** Losses in bursts, beside `loss`. */
  readonly burst?: Burst;
  /** Bottleneck in bits per second, IP and UDP headers included. */
  readonly rateBps?: number;
  /** Bytes that may wait in front of the bottleneck, `Infinity` allowed; default 64 000. */
  readonly queueBytes?: number;
  /** Whether jitter may change the order of packets. Default false. */
  readonly reorder?: boolean;
  /** Swallows everything, as a firewall without an answer does. */
  readonly blackhole?: boolean;
}

/** Counters of one direction. */
export interface LinkStats {
  readonly packetsIn: number;
  readonly bytesIn: number;
  readonly packetsOut: number;
  readonly bytesOut: number;
  /** Packets taken by `loss`, `burst` or `blackhole`. */
  readonly packetsLost: number;
  /** Packets that found the bottleneck's queue full. */
  readonly packetsDropped: number;
  /** Bytes on their way now, waiting or delayed. */
  readonly bytesQueued: number;
  /** The most bytes that ever waited in front of the bottleneck. */
  readonly maxBacklogBytes: number;
}

/** An IPv4 and a UDP header. */
const HEADER_BYTES = 28;
const DEFAULT_QUEUE_BYTES = 64_000;
const MAX_PEERS = 4096;

/**
 * Decides the fate of packets on one direction, without sockets or timers: the same seed, links, times and sizes give
 * the same fates.
 */
export class LinkModel {
  #link: Link;
  #random: () => number;
  #bad = false;
  #freeAtMs = 0;
  #lastAtMs = 0;

  /** The most bytes that ever waited in front of the bottleneck. */
  maxBacklogBytes = 0;

  constructor(link: Link, seed: number) {
    this.#link = link;
    this.#random = randomFrom(seed);
  }

  /** Replaces the link; packets already on their way keep their times. */
  set(link: Link): void {
    this.#link = link;
  }

  /** When a packet of `bytes` payload that enters at `nowMs` leaves, or why it never does. */
  offer(nowMs: number, bytes: number): number | "lost" | "dropped" {
    const { delayMs = 0, jitterMs = 0, loss = 0, burst, rateBps, reorder = false, blackhole = false } = this.#link;
    // The same number of draws for every packet, so that changing one knob leaves the others' pattern alone.
    const [lossDraw, stateDraw, burstDraw, jitterDraw] = [
      this.#random(),
      this.#random(),
      this.#random(),
      this.#random(),
    ];
    if (burst) {
      if (stateDraw < (this.#bad ? burst.leave : burst.enter)) this.#bad = !this.#bad;
    } else {
      this.#bad = false;
    }
    if (blackhole || lossDraw < loss || (burst && this.#bad && burstDraw < burst.loss)) return "lost";

    let atMs = nowMs;
    if (rateBps !== undefined) {
      const size = bytes + HEADER_BYTES;
      const backlogBytes = (Math.max(0, this.#freeAtMs - nowMs) * rateBps) / 8000;
      if (backlogBytes + size > (this.#link.queueBytes ?? DEFAULT_QUEUE_BYTES)) return "dropped";
      this.maxBacklogBytes = Math.max(this.maxBacklogBytes, backlogBytes + size);
      this.#freeAtMs = Math.max(this.#freeAtMs, nowMs) + (size * 8000) / rateBps;
      atMs = this.#freeAtMs;
    }
    atMs += delayMs + jitterDraw * jitterMs;
    if (!reorder) {
      atMs = Math.max(atMs, this.#lastAtMs);
      this.#lastAtMs = atMs;
    }
    return atMs;
  }
}

/** A UDP proxy whose two directions can be impaired. */
export interface Impairment {
  /** The UDP port on 127.0.0.1 to send to instead of the target's. */
  readonly port: number;
  /** Changes the direction to the target. */
  setUp(link: Link): void;
  /** Changes the direction from the target. */
  setDown(link: Link): void;
  /** Counters of both directions. */
  stats(): { up: LinkStats; down: LinkStats };
  /** Stops the proxy; packets on their way are gone. */
  close(): Promise<void>;
}

/** Options of {@link impair}. */
export interface ImpairOptions {
  /** Where packets go. */
  readonly target: { readonly host: string; readonly port: number };
  /** Direction to the target. */
  readonly up?: Link;
  /** Direction from the target. */
  readonly down?: Link;
  /** Fixes which packets are lost and how much each is delayed. */
  readonly seed: number;
}

/** Starts a UDP proxy on 127.0.0.1 that stands between clients and a target and impairs what passes. */
export async function impair(options: ImpairOptions): Promise<Impairment> {
  const { target } = options;
  const up = new Direction(options.up ?? {}, options.seed);
  const down = new Direction(options.down ?? {}, options.seed + 1);
  const peers = new Map<string, Socket>();
  const front = await bind();

  front.on("message", (packet, from) => {
    const key = `${from.address}:${from.port}`;
    let back = peers.get(key);
    if (!back) {
      if (peers.size >= MAX_PEERS) return;
      back = newSocket();
      back.on("error", () => undefined);
      back.on("message", (reply) => down.pass(reply, () => front.send(reply, from.port, from.address)));
      peers.set(key, back);
    }
    const socket = back;
    up.pass(packet, () => socket.send(packet, target.port, target.host));
  });
  front.on("error", () => undefined);

  return {
    port: front.address().port,
    setUp: (link) => up.model.set(link),
    setDown: (link) => down.model.set(link),
    stats: () => ({ up: up.stats(), down: down.stats() }),
    async close() {
      up.close();
      down.close();
      await Promise.all(
        [front, ...peers.values()].map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))),
      );
    },
  };
}

interface Waiting {
  readonly atMs: number;
  readonly bytes: number;
  readonly send: () => void;
}

class Direction {
  readonly model: LinkModel;
  #counts = { packetsIn: 0, bytesIn: 0, packetsOut: 0, bytesOut: 0, packetsLost: 0, packetsDropped: 0, bytesQueued: 0 };
  #waiting: Waiting[] = [];
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(link: Link, seed: number) {
    this.model = new LinkModel(link, seed);
  }

  pass(packet: Uint8Array, send: () => void): void {
    if (this.#closed) return;
    const bytes = packet.length;
    const nowMs = performance.now();
    this.#counts.packetsIn++;
    this.#counts.bytesIn += bytes;
    const fate = this.model.offer(nowMs, bytes);
    if (fate === "lost") this.#counts.packetsLost++;
    else if (fate === "dropped") this.#counts.packetsDropped++;
    else if (fate <= nowMs && this.#waiting.length === 0) this.#leave(bytes, send);
    else {
      this.#counts.bytesQueued += bytes;
      // Almost always the last place: only jitter with reordering looks further.
      let place = this.#waiting.length;
      while (place > 0 && this.#waiting[place - 1]!.atMs > fate) place--;
      this.#waiting.splice(place, 0, { atMs: fate, bytes, send });
      if (place === 0) this.#arm();
    }
  }

  stats(): LinkStats {
    return { ...this.#counts, maxBacklogBytes: this.model.maxBacklogBytes };
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#waiting.length = 0;
    this.#counts.bytesQueued = 0;
  }

  #leave(bytes: number, send: () => void): void {
    this.#counts.packetsOut++;
    this.#counts.bytesOut += bytes;
    send();
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const first = this.#waiting[0];
    if (!first) return;
    this.#timer = setTimeout(() => this.#release(), Math.max(0, first.atMs - performance.now()));
  }

  #release(): void {
    // Timers fire up to a millisecond early or late; half of one evens that out.
    const untilMs = performance.now() + 0.5;
    let count = 0;
    for (const { atMs, bytes, send } of this.#waiting) {
      if (atMs > untilMs) break;
      count++;
      this.#counts.bytesQueued -= bytes;
      this.#leave(bytes, send);
    }
    this.#waiting.splice(0, count);
    this.#arm();
  }
}

async function bind(): Promise<Socket> {
  const socket = newSocket();
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return socket;
}

function newSocket(): Socket {
  return createSocket({ type: "udp4", recvBufferSize: 4 << 20, sendBufferSize: 4 << 20 });
}

/** Mulberry32 by Tommy Ettinger (public domain): small, fast, good enough for losing packets. */
function randomFrom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
