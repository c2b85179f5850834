import type { CachedGroup } from "../broadcast/cached-group.js";

/** What a watcher needs to know of its track. */
export interface WatchedTrack {
  /** Whether its groups have had one frame each so far, at least one of them whole, and come thick and fast. */
  readonly singleFrames: boolean;
  /** Its bits per second; 0 while unknown. */
  readonly bitrateBps: number;
  /** Whether it is sent as it is captured, so that what waits adds to its delay. */
  readonly live: boolean;
  /** What it holds above a group, in sequence order. */
  after(sequence: number): readonly CachedGroup[];
  /** Follows its lower rendition, where there may be one: whole groups with the same sequences and timestamps. */
  followLow(follower: LowFollower): LowRendition | undefined;
}

/** What follows a lower rendition. */
export interface LowFollower {
  /** Takes a whole group of it. */
  takeLow(record: CachedGroup): void;
  /** It has ended, or there is none after all. */
  lowEnded(): void;
}

/** A lower rendition that a watcher follows. */
export interface LowRendition {
  /** Its bits per second; 0 while unknown. */
  readonly bitrateBps: number;
  /** Ends it; idempotent. */
  leave(): void;
}
