import { background, type Clock, fromSeconds, type Microseconds, microseconds, race } from "../../base/index.js";
import { EPOCH_SIZE } from "../../container/index.js";
import { PlayheadBound } from "../../flow/playhead/index.js";
import type { RelayCounters } from "../relay-counters.js";
import type { LowFollower, LowRendition, WatchedTrack } from "../watcher/watched-track.js";
import type { Watcher } from "../watcher/watcher.js";
import { Code } from "../wire/code.js";
import type { WireFrame } from "../wire/group.js";
import type { TrackInfo } from "../wire/track.js";
import type { CachedGroup } from "./cached-group.js";
import { type AppendResult, type CacheBudget, type Classifier, TrackCache } from "./track-cache.js";

/** Groups within a second that make a track a media stream, where the next group soon follows a lost one. */
const STEADY_GROUPS = 8;
/** How long a lower rendition that is missing or broke is not requested again. */
const LOW_REFUSED: Microseconds = fromSeconds(30);

/** Source of a track's groups. */
export interface TrackSource {
  /** Whether the media time of its frames is known, without which none can be classified. */
  readonly timed: boolean;
  /** Requests the track's constant properties. */
  info(): Promise<TrackInfo>;
  /**
   * Subscribes; the groups go to the track's `begin`, `push`, `end`, `abort`, `datagram`, `close`. Returns an
   * unsubscribe function.
   */
  subscribe(track: Track): () => void;
}

/** Options for {@link Track}. */
export interface TrackOptions {
  readonly name: string;
  /** Whether it is sent as it is captured. */
  readonly live: boolean;
  readonly clock: Clock;
  readonly source: TrackSource;
  readonly counters: RelayCounters;
  readonly budget: CacheBudget;
  readonly cacheAge: Microseconds;
  readonly cacheBytes: number;
  readonly cacheGroups: number;
  /** The track with the same groups at a lower bit rate; undefined where none can exist. */
  readonly low?: () => Track | undefined;
  /** Creates the classifier of stale frames; undefined where none become stale. */
  readonly classifier: (() => Classifier) | undefined;
  /** Latest playhead of the watchers that report, projected to now. */
  readonly latestPlayhead: () => Microseconds | undefined;
}

/**
 * One track: a single upstream subscription, its cache, and its watchers. The work per incoming frame is constant
 * except for one queue step and one native call for each watcher.
 */
export class Track implements WatchedTrack {
  readonly name: string;
  readonly #options: TrackOptions;
  readonly #watchers = new Set<Watcher>();
  #bound: PlayheadBound | undefined;
  /** Whether its properties are the publisher's own. */
  #isPublishersOwn = false;
  /** Watchers that get its whole groups in place of a fuller rendition's. */
  readonly #followers = new Set<LowFollower>();
  #bitrateBps = 0;
  #lowRefusedAt = Number.NEGATIVE_INFINITY;
  #classifier: Classifier | undefined;
  #cache: TrackCache | undefined;
  #info: Promise<TrackInfo> | undefined;
  #unsubscribe: (() => void) | undefined;
  #idleSince: Microseconds | undefined;
  #evictedCounted = 0;
  #ingestBytes = 0;
  #lastSequence: number | undefined;
  /** The kind of its groups so far; one with several frames decides for good. */
  #groupsHold: "unknown" | "one frame" | "several frames" = "unknown";
  /** Arrivals of the newest groups, until they came often enough. */
  #starts: Microseconds[] | undefined = [];
  #closed = false;
  #settleClosed!: (code: number | undefined) => void;
  /** Settles when the track is over: with undefined when it ended, with a code when it broke. */
  readonly closed: Promise<number | undefined>;

  constructor(options: TrackOptions) {
    this.name = options.name;
    this.#options = options;
    this.#idleSince = options.clock();
    this.closed = new Promise((resolve) => {
      this.#settleClosed = resolve;
    });
  }

  get singleFrames(): boolean {
    return this.#groupsHold === "one frame" && this.#starts === undefined;
  }

  get bitrateBps(): number {
    return this.#bitrateBps;
  }

  get live(): boolean {
    return this.#options.live;
  }

  /** How far a listener's playhead can be, given the track's arrivals; undefined where frames carry no timestamps. */
  get bound(): PlayheadBound | undefined {
    return this.#bound;
  }

  /** Payload bytes that arrived from upstream. */
  get ingestBytes(): number {
    return this.#ingestBytes;
  }

  /** Watchers now. */
  get watchers(): ReadonlySet<Watcher> {
    return this.#watchers;
  }

  /** Whether its publisher has confirmed that the track exists. */
  get answered(): boolean {
    return this.#lastSequence !== undefined || (this.#cache !== undefined && this.#isPublishersOwn);
  }

  /** The cache, once the track's properties are known. */
  get cache(): TrackCache | undefined {
    return this.#cache;
  }

