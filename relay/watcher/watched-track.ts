import type { CachedGroup } from "../broadcast/cached-group.js";

/** A watcher's view of its track. */
export interface WatchedTrack {
  /** Whether its groups so far have one frame each, at least one of them complete, at a steady rate. */
  readonly singleFrames: boolean;
  /** Its bits per second; 0 while unknown. */
  readonly bitrateBps: number;
  /** Whether it is sent as it is captured, so that waiting adds to its delay. */
  readonly live: boolean;
  /** Its groups above a sequence, in order. */
  after(sequence: number): readonly CachedGroup[];
  /** Follows its lower rendition, if any: whole groups with the same sequences and timestamps. */
  followLow(follower: LowFollower): LowRendition | undefined;
}

/** Follows a lower rendition. */
export interface LowFollower {
  /** Takes a whole group of it. */
  takeLow(record: CachedGroup): void;
  /** It has ended, or does not exist after all. */
  lowEnded(): void;
}

/** A lower rendition that a watcher follows. */
export interface LowRendition {
  /** Its bits per second; 0 while unknown. */
  readonly bitrateBps: number;
  /** Ends it; idempotent. */
  leave(): void;
}
