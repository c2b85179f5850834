import { type Clock, fromMilliseconds, type Microseconds } from "../../base/index.js";

/** How long a group may be missing once a newer one is there, until it counts as given up. */
const GIVE_UP: Microseconds = fromMilliseconds(300);
/** Groups remembered: the ones ahead of a gap, and the newest for {@link ReceiveLog.continues}. */
const MAX_GROUPS = 4096;

/** The most that a publisher sends ahead: its own bound, and the span that a listener holds. */
const AHEAD: Microseconds = fromMilliseconds(30_000);
/** How far behind the playhead a relay may begin a track that is subscribed to again. */
const REPEATED: Microseconds = fromMilliseconds(1000);

/** What has come of a track: the acknowledgement a report carries, and whether a new subscription is the old track. */
export class ReceiveLog {
  readonly #clock: Clock;
  /** Complete groups above the mark and when each became so. */
  readonly #ahead = new Map<number, Microseconds>();
  /** First timestamp of the newest groups. */
  readonly #times = new Map<number, Microseconds>();
  #mark: number | undefined;
  #newest: number | undefined;

  constructor({ clock }: { readonly clock: Clock }) {
    this.#clock = clock;
  }

  /** Newest group of which anything has come. */
  get newest(): number | undefined {
    return this.#newest;
  }

  /** Every group at or below is received or given up; undefined before the first. */
  get mark(): number | undefined {
    const now = this.#clock();
    for (const [sequence, at] of [...this.#ahead].sort(([left], [right]) => left - right)) {
      if (this.#mark !== undefined && sequence > this.#mark + 1 && now - at < GIVE_UP) break;
      this.#mark = Math.max(this.#mark ?? sequence, sequence);
      this.#ahead.delete(sequence);
    }
    return this.#mark;
  }

  /** Notes a frame. Returns whether it is the first of its group. */
  received(sequence: number, timestamp: Microseconds): boolean {
    this.#newest = Math.max(this.#newest ?? sequence, sequence);
    if (this.#times.has(sequence)) return false;
    this.#times.set(sequence, timestamp);
    if (this.#times.size > MAX_GROUPS) this.#times.delete(this.#times.keys().next().value!);
    return true;
  }

  /** Notes that a group is complete, or that the rest of it will not come. */
  finished(sequence: number): void {
    if (this.#mark !== undefined && sequence <= this.#mark) return;
    if (!this.#ahead.has(sequence)) this.#ahead.set(sequence, this.#clock());
    if (this.#ahead.size > MAX_GROUPS) void this.mark;
    while (this.#ahead.size > MAX_GROUPS) {
      const lowest = Math.min(...this.#ahead.keys());
      this.#mark = lowest;
      this.#ahead.delete(lowest);
    }
  }

  /**
   * Whether a frame that came first in a new subscription belongs to the track known so far: it is newer than all of it
   * or, not far behind the playhead, one of its groups again. A publisher that started anew begins its numbers anew, and
   * may give the same ones to the same times. `sameRun`: the catalog says that the publisher did not start anew. What
   * it or a relay sends again may then lie any time back.
   */
  continues(
    sequence: number,
    timestamp: Microseconds,
    { playhead, sameRun }: { readonly playhead: Microseconds | undefined; readonly sameRun: boolean },
  ): boolean {
    if (this.#newest === undefined) return true;
    // A timestamp beyond all that is ever sent ahead is another publisher's, whatever its sequence.
    if (sequence > this.#newest) return playhead === undefined || timestamp <= playhead + AHEAD;
    const known = this.#times.get(sequence);
    // A group in the midst of those known that has never come is one that was lost.
    if (sameRun) return known === undefined ? sequence > Math.min(...this.#times.keys()) : known === timestamp;
    const near = playhead !== undefined && timestamp >= playhead - REPEATED;
    return near && known === timestamp;
  }
}
