import { expect, test } from "vitest";
import { fromMilliseconds, type Microseconds, microseconds } from "../base/index.js";
import { RewindClassifier } from "../container/index.js";
import { CacheBudget, TrackCache } from "./cache.js";
import { WireFrame } from "./wire/group.js";

const EPOCH = 65_536;

function make(options: { maxAgeMs?: number; maxBytes?: number; budgetBytes?: number; takeBack?: boolean } = {}) {
  let now: Microseconds = microseconds(0);
  const budget = new CacheBudget(options.budgetBytes ?? 1e9);
  const cache = new TrackCache({
    clock: () => now,
    maxAge: fromMilliseconds(options.maxAgeMs ?? 12_000),
    maxBytes: options.maxBytes ?? 1e6,
    budget,
    classifier: (options.takeBack ?? true) ? new RewindClassifier() : undefined,
    timescale: 1000,
  });
  const add = (sequence: number, ...timestampsMs: number[]) => {
    const record = cache.open(sequence);
    const results = timestampsMs.map((timestamp) =>
      cache.append(record, new WireFrame(timestamp, new Uint8Array(10), 0)),
    );
    return { record, results };
  };
  return { cache, budget, add, setNow: (ms: number) => (now = fromMilliseconds(ms)) };
}

const held = (cache: TrackCache) => cache.groups.map(({ sequence, frames }) => [sequence, frames.length]);

test("a rewind takes stale groups out whole, cuts the one it falls into, and lets no straggler in", () => {
  const { cache, budget, add } = make();
  add(0, 0, 20);
  add(1, 40, 60, 80);
  add(2, 100);
  const { results } = add(EPOCH, 60);
  expect(results[0]?.kept).toBe(true);
  expect(results[0]?.takenBack.map(({ sequence, stale }) => [sequence, stale])).toEqual([[2, true]]);
  expect(results[0]?.truncated.map(({ sequence, ended }) => [sequence, ended])).toEqual([[1, true]]);
  expect(held(cache)).toEqual([
    [0, 2],
    [1, 1],
    [EPOCH, 1],
  ]);
  expect([cache.bytes, budget.usedBytes]).toEqual([40, 40]);
  const late = add(3, 120);
  expect(late.results[0]?.kept).toBe(false);
  expect(late.record.stale).toBe(true);
  expect(held(cache)).toHaveLength(3);
  cache.close();
  expect(budget.usedBytes).toBe(0);
});

test("nothing is taken back without a classifier", () => {
  const { cache, add } = make({ takeBack: false });
  add(0, 0);
  add(1, 100);
  add(EPOCH, 0);
  expect(held(cache)).toHaveLength(3);
});

test("age, bytes and the budget of all caches bound it, and the newest group always stays", () => {
  const { cache, add, setNow } = make({ maxAgeMs: 100, maxBytes: 35 });
  for (const sequence of [0, 1, 2, 3]) add(sequence, sequence * 20);
  cache.evict();
  expect(held(cache).map(([sequence]) => sequence)).toEqual([1, 2, 3]);
  setNow(1000);
  cache.evict();
  expect(held(cache).map(([sequence]) => sequence)).toEqual([3]);
  expect(cache.evicted).toBe(3);
  const small = make({ budgetBytes: 15 });
  small.add(0, 0);
  small.add(1, 20);
  small.cache.evict();
  expect(held(small.cache).map(([sequence]) => sequence)).toEqual([1]);
});

test("a broadcast's bound takes the oldest groups of all its tracks, and the relay's bound those of who asks", () => {
  const full = { broadcast: 0, relay: 0 };
  const relay = new CacheBudget(100, { onEvict: () => full.relay++ });
  const broadcast = new CacheBudget(60, { parent: relay, onEvict: () => full.broadcast++ });
  const other = new CacheBudget(60, { parent: relay, onEvict: () => full.broadcast++ });
  let now = 0;
  const track = (budget: CacheBudget) => {
    const cache = new TrackCache({
      clock: () => microseconds(now++),
      maxAge: fromMilliseconds(12_000),
      maxBytes: 1e6,
      budget,
      classifier: undefined,
      timescale: 1000,
    });
    const add = (sequence: number, bytes: number) =>
      cache.append(cache.open(sequence), new WireFrame(sequence * 20, new Uint8Array(bytes), 0));
    return { cache, add };
  };
  const [sound, pictures, elsewhere] = [track(broadcast), track(broadcast), track(other)];
  for (const sequence of [0, 1]) pictures.add(sequence, 20);
  for (const sequence of [0, 1, 2, 3]) sound.add(sequence, 5);
  elsewhere.add(0, 15);
  elsewhere.add(1, 15);
  expect([broadcast.usedBytes, other.usedBytes, relay.usedBytes]).toEqual([60, 30, 90]);
  // The picture that came first makes room, though it is sound that comes.
  sound.add(4, 5);
  sound.cache.evict();
  expect(held(pictures.cache)).toEqual([[1, 1]]);
  expect(held(sound.cache)).toHaveLength(5);
  expect(full).toEqual({ broadcast: 1, relay: 0 });
  // The newest of a track stays, so the sound has to go.
  pictures.add(2, 45);
  pictures.cache.evict();
  expect(held(pictures.cache)).toEqual([[2, 1]]);
  expect(held(sound.cache)).toEqual([
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
  expect([broadcast.usedBytes, other.usedBytes, relay.usedBytes]).toEqual([60, 40, 100]);
  expect(full).toEqual({ broadcast: 4, relay: 1 });
  pictures.cache.close();
  sound.cache.close();
  expect([broadcast.usedBytes, relay.usedBytes]).toEqual([0, 40_000]);
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
