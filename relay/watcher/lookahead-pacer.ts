import { fromMilliseconds, type Microseconds, microseconds } from "../../base/index.js";
import { COMFORTABLE } from "../../flow/playhead/index.js";

const PACE = 2;
// Loss shrinks QUIC's window to two packets or so. The news of a rewind must find room in it, and a second of audio is
// time enough to send what got lost again.
const LOSSY_PACE = 1;
// How much later than its turn a group may go without the next one waiting for it: timers are no finer.
const PACE_SLACK: Microseconds = fromMilliseconds(20);
const LONGEST_GROUP: Microseconds = fromMilliseconds(100);

/** What is known when a group goes. */
export interface Going {
  readonly now: Microseconds;
  /** Undefined while the watcher reports none. */
  readonly playhead: Microseconds | undefined;
  /** Whether the path loses. */
  readonly lossy: boolean;
}

/**
 * Spaces the groups that are in no hurry: they go at twice the speed they play at, and where the path loses at just that
 * speed, because what waits in a narrow link's queue can't be taken back, and the news that takes it back waits behind
 * it. The others go at once and take no turn.
 */
export class LookaheadPacer {
  #nextAt: Microseconds = microseconds(0);
  #lastTimestamp: Microseconds | undefined;

  /** When the next group that is in no hurry may go. */
  get nextAt(): Microseconds {
    return this.#nextAt;
  }

  /** Media time from which on groups wait for their turn; undefined while none has to. */
  waitsFrom({ now, playhead }: Pick<Going, "now" | "playhead">): Microseconds | undefined {
    return playhead === undefined || now >= this.#nextAt ? undefined : microseconds(playhead + COMFORTABLE);
  }

  /** Takes note that a group of this media time goes now; undefined for one without. */
  take(timestamp: Microseconds | undefined, { now, playhead, lossy }: Going): void {
    if (timestamp === undefined) return;
    const duration = Math.min(Math.max(timestamp - (this.#lastTimestamp ?? timestamp), 0), LONGEST_GROUP);
    this.#lastTimestamp = timestamp;
    if (playhead === undefined || timestamp < playhead + COMFORTABLE) return;
    this.#nextAt = microseconds(Math.max(this.#nextAt, now - PACE_SLACK) + duration / (lossy ? LOSSY_PACE : PACE));
  }
}
