import { fromMilliseconds, type Microseconds } from "../../base/index.js";
import type { CachedGroup } from "../broadcast/cached-group.js";
import type { LowFollower, LowRendition, WatchedTrack } from "./watched-track.js";

/**
 * Delays of a group's copies. Small ones go twice: the first for a single loss, so soon because a live player of a
 * delay of 80 ms conceals a group 60 ms after it should have come. Of audio that is sent ahead, the second goes once a
 * burst of losses is over, which is 100 ms for 5 packets at 20 ms per group; of live audio, while it is still in time.
 * A whole one goes once.
 */
const DELAYS = {
  ahead: { small: [fromMilliseconds(20), fromMilliseconds(200)], whole: [fromMilliseconds(100)] },
  live: { small: [fromMilliseconds(20), fromMilliseconds(60)], whole: [fromMilliseconds(40)] },
} as const;
/** Groups of the lower rendition that are held, longer than any copy waits: 1280 ms at 5 ms per group. */
const HELD_GROUPS = 256;
/**
 * Fastest track whose groups are copied whole: loss shrinks QUIC's window to a few packets per round trip, and twice a
 * faster track would not fit.
 */
const MAX_WHOLE_BPS = 80_000;
const NONE: readonly never[] = [];

/** Options for {@link CopySource}. */
export interface CopySourceOptions {
  readonly track: WatchedTrack;
  /** Whether groups are copied whole at any bit rate. */
  readonly anyRate: boolean;
}

/**
 * Provides the copies of a track's groups: small ones from its lower rendition, whole ones where it has none. A small
 * copy has the sequence and timestamp of its group, so a player plays the one and counts the other as a duplicate.
 */
export class CopySource implements LowFollower {
  readonly #track: WatchedTrack;
  readonly #anyRate: boolean;
  readonly #groups = new Map<number, CachedGroup>();
  #low: LowRendition | undefined;

  constructor({ track, anyRate }: CopySourceOptions) {
    this.#track = track;
    this.#anyRate = anyRate;
  }

  /** How long after a group its copies are due. */
  get delays(): readonly Microseconds[] {
    const { small, whole } = this.#track.live ? DELAYS.live : DELAYS.ahead;
    if (this.#groups.size > 0) return small;
    return this.#copiesWhole ? whole : NONE;
  }

  /** What goes as a copy of a group now; undefined for nothing. */
  of(record: CachedGroup): CachedGroup | undefined {
    return this.#groups.get(record.sequence) ?? (this.#copiesWhole ? record : undefined);
  }

  /** Follows the lower rendition, if there is one; idempotent. */
  follow(): void {
    this.#low ??= this.#track.followLow(this);
  }

  /** Leaves it; idempotent. */
  leave(): void {
    this.#low?.leave();
    this.#low = undefined;
    this.#groups.clear();
  }

  takeLow(record: CachedGroup): void {
    this.#groups.set(record.sequence, record);
    if (this.#groups.size > HELD_GROUPS) this.#groups.delete(this.#groups.keys().next().value!);
  }

  lowEnded(): void {
    this.leave();
  }

  get #copiesWhole(): boolean {
    return this.#anyRate || this.#track.bitrateBps <= MAX_WHOLE_BPS;
  }
}
