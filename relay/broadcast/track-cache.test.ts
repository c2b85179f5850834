import fc from "fast-check";
import { expect, test } from "vitest";
import { type Clock, fromMilliseconds, type Microseconds, microseconds } from "../../base/index.js";
import { RewindClassifier } from "../../container/index.js";
import { FRAME_COST, WireFrame } from "../wire/group.js";
import { GROUP_COST } from "./cached-group.js";
import { CacheBudget, TrackCache } from "./track-cache.js";

const EPOCH = 65_536;
/** Memory of a group of one frame beside its payload. */
const COST = GROUP_COST + FRAME_COST;

function make(options: { maxAgeMs?: number; maxBytes?: number; budgetBytes?: number; rewinds?: boolean } = {}) {
  let now: Microseconds = microseconds(0);
  const budget = new CacheBudget(options.budgetBytes ?? 1e9);
  const cache = new TrackCache({
    clock: () => now,
    maxAge: fromMilliseconds(options.maxAgeMs ?? 12_000),
    maxGroups: 1000,
    maxBytes: options.maxBytes ?? 1e6,
    budget,
    classifier: (options.rewinds ?? true) ? new RewindClassifier() : undefined,
    timed: true,
    timescale: 1000,
  });
  const add = (sequence: number, ...timestampsMs: number[]) => {
    const record = cache.open(sequence);
    const results = timestampsMs.map((timestamp) => cache.append(record, WireFrame.of(timestamp, new Uint8Array(10))));
    return { record, results };
  };
  return { cache, budget, add, setNow: (ms: number) => (now = fromMilliseconds(ms)) };
}

const held = (cache: TrackCache) => cache.groups.map(({ sequence, frames }) => [sequence, frames.length]);

test("a rewind removes stale groups, cuts the one it falls into, and admits no straggler", () => {
  const { cache, budget, add } = make();
  add(0, 0, 20);
  add(1, 40, 60, 80);
  add(2, 100);
  const { results } = add(EPOCH, 60);
  expect(results[0]?.kept).toBe(true);
  expect(results[0]?.stale.map(({ sequence, stale }) => [sequence, stale])).toEqual([[2, true]]);
  expect(results[0]?.truncated.map(({ sequence, ended }) => [sequence, ended])).toEqual([[1, true]]);
  expect(held(cache)).toEqual([
    [0, 2],
    [1, 1],
    [EPOCH, 1],
  ]);
  const bytes = 3 * GROUP_COST + 4 * (FRAME_COST + 10);
  expect([cache.bytes, budget.usedBytes]).toEqual([bytes, bytes]);
  const late = add(3, 120);
  expect(late.results[0]?.kept).toBe(false);
  expect(late.record.stale).toBe(true);
  expect(held(cache)).toHaveLength(3);
  cache.close();
  expect(budget.usedBytes).toBe(0);
});

test("without a classifier nothing becomes stale", () => {
  const { cache, add } = make({ rewinds: false });
  add(0, 0);
  add(1, 100);
  add(EPOCH, 0);
  expect(held(cache)).toHaveLength(3);
});

test("age, bytes and the shared budget bound a cache, and the newest group always stays", () => {
  const { cache, add, setNow } = make({ maxAgeMs: 100, maxBytes: 3 * (COST + 10) + 5 });
  for (const sequence of [0, 1, 2, 3]) add(sequence, sequence * 20);
  cache.evict();
  expect(held(cache).map(([sequence]) => sequence)).toEqual([1, 2, 3]);
  setNow(1000);
  cache.evict();
  expect(held(cache).map(([sequence]) => sequence)).toEqual([3]);
  expect(cache.evicted).toBe(3);
  const small = make({ budgetBytes: COST + 15 });
  small.add(0, 0);
  small.add(1, 20);
  small.cache.evict();
  expect(held(small.cache).map(([sequence]) => sequence)).toEqual([1]);
});

/** A cache that only its budget bounds. */
function sharing(budget: CacheBudget, clock: Clock): TrackCache {
  return new TrackCache({
    clock,
    maxAge: fromMilliseconds(12_000),
    maxGroups: 1000,
    maxBytes: 1e6,
    budget,
    classifier: undefined,
    timed: true,
    timescale: 1000,
  });
}

test("a broadcast's bound drops the oldest groups of all its tracks, and the relay's bound those of the requester", () => {
  const full = { broadcast: 0, relay: 0 };
  const relay = new CacheBudget(100_000, { cacheFull: full });
  const broadcast = new CacheBudget(60_000, { parent: relay, cacheFull: full });
  const other = new CacheBudget(60_000, { parent: relay, cacheFull: full });
  let now = 0;
  const track = (budget: CacheBudget) => {
    const cache = sharing(budget, () => microseconds(now++));
    /** A group of one frame that takes this many kilobytes in all. */
    const add = (sequence: number, kilobytes: number) =>
      cache.append(cache.open(sequence), WireFrame.of(sequence * 20, new Uint8Array(kilobytes * 1000 - COST)));
    return { cache, add };
  };
  const [audio, pictures, elsewhere] = [track(broadcast), track(broadcast), track(other)];
  for (const sequence of [0, 1]) pictures.add(sequence, 20);
  for (const sequence of [0, 1, 2, 3]) audio.add(sequence, 5);
  elsewhere.add(0, 15);
  elsewhere.add(1, 15);
  expect([broadcast.usedBytes, other.usedBytes, relay.usedBytes]).toEqual([60_000, 30_000, 90_000]);
  // The video that came first makes room, though audio needs it.
  audio.add(4, 5);
  audio.cache.evict();
  expect(held(pictures.cache)).toEqual([[1, 1]]);
  expect(held(audio.cache)).toHaveLength(5);
  expect(full).toEqual({ broadcast: 1, relay: 0 });
  // The newest group of a track stays, so the audio has to go.
  pictures.add(2, 45);
  pictures.cache.evict();
  expect(held(pictures.cache)).toEqual([[2, 1]]);
  expect(held(audio.cache)).toEqual([
    [2, 1],
    [3, 1],
    [4, 1],
  ]);
  expect(full).toEqual({ broadcast: 4, relay: 0 });
  elsewhere.add(2, 25);
  elsewhere.cache.evict();
  expect(held(elsewhere.cache)).toEqual([
    [1, 1],
    [2, 1],
  ]);
  expect([broadcast.usedBytes, other.usedBytes, relay.usedBytes]).toEqual([60_000, 40_000, 100_000]);
  expect(full).toEqual({ broadcast: 4, relay: 1 });
  pictures.cache.close();
  audio.cache.close();
  expect([broadcast.usedBytes, relay.usedBytes]).toEqual([0, 40_000]);
});

