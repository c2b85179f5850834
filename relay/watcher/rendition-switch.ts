import { type Clock, fromMilliseconds, type Microseconds } from "../../base/index.js";
import type { CachedGroup } from "../broadcast/cached-group.js";
import type { RelayCounters } from "../relay-counters.js";
import type { LowFollower, LowRendition, WatchedTrack } from "./watched-track.js";

/** How long the lower rendition may fall behind before the watcher gets the full one again. */
const LOW_PATIENCE: Microseconds = fromMilliseconds(300);

/** Options for {@link RenditionSwitch}. */
export interface RenditionSwitchOptions {
  readonly track: WatchedTrack;
  readonly clock: Clock;
  readonly counters: RelayCounters;
}

interface FollowedLow {
  readonly rendition: LowRendition;
  /** First group that comes from it; undefined until it has sent one. */
  from: number | undefined;
  /** A group that went in full because it starts an epoch. */
  urgent: number | undefined;
  /** When it was heard of last. */
  at: Microseconds;
}

/** Which of two renditions of a track each group comes from: the full one, or for a while the lower one. */
export class RenditionSwitch {
  readonly #options: RenditionSwitchOptions;
  /** Newest group that went, of either. */
  #newest = -1;
  #low: FollowedLow | undefined;
  #closed = false;

  constructor(options: RenditionSwitchOptions) {
    this.#options = options;
  }

  /** Bits per second of the rendition that goes; 0 while unknown. */
  get bitrateBps(): number {
    const low = this.#low?.from === undefined ? undefined : this.#low.rendition;
    return (low ?? this.#options.track).bitrateBps;
  }

  /**
   * The groups of the full rendition that go now that this one has come: itself, none where the lower rendition gives it,
   * and all that the lower one left out once that has fallen silent.
   */
  takeFull(record: CachedGroup): readonly CachedGroup[] {
    const low = this.#low;
    if (low?.from !== undefined && record.sequence >= low.from && !record.urgent)
      return this.#options.clock() - low.at > LOW_PATIENCE ? this.toFull() : NONE;
    this.#newest = Math.max(this.#newest, record.sequence);
    return [record];
  }

  /** Takes note that a group went in full before all others, so that the lower rendition's is not needed. */
  wentUrgently(sequence: number): void {
    if (this.#low) this.#low.urgent = sequence;
  }

  /** Has a follower follow the lower rendition, where there is one; idempotent. It takes over with its next group. */
  toLow(follower: LowFollower): void {
    if (this.#low !== undefined || this.#closed) return;
    const { track, clock, counters } = this.#options;
    const rendition = track.followLow(follower);
    if (rendition === undefined) return;
    counters.lowSwitches++;
    this.#low = { rendition, from: undefined, urgent: undefined, at: clock() };
  }

  /** Goes on with the full rendition; returns its groups behind the last one of the lower. Idempotent. */
  toFull(): readonly CachedGroup[] {
    const low = this.#low;
    if (low === undefined) return NONE;
    this.#low = undefined;
    low.rendition.leave();
    if (low.from === undefined) return NONE;
    const records = this.#options.track.after(this.#newest);
    this.#newest = Math.max(this.#newest, records.at(-1)?.sequence ?? 0);
    return records;
  }

  /** Leaves the lower rendition for good. */
  close(): void {
    this.#closed = true;
    this.#low?.rendition.leave();
    this.#low = undefined;
  }

  /**
   * Whether a group of the lower rendition goes. It takes over with the first of its groups that the watcher was not
   * offered in full yet.
   */
  takesLow({ sequence }: CachedGroup): boolean {
    const low = this.#low;
    if (low === undefined) return false;
    const { clock, counters } = this.#options;
    low.at = clock();
    low.from ??= this.#newest + 1;
    if (sequence < low.from || sequence === low.urgent) return false;
    this.#newest = Math.max(this.#newest, sequence);
    counters.lowOut++;
    return true;
  }
}

const NONE: readonly never[] = [];
