import { fromMilliseconds, fromSeconds, type Microseconds, microseconds } from "../../base/index.js";

/** How much later than expected a watcher may be after going back, for the transit and its jitter buffer. */
const GRACE: Microseconds = fromSeconds(1);
/** A playhead no further ahead of the expected one than this has gone back. */
const SLACK: Microseconds = fromMilliseconds(100);
/** How long a watcher may take to go back. Reports come ten times a second, and some get lost. */
const PATIENCE: Microseconds = fromSeconds(3);

/**
 * A watcher's playhead, to decide which groups still matter. It follows the reports, with one exception. When the
 * newest group of all lies behind it, media time stood still, as where a publisher omits its pauses, or the whole
 * stream is late. No better audio is coming then, so the watcher goes back for it. Until its reports show that, the
 * playhead is expected to run from there.
 */
export class ExpectedPlayhead {
  readonly #goesBack: () => boolean;
  #newest = -1;
  #back: { readonly to: Microseconds; readonly at: Microseconds } | undefined;

  /** @param goesBack Whether the watcher goes back for all late audio, as where audio is sent ahead. */
  constructor(goesBack: () => boolean = () => false) {
    this.#goesBack = goesBack;
  }

  /** Records an arrived group, with the reported playhead. */
  arrived(
    { sequence, timestamp }: { readonly sequence: number; readonly timestamp: Microseconds | undefined },
    { now, playhead }: { readonly now: Microseconds; readonly playhead: Microseconds | undefined },
  ): void {
    if (sequence <= this.#newest || timestamp === undefined) return;
    this.#newest = sequence;
    const expected = this.at(now, playhead);
    if (expected !== undefined && timestamp < expected) this.#back = { to: timestamp, at: now };
  }

  /** The playhead at an instant, given the projection of its reports; undefined without any. */
  at(now: Microseconds, playhead: Microseconds | undefined): Microseconds | undefined {
    return playhead === undefined ? playhead : this.#expected(now, playhead);
  }

  /**
   * Media time before which nothing matters any more, given the playhead expected now and how far the watcher may have
   * heard. One that goes back does so for whatever comes, unless it has heard something later: its playhead runs on through
   * silence.
   */
  passed(expected: Microseconds | undefined, heardUntil: Microseconds | undefined): Microseconds | undefined {
    if (expected === undefined || !this.#goesBack()) return expected;
    return microseconds(Math.min(expected, heardUntil ?? 0, this.#back?.to ?? expected));
  }

  #expected(now: Microseconds, playhead: Microseconds): Microseconds {
    if (this.#back === undefined) return playhead;
    const { to, at } = this.#back;
    const elapsed = now - at;
    if (elapsed <= PATIENCE && playhead > to + elapsed + SLACK) return microseconds(Math.max(0, to + elapsed - GRACE));
    this.#back = undefined;
    return playhead;
  }
}