  /** Highest group so far. */
  get lastSequence(): number | undefined {
    return this.#lastSequence;
  }

  /** Whether it is subscribed upstream. */
  get subscribed(): boolean {
    return this.#unsubscribe !== undefined;
  }

  /** When the last watcher left; undefined while there are some. */
  get idleSince(): Microseconds | undefined {
    return this.#idleSince;
  }

  /** The track's constant properties, requested once. */
  info(): Promise<TrackInfo> {
    if (this.#info === undefined) {
      this.#info = this.#options.source.info().then((info) => {
        if (this.#cache === undefined && !this.#closed) this.#makeCache(info);
        return info;
      });
      // A missing track is requested again with the next subscription, and takes no place until then.
      this.#info.catch(() => {
        this.#info = undefined;
        this.close(Code.NOT_FOUND);
      });
    }
    return this.#info;
  }

  /** Adds a watcher; the first one opens the upstream subscription. */
  attach(watcher: Watcher, startGroup: number | undefined): void {
    this.#watchers.add(watcher);
    this.#need();
    if ((this.#cache?.groups.length ?? 0) === 0) watcher.startAnywhere();
    const cached = this.#cache?.from(startGroup, this.#options.latestPlayhead()) ?? [];
    for (const record of cached) {
      watcher.offer(record, "stream");
      watcher.progress(record);
    }
  }

  /** Removes a watcher. */
  detach(watcher: Watcher): void {
    if (this.#watchers.delete(watcher)) this.#release();
  }

  /** Passes every whole group to a follower from now on, instead of to watchers; returns a function that ends it. */
  follow(follower: LowFollower): () => void {
    this.#followers.add(follower);
    this.#need();
    return () => {
      if (this.#followers.delete(follower)) this.#release();
    };
  }

  followLow(follower: LowFollower): LowRendition | undefined {
    const now = this.#options.clock();
    if (now - this.#lowRefusedAt < LOW_REFUSED) return undefined;
    const low = this.#options.low?.();
    if (low === undefined) return undefined;
    const unfollow = low.follow(follower);
    const left = Promise.withResolvers<void>();
    let following = true;
    const leave = () => {
      following = false;
      left.resolve();
      unfollow();
    };
    background(
      "relay.low",
      race([low.closed, left.promise]).then(() => {
        if (!following) return;
        this.#lowRefusedAt = this.#options.clock();
        follower.lowEnded();
      }),
    );
    return {
      get bitrateBps() {
        return low.bitrateBps;
      },
      leave,
    };
  }

  after(sequence: number): readonly CachedGroup[] {
    return this.#cache?.groups.filter((record) => record.sequence > sequence && record.frames.length > 0) ?? [];
  }

  #need(): void {
    this.#idleSince = undefined;
    if (this.#unsubscribe === undefined && !this.#closed) this.#unsubscribe = this.#options.source.subscribe(this);
  }

  #release(): void {
    if (this.#watchers.size === 0 && this.#followers.size === 0) this.#idleSince = this.#options.clock();
  }

  /** Starts a group that arrives on a stream; undefined when it is known completely already or the track is over. */
  begin(sequence: number): CachedGroup | undefined {
    if (this.#closed || this.#cache === undefined) return undefined;
    const known = this.#cache.get(sequence);
    if (known !== undefined) {
      this.#options.counters.duplicates++;
      if (!known.viaStream && known.frames.length > 0) {
        known.viaStream = true;
        for (const watcher of this.#watchers) if (watcher.mode === "mirror") watcher.offer(known, "stream");
      }
      return undefined;
    }
    const record = this.#cache.open(sequence);
    record.viaStream = true;
    record.urgent = sequence > 0 && sequence % EPOCH_SIZE === 0;
    return record;
  }

  /** Adds frames to a group; false when the rest of it is not wanted. */
  push(record: CachedGroup, frames: readonly WireFrame[]): boolean {
    const first = record.frames.length === 0;
    let kept = true;
    for (const frame of frames) {
      kept = this.#append(record, frame);
      if (!kept) break;
    }
    if (record.frames.length > 1) this.#groupsHold = "several frames";
    if (record.frames.length > 0) this.#spread(record, first, "stream");
    return kept;
  }

  /** Whether the cache holds a group. What else refers to it has to count its memory. */
  keeps(record: CachedGroup): boolean {
    return this.#cache?.keeps(record) === true;
  }

  /** Marks a group complete. */
  end(record: CachedGroup): void {
    if (record.ended) return;
    record.end();
    if (record.frames.length === 0) this.#cache?.abort(record, Code.CANCEL);
    // One frame opens an epoch, whatever the other groups are like.
    else if (!record.urgent && this.#groupsHold === "unknown") this.#groupsHold = "one frame";
    for (const watcher of this.#watchers) watcher.progress(record);
    if (record.frames.length > 0) for (const follower of this.#followers) follower.takeLow(record);
  }

  /** Gives up a group that its sender reset. */
  abort(record: CachedGroup, code: number): void {
    if (record.ended) return;
    this.#cache?.abort(record, code);
    for (const watcher of this.#watchers) watcher.abort(record, code);
  }

  /** Takes a whole group that arrived as a datagram. */
  datagram(sequence: number, frame: WireFrame): void {
    if (this.#closed || this.#cache === undefined) return;
    const known = this.#cache.get(sequence);
    if (known !== undefined && known.frames.length > 0) {
      this.#options.counters.duplicates++;
      if (known.viaDatagram) return;
      known.viaDatagram = true;
      for (const watcher of this.#watchers) if (watcher.mode === "mirror") watcher.offer(known, "datagram");
      return;
    }
    const record = known ?? this.#cache.open(sequence);
    record.viaDatagram = true;
    record.urgent = sequence > 0 && sequence % EPOCH_SIZE === 0;
    if (!this.#append(record, frame)) return;
    record.end();
    this.#spread(record, true, "datagram");
    for (const follower of this.#followers) follower.takeLow(record);
    // A stream of the same group may be open without a frame; then its stock readers still need it as a stream.
    if (record.viaStream)
      for (const watcher of this.#watchers) if (watcher.mode === "mirror") watcher.offer(record, "stream");
  }

  /** Checks bounds and waiting watchers; called several times a second. */
  sweep(): void {
    if (this.#cache === undefined) return;
    this.#cache.evict();
    this.#options.counters.evicted += this.#cache.evicted - this.#evictedCounted;
    this.#evictedCounted = this.#cache.evicted;
    this.#bitrateBps = this.#cache.bitrateBps();
    for (const watcher of this.#watchers) watcher.sweep();
  }

  /** Ends the track for all watchers: in order, or with a code when it broke. */
  close(code?: number): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
    this.#cache?.close();
    this.#settleClosed(code);
  }

  #append(record: CachedGroup, frame: WireFrame): boolean {
    const { counters } = this.#options;
    this.#lastSequence = Math.max(this.#lastSequence ?? 0, record.sequence);
    counters.objectsIn++;
    this.#ingestBytes += frame.size;
    counters.bytesIn += frame.size;
    const result = this.#cache!.append(record, frame);
    this.#follow(record, result);
    if (!result.kept) counters.staleIn++;
    if (result.stale.length > 0 || result.truncated.length > 0) {
      if (result.kept) {
        counters.rewinds++;
        record.urgent = true;
      }
      const isStale = (held: CachedGroup): boolean =>
        held.stale ||
        (held.timestamp !== undefined && this.#classifier?.isStale(held.sequence, held.timestamp) === true);
      for (const watcher of this.#watchers) {
        watcher.discard(isStale);
        for (const cut of result.truncated) watcher.progress(cut);
      }
    }
    return result.kept;
  }

  #follow(record: CachedGroup, { kept, from }: AppendResult): void {
    if (this.#bound === undefined || !kept) return;
    const now = this.#options.clock();
    if (from !== undefined) this.#bound.rewind(from, now);
    if (record.reached !== undefined) this.#bound.sent(record.reached, now);
  }

  #spread(record: CachedGroup, first: boolean, via: "stream" | "datagram"): void {
    if (first) this.#noteStart();
    if (first) for (const watcher of this.#watchers) watcher.offer(record, via);
    else for (const watcher of this.#watchers) watcher.progress(record);
  }

  // A catalog, where each group matters, never comes this often.
  #noteStart(): void {
    if (this.#starts === undefined) return;
    const now = this.#options.clock();
    this.#starts = [...this.#starts.filter((at) => now - at < fromSeconds(1)), now];
    if (this.#starts.length >= STEADY_GROUPS) this.#starts = undefined;
  }

  #makeCache(info: TrackInfo): void {
    const { clock, cacheAge, cacheBytes, cacheGroups, budget, classifier, source } = this.#options;
    this.#classifier = source.timed ? classifier?.() : undefined;
    this.#bound = source.timed ? new PlayheadBound() : undefined;
    this.#isPublishersOwn = info !== SYNTHETIC_INFO;
    this.#cache = new TrackCache({
      clock,
      maxAge: cacheAge,
      maxBytes: cacheBytes,
      maxGroups: cacheGroups,
      budget,
      classifier: this.#classifier,
      timed: source.timed,
      timescale: info.timescale,
    });
  }
}

/** Properties of a track whose version has none: arrival times become timestamps, in microseconds. */
export const SYNTHETIC_INFO: TrackInfo = { priority: 0, ordered: false, maxLatencyMs: 10_000, timescale: 1_000_000 };

/** A stamp for frames without a timestamp: microseconds since the first one. */
export function arrivalStamp(clock: Clock): () => number {
  let start: Microseconds | undefined;
  return () => {
    const now = clock();
    start ??= now;
    return microseconds(now - start);
  };
}
