import { fromMilliseconds, fromSeconds, type Microseconds, microseconds } from "../../base/index.js";

/** Smaller steps back are frames out of order; beyond this, or this far ahead, the count restarted. */
const MAX_STEP_BACK = fromSeconds(1);
const MAX_STEP_AHEAD = fromSeconds(3600);
/** Frames further apart don't count towards the usual interval. */
const MAX_INTERVAL = fromSeconds(1);
/** 30 per second, where the file gives no rate. */
const USUAL_INTERVAL = fromMilliseconds(1000 / 30);
/** A time base up to this many ticks per second counts frames. */
const MAX_FRAMERATE = 240;

/**
 * Turns a file's timestamps, which may repeat, step back, wrap or jump, into times that start at 0 and never step back.
 * A single frame out of order takes the time of the one before. From then on, and where a count restarts, frames follow
 * each other at their last interval.
 */
export class VideoClock {
  #interval: Microseconds;
  /** Offset added to a timestamp. */
  #shift: number | undefined;
  #last = microseconds(0);
  /** Frames in a row that were no later than the one before. */
  #stuck = 0;
  #mended = 0;

  constructor(ticksPerSecond: number) {
    const counts = ticksPerSecond >= 1 && ticksPerSecond <= MAX_FRAMERATE;
    this.#interval = counts ? microseconds(1e6 / ticksPerSecond) : USUAL_INTERVAL;
  }

  /** Frames whose time differs from the file's. */
  get mended(): number {
    return this.#mended;
  }

  /** Duration of a frame: from the last two with usable timestamps, or from the time base. */
  get interval(): Microseconds {
    return this.#interval;
  }

  /** The time of the next frame, given its timestamp in the file. */
  next(timestamp: number): Microseconds {
    if (this.#shift === undefined) {
      this.#shift = -timestamp;
      return this.#last;
    }
    const time = timestamp + this.#shift;
    const step = time - this.#last;
    if (step > 0 && step <= MAX_STEP_AHEAD) {
      this.#stuck = 0;
      if (step <= MAX_INTERVAL) this.#interval = microseconds(step);
      this.#last = microseconds(time);
      return this.#last;
    }
    if (step === 0 && this.#stuck === 0) {
      // A hidden frame may have the time of a visible one.
      this.#stuck++;
      return this.#last;
    }
    this.#mended++;
    this.#stuck++;
    if (this.#stuck > 1 || step > 0 || step < -MAX_STEP_BACK) {
      this.#last = microseconds(this.#last + this.#interval);
      this.#shift += this.#last - time;
    }
    return this.#last;
  }
}