test("where the newest groups alone are too much, the largest go: of the broadcast, or of the relay's largest broadcast", () => {
  const full = { broadcast: 0, relay: 0 };
  const relay = new CacheBudget(100_000, { cacheFull: full });
  const broadcasts = [30_000, 30_000, 30_000].map(
    (bytes) => new CacheBudget(bytes, { parent: relay, cacheFull: full }),
  );
  const caches = broadcasts.map((budget) =>
    Array.from({ length: 4 }, () => {
      const cache = sharing(budget, () => microseconds(0));
      return { cache, group: cache.open(0) };
    }),
  );
  /** Lets the first group of a track grow by this many kilobytes. */
  const grow = (broadcast: number, track: number, kilobytes: number) => {
    const { cache, group } = caches[broadcast]![track]!;
    cache.append(group, WireFrame.of(0, new Uint8Array(kilobytes * 1000 - COST)));
    cache.evict();
  };
  const kept = () => caches.map((tracks) => tracks.map(({ cache, group }) => cache.keeps(group)));
  for (const [track, kilobytes] of [20, 25, 10].entries()) grow(0, track, kilobytes);
  expect(kept()[0]).toEqual([true, true, true, true]);
  grow(0, 3, 10);
  expect(kept()[0]).toEqual([true, false, true, true]);
  expect(full).toEqual({ broadcast: 1, relay: 0 });
  grow(1, 0, 45);
  // A small one needs room: the largest broadcast makes it.
  grow(2, 0, 5);
  expect(full).toEqual({ broadcast: 1, relay: 0 });
  grow(2, 1, 5);
  expect(kept()).toEqual([
    [true, false, true, true],
    [false, true, true, true],
    [true, true, true, true],
  ]);
  expect(full).toEqual({ broadcast: 1, relay: 1 });
  expect(relay.usedBytes).toBeLessThanOrEqual(100_000);
});

test("a late joiner starts where it asks, else where others listen, else at the newest group", () => {
  const { cache, add } = make();
  for (const sequence of [10, 11, 12, 13]) add(sequence, sequence * 20);
  cache.open(14);
  const from = (start: number | undefined, playheadMs: number | undefined) =>
    cache
      .from(start, playheadMs === undefined ? undefined : fromMilliseconds(playheadMs))
      .map(({ sequence }) => sequence);
  expect(from(undefined, undefined)).toEqual([13]);
  expect(from(12, undefined)).toEqual([12, 13]);
  expect(from(5, 260)).toEqual([10, 11, 12, 13]);
  expect(from(99, undefined)).toEqual([]);
  expect(from(undefined, 235)).toEqual([11, 12, 13]);
  expect(from(undefined, 0)).toEqual([10, 11, 12, 13]);
  expect(from(undefined, 9999)).toEqual([13]);
  add(EPOCH, 230);
  expect(from(undefined, 9999)).toEqual([EPOCH]);
  expect(from(undefined, 225)).toEqual([11, EPOCH]);
});

test("frames without a byte, and groups by their number, are bounded by their memory", () => {
  const { cache, budget } = make({ maxBytes: 1e6 });
  const record = cache.open(0);
  for (let frame = 0; frame < 5000; frame++) cache.append(record, WireFrame.of(frame, new Uint8Array(0)));
  expect([cache.bytes, record.cost, record.bytes]).toEqual([1_281_024, 1_281_024, 0]);
  // The next group leaves another one to keep.
  cache.open(1);
  expect([held(cache), budget.usedBytes]).toEqual([[[1, 0]], GROUP_COST]);
  for (let sequence = 2; sequence < 5000; sequence++) cache.open(sequence);
  expect(cache.groups.length).toBeLessThanOrEqual(1000);
  expect(budget.usedBytes).toBe(cache.groups.length * GROUP_COST);
});

test("whatever is held, cut, rewound and dropped, the count equals the held bytes", () => {
  const step = fc.record({
    sequence: fc.integer({ min: 0, max: 40 }),
    epoch: fc.integer({ min: 0, max: 2 }),
    timestamp: fc.integer({ min: 0, max: 800 }),
    bytes: fc.integer({ min: 0, max: 300 }),
    abort: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const { cache, budget } = make({ maxBytes: 20_000 });
      for (const { sequence, epoch, timestamp, bytes, abort } of steps) {
        const record = cache.open(epoch * EPOCH + sequence);
        cache.append(record, WireFrame.of(timestamp, new Uint8Array(bytes)));
        if (abort && sequence % 5 === 0) cache.abort(record, 0);
        const cost = cache.groups.reduce((sum, group) => sum + group.cost, 0);
        expect([cache.bytes, budget.usedBytes]).toEqual([cost, cost]);
      }
      cache.close();
      expect(budget.usedBytes).toBe(0);
    }),
    { seed: 3, numRuns: 300 },
  );
});
