import { type Microseconds, microseconds } from "../../base/index.js";
import { SAMPLE_RATE } from "../source/resample.js";

/** A microphone that is further behind both clocks than this stood still, as in a sleeping computer. */
const GAP_US = 500_000;
/** Share of the distance to a clock that each block makes up for: two clocks drift by 0.01 % of their time. */
const DRIFT = 0.002;

/** When a block's last sample was there, by two clocks. */
export interface BlockTimes {
  /** `Date.now()` of the worklet, in milliseconds: never late, but the system may set it forward or back. */
  readonly wallMs: number;
  /** `performance.now()` of the page, in milliseconds: never set, but late where the page is busy. */
  readonly pageMs: number;
}

/** How far a microphone is behind a clock, beside the delay of its earliest blocks. */
class Witness {
  /** Media time minus the clock's. */
  #offset: number | undefined;

  /** Microseconds that media time `end` is behind `clockMs`. */
  behind(end: number, clockMs: number): number {
    this.#offset ??= end - clockMs * 1e3;
    const behind = clockMs * 1e3 + this.#offset - end;
    this.#offset -= behind < 0 ? behind : behind * DRIFT;
    return Math.max(behind, 0);
  }

  /** Takes the clock as it is now. */
  reset(): void {
    this.#offset = undefined;
  }
}

/**
 * Media time of a microphone: its samples counted, and a jump ahead where it stood still. It never goes back, which would
 * take back audio.
 *
 * Only a gap by both clocks counts. Some systems stop `performance.now()` in sleep: there the audio goes on where it was.
 */
export class CaptureClock {
  #end = 0;
  readonly #wall = new Witness();
  readonly #page = new Witness();

  /** Timestamp of a block's first sample, for the number of its samples and when its last one was there. */
  take(samples: number, { wallMs, pageMs }: BlockTimes): Microseconds {
    const duration = (samples * 1e6) / SAMPLE_RATE;
    const byWall = this.#wall.behind(this.#end + duration, wallMs);
    const byPage = this.#page.behind(this.#end + duration, pageMs);
    if (byWall > GAP_US) {
      // A page that shows no gap proves that the clock was set.
      if (byPage > GAP_US) this.#end += Math.min(byWall, byPage);
      else this.#wall.reset();
    }
    const timestamp = microseconds(this.#end);
    this.#end += duration;
    return timestamp;
  }
}
