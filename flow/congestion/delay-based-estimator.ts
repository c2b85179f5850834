import { fromMilliseconds, fromSeconds, type Microseconds, microseconds } from "../../base/index.js";
import { StalenessEstimator } from "../playhead/staleness.js";

/** Service of a watcher: everything, less of it (a smaller window, so skips), or the low-bitrate rendition. */
export type CongestionLevel = "full" | "reduced" | "low";

/** Options for {@link DelayBasedEstimator}. */
export interface DelayBasedEstimatorOptions {
  /** How long the queueing must last. Default 300 ms. */
  readonly sustain?: Microseconds;
}

/**
 * A delay that lasts for longer than this is the path's, as after a change of networks: less audio does not shorten it.
 * It exceeds the longest wait before a recovery, which only a short delay begins.
 */
const BASE_WINDOW = fromSeconds(40);
/** Queueing delay that counts as congestion. */
const THRESHOLD = fromMilliseconds(50);
const REDUCE = 0.7;
const RECOVER = 1.15;
const FACTOR_MIN = 0.25;
/** Under this share of the window, skipping alone leaves too many holes: change the rendition. */
const LOW_FACTOR = 0.5;
/** Share of the round trip that packets may wait on a path that loses. */
const LOSSY_SHARE = 0.5;
/**
 * The most of the queueing delay that counts as the path's own, as jitter is. The low rendition may be too much for a
 * path, too, and its queue is longer than this.
 */
const MOST_OWN = fromMilliseconds(100);
/** How far the delay of such a path swings, as a multiple of its mean. */
const OWN_SWING = 1.5;
/** Time constants of the mean that ends a reduction, and of the path's own delay. */
const SMOOTHING = fromSeconds(1);
const LEARNING = fromSeconds(4);
/** The longest step between two samples: a pause says nothing about the path. */
const MAX_STEP = fromMilliseconds(300);
const RECOVER_AFTER = fromSeconds(2);
const RECOVER_AFTER_MAX = fromSeconds(32);
/** A raise that brings the queue back within this time was too early. */
const REGRET = fromSeconds(5);

/**
 * Detects a queue on the way to a watcher, and how much less to send. QUIC's own congestion control fills deep queues
 * and is invisible from here, but an ack shows when a group arrived: delay above the smallest of the last 40 s is
 * queueing. What remains of it while the low rendition goes is the path's own: a path with jitter looks like a full one,
 * but less audio does not help there. The constants of reduction and recovery are the usual delay-based ones, chosen for
 * reports at 10 Hz.
 */
export class DelayBasedEstimator {
  /** Whether the path itself is known to lose packets. */
  lossy = false;
  readonly #sustain: Microseconds;
  readonly #delays = new StalenessEstimator({ window: BASE_WINDOW });
  #queueing: Microseconds = microseconds(0);
  #base: Microseconds | undefined;
  /** Mean of the queueing delay over about a second. */
  #smoothed = 0;
  /** What of it is the path's own. */
  #own = 0;
  #learntAt: Microseconds | undefined;
  #factor = 1;
  #level: CongestionLevel = "full";
  #overSince: Microseconds | undefined;
  #calmSince: Microseconds | undefined;
  #raisedAt = Number.NEGATIVE_INFINITY;
  #recoverAfter = RECOVER_AFTER;
  /** State before the current silence. */
  #unsuspected: { readonly factor: number; readonly level: CongestionLevel } | undefined;

  constructor({ sustain = fromMilliseconds(300) }: DelayBasedEstimatorOptions = {}) {
    this.#sustain = sustain;
  }

  /** Queueing delay of the newest sample. */
  get queueing(): Microseconds {
    return this.#queueing;
  }

  /** Time from a send to its ack without queueing; undefined before the first sample. */
  get base(): Microseconds | undefined {
    return this.#base;
  }

