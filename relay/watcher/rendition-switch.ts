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
  /** Its first group; undefined until one was sent. */
  from: number | undefined;
  /** A group that was sent in full because it starts an epoch. */
  urgent: number | undefined;
  /** When it last sent a group. */
  at: Microseconds;
}

/** Chooses the rendition of each group: the full one, or for a while the lower one. */
export class RenditionSwitch {
  readonly #options: RenditionSwitchOptions;
  /** Newest group sent, of either. */
  #newest = -1;
  #low: FollowedLow | undefined;
  #closed = false;

  constructor(options: RenditionSwitchOptions) {
    this.#options = options;
  }

  /** Bits per second of the rendition that a group goes in, by default that of the groups to come; 0 while unknown. */
  bitrateOf(sequence = Number.POSITIVE_INFINITY): number {
    const low = this.#low;
    const isLow = low?.from !== undefined && sequence >= low.from;
    return (isLow ? low.rendition : this.#options.track).bitrateBps;
  }

  /**
   * Groups of the full rendition to send now that this one has arrived: itself, none where the lower rendition has it,
   * and all that the lower one lacks once that has fallen silent.
   */
  takeFull(record: CachedGroup): readonly CachedGroup[] {
    const low = this.#low;
    if (low?.from !== undefined && record.sequence >= low.from && !record.urgent)
      return this.#options.clock() - low.at > LOW_PATIENCE ? this.toFull() : NONE;
    this.#newest = Math.max(this.#newest, record.sequence);
    return [record];
  }

  /** Records that a group was sent in full before all others, so that the lower one is not needed. */
  wentUrgently(sequence: number): void {
    if (this.#low) this.#low.urgent = sequence;
  }

  /** Makes a follower follow the lower rendition, if there is one; idempotent. It takes over with its next group. */
  toLow(follower: LowFollower): void {
    if (this.#low !== undefined || this.#closed) return;
    const { track, clock, counters } = this.#options;
    const rendition = track.followLow(follower);
    if (rendition === undefined) return;
    counters.lowSwitches++;
    this.#low = { rendition, from: undefined, urgent: undefined, at: clock() };
  }

  /** Continues with the full rendition; returns its groups behind the last lower one. Idempotent. */
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
   * Whether to send a group of the lower rendition. It takes over with the first group that the watcher was not offered
   * in full yet.
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
