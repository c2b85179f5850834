import { type Microseconds, microseconds } from "../../base/index.js";
import { SAMPLE_RATE } from "../source/resample.js";

/** A microphone that is further behind the wall clock than this stood still, as in a sleeping computer. */
const GAP_US = 500_000;
/** Share of the distance to the wall clock that each block makes up for: two clocks drift by 0.01 % of their time. */
const DRIFT = 0.002;

/**
 * Media time of a microphone: its samples counted, and a jump ahead where it stood still. It never goes back, which would
 * take back audio.
 */
export class CaptureClock {
  #end = 0;
  /** Media time minus wall time. */
  #offset: number | undefined;

  /** Timestamp of a block's first sample, for the number of its samples and when its last one was there. */
  take(samples: number, wallMs: number): Microseconds {
    const duration = (samples * 1e6) / SAMPLE_RATE;
    this.#offset ??= this.#end + duration - wallMs * 1e3;
    const behind = wallMs * 1e3 + this.#offset - (this.#end + duration);
    if (behind > GAP_US) this.#end += behind;
    else this.#offset -= behind * DRIFT;
    const timestamp = microseconds(this.#end);
    this.#end += duration;
    return timestamp;
  }
}
