import { fromMilliseconds, fromSeconds, type Microseconds, microseconds } from "../../base/index.js";
import { BytesInFlight, type SkipCounters, SkipPolicy, TokenBucket, Window } from "../../flow/congestion/index.js";

/** One encoded frame. */
export interface EncodedFrame {
  /** Name of its track. */
  readonly track: string;
  readonly sequence: number;
  readonly timestamp: Microseconds;
  readonly payload: Uint8Array;
  /** The same in the lower rendition, where somebody wanted that. */
  readonly low?: Uint8Array | undefined;
  /** Whether it opens an epoch, and so carries the news of a rewind. */
  readonly opensEpoch: boolean;
  /** Whether it is the first of its group. */
  readonly opensGroup: boolean;
  /** Whether it is the last of its group. */
  readonly endsGroup: boolean;
}

/** A frame on its way. */
export interface OutgoingFrame extends EncodedFrame {
  /** When it was encoded. */
  readonly producedAt: Microseconds;
}

/** Where frames went. */
export interface SendQueueCounters {
  readonly sent: number;
  /** Taken back before they left. */
  readonly takenBack: number;
  /** Their moment had passed before they could leave. */
  readonly passed: number;
  /** No room to keep them for a reconnect. */
  readonly overflow: number;
}

/** A next hop that acknowledged nothing for so long has no window. */
const ACK_SILENCE = fromMilliseconds(1000);
/** Frames already sent, kept for a session that comes after this one. */
const MAX_SENT = 4096;
/** How long after its moment a sent frame may still be of use to a listener that lags. */
const KEEP = fromSeconds(2);

/**
 * Frames on their way to the next hop: the ones that wait, and the ones sent that a rewind or a reconnect still concerns.
 * While more is in flight than the window holds, nothing more is encoded: what waits can be taken back at no cost.
 */
export class SendQueue {
  readonly #inFlight = new BytesInFlight();
  readonly #window: Window | undefined;
  readonly #skips = new SkipPolicy();
  /** Frames are small: this bounds a burst to eight times real time at 20 ms. */
  readonly #bucket = new TokenBucket({ perSecond: 400, burst: 16 });
  readonly #late: boolean;
  /** Frames from this sequence on have never been sent, and directly follow what was; undefined where nothing does. */
  #following: number | undefined;
  #waiting: OutgoingFrame[] = [];
  #sent: OutgoingFrame[] = [];
  #ackedAt = Number.NEGATIVE_INFINITY;
  readonly #counters = { sent: 0, takenBack: 0, passed: 0, overflow: 0 };

  /**
   * `window` false: as much is sent as there is. `late`: listeners play what comes late, so what follows the last frame
   * sent goes also when its moment passed while it waited, as in a process that stood still.
   */
  constructor({ bitrateBps, window = true, late = false }: { bitrateBps: number; window?: boolean; late?: boolean }) {
    this.#late = late;
    if (window) this.#window = new Window({ bitrateBps });
  }

  /** Groups that were never sent, by reason. */
  get skips(): SkipCounters {
    return this.#skips.counters;
  }

  /** Skips since the last line for the log, when one is due. */
  takeLog(now: Microseconds): SkipCounters | undefined {
    return this.#skips.takeLog(now);
  }

  /** Where frames went so far. */
  get counters(): SendQueueCounters {
    return { ...this.#counters };
  }

  /** Frames that wait. */
  get size(): number {
    return this.#waiting.length;
  }

  /** Bytes sent and not yet acknowledged by the next hop. */
  inFlight(now: Microseconds): number {
    return this.#inFlight.inFlight(now);
  }

  /** Whether so much is on its way to the next hop that nothing more should be encoded. */
  isFull(now: Microseconds): boolean {
    if (this.#window === undefined || now - this.#ackedAt > ACK_SILENCE) return false;
    const waiting = this.#waiting.reduce((sum, { payload }) => sum + payload.length, 0);
    return this.#inFlight.inFlight(now) + waiting > this.#window.bytes;
  }

  /** Counts groups whose moment passed while the window was full. */
  skipped(groups: number): void {
    this.#skips.count("window", groups);
  }

  /** Queues a frame behind the others. */
  push(frame: OutgoingFrame): void {
    this.#waiting.push(frame);
  }

  /**
   * The next frame that may go now, taken out; undefined when none may. `playhead` is what the earliest listener hears:
   * frames wholly before it are dropped, but never the first of an epoch.
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

  /** Nobody takes frames now: drops those whose moment has passed, all but the newest that opens an epoch. */
  expire(playhead: Microseconds): void {
    const opener = this.#waiting.findLast((frame) => frame.opensEpoch);
    const stays = this.#waiting.filter((frame) => frame.timestamp >= playhead || frame === opener);
    this.#pass(this.#waiting.length - stays.length);
    this.#waiting = stays;
  }

  /** Notes what the next hop has: every group at or below. */
  acked(sequence: number, now: Microseconds): void {
    this.#ackedAt = now;
    this.#inFlight.acked(sequence);
  }

  /** Takes back every frame at or after `to`: drops those that wait, writes off those in flight. */
  rewind(to: Microseconds): void {
    const stays = this.#waiting.filter((frame) => frame.timestamp < to);
    const takenBack = this.#waiting.length - stays.length;
    this.#counters.takenBack += takenBack;
    this.#skips.count("stale", takenBack);
    this.#waiting = stays;
    for (const frame of this.#sent) if (frame.timestamp >= to) this.#inFlight.writeOff(frame.sequence);
    this.#sent = this.#sent.filter((frame) => frame.timestamp < to);
  }

  /** A new session: what was sent on the old one, is not taken back and still has its moment to come goes again. */
  reconnected(playhead: Microseconds, now: Microseconds): void {
    this.#inFlight.clear();
    this.#following = undefined;
    this.#ackedAt = Number.NEGATIVE_INFINITY;
    const again = this.#sent
      .filter((frame) => frame.opensEpoch || frame.timestamp >= playhead)
      .map((frame) => ({ ...frame, producedAt: now }));
    this.#sent = [];
    this.#waiting = [...again, ...this.#waiting];
  }

  /** Forgets what was sent, when nobody is left who received it. */
  forget(): void {
    this.#sent = [];
    this.#following = undefined;
    this.#inFlight.clear();
  }

  /** When pacing lets the next frame go. */
  nextAt(now: Microseconds): Microseconds {
    return microseconds(Math.max(now, this.#bucket.nextAt(now)));
  }

  #pass(groups: number): void {
    this.#counters.passed += groups;
    this.#skips.count("passed", groups);
  }
}
