import { type Clock, type Microseconds, microseconds } from "../../base/index.js";
import { Code } from "../wire/code.js";
import { FRAME_COST, type WireFrame } from "../wire/group.js";
import { CachedGroup } from "./cached-group.js";

/** The rewind rule for the cache; `RewindClassifier` of the container module implements it. */
export interface Classifier {
  /** Observes and classifies a frame. */
  observe(
    sequence: number,
    timestamp: Microseconds,
  ): { readonly stale: boolean; readonly rewind?: { readonly from: Microseconds } };
  /** Classifies an earlier frame by all observations since. */
  isStale(sequence: number, timestamp: Microseconds): boolean;
}

/** Options for {@link CacheBudget}. */
export interface CacheBudgetOptions {
  /** The enclosing budget. */
  readonly parent?: CacheBudget;
  /** Counts groups evicted because a broadcast, or the whole relay, holds more than allowed. */
  readonly cacheFull?: { broadcast: number; relay: number };
}

/** How many times what a broadcast may hold its newest groups alone may take: each plays on only with the whole of it. */
const NEWEST = 2;

/** Bytes that caches may hold together: those of a broadcast's tracks, or all of a relay. */
export class CacheBudget {
  readonly maxBytes: number;
  readonly #parent: CacheBudget | undefined;
  readonly #cacheFull: { broadcast: number; relay: number };
  readonly #caches = new Set<TrackCache>();
  /** The budgets within this one that have a cache. */
  readonly #parts = new Set<CacheBudget>();
  #usedBytes = 0;

  constructor(maxBytes: number, { parent, cacheFull = { broadcast: 0, relay: 0 } }: CacheBudgetOptions = {}) {
    this.maxBytes = maxBytes;
    this.#parent = parent;
    this.#cacheFull = cacheFull;
  }

  /** Bytes held now. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Whether more is held than allowed. */
  get exceeded(): boolean {
    return this.#usedBytes > this.maxBytes;
  }

  /** Counts bytes added, or freed when negative. */
  add(bytes: number): void {
    this.#usedBytes += bytes;
    this.#parent?.add(bytes);
  }

