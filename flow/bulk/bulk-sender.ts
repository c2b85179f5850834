import { fromMilliseconds, fromSeconds, type Microseconds, microseconds } from "../../base/index.js";
import { StalenessEstimator } from "../playhead/staleness.js";
import { BULK_HORIZON_UNITS, BULK_UNIT_BYTES, type BulkAck, encodePiece, MAX_PIECE_UNITS } from "./piece.js";

/** Options for {@link BulkSender}. */
export interface BulkSenderOptions {
  readonly payload: Uint8Array;
}

/** The numbers of a {@link BulkSender}. */
export interface BulkSenderStats {
  readonly ackedBytes: number;
  readonly inFlightBytes: number;
  /** Maximum bytes in flight. */
  readonly windowBytes: number;
  /** Queueing delay of the last acknowledgement, in milliseconds. */
  readonly queueingMs: number;
  /** Smoothed round trip, in milliseconds; undefined before the first acknowledgement. */
  readonly rttMs: number | undefined;
  readonly pieces: number;
  /** Pieces retransmitted. */
  readonly repeated: number;
}

interface Run {
  readonly firstUnit: number;
  readonly units: number;
}

interface Sent extends Run {
  readonly bytes: number;
  readonly sentAt: Microseconds;
}

/** Target queueing delay: RFC 6817 allows 100 ms, but a conversation would feel that. */
const TARGET = fromMilliseconds(25);
const INITIAL_WINDOW = 8192;
const MIN_WINDOW = 2048;
const MAX_WINDOW = 1_048_576;
/** Round trip for pacing until one was measured. */
const INITIAL_RTT = fromMilliseconds(100);
/**
 * The smallest delay among this many acknowledgements counts, as in RFC 6817: a busy machine's hiccup is not a queue.
 */
const FILTER = 3;
/** Pieces in a full window: each is then a small part of the target delay. */
const PIECES_PER_WINDOW = 8;
/** Initial growth per round trip: half as much again, since any overshoot stands in the queue. */
const START_GAIN = 0.5;
/** Later growth per round trip: a packet, as in RFC 6817, or a sixteenth where that would take minutes. */
const PACKET_BYTES = 1400;
const GROWTH = 1 / 16;
/** Sends this much faster than a window per round trip, so that the window limits and not the pace. */
const PACE = 1.25;
/** Time that a late timer may make up for at once. */
const PACE_SLACK = fromMilliseconds(5);
/** Pieces may overtake each other by this plus half a round trip before one counts as lost. */
const REORDERING = fromMilliseconds(50);
const MIN_TIMEOUT = fromSeconds(1);
const MAX_TIMEOUT = fromSeconds(8);
/** How often the queue may drain, so that the smallest known delay is that of an empty one (as in LEDBAT++). */
const DRAIN_EVERY = fromSeconds(20);
const MAX_DRAIN = fromMilliseconds(500);

/**
 * Decides which piece of a payload goes when, so that a queue on the way holds no more than the target's worth. The
 * window is delay-based after RFC 6817 (LEDBAT), with the slower start and the multiplicative decrease of LEDBAT++, and
 * paced. QUIC's own congestion control would fill the queue. Retransmits lost pieces. Pure.
 */
export class BulkSender {
  readonly #payload: Uint8Array;
  readonly #units: number;
  readonly #acked: Uint8Array;
  readonly #delays = new StalenessEstimator();
  // In sending order.
  #inFlight: Sent[] = [];
  #inFlightBytes = 0;
  #lost: Run[] = [];
  /** First unit that was never sent, first that is not acknowledged, and the number of acknowledged ones. */
  #fresh = 0;
  #lowest = 0;
  #ackedUnits = 0;
  #window = INITIAL_WINDOW;
  #starting = true;
  #recent: number[] = [];
  #queueing = 0;
  #rtt: number | undefined;
  #timeoutFactor = 1;
  #paceAt = 0;
  #reducedAt = Number.NEGATIVE_INFINITY;
  #drainAt: number | undefined;
  #drainedAt = 0;
  #pieces = 0;
  #repeated = 0;

