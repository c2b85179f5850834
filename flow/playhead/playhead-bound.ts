import { fromMilliseconds, type Microseconds, microseconds } from "../../base/index.js";

/** Frames further apart than the longest Opus packet leave a hole, which a player without other audio skips. */
const HOLE: Microseconds = fromMilliseconds(130);
/** The last frame's own length, and the lost frames that players skip. */
const SLACK: Microseconds = fromMilliseconds(250);
/** How long a player waits for late audio before it runs on: the default of the playback clock. */
const HOLD: Microseconds = fromMilliseconds(1000);
/** A player that ran on drops late audio at first, and goes back after this much of it in a row. */
const LATE = { frames: 25, span: fromMilliseconds(400) };
/** Holes remembered; beyond this, the oldest are dropped. */
const MAX_STRETCHES = 256;

/** Options of {@link PlayheadBound}. */
export interface PlayheadBoundOptions {
  /**
   * How far the playhead may run on through silence and still be there when audio follows behind it. Default 1 s, as in
   * a player. With 0 the bound is that of audible audio: a player can't have heard what was not yet sent.
   */
  readonly hold?: Microseconds;
}

interface Stretch {
  readonly start: number;
  end: number;
}

/**
 * The furthest possible playhead of a listener, whatever its reports claim. It is that of a player that got every frame
 * the moment it was sent, plays at 1x, and runs on through the silence after the last one. An honest player goes back
 * when audio keeps coming far behind its playhead: the bound then stays within {@link HOLD} of that audio. Only the first
 * listener's claim moves it: a player that joins at the newest frame is further than any that played on.
 */
export class PlayheadBound {
  /** Media sent from the playhead on, ascending. */
  readonly #stretches: Stretch[] = [];
  #playhead = 0;
  #at = 0;
  /** When the newest frame was sent. */
  #newestAt = Number.NEGATIVE_INFINITY;
  #rewinds = 0;
  /** Frames in a row that were sent further behind the playhead than a player goes back, and when that began. */
  readonly #late = { frames: 0, since: 0 };
  readonly #hold: Microseconds;

  constructor({ hold = HOLD }: PlayheadBoundOptions = {}) {
    this.#hold = hold;
  }

  get rewinds(): number {
    return this.#rewinds;
  }

  /** Records a frame that was just sent. One at or before the sent audio changes nothing. */
  sent(timestamp: Microseconds, now: Microseconds): void {
    this.#advance(now);
    const last = this.#stretches.at(-1);
    if (last === undefined) {
      this.#stretches.push({ start: timestamp, end: timestamp });
      this.#playhead = timestamp;
      this.#at = now;
      this.#newestAt = now;
      return;
    }
    if (timestamp <= last.end) return;
    this.#newestAt = now;
    if (this.#isBelieved(timestamp, now)) this.#playhead = Math.min(this.#playhead, timestamp + this.#hold);
    if (timestamp <= Math.max(last.end + HOLE, this.#playhead)) last.end = timestamp;
    else if (this.#playhead >= last.end) this.#begin(timestamp);
    else {
      this.#stretches.push({ start: timestamp, end: timestamp });
      if (this.#stretches.length > MAX_STRETCHES) this.#next();
    }
  }

  /** Records that everything sent from `to` on just became stale. */
  rewind(to: Microseconds, now: Microseconds): void {
    this.#advance(now);
    this.#rewinds++;
    if (this.#stretches.length === 0) return;
    const kept = this.#stretches
      .filter(({ start }) => start < to)
      .map(({ start, end }) => ({ start, end: Math.min(end, to) }));
    const stretches = kept.length > 0 ? kept : [{ start: to, end: to }];
    this.#stretches.splice(0, this.#stretches.length, ...stretches);
    this.#playhead = Math.min(this.#playhead, to);
  }

  /** Accepts the first listener's claim up to the sent audio. It never goes back. */
  begin(claimed: Microseconds, now: Microseconds): void {
    this.#advance(now);
    const reach = this.#stretches.at(-1)?.end;
    if (reach === undefined) return;
    const to = Math.min(claimed, reach);
    while (this.#stretches.length > 1 && this.#stretches[0]!.end < to) this.#next();
    this.#playhead = Math.max(this.#playhead, to);
  }

  /** The furthest possible playhead now; undefined before anything was sent. */
  at(now: Microseconds): Microseconds | undefined {
    this.#advance(now);
    const newest = this.#stretches.at(-1)?.end;
    if (newest === undefined) return undefined;
    const most = this.#playhead + SLACK;
    // While frames come, no player is past the newest one; a publisher with a small lead would take its next frame for
    // late.
    const isFlowing = now - this.#newestAt < HOLE;
    return microseconds(isFlowing ? Math.max(this.#playhead, Math.min(most, newest)) : most);
  }

  /** The playhead now of a player that never stalls; undefined before anything was sent. */
  unstalled(now: Microseconds): Microseconds | undefined {
    this.#advance(now);
    return this.#stretches.length === 0 ? undefined : microseconds(this.#playhead);
  }

  /** A claim, limited by the bound. */
  limit(claimed: Microseconds, now: Microseconds): Microseconds {
    const most = this.at(now);
    return most === undefined || claimed <= most ? claimed : most;
  }

  // Whether a player goes back for a frame, if it is behind the playhead at all.
  #isBelieved(timestamp: Microseconds, now: Microseconds): boolean {
    if (this.#hold === 0 || timestamp + this.#hold >= this.#playhead) {
      this.#late.frames = 0;
      return true;
    }
    if (this.#late.frames++ === 0) this.#late.since = now;
    return this.#late.frames > LATE.frames && now - this.#late.since > LATE.span;
  }

  // A player that has played everything and gets audio beyond a hole continues there.
  #begin(timestamp: Microseconds): void {
    this.#stretches.splice(0, this.#stretches.length, { start: timestamp, end: timestamp });
    this.#playhead = timestamp;
  }

  #advance(now: Microseconds): void {
    this.#playhead += Math.max(0, now - this.#at);
    this.#at = Math.max(this.#at, now);
    // A hole takes a player no time; only the silence behind everything does.
    for (let [current, following] = this.#stretches; following !== undefined; [current, following] = this.#stretches) {
      if (this.#playhead < current!.end) return;
      this.#playhead += Math.max(0, following.start - current!.end);
      this.#stretches.shift();
    }
  }

  #next(): void {
    this.#stretches.shift();
    this.#playhead = Math.max(this.#playhead, this.#stretches[0]!.start);
  }
}