  /** Adds a cache to the sharing ones. */
  join(cache: TrackCache): void {
    this.#caches.add(cache);
    if (this.#parent !== undefined) this.#parent.#parts.add(this);
  }

  /** Undoes {@link join}. */
  leave(cache: TrackCache): void {
    this.#caches.delete(cache);
    if (this.#caches.size === 0 && this.#parent !== undefined) this.#parent.#parts.delete(this);
  }

  /**
   * Drops the oldest groups of the sharing caches until they hold no more than allowed. Each keeps its newest, unless the
   * newest ones alone are twice what a broadcast may hold, or more than the relay may: then the largest go.
   */
  evict(): void {
    this.#relieve(this);
    // Over the relay's limit, the requesting broadcast drops its own groups: finding the relay's oldest group would
    // cost too much.
    if (this.#parent !== undefined) this.#relieve(this.#parent);
  }

  #relieve(budget: CacheBudget): void {
    while (budget.exceeded) {
      const oldest = this.#oldest();
      if (oldest !== undefined) oldest.dropOldest();
      else if (budget === this && this.#usedBytes <= NEWEST * this.maxBytes) return;
      else if (!(budget === this ? this : budget.#largestPart()).#shrink()) return;
      this.#cacheFull[budget.#parent ? "broadcast" : "relay"]++;
    }
  }

  /** Drops its oldest group or, where each cache has one alone, the largest; false without any. */
  #shrink(): boolean {
    const oldest = this.#oldest();
    if (oldest !== undefined) {
      oldest.dropOldest();
      return true;
    }
    const [first, ...others] = [...this.#caches].filter(({ groups }) => groups.length > 0);
    if (first === undefined) return false;
    others.reduce((largest, cache) => (cache.bytes > largest.bytes ? cache : largest), first).dropOldest();
    return true;
  }

  #largestPart(): CacheBudget {
    let largest: CacheBudget = this;
    for (const part of this.#parts) if (largest === this || part.usedBytes > largest.usedBytes) largest = part;
    return largest;
  }

  #oldest(): TrackCache | undefined {
    let found: TrackCache | undefined;
    let at = Number.POSITIVE_INFINITY;
    for (const cache of this.#caches) {
      const arrivedAt = cache.groups.length > 1 ? cache.groups[0]!.arrivedAt : at;
      if (arrivedAt >= at) continue;
      found = cache;
      at = arrivedAt;
    }
    return found;
  }
}

/** Options for {@link TrackCache}. */
export interface TrackCacheOptions {
  readonly clock: Clock;
  /** Maximum age of groups, except for the newest. */
  readonly maxAge: Microseconds;
  /** Maximum bytes held, beside the newest group. */
  readonly maxBytes: number;
  /** Groups held. */
  readonly maxGroups: number;
  /** Shared with the other tracks of the broadcast. */
  readonly budget: CacheBudget;
  /** Undefined where nothing ever becomes stale: the bench's control, or a track without media time. */
  readonly classifier: Classifier | undefined;
  /** Whether the frames' timestamps are media time, rather than arrival time. */
  readonly timed: boolean;
  /** Units per second of the frames' timestamps. */
  readonly timescale: number;
}

/** Effect of a frame. */
export interface AppendResult {
  /** False when the frame was stale already and the group ends before it. */
  readonly kept: boolean;
  /** Wholly stale groups that this frame revealed, already removed. */
  readonly stale: readonly CachedGroup[];
  /** Groups cut at the rewind, still good before it. */
  readonly truncated: readonly CachedGroup[];
  /** Start of the rewind that it revealed. */
  readonly from?: Microseconds;
}

const NOTHING: readonly CachedGroup[] = [];
const NOTHING_STALE = { stale: NOTHING, truncated: NOTHING };
const KEPT: AppendResult = { kept: true, ...NOTHING_STALE };

/** The newest groups of one track, none of them stale, within bounds of age and bytes. */
export class TrackCache {
  readonly #options: TrackCacheOptions;
  readonly #perMicrosecond: number;
  readonly #bySequence = new Map<number, CachedGroup>();
  // In sequence order.
  #groups: CachedGroup[] = [];
  #bytes = 0;
  #payloadBytes = 0;
  #evicted = 0;
  #closed = false;

  constructor(options: TrackCacheOptions) {
    this.#options = options;
    this.#perMicrosecond = 1e6 / options.timescale;
    options.budget.join(this);
  }

  /** The groups held, in sequence order. */
  get groups(): readonly CachedGroup[] {
    return this.#groups;
  }

  /** Bytes held: payload, plus the memory of groups and frames. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Groups evicted by a bound so far. */
  get evicted(): number {
    return this.#evicted;
  }

  /** The newest group. */
  get newest(): CachedGroup | undefined {
    return this.#groups[this.#groups.length - 1];
  }

  /** A group by its sequence. */
  get(sequence: number): CachedGroup | undefined {
    return this.#bySequence.get(sequence);
  }

  /** The group with this sequence, created if missing. */
  open(sequence: number): CachedGroup {
    const known = this.#bySequence.get(sequence);
    if (known !== undefined) return known;
    const record = new CachedGroup(sequence, this.#options.clock());
    let index = this.#groups.length;
    while (index > 0 && this.#groups[index - 1]!.sequence > sequence) index--;
    this.#groups.splice(index, 0, record);
    this.#bySequence.set(sequence, record);
    this.#count(record.cost);
    this.evict();
    return record;
  }

  /** Adds a frame to a group, unless it is stale, and applies the rewind that it may reveal. */
  append(record: CachedGroup, frame: WireFrame): AppendResult {
    if (record.ended || this.#closed) return { kept: false, ...NOTHING_STALE };
    const timestamp = this.#time(frame);
    const verdict = this.#options.classifier?.observe(record.sequence, timestamp);
    if (!verdict?.stale) {
      if (this.#options.timed) {
        record.timestamp ??= timestamp;
        record.reached = timestamp;
        record.latest = microseconds(Math.max(record.latest ?? 0, timestamp));
      }
      record.push(frame);
      if (this.keeps(record)) this.#count(FRAME_COST + frame.size, frame.size);
      return verdict?.rewind === undefined
        ? KEPT
        : { kept: true, from: verdict.rewind.from, ...this.#rewind(verdict.rewind.from) };
    }
    const revealed = verdict.rewind === undefined ? NOTHING_STALE : this.#rewind(verdict.rewind.from);
    record.end();
    if (record.frames.length > 0) return { kept: false, ...revealed };
    this.#discard(record);
    return { kept: false, truncated: revealed.truncated, stale: [...revealed.stale, record] };
  }

  /** Gives up a group that will never be complete. */
  abort(record: CachedGroup, code: number): void {
    record.abort(code);
    this.#remove(record);
  }

  /** The first groups of a new watcher: from the one it asked for; else from the one at `playhead`; else the newest. */
  from(startGroup: number | undefined, playhead: Microseconds | undefined): readonly CachedGroup[] {
    const groups = this.#groups.filter((record) => record.frames.length > 0);
    if (groups.length === 0) return groups;
    let start = groups.length - 1;
    if (startGroup !== undefined) {
      const found = groups.findIndex((record) => record.sequence >= startGroup);
      return found === -1 ? [] : groups.slice(found);
    }
    if (playhead !== undefined) while (start > 0 && (groups[start]!.timestamp ?? 0) > playhead) start--;
    return groups.slice(start);
  }

  /** Whether a group is held, and counted in {@link bytes}. */
  keeps(record: CachedGroup): boolean {
    return this.#bySequence.get(record.sequence) === record;
  }

  /** Evicts by age and size; the newest group stays where the budget has room for it. */
  evict(): void {
    const { clock, maxAge, maxBytes, maxGroups, budget } = this.#options;
    const oldest = clock() - maxAge;
    const isFull = () => this.#bytes > maxBytes || this.#groups.length > maxGroups;
    while (this.#groups.length > 1 && (this.#groups[0]!.arrivedAt < oldest || isFull())) this.dropOldest();
    budget.evict();
  }

  /** Drops its oldest group for a bound. */
  dropOldest(): void {
    const first = this.#groups[0];
    if (first === undefined) return;
    this.#evicted++;
    this.#remove(first);
  }

  /** Bits per second over the held groups, by media time or else by arrival; 0 while unknown. */
  bitrateBps(): number {
    const first = this.#groups.find(({ frames }) => frames.length > 0);
    const last = this.#groups.findLast(({ frames }) => frames.length > 0);
    if (first === undefined || last === undefined) return 0;
    const span = (last.timestamp ?? last.arrivedAt) - (first.timestamp ?? first.arrivedAt);
    return span > 0 ? (this.#payloadBytes * 8e6) / span : 0;
  }

  /** Drops everything. */
  close(): void {
    this.#closed = true;
    this.#count(-this.#bytes, -this.#payloadBytes);
    this.#options.budget.leave(this);
    this.#groups = [];
    this.#bySequence.clear();
  }

  #rewind(from: Microseconds): Pick<AppendResult, "stale" | "truncated"> {
    const stale: CachedGroup[] = [];
    const truncated: CachedGroup[] = [];
    const { classifier } = this.#options;
    for (const record of [...this.#groups]) {
      // A group that ends before the rewind stays, without a look at its frames.
      if (record.latest === undefined || record.latest < from) continue;
      const index = record.frames.findIndex((frame) => classifier?.isStale(record.sequence, this.#time(frame)));
      if (index === 0) {
        this.#discard(record);
        stale.push(record);
      } else if (index > 0) {
        const { cost, bytes } = record;
        record.truncate(index);
        this.#count(record.cost - cost, record.bytes - bytes);
        truncated.push(record);
      }
    }
    return { stale, truncated };
  }

  #discard(record: CachedGroup): void {
    record.discard(Code.STALE_GROUP);
    this.#remove(record);
  }

  #remove(record: CachedGroup): void {
    if (!this.#bySequence.delete(record.sequence)) return;
    const index = this.#groups[0] === record ? 0 : this.#groups.indexOf(record);
    this.#groups.splice(index, 1);
    this.#count(-record.cost, -record.bytes);
  }

  // Timescales may be arbitrary, and so may times beyond what doubles distinguish.
  #time(frame: WireFrame): Microseconds {
    return microseconds(Math.min(frame.timestamp * this.#perMicrosecond, Number.MAX_SAFE_INTEGER));
  }

  #count(bytes: number, payloadBytes = 0): void {
    this.#bytes += bytes;
    this.#payloadBytes += payloadBytes;
    this.#options.budget.add(bytes);
  }
}
