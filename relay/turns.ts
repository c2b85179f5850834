import { fromMilliseconds, fromSeconds, type Microseconds, microseconds } from "../base/index.js";

const COMFORTABLE: Microseconds = fromSeconds(1);
const PACE = 2;
// Loss shrinks QUIC's window to two packets or so. The news of a rewind must find room in it.
const LOSSY_PACE = 1.2;
// How much later than its turn a group may go without the next one waiting for it: timers are no finer.
const PACE_SLACK: Microseconds = fromMilliseconds(20);
const LONGEST_GROUP: Microseconds = fromMilliseconds(100);

/**
 * Spaces the groups that are in no hurry, further ahead of the playhead than a second: they go at twice the speed they
 * play at, or hardly faster where the path loses, because what waits in a narrow link's queue can't be taken back, and the news that takes it back waits
 * behind it.
 */
export class Turns {
  #nextAt: Microseconds = microseconds(0);
  #lastTimestamp: Microseconds | undefined;

  /** When the next group that is in no hurry may go. */
  get nextAt(): Microseconds {
    return this.#nextAt;
  }

  /** Media time from which on a group is in no hurry. */
  comfortableFrom(playhead: Microseconds): Microseconds {
    return microseconds(playhead + COMFORTABLE);
  }

  /** Takes note that a group of this media time goes now; undefined for one without, which takes no turn. */
  take(timestamp: Microseconds | undefined, { now, lossy }: { now: Microseconds; lossy: boolean }): void {
    if (timestamp === undefined) return;
    const duration = Math.min(Math.max(timestamp - (this.#lastTimestamp ?? timestamp), 0), LONGEST_GROUP);
    this.#lastTimestamp = timestamp;
    this.#nextAt = microseconds(Math.max(this.#nextAt, now - PACE_SLACK) + duration / (lossy ? LOSSY_PACE : PACE));
  }
}
