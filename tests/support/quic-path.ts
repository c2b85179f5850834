import type { LinkModel } from "./impairment.js";

/** The path's largest packet after quinn's discovery, which is also a step of the window. */
const MTU = 1452;
/** Largest packet of a probe. */
const PROBE_BYTES = 1200;
/** QUIC's header and tag, IP and UDP aside. */
const PACKET_OVERHEAD = 29;
const DATAGRAM_OVERHEAD = 3;
/** An acknowledgement without anything else. */
const ACK_BYTES = 40;
const INITIAL_WINDOW = 12_000;
const SMALLEST_WINDOW = 2 * MTU;
const BETA = 0.7;
const C = 0.4;
/** Packets behind a missing one that make it a lost one, and how much longer than the round trip it may take. */
const REORDERED = 3;
const LATE = 9 / 8;
/** How long a receiver holds the acknowledgement of a single packet. */
const ACK_DELAY_MS = 25;
const SMALLEST_VARIANCE_MS = 1;
/** Probes at each timeout. */
const PROBES = 2;
/** Timeouts in a row without an acknowledgement that empty the window. */
const PERSISTENT = 3;

interface Packet {
  readonly number: number;
  readonly bytes: number;
  readonly sentAt: number;
  readonly bodies: readonly Uint8Array[];
}

