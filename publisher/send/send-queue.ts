import { fromMilliseconds, fromSeconds, type Microseconds, microseconds } from "../../base/index.js";
import {
  ackDelayMs,
  BytesInFlight,
  type SkipCounters,
  SkipPolicy,
  TokenBucket,
  Window,
} from "../../flow/congestion/index.js";
import { StalenessEstimator } from "../../flow/playhead/index.js";

/** One encoded frame. */
export interface EncodedFrame {
  readonly sequence: number;
  readonly timestamp: Microseconds;
  readonly payload: Uint8Array;
  /** The same in the lower rendition, where a listener wants it. */
  readonly low?: Uint8Array | undefined;
  /** Whether it opens an epoch, and so signals a rewind. */
  readonly opensEpoch: boolean;
  /** Whether it is the first of its group. */
  readonly opensGroup: boolean;
  /** Whether it is the last of its group. */
  readonly endsGroup: boolean;
}

/** A frame in the queue. */
export interface OutgoingFrame extends EncodedFrame {
  /** When it was encoded. */
  readonly producedAt: Microseconds;
}

/** Frames by outcome. */
export interface SendQueueCounters {
  readonly sent: number;
  /** Made stale before they were sent. */
  readonly takenBack: number;
  /** Too late before they could be sent. */
  readonly passed: number;
  /** Without room to keep them for a reconnect. */
  readonly overflow: number;
}

/** Options for {@link SendQueue}. */
export interface SendQueueOptions {
  readonly bitrateBps: number;
  /** Length of a frame, in milliseconds. */
  readonly frameMs: number;
  /** Whether a window limits sending. Default true. */
  readonly window?: boolean;
  /**
   * Whether listeners play late audio: frames that directly follow the last one sent go out even after their time, as
   * after a stall of the process. Default false.
   */
  readonly late?: boolean;
}

/** Audio goes this many times faster than it plays, after a burst of that length. */
const PACE = 8;
const BURST_MS = 320;
/** A next hop that has acknowledged nothing for this long has no window. */
const ACK_SILENCE = fromMilliseconds(1000);
/** Sent frames kept for the next session. */
const MAX_SENT = 4096;
/**
 * How long the quickest ack counts, 10 s more or less. A path that has become longer, or a machine that has become busy,
 * starves listeners for that long. A queue that stands for longer counts as a path, so a link slower than the audio holds
 * up to 1.35 s of it, which no rewind can reach.
 */
const ACK_WINDOW = fromSeconds(20);
/** How long after its time a sent frame may still help a listener that lags. */
const KEEP = fromSeconds(2);

/**
 * Frames for the next hop: the waiting ones, and the sent ones that a rewind or reconnect still concerns. While the
 * bytes in flight fill the window, no further frame is encoded: audio that still waits can be taken back at no cost.
 */
export class SendQueue {
  readonly #inFlight = new BytesInFlight();
  readonly #window: Window | undefined;
  /** Finds the time from a send to its ack on the idle path. */
  readonly #acks = new StalenessEstimator({ window: ACK_WINDOW });
  readonly #skips = new SkipPolicy();
  readonly #bucket: TokenBucket;
  readonly #late: boolean;
  /** Frames from this sequence on were never sent, and directly follow the sent ones; undefined where none does. */
  #following: number | undefined;
  #waiting: OutgoingFrame[] = [];
  #sent: OutgoingFrame[] = [];
  /** No new session gets an earlier group. */
  #oldest = 0;
  #ackedAt = Number.NEGATIVE_INFINITY;
  #roundTrip: Microseconds | undefined;
  readonly #counters = { sent: 0, takenBack: 0, passed: 0, overflow: 0 };

  constructor({ bitrateBps, frameMs, window = true, late = false }: SendQueueOptions) {
    this.#late = late;
    this.#bucket = new TokenBucket({ perSecond: (PACE * 1000) / frameMs, burst: BURST_MS / frameMs });
    if (window) this.#window = new Window({ bitrateBps });
  }

  /** Groups never sent, by reason. */
  get skips(): SkipCounters {
    return this.#skips.counters;
  }

  /** Skips since the last log line, when one is due. */
  takeLog(now: Microseconds): SkipCounters | undefined {
    return this.#skips.takeLog(now);
  }

