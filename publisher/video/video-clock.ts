import { fromMilliseconds, fromSeconds, type Microseconds, microseconds } from "../../base/index.js";

/** Steps back up to this far are frames out of order; beyond it, and beyond this far ahead, the count began again. */
const MAX_STEP_BACK = fromSeconds(1);
const MAX_STEP_AHEAD = fromSeconds(3600);
/** Frames further apart say nothing about the usual interval. */
const MAX_INTERVAL = fromSeconds(1);
/** 30 a second, where nothing says how many. */
const USUAL_INTERVAL = fromMilliseconds(1000 / 30);
/** A time base of so many ticks a second counts frames. */
const MAX_FRAMERATE = 240;

/**
 * Makes times that start at 0 and never step back of the timestamps of a file, which may stand still, step back, wrap
 * or jump. A frame that is out of order by itself takes the time of the one before; from then on, and where a count
 * begins again, frames follow each other at their last interval.
 */
export class VideoClock {
  #interval: Microseconds;
  /** What is added to a timestamp. */
  #shift: number | undefined;
  #last = microseconds(0);
  /** Frames in a row that were no later than the one before. */
  #stuck = 0;
  #mended = 0;

  constructor(ticksPerSecond: number) {
    const counts = ticksPerSecond >= 1 && ticksPerSecond <= MAX_FRAMERATE;
    this.#interval = counts ? microseconds(1e6 / ticksPerSecond) : USUAL_INTERVAL;
  }

  /** Frames whose time is not the one in the file. */
  get mended(): number {
    return this.#mended;
  }

  /** How long a frame lasts, from the last two that say it, or from the time base. */
  get interval(): Microseconds {
    return this.#interval;
  }

  /** The time of the next frame, by its timestamp in the file. */
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
      // A frame that is not shown may have the time of the one that is.
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
