import { type Microseconds, microseconds } from "../../base/index.js";

/** Options for {@link TokenBucket}. */
export interface TokenBucketOptions {
  /** Sends per second in the long run. */
  readonly perSecond: number;
  /** Sends that may go back to back. */
  readonly burst: number;
}

/**
 * Spreads the datagrams of one tick: a token bucket. Datagrams have no backpressure, and a socket's buffer silently
 * drops the tail of a burst.
 */
export class TokenBucket {
  readonly #perMicrosecond: number;
  readonly #burst: number;
  #tokens: number;
  #at: number | undefined;

  constructor({ perSecond, burst }: TokenBucketOptions) {
    this.#perMicrosecond = perSecond / 1e6;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /** Takes up to `wanted` sends; returns how many may go now. */
  take(now: Microseconds, wanted = 1): number {
    const elapsed = Math.max(0, now - (this.#at ?? now));
    this.#at = Math.max(this.#at ?? now, now);
    this.#tokens = Math.min(this.#burst, this.#tokens + elapsed * this.#perMicrosecond);
    // A hundredth of a token absorbs rounding, so that a wait of exactly `nextAt` always suffices.
    const granted = Math.min(wanted, Math.floor(this.#tokens + 0.01));
    this.#tokens -= granted;
    return granted;
  }

  /** When one more send may go. */
  nextAt(now: Microseconds): Microseconds {
    const missing = Math.max(0, 1 - this.#tokens);
    return microseconds((this.#at ?? now) + Math.ceil(missing / this.#perMicrosecond));
  }
}
