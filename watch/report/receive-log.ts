import { type Clock, fromMilliseconds, type Microseconds } from "../../base/index.js";

/** How long a group may be missing behind a newer one before it counts as lost. */
const GIVE_UP: Microseconds = fromMilliseconds(300);
/** Groups remembered: the ones ahead of a gap, and the newest for {@link ReceiveLog.continues}. */
const MAX_GROUPS = 4096;

/** Maximum distance that a publisher sends ahead: its own bound, and the span that a listener holds. */
const AHEAD: Microseconds = fromMilliseconds(30_000);
/** How far behind the playhead a relay may restart a track after a new subscription. */
const REPEATED: Microseconds = fromMilliseconds(1000);

/**
 * Groups received of a track: for the acknowledgement in a report, and to decide whether a new subscription continues
 * the old track.
 */
export class ReceiveLog {
  readonly #clock: Clock;
  /** Complete groups above the mark, and when each completed. */
  readonly #ahead = new Map<number, Microseconds>();
  /** First timestamp of the newest groups. */
  readonly #times = new Map<number, Microseconds>();
  #mark: number | undefined;
  #newest: number | undefined;

  constructor({ clock }: { readonly clock: Clock }) {
    this.#clock = clock;
  }

  /** Newest group of which any part has arrived. */
  get newest(): number | undefined {
    return this.#newest;
  }

  /** Every group up to this one is received or lost; undefined before the first. */
  get mark(): number | undefined {
    const now = this.#clock();
    for (const [sequence, at] of [...this.#ahead].sort(([left], [right]) => left - right)) {
      if (this.#mark !== undefined && sequence > this.#mark + 1 && now - at < GIVE_UP) break;
      this.#mark = Math.max(this.#mark ?? sequence, sequence);
      this.#ahead.delete(sequence);
    }
    return this.#mark;
  }

  /** Records a frame. Returns whether it is the first of its group. */
  received(sequence: number, timestamp: Microseconds): boolean {
    this.#newest = Math.max(this.#newest ?? sequence, sequence);
    if (this.#times.has(sequence)) return false;
    this.#times.set(sequence, timestamp);
    if (this.#times.size > MAX_GROUPS) this.#times.delete(this.#times.keys().next().value!);
    return true;
  }

  /** Records that a group is complete, or that its rest will not arrive. */
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
   * Whether the first frame of a new subscription belongs to the known track: it is newer than all of it or, not far
   * behind the playhead, one of its groups again. A restarted publisher restarts its numbers, and may give the same
   * ones to the same times. `sameRun`: the catalog shows that the publisher did not restart. Then a repeated group may
   * lie at any time back.
   */
  continues(
    sequence: number,
    timestamp: Microseconds,
    { playhead, sameRun }: { readonly playhead: Microseconds | undefined; readonly sameRun: boolean },
  ): boolean {
    if (this.#newest === undefined) return true;
    // A timestamp beyond any lead belongs to another publisher, whatever its sequence.
    if (sequence > this.#newest) return playhead === undefined || timestamp <= playhead + AHEAD;
    const known = this.#times.get(sequence);
    // A group among the known ones that never arrived was lost.
    if (sameRun) return known === undefined ? sequence > Math.min(...this.#times.keys()) : known === timestamp;
    const near = playhead !== undefined && timestamp >= playhead - REPEATED;
    return near && known === timestamp;
  }
}
