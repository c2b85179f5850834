import { fromMilliseconds, fromSeconds, type Microseconds, microseconds } from "../../base/index.js";

/** A report's playhead for {@link PlayheadClock.observe}. */
export interface PlayheadSample {
  /** Media time that was audible when the report was sent. */
  readonly playhead: Microseconds;
  /** Whether it moves. */
  readonly playing: boolean;
  /** When the report arrived, on our clock. */
  readonly arrival: Microseconds;
  /** How late it arrived, from a `StalenessEstimator`; 0 when unstamped. */
  readonly staleness: Microseconds;
  /** True when the player sought or applied a rewind since the last sample. */
  readonly moved?: boolean;
}

/** Effect of a sample on the clock: a new anchor, a plain correction, one spread over time, or a jump. */
export type PlayheadChange = "anchor" | "step" | "slew" | "jump";

/** How long it runs on without a report before it holds. */
const FREE_RUN = fromSeconds(2);
const SLEW_LIMIT = fromMilliseconds(50);
const JUMP_LIMIT = fromMilliseconds(500);
// A twentieth slower than real time absorbs the largest slewed correction within one second.
const SLEW_RATE = 0.05;

/** A listener's playhead now, projected from its last report at 1x. */
export class PlayheadClock {
  #playhead = 0;
  #anchor = 0;
  #arrival = 0;
  #playing = false;
  // How far the shown playhead is still ahead of the anchored one.
  #excess = 0;
  /** Whether any sample arrived since the start or the last `reset`. */
  #known = false;

  /** Whether the last sample was of a playing listener. */
  get playing(): boolean {
    return this.#playing;
  }

  /** Takes one sample. The caller omits those whose send time does not rise. */
  observe({ playhead, playing, arrival, staleness, moved = false }: PlayheadSample): PlayheadChange {
    const shown = this.#known ? this.at(arrival) : undefined;
    this.#playhead = playhead;
    this.#anchor = arrival - staleness;
    this.#arrival = arrival;
    this.#playing = playing;
    this.#excess = 0;
    this.#known = true;
    if (shown === undefined) return "anchor";
    const correction = this.#projected(arrival) - shown;
    if (moved || Math.abs(correction) > JUMP_LIMIT) return "jump";
    if (correction < 0 && correction >= -SLEW_LIMIT && playing) {
      this.#excess = -correction;
      return "slew";
    }
    return "step";
  }

  /** The playhead at an instant of our clock; undefined before the first sample. */
  at(now: Microseconds): Microseconds | undefined {
    if (!this.#known) return undefined;
    const absorbed = Math.max(0, now - this.#arrival) * SLEW_RATE;
    return microseconds(this.#projected(now) + Math.max(0, this.#excess - absorbed));
  }

  reset(): void {
    this.#known = false;
    this.#playing = false;
    this.#excess = 0;
  }

  #projected(now: number): number {
    if (!this.#playing) return this.#playhead;
    const until = Math.min(now, this.#arrival + FREE_RUN);
    return this.#playhead + Math.max(0, until - this.#anchor);
  }
}
