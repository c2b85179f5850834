import type { LinkModel } from "./impairment.js";

/** What quinn takes for the path's largest packet after its discovery, which is also a step of the window. */
const MTU = 1452;
/** QUIC's header and tag, IP and UDP aside. */
const PACKET_OVERHEAD = 29;
const DATAGRAM_OVERHEAD = 3;
const INITIAL_WINDOW = 14_720;
const SMALLEST_WINDOW = 2 * MTU;
const BETA = 0.7;
const C = 0.4;
/** Packets behind a missing one that make it a lost one, and how much longer than the round trip it may take. */
const REORDERED = 3;
const LATE = 9 / 8;

interface Packet {
  readonly number: number;
  readonly bytes: number;
  readonly sentAt: number;
  readonly bodies: readonly Uint8Array[];
}

/**
 * One direction of a QUIC session that carries datagrams, on a virtual clock in milliseconds: CUBIC, loss detection and
 * queue as in quinn-proto 0.11, whose rules make a long path narrow. A packet goes only where a whole MTU has room beside
 * what is in flight, the window grows only while something waits for it, and what is lost counts against it whether a
 * queue or the air took it.
 */
export class QuicPath {
  readonly #down: LinkModel;
  readonly #up: LinkModel;
  readonly #onDatagram: (body: Uint8Array) => void;
  readonly #arriving: { readonly at: number; readonly packet: Packet }[] = [];
  readonly #acking: { readonly at: number; readonly numbers: readonly number[] }[] = [];
  readonly #inFlight = new Map<number, Packet>();
  #queue: Uint8Array[] = [];
  #received: number[] = [];
  #next = 0;
  #bytes = 0;
  #window = INITIAL_WINDOW;
  #threshold = Number.POSITIVE_INFINITY;
  #most = 0;
  #k = 0;
  #credit = 0;
  #recoveredAt: number | undefined;
  #roundTrip: number | undefined;
  #isBlocked = false;
  #now = 0;

  /** Packets sent. */
  get packets(): number {
    return this.#next;
  }

  /** Datagrams that wait for the window. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Bytes that may be in flight. */
  get window(): number {
    return this.#window;
  }

  constructor(options: {
    readonly down: LinkModel;
    readonly up: LinkModel;
    readonly onDatagram: (body: Uint8Array) => void;
  }) {
    this.#down = options.down;
    this.#up = options.up;
    this.#onDatagram = options.onDatagram;
  }

  /** Takes a datagram, which goes with the next step: what is handed over together shares a packet. */
  send(body: Uint8Array): void {
    this.#queue.push(body);
  }

  /** Moves on to a moment. */
  step(now: number): void {
    this.#now = now;
    this.#arrive();
    while (this.#acking[0] && this.#acking[0].at <= now) this.#acked(this.#acking.shift()!.numbers);
    this.#lose();
    this.#flush();
  }

  #arrive(): void {
    const arrived: number[] = [];
    while (this.#arriving[0] && this.#arriving[0].at <= this.#now) {
      const { packet } = this.#arriving.shift()!;
      arrived.push(packet.number);
      for (const body of packet.bodies) this.#onDatagram(body);
    }
    if (arrived.length === 0) return;
    // An acknowledgement says of all the last ones whether they came, so that one lost on the way up is made good.
    this.#received = [...this.#received, ...arrived].slice(-64);
    const at = this.#up.offer(this.#now, 40);
    if (typeof at === "number") this.#acking.push({ at, numbers: this.#received });
  }

  #acked(numbers: readonly number[]): void {
    const newest = Math.max(...numbers);
    for (const number of numbers) {
      const packet = this.#inFlight.get(number);
      if (packet === undefined) continue;
      this.#forget(packet);
      if (number === newest) this.#measure(this.#now - packet.sentAt);
      this.#grow(packet);
    }
    for (const packet of [...this.#inFlight.values()]) if (packet.number + REORDERED <= newest) this.#lost(packet);
  }

  #measure(sample: number): void {
    this.#roundTrip = this.#roundTrip === undefined ? sample : this.#roundTrip * 0.875 + sample * 0.125;
  }

  #lose(): void {
    if (this.#roundTrip === undefined) return;
    const before = this.#now - this.#roundTrip * LATE - 25;
    for (const packet of [...this.#inFlight.values()]) if (packet.sentAt < before) this.#lost(packet);
  }

  #forget(packet: Packet): void {
    this.#inFlight.delete(packet.number);
    this.#bytes -= packet.bytes;
  }

  #grow({ sentAt, bytes }: Packet): void {
    if (!this.#isBlocked || (this.#recoveredAt !== undefined && sentAt <= this.#recoveredAt)) return;
    if (this.#window < this.#threshold) {
      this.#window += bytes;
      return;
    }
    if (this.#recoveredAt === undefined) {
      this.#recoveredAt = this.#now;
      this.#most = this.#window;
      this.#k = 0;
    }
    const elapsed = (this.#now - this.#recoveredAt) / 1000;
    const trip = (this.#roundTrip ?? 1) / 1000;
    const most = this.#most / MTU;
    const cubic = (C * (elapsed + trip - this.#k) ** 3 + most) * MTU;
    const reno = (most * BETA + ((3 * (1 - BETA)) / (1 + BETA)) * (elapsed / trip)) * MTU;
    const step = Math.max(0, ((cubic - this.#window) / this.#window) * MTU);
    this.#credit += cubic < reno ? Math.max(0, reno - this.#window) : step;
    if (this.#credit < MTU) return;
    this.#window += MTU;
    this.#credit = 0;
  }

  #lost(packet: Packet): void {
    this.#forget(packet);
    if (this.#recoveredAt !== undefined && packet.sentAt <= this.#recoveredAt) return;
    this.#recoveredAt = this.#now;
    this.#most = this.#window < this.#most ? (this.#window * (1 + BETA)) / 2 : this.#window;
    this.#threshold = Math.max(this.#window * BETA, SMALLEST_WINDOW);
    this.#window = this.#threshold;
    this.#k = Math.cbrt(((this.#most / MTU) * (1 - BETA)) / C);
    this.#credit *= BETA;
  }

  #flush(): void {
    while (this.#queue.length > 0 && this.#bytes + MTU < this.#window) this.#transmit();
    this.#isBlocked = this.#queue.length > 0;
  }

  #transmit(): void {
    const bodies: Uint8Array[] = [];
    let bytes = PACKET_OVERHEAD;
    for (let next = this.#queue[0]; next; next = this.#queue[0]) {
      if (bytes + next.length + DATAGRAM_OVERHEAD > MTU) break;
      bytes += next.length + DATAGRAM_OVERHEAD;
      bodies.push(next);
      this.#queue.shift();
    }
    const packet = { number: this.#next++, bytes, sentAt: this.#now, bodies };
    this.#inFlight.set(packet.number, packet);
    this.#bytes += bytes;
    const at = this.#down.offer(this.#now, bytes);
    if (typeof at === "number") this.#arriving.push({ at, packet });
  }
}
