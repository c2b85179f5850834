import { fromMilliseconds, fromSeconds, type Microseconds, microseconds } from "../../base/index.js";

/** How much later than expected a watcher may be where it went back to: the way there and its jitter buffer. */
const GRACE: Microseconds = fromSeconds(1);
/** A playhead no further ahead than this of where it is expected has gone back. */
const SLACK: Microseconds = fromMilliseconds(100);
/** How long a watcher has to go back. Reports come ten times a second, and some get lost. */
const PATIENCE: Microseconds = fromSeconds(3);

/**
 * Where a watcher's playhead is, to judge by which groups still matter. It is what the reports say, but for one case: when
 * the newest group of all lies behind it, media time stood still, as where a publisher leaves its pauses out, or the
 * whole stream is late. Nothing better is coming then, so the watcher goes back for it, and until its reports say so the
 * playhead is expected to run from there.
 */
export class ExpectedPlayhead {
  #newest = -1;
  #back: { readonly to: Microseconds; readonly at: Microseconds } | undefined;

  /** Takes note of a group that came, with the playhead reported. */
  arrived(
    { sequence, timestamp }: { readonly sequence: number; readonly timestamp: Microseconds | undefined },
    { now, playhead }: { readonly now: Microseconds; readonly playhead: Microseconds | undefined },
  ): void {
    if (sequence <= this.#newest || timestamp === undefined) return;
    this.#newest = sequence;
    const expected = this.at(now, playhead);
    if (expected !== undefined && timestamp < expected) this.#back = { to: timestamp, at: now };
  }

  /** The playhead at an instant, given what the reports project it to be; undefined without any. */
  at(now: Microseconds, playhead: Microseconds | undefined): Microseconds | undefined {
    if (this.#back === undefined || playhead === undefined) return playhead;
    const { to, at } = this.#back;
    const elapsed = now - at;
    if (elapsed <= PATIENCE && playhead > to + elapsed + SLACK) return microseconds(Math.max(0, to + elapsed - GRACE));
    this.#back = undefined;
    return playhead;
  }
}