  constructor({ payload }: BulkSenderOptions) {
    this.#payload = payload;
    this.#units = Math.ceil(payload.length / BULK_UNIT_BYTES);
    this.#acked = new Uint8Array(this.#units);
  }

  /** Whether the receiver has everything. */
  get finished(): boolean {
    return this.#ackedUnits === this.#units;
  }

  get stats(): BulkSenderStats {
    return {
      ackedBytes: Math.min(this.#ackedUnits * BULK_UNIT_BYTES, this.#payload.length),
      inFlightBytes: this.#inFlightBytes,
      windowBytes: Math.floor(this.#window),
      queueingMs: this.#queueing / 1e3,
      rttMs: this.#rtt === undefined ? undefined : this.#rtt / 1e3,
      pieces: this.#pieces,
      repeated: this.#repeated,
    };
  }

  /** The next piece, encoded, if one may go now. */
  take(now: Microseconds): Uint8Array | undefined {
    this.#checkTimeout(now);
    this.#drain(now);
    if (now < this.#waitUntil || this.#inFlightBytes >= this.#window) return undefined;
    const run = this.#nextRun();
    if (run === undefined) return undefined;
    const offset = run.firstUnit * BULK_UNIT_BYTES;
    const bytes = this.#payload.subarray(offset, offset + run.units * BULK_UNIT_BYTES);
    this.#inFlight.push({ ...run, bytes: bytes.length, sentAt: now });
    this.#inFlightBytes += bytes.length;
    this.#pieces++;
    const perMicrosecond = (PACE * this.#window) / (this.#rtt ?? INITIAL_RTT);
    this.#paceAt = Math.max(this.#paceAt, now - PACE_SLACK) + bytes.length / perMicrosecond;
    return encodePiece({ firstUnit: run.firstUnit, sentAt: now, bytes });
  }

  /** When to call `take` again unless an acknowledgement comes first; undefined once finished. */
  nextAt(now: Microseconds): Microseconds | undefined {
    if (this.finished) return undefined;
    const canSend =
      this.#inFlightBytes < this.#window &&
      (this.#lost.length > 0 || (this.#fresh < this.#units && this.#fresh < this.#lowest + BULK_HORIZON_UNITS));
    const oldest = this.#inFlight[0]?.sentAt ?? now;
    return microseconds(Math.max(now, canSend ? this.#waitUntil : oldest + this.#timeout));
  }

  acknowledged(ack: BulkAck, now: Microseconds): void {
    for (let unit = this.#lowest; unit < Math.min(ack.next, this.#units); unit++) this.#mark(unit);
    for (const [from, to] of ack.ranges)
      for (let unit = Math.max(from, this.#lowest); unit < Math.min(to, this.#fresh); unit++) this.#mark(unit);
    while (this.#lowest < this.#units && this.#acked[this.#lowest] === 1) this.#lowest++;

    const flown = this.#inFlightBytes;
    let newest = Number.NEGATIVE_INFINITY;
    this.#inFlight = this.#inFlight.filter((sent) => {
      if (!this.#hasAll(sent)) return true;
      this.#inFlightBytes -= sent.bytes;
      newest = Math.max(newest, sent.sentAt);
      return false;
    });
    const ackedBytes = flown - this.#inFlightBytes;
    if (ackedBytes === 0) return;

    const rtt = now - ack.sentAt - ack.held;
    // An impossible one comes from a peer that makes things up.
    if (rtt > 0 && rtt < MAX_TIMEOUT) this.#rtt = this.#rtt === undefined ? rtt : this.#rtt + (rtt - this.#rtt) / 8;
    this.#timeoutFactor = 1;
    this.#recent.push(this.#delays.observe(microseconds(now - ack.delay), now));
    if (this.#recent.length > FILTER) this.#recent.shift();
    this.#queueing = this.#starting ? this.#recent.at(-1)! : Math.min(...this.#recent);
    this.#adapt(ackedBytes, flown);
    this.#giveUpBefore(newest - (this.#rtt ?? INITIAL_RTT) / 2 - REORDERING, now);
  }

  /** Restarts on a new path: pieces in flight are sent again, and the queue is unknown. */
  restart(now: Microseconds): void {
    this.#giveUpBefore(Number.POSITIVE_INFINITY, now);
    this.#delays.reset();
    this.#rtt = undefined;
    this.#queueing = 0;
    this.#recent = [];
    this.#window = INITIAL_WINDOW;
    this.#starting = true;
    this.#timeoutFactor = 1;
    this.#drainAt = undefined;
    this.#paceAt = now;
  }

  get #waitUntil(): number {
    return Math.max(this.#paceAt - PACE_SLACK, this.#drainedAt);
  }

  get #timeout(): number {
    const measured = Math.max(MIN_TIMEOUT, 4 * (this.#rtt ?? INITIAL_RTT));
    return Math.min(measured * this.#timeoutFactor, MAX_TIMEOUT);
  }

  #mark(unit: number): void {
    if (this.#acked[unit] === 1) return;
    this.#acked[unit] = 1;
    this.#ackedUnits++;
  }

  #hasAll({ firstUnit, units }: Run): boolean {
    for (let unit = firstUnit; unit < firstUnit + units; unit++) if (this.#acked[unit] !== 1) return false;
    return true;
  }

  #nextRun(): Run | undefined {
    for (;;) {
      const again = this.#lost.shift();
      if (again === undefined) break;
      if (this.#hasAll(again)) continue;
      this.#repeated++;
      return again;
    }
    const limit = Math.min(this.#units, this.#lowest + BULK_HORIZON_UNITS);
    if (this.#fresh >= limit) return undefined;
    const wanted = Math.floor(this.#window / PIECES_PER_WINDOW / BULK_UNIT_BYTES);
    const units = Math.min(Math.max(wanted, 1), MAX_PIECE_UNITS, limit - this.#fresh);
    const run = { firstUnit: this.#fresh, units };
    this.#fresh += units;
    return run;
  }

  #adapt(ackedBytes: number, flown: number): void {
    const excess = this.#queueing / TARGET - 1;
    // Half a target of delay shows that a queue builds up; the last round trip's growth is on its way already.
    if (this.#starting && excess > -0.5) {
      this.#starting = false;
      this.#window /= 1 + START_GAIN;
    }
    const share = Math.min(1, ackedBytes / this.#window);
    if (excess > 0) this.#window -= share * this.#window * Math.min(excess, 0.5);
    // An unused window says nothing about a larger one.
    else if (flown >= this.#window / 2) {
      const step = this.#starting ? START_GAIN * this.#window : Math.max(PACKET_BYTES, GROWTH * this.#window) * -excess;
      this.#window += share * step;
    }
    this.#window = Math.min(Math.max(this.#window, MIN_WINDOW), MAX_WINDOW);
  }

  #giveUpBefore(time: number, now: Microseconds): void {
    const stays: Sent[] = [];
    let lost = 0;
    for (const sent of this.#inFlight) {
      if (sent.sentAt >= time) {
        stays.push(sent);
        continue;
      }
      lost++;
      this.#inFlightBytes -= sent.bytes;
      this.#lost.push({ firstUnit: sent.firstUnit, units: sent.units });
    }
    this.#inFlight = stays;
    if (lost === 0) return;
    this.#starting = false;
    // Once per round trip: pieces lost together are one sign.
    if (now - this.#reducedAt < (this.#rtt ?? INITIAL_RTT)) return;
    this.#reducedAt = now;
    this.#window = Math.max(this.#window / 2, MIN_WINDOW);
  }

  #checkTimeout(now: Microseconds): void {
    const oldest = this.#inFlight[0];
    if (oldest === undefined || now - oldest.sentAt < this.#timeout) return;
    this.#timeoutFactor *= 2;
    this.#giveUpBefore(Number.POSITIVE_INFINITY, now);
    this.#window = MIN_WINDOW;
  }

  #drain(now: Microseconds): void {
    this.#drainAt ??= now + DRAIN_EVERY;
    if (now < this.#drainAt) return;
    this.#drainAt = now + DRAIN_EVERY;
    this.#drainedAt = now + Math.min(this.#rtt ?? INITIAL_RTT, MAX_DRAIN);
  }
}
