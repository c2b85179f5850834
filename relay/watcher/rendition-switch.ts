import { type Clock, fromMilliseconds, type Microseconds } from "../../base/index.js";
import type { CachedGroup } from "../broadcast/cached-group.js";
import type { RelayCounters } from "../relay-counters.js";
import type { LowRendition, WatchedTrack } from "./watched-track.js";

/** How long the lower rendition may fall behind before the watcher gets the full one again. */
const LOW_PATIENCE: Microseconds = fromMilliseconds(300);

/** Options for {@link RenditionSwitch}. */
export interface RenditionSwitchOptions {
  readonly track: WatchedTrack;
  readonly clock: Clock;
  readonly counters: RelayCounters;
  /** Whether the watcher asked for a group. */
  readonly isWanted: (sequence: number) => boolean;
  /** Takes a whole group of the lower rendition. */
  readonly onLow: (record: CachedGroup) => void;
  /** Takes a group of the full rendition that the lower one left out when it ended. */
  readonly onFull: (record: CachedGroup) => void;
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

  /** Whether a group of the full rendition goes: the lower one gives the others, unless it has fallen silent. */
  takesFull({ sequence, urgent }: CachedGroup): boolean {
    const low = this.#low;
    if (low?.from !== undefined && sequence >= low.from && !urgent) {
      if (this.#options.clock() - low.at > LOW_PATIENCE) this.toFull();
      return false;
    }
    this.#newest = Math.max(this.#newest, sequence);
    return true;
  }

  /** Takes note that a group went in full before all others, so that the lower rendition's is not needed. */
  wentUrgently(sequence: number): void {
    if (this.#low) this.#low.urgent = sequence;
  }

  /** Follows the lower rendition, where there is one; idempotent. It takes over with its next group. */
  toLow(): void {
    if (this.#low !== undefined || this.#closed) return;
    const { track, clock, counters } = this.#options;
    const onEnd = () => {
      if (this.#low?.rendition === rendition) this.toFull();
    };
    const rendition = track.followLow((record) => this.#offerLow(record), onEnd);
    if (rendition === undefined) return;
    counters.lowSwitches++;
    this.#low = { rendition, from: undefined, urgent: undefined, at: clock() };
  }

  /** Goes on with the full rendition behind the last group of the lower one; idempotent. */
  toFull(): void {
    const low = this.#low;
    if (low === undefined) return;
    this.#low = undefined;
    low.rendition.leave();
    if (low.from === undefined) return;
    for (const record of this.#options.track.after(this.#newest)) this.#options.onFull(record);
  }

  /** Lets go of the lower rendition for good. */
  close(): void {
    this.#closed = true;
    this.#low?.rendition.leave();
    this.#low = undefined;
  }

  // The lower rendition takes over with the first of its groups that the watcher was not offered in full yet.
  #offerLow(record: CachedGroup): void {
    const low = this.#low;
    if (low === undefined) return;
    const { clock, counters, isWanted, onLow } = this.#options;
    low.at = clock();
    low.from ??= this.#newest + 1;
    const { sequence } = record;
    if (sequence < low.from || sequence === low.urgent || !isWanted(sequence)) return;
    this.#newest = Math.max(this.#newest, sequence);
    counters.lowOut++;
    onLow(record);
  }
}