  get counters(): SendQueueCounters {
    return { ...this.#counters };
  }

  /** Time from a send to its ack on the idle path; undefined before the first ack. */
  get roundTrip(): Microseconds | undefined {
    return this.#roundTrip;
  }

  /** Number of waiting frames. */
  get size(): number {
    return this.#waiting.length;
  }

  /** Bytes sent and not yet acknowledged by the next hop. */
  inFlight(now: Microseconds): number {
    return this.#inFlight.inFlight(now);
  }

  /** Whether enough is in flight to the next hop that encoding should pause. */
  isFull(now: Microseconds): boolean {
    if (this.#window === undefined || now - this.#ackedAt > ACK_SILENCE) return false;
    const waiting = this.#waiting.reduce((sum, { payload }) => sum + payload.length, 0);
    return this.#inFlight.inFlight(now) + waiting > this.#window.bytes;
  }

  /** Counts groups that became too late while the window was full. */
  skipped(groups: number): void {
    this.#skips.count("window", groups);
  }

  push(frame: OutgoingFrame): void {
    this.#waiting.push(frame);
  }

  /**
   * Removes and returns the next frame that may be sent now; undefined without one. `playhead`: position of the
   * earliest listener. Frames wholly before it are dropped, but never the first of an epoch.
   */
  take(now: Microseconds, playhead: Microseconds): OutgoingFrame | undefined {
    while (this.#waiting.length > 0) {
      const frame = this.#waiting[0]!;
      const follows = this.#late && frame.sequence === this.#following;
      if (frame.timestamp < playhead && !frame.opensEpoch && !follows) {
        this.#waiting.shift();
        this.#pass(1);
        continue;
      }
      const question = { inFlight: 0, window: undefined, producedAt: frame.producedAt, now };
      if (!frame.opensEpoch && !follows && this.#skips.decide(question) !== "send") {
        this.#waiting.shift();
        continue;
      }
      if (!frame.opensEpoch && this.#bucket.take(now) === 0) return undefined;
      this.#waiting.shift();
      this.#inFlight.sent(frame.sequence, frame.payload.length, now);
      this.#sent.push(frame);
      this.#counters.sent++;
      this.#following = frame.sequence + (frame.endsGroup ? 1 : 0);
      while (this.#sent[0]!.timestamp < playhead - KEEP && this.#sent.length > 1) this.#sent.shift();
      if (this.#sent.length > MAX_SENT) {
        this.#sent.shift();
        this.#counters.overflow++;
      }
      return frame;
    }
    return undefined;
  }

  /** No listener takes frames now: drops the ones that are too late, except the newest that opens an epoch. */
  expire(playhead: Microseconds): void {
    this.#keep((frame) => frame.timestamp >= playhead);
  }

  /** Notes that the next hop has every group up to this sequence. */
  acked(sequence: number, now: Microseconds): void {
    this.#ackedAt = now;
    const sentAt = this.#inFlight.acked(sequence);
    if (sentAt === undefined || this.#window === undefined) return;
    const queueing = this.#acks.observe(sentAt, now);
    this.#roundTrip = microseconds(now - sentAt - queueing);
    this.#window.baseDelayMs = ackDelayMs(this.#roundTrip);
  }

  /** Whether no waiting frame can be heard any more: at most one that opens an epoch waits for the next listener. */
  isExpired(playhead: Microseconds): boolean {
    return this.#waiting.every((frame) => frame.timestamp < playhead);
  }

  /** Makes every frame at or after `to` stale: drops waiting frames, writes off those in flight. */
  rewind(to: Microseconds): void {
    const stays = this.#waiting.filter((frame) => frame.timestamp < to);
    const takenBack = this.#waiting.length - stays.length;
    this.#counters.takenBack += takenBack;
    this.#skips.count("stale", takenBack);
    this.#waiting = stays;
    for (const frame of this.#sent) if (frame.timestamp >= to) this.#inFlight.writeOff(frame.sequence);
    this.#sent = this.#sent.filter((frame) => frame.timestamp < to);
  }

  /** Sends nothing from before this group any more, on a new session either, except the newest frame that opens an epoch. */
  keepFrom(sequence: number): void {
    this.#oldest = sequence;
    this.#keep((frame) => frame.sequence >= sequence);
  }

  /** A new session: frames sent on the old one that are neither stale nor too late are sent again. */
  reconnected(playhead: Microseconds, now: Microseconds): void {
    this.#inFlight.clear();
    this.#acks.reset();
    this.#roundTrip = undefined;
    this.#following = undefined;
    this.#ackedAt = Number.NEGATIVE_INFINITY;
    const opener = this.#sent.findLast((frame) => frame.opensEpoch);
    const again = this.#sent
      .filter((frame) => frame === opener || (frame.sequence >= this.#oldest && frame.timestamp >= playhead))
      .map((frame) => ({ ...frame, producedAt: now }));
    this.#sent = [];
    this.#waiting = [...again, ...this.#waiting];
  }

  /** Forgets sent frames, when no listener is left that received them. */
  forget(): void {
    this.#sent = [];
    this.#following = undefined;
    this.#inFlight.clear();
  }

  #keep(isKept: (frame: OutgoingFrame) => boolean): void {
    const opener = this.#waiting.findLast((frame) => frame.opensEpoch);
    const stays = this.#waiting.filter((frame) => frame === opener || isKept(frame));
    this.#pass(this.#waiting.length - stays.length);
    this.#waiting = stays;
  }

  #pass(groups: number): void {
    this.#counters.passed += groups;
    this.#skips.count("passed", groups);
  }
}
