import { fromMilliseconds, type Microseconds, microseconds } from "../../base/index.js";
import { COMFORTABLE } from "../../flow/playhead/index.js";

const PACE = 2;
// Loss shrinks QUIC's window to about two packets. The signal of a rewind must find room in it, and a second of audio
// is time enough to retransmit.
const LOSSY_PACE = 1;
// How late a group may go before the next one shifts too: timers are no finer.
const PACE_SLACK: Microseconds = fromMilliseconds(20);
const LONGEST_GROUP: Microseconds = fromMilliseconds(100);

/** State when a group goes. */
export interface Going {
  readonly now: Microseconds;
  /** Undefined while the watcher reports none. */
  readonly playhead: Microseconds | undefined;
  /** Whether the path loses packets. */
  readonly lossy: boolean;
}

/**
 * Paces groups more than a second ahead of the playhead: 2x real time, 1x on a lossy path. Data queued on a slow link
 * can't be retracted, and the rewind would queue behind it. Nearer groups go at once, outside the pace.
 */
export class LookaheadPacer {
  #nextAt: Microseconds = microseconds(0);
  #lastTimestamp: Microseconds | undefined;

  /** When the next paced group may go. */
  get nextAt(): Microseconds {
    return this.#nextAt;
  }

  /** Media time from which on groups are paced; undefined while none is. */
  waitsFrom({ now, playhead }: Pick<Going, "now" | "playhead">): Microseconds | undefined {
    return playhead === undefined || now >= this.#nextAt ? undefined : microseconds(playhead + COMFORTABLE);
  }

  /** Records that a group of this media time goes now; undefined for one without. */
  take(timestamp: Microseconds | undefined, { now, playhead, lossy }: Going): void {
    if (timestamp === undefined) return;
    const duration = Math.min(Math.max(timestamp - (this.#lastTimestamp ?? timestamp), 0), LONGEST_GROUP);
    this.#lastTimestamp = timestamp;
    if (playhead === undefined || timestamp < playhead + COMFORTABLE) return;
    this.#nextAt = microseconds(Math.max(this.#nextAt, now - PACE_SLACK) + duration / (lossy ? LOSSY_PACE : PACE));
  }
}