  /**
   * Queueing delay above which the path counts as full. On a lossy path the carrier's congestion window shrinks to the
   * little that audio fills, and every loss delays the next packets by a part of the round trip: on a long path that is
   * not a full queue.
   */
  get threshold(): Microseconds {
    return microseconds(this.#longest + OWN_SWING * this.#own);
  }

  /** The longest queue that is not congestion. */
  get #longest(): number {
    return Math.max(THRESHOLD, this.lossy ? (this.#base ?? 0) * LOSSY_SHARE : 0);
  }

  /** Mean delay above which nothing recovers. */
  get #calmBelow(): number {
    return this.#longest / 2 + this.#own;
  }

  /** Share of the window to use, 0.25 to 1. */
  get factor(): number {
    return this.#factor;
  }

  /** Service that the watcher should get. */
  get level(): CongestionLevel {
    return this.#level;
  }

  /**
   * Takes one sample: when an acked group was sent, and when its ack came less the report's own staleness, both on our
   * clock. Returns the watcher's service.
   */
  observe(sentAt: Microseconds, ackedAt: Microseconds): CongestionLevel {
    const before = this.#unsuspected;
    this.#unsuspected = undefined;
    this.#measure(sentAt, ackedAt);
    this.#learn(ackedAt);
    this.#judge(ackedAt);
    if (before && this.#queueing <= this.#calmBelow) {
      this.#factor = before.factor;
      this.#level = before.level;
    }
    return this.#level;
  }

  /**
   * Takes silence: an unacked group is at least as late as it is old. It may wait in a queue or be lost, so the
   * reduction holds until the next ack: one without queueing reverts it.
   */
  suspect(sentAt: Microseconds, now: Microseconds): CongestionLevel {
    // A bound from below says nothing under the base, and must not become the base for 40 s.
    if (this.#base === undefined || now - sentAt <= this.#base) return this.#level;
    this.#unsuspected ??= { factor: this.#factor, level: this.#level };
    this.#measure(sentAt, now);
    this.#judge(now);
    return this.#level;
  }

  /** Resets it, as on a new path. */
  reset(): void {
    this.#delays.reset();
    this.#queueing = microseconds(0);
    this.#base = undefined;
    this.#smoothed = 0;
    this.#own = 0;
    this.#learntAt = undefined;
    this.lossy = false;
    this.#factor = 1;
    this.#level = "full";
    this.#overSince = undefined;
    this.#calmSince = undefined;
    this.#recoverAfter = RECOVER_AFTER;
    this.#unsuspected = undefined;
  }

  #measure(sentAt: Microseconds, now: Microseconds): void {
    this.#queueing = this.#delays.observe(sentAt, now);
    this.#base = microseconds(now - sentAt - this.#queueing);
  }

  #learn(now: Microseconds): void {
    const elapsed = Math.min(now - (this.#learntAt ?? now), MAX_STEP);
    this.#learntAt = now;
    this.#smoothed = approach(this.#smoothed, this.#queueing, elapsed / SMOOTHING);
    if (this.#level !== "low") return;
    this.#own = approach(this.#own, Math.min(this.#queueing, MOST_OWN), elapsed / LEARNING);
  }

  #judge(now: Microseconds): void {
    if (this.#queueing > this.threshold) {
      this.#calmSince = undefined;
      this.#overSince ??= now;
      if (now - this.#overSince >= this.#sustain) this.#reduce(now);
      return;
    }
    this.#overSince = undefined;
    // Between the two limits it neither reduces nor recovers: the hysteresis.
    if (this.#smoothed > this.#calmBelow) this.#calmSince = undefined;
    else this.#calmSince ??= now;
    if (this.#calmSince !== undefined && now - this.#calmSince >= this.#recoverAfter) this.#recover(now);
  }

  #reduce(now: Microseconds): void {
    if (now - this.#raisedAt < REGRET)
      this.#recoverAfter = microseconds(Math.min(this.#recoverAfter * 2, RECOVER_AFTER_MAX));
    this.#raisedAt = Number.NEGATIVE_INFINITY;
    this.#factor = Math.max(this.#factor * REDUCE, FACTOR_MIN);
    this.#level = this.#level === "low" || this.#factor < LOW_FACTOR ? "low" : "reduced";
    // The queue needs time to drain before the next verdict.
    this.#overSince = microseconds(now + this.#queueing);
  }

  #recover(now: Microseconds): void {
    this.#calmSince = now;
    if (this.#factor < 1) {
      this.#factor = Math.min(this.#factor * RECOVER, 1);
      this.#raisedAt = now;
    } else if (this.#level !== "full") {
      // The whole window of the low rendition has been fine for a while: try the full one, whose factor is 1 as well.
      this.#level = "full";
      this.#raisedAt = now;
    } else {
      this.#recoverAfter = RECOVER_AFTER;
    }
    if (this.#factor === 1 && this.#level === "reduced") this.#level = "full";
  }
}

/** A mean after another sample, which weighs more the longer the last one is ago. */
function approach(mean: number, sample: number, elapsed: number): number {
  return sample + (mean - sample) * Math.exp(-elapsed);
}