/**
 * One direction of a QUIC session that carries datagrams, on a virtual clock in milliseconds: CUBIC, loss
 * detection and queue as in quinn-proto 0.11.
 *
 * A packet goes only where a whole MTU has room beside what is in flight. The window grows only while something waits,
 * and shrinks by every loss, whether a queue or the air took the packet. Only the acknowledgement of a later packet
 * shows a loss. Without one, a full window waits for a timeout, which sends two packets and doubles the next timeout.
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
  #toAck = 0;
  #ackAt: number | undefined;
  /** Packets of the listener that the relay has not acknowledged. */
  #reports = 0;
  #reportAt: number | undefined;
  #next = 0;
  #bytes = 0;
  #window = INITIAL_WINDOW;
  #threshold = Number.POSITIVE_INFINITY;
  #most = 0;
  #k = 0;
  #credit = 0;
  #recoveredAt: number | undefined;
  #roundTrip: number;
  #variance: number;
  #latest: number;
  #newestAcked = -1;
  #timeouts = 0;
  #lastAt = 0;
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
    /** Measured by the handshake. */
    readonly roundTripMs: number;
    readonly onDatagram: (body: Uint8Array) => void;
  }) {
    this.#down = options.down;
    this.#up = options.up;
    this.#roundTrip = options.roundTripMs;
    this.#latest = options.roundTripMs;
    this.#variance = options.roundTripMs / 4;
    this.#onDatagram = options.onDatagram;
  }

  /**
   * Takes a datagram. Datagrams that are handed over together share a packet, but every second time the session's thread is
   * quicker, and the first goes alone.
   */
  send(body: Uint8Array): void {
    this.#queue.push(body);
    if (this.#next % 2 === 0) this.#flush();
  }

  /** A packet of the listener arrived at the relay, which acknowledges it: on the way down too, packets are lost. */
  heard(): void {
    this.#reports++;
    this.#reportAt ??= this.#now + ACK_DELAY_MS;
  }

  /** Moves on to a moment. */
  step(now: number): void {
    this.#now = now;
    this.#arrive();
    while (this.#acking[0] && this.#acking[0].at <= now) this.#acked(this.#acking.shift()!.numbers);
    this.#lose({ byAck: false });
    this.#timeOut();
    this.#flush();
    if (this.#reports > 1 || (this.#reportAt !== undefined && this.#reportAt <= now)) this.#acknowledge();
  }

  #arrive(): void {
    while (this.#arriving[0] && this.#arriving[0].at <= this.#now) {
      const { packet } = this.#arriving.shift()!;
      // A packet out of order is acknowledged at once.
      if (this.#received.length > 0 && packet.number !== this.#received.at(-1)! + 1) this.#toAck++;
      this.#received = [...this.#received.slice(-63), packet.number];
      this.#toAck++;
      this.#ackAt ??= this.#now + ACK_DELAY_MS;
      for (const body of packet.bodies) this.#onDatagram(body);
    }
    if (this.#toAck < 2 && (this.#ackAt === undefined || this.#ackAt > this.#now)) return;
    this.#toAck = 0;
    this.#ackAt = undefined;
    // An acknowledgement says of all the last ones whether they came, so that one lost on the way up is made good.
    const at = this.#up.offer(this.#now, ACK_BYTES);
    if (typeof at === "number") this.#acking.push({ at, numbers: this.#received });
  }

  #acknowledge(): void {
    // It would share the packet of what waits, and so it waits as well.
    if (this.#isBlocked) return;
    this.#reports = 0;
    this.#reportAt = undefined;
    this.#down.offer(this.#now, ACK_BYTES);
  }

  #acked(numbers: readonly number[]): void {
    const newest = Math.max(...numbers);
    const first = this.#inFlight.get(newest);
    for (const number of numbers) {
      const packet = this.#inFlight.get(number);
      if (packet === undefined) continue;
      this.#forget(packet);
      this.#grow(packet);
    }
    if (newest > this.#newestAcked) {
      this.#newestAcked = newest;
      if (first) this.#measure(this.#now - first.sentAt);
    }
    this.#lose({ byAck: true });
    this.#timeouts = 0;
  }

  #measure(sample: number): void {
    this.#latest = sample;
    this.#variance = this.#variance * 0.75 + Math.abs(this.#roundTrip - sample) * 0.25;
    this.#roundTrip = this.#roundTrip * 0.875 + sample * 0.125;
  }

  get #timeoutMs(): number {
    return this.#roundTrip + Math.max(4 * this.#variance, SMALLEST_VARIANCE_MS) + ACK_DELAY_MS;
  }

  /** Finds lost packets: only those before one that was acknowledged. */
  #lose({ byAck }: { readonly byAck: boolean }): void {
    const before = this.#now - Math.max(this.#roundTrip, this.#latest) * LATE;
    const lost = [...this.#inFlight.values()].filter(
      ({ number, sentAt }) =>
        number < this.#newestAcked && (number + REORDERED <= this.#newestAcked || sentAt <= before),
    );
    const last = lost.at(-1);
    if (last === undefined) return;
    for (const packet of lost) this.#forget(packet);
    this.#reduce(last.sentAt, byAck && this.#isPersistent(lost));
  }

  #isPersistent(lost: readonly Packet[]): boolean {
    let first: Packet | undefined;
    let previous: Packet | undefined;
    for (const packet of lost) {
      if (previous?.number !== packet.number - 1) first = packet;
      if (first && packet.sentAt - first.sentAt > PERSISTENT * this.#timeoutMs) return true;
      previous = packet;
    }
    return false;
  }

  #timeOut(): void {
    if (this.#inFlight.size === 0) return;
    if ([...this.#inFlight.keys()].some((number) => number < this.#newestAcked)) return;
    if (this.#now < this.#lastAt + this.#timeoutMs * 2 ** this.#timeouts) return;
    this.#timeouts++;
    for (let probe = 0; probe < PROBES; probe++) this.#transmit(PROBE_BYTES);
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
    const trip = this.#roundTrip / 1000;
    const most = this.#most / MTU;
    const cubic = (C * (elapsed + trip - this.#k) ** 3 + most) * MTU;
    const reno = (most * BETA + ((3 * (1 - BETA)) / (1 + BETA)) * (elapsed / trip)) * MTU;
    const step = Math.max(0, ((cubic - this.#window) / this.#window) * MTU);
    this.#credit += cubic < reno ? Math.max(0, reno - this.#window) : step;
    if (this.#credit < MTU) return;
    this.#window += MTU;
    this.#credit = 0;
  }

  #reduce(sentAt: number, persistent: boolean): void {
    if (this.#recoveredAt !== undefined && sentAt <= this.#recoveredAt) return;
    this.#recoveredAt = this.#now;
    this.#most = this.#window < this.#most ? (this.#window * (1 + BETA)) / 2 : this.#window;
    this.#threshold = Math.max(this.#most * BETA, SMALLEST_WINDOW);
    this.#window = this.#threshold;
    this.#k = Math.cbrt(((this.#most / MTU) * (1 - BETA)) / C);
    this.#credit *= BETA;
    if (!persistent) return;
    this.#recoveredAt = undefined;
    this.#most = this.#window;
    this.#threshold = Math.max(this.#window * BETA, SMALLEST_WINDOW);
    this.#credit = 0;
    this.#window = SMALLEST_WINDOW;
  }

  #flush(): void {
    while (this.#queue.length > 0 && this.#bytes + MTU < this.#window) this.#transmit(MTU);
    this.#isBlocked = this.#queue.length > 0;
  }

  #transmit(most: number): void {
    const bodies: Uint8Array[] = [];
    let bytes = PACKET_OVERHEAD;
    for (let next = this.#queue[0]; next; next = this.#queue[0]) {
      if (bytes + next.length + DATAGRAM_OVERHEAD > most) break;
      bytes += next.length + DATAGRAM_OVERHEAD;
      bodies.push(next);
      this.#queue.shift();
    }
    const packet = { number: this.#next++, bytes, sentAt: this.#now, bodies };
    this.#inFlight.set(packet.number, packet);
    this.#bytes += bytes;
    this.#lastAt = this.#now;
    // An acknowledgement that waits goes with it.
    this.#reports = 0;
    this.#reportAt = undefined;
    const at = this.#down.offer(this.#now, bytes);
    if (typeof at === "number") this.#arriving.push({ at, packet });
  }
}
