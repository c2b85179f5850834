import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Link } from "../support/impairment.js";
import { LossyStage, type LossyStageOptions } from "../support/lossy-stage.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** How far ahead an agent's voice is sent: as far as a publisher's lead settles at on these paths. */
const AHEAD_MS = 470;
const SEEDS = [1, 2, 3] as const;

interface Result {
  /** Milliseconds of silence. */
  readonly lost: number;
  /** Groups that the relay sent in the lower rendition in place of the full one. */
  readonly lowGroups: number;
  readonly copies: number;
  /** Packets for each group. */
  readonly packets: number;
}

/** Plays across a link, both ways, and measures from the third second on. */
async function play(link: Link, options: Partial<LossyStageOptions> & { readonly seconds: number }): Promise<Result> {
  const stage = await LossyStage.open({ down: link, up: link, seed: 1, aheadMs: AHEAD_MS, ...options });
  await stage.run(2000);
  const before = stage.path.packets;
  const { lost } = await stage.run(options.seconds * 1000);
  return {
    lost,
    lowGroups: stage.counters.lowOut,
    copies: stage.counters.repeatsOut,
    packets: (stage.path.packets - before) / (options.seconds * 50),
  };
}

/** Mean milliseconds of silence in a minute. */
async function lostInMinute(link: Link, options: Partial<LossyStageOptions> = {}): Promise<number> {
  let sum = 0;
  for (const seed of SEEDS) sum += (await play(link, { ...options, seed, seconds: 60 })).lost;
  return sum / SEEDS.length;
}

const LONG = { delayMs: 150, loss: 0.01 };
const LOSSY = { delayMs: 50, loss: 0.05 };
/** Losses in bursts of five packets on average, which take 2 % of all. */
const BURSTS = { delayMs: 50, burst: { enter: 0.2 * (0.02 / 0.98), leave: 0.2, loss: 1 } };

test("a listener 300 ms away that loses 1 % of the packets misses at most 60 ms in a minute", async () => {
  expect(await lostInMinute(LONG)).toBeLessThanOrEqual(60);
});

test("a listener 100 ms away that loses 5 % of the packets misses at most 120 ms in a minute", async () => {
  expect(await lostInMinute(LOSSY)).toBeLessThanOrEqual(120);
});

test("a listener that loses 2 % of the packets in bursts of five misses at most 500 ms in a minute", async () => {
  expect(await lostInMinute(BURSTS)).toBeLessThanOrEqual(500);
});

test("a live listener 100 ms away that loses 5 % of the packets misses at most 120 ms in a minute", async () => {
  expect(await lostInMinute(LOSSY, { aheadMs: undefined })).toBeLessThanOrEqual(120);
});

test("a live listener that loses 2 % of the packets in bursts of five misses at most 500 ms in a minute", async () => {
  expect(await lostInMinute(BURSTS, { aheadMs: undefined })).toBeLessThanOrEqual(500);
});

test("a listener misses far more without copies", async () => {
  expect((await play(LOSSY, { seconds: 20, repeat: false })).lost).toBeGreaterThan(500);
});

test.each([
  ["300 ms away", LONG],
  ["that loses 5 %", LOSSY],
])("copies to a listener %s cost at most one packet per group and leave it the full rendition", async (_, link) => {
  const { copies, packets, lowGroups } = await play(link, { seconds: 20 });
  expect(copies).toBeGreaterThan(1000);
  expect(packets).toBeLessThanOrEqual(2);
  expect(lowGroups).toBe(0);
});

test("a listener gets copies of whole groups where there is no lower rendition", async () => {
  const { copies, lost } = await play({ delayMs: 50, loss: 0.01 }, { seconds: 20, low: false });
  expect(copies).toBeGreaterThan(700);
  expect(lost).toBeLessThanOrEqual(20);
});

test.each([
  ["live", undefined],
  ["sent ahead", AHEAD_MS],
])(
  "a listener of audio that is %s across a path with 150 ms of jitter gets the full rendition for good",
  async (_, aheadMs) => {
    const link = { delayMs: 50, jitterMs: 150 };
    const stage = await LossyStage.open({ down: link, up: link, seed: 2, aheadMs });
    // At first it looks like a full queue.
    await stage.run(60_000);
    const { low, lost } = await stage.run(30_000);
    expect({ low, lost }).toEqual({ low: 0, lost: 0 });
  },
);

test("groups that wait in full when a watcher gets the lower rendition go on without a gap on a long path", async () => {
  const link = { delayMs: 300, loss: 0.01 };
  const { lost, lowGroups } = await play(link, { seconds: 60, seed: 3, aheadMs: 4000 });
  expect(lowGroups).toBeGreaterThan(500);
  expect(lost).toBeLessThanOrEqual(600);
});

test("copies of whole groups are in time for a live listener, too", async () => {
  const { copies, lost } = await play({ delayMs: 10, loss: 0.02 }, { seconds: 30, low: false, aheadMs: undefined });
  expect(copies).toBeGreaterThan(1000);
  expect(lost).toBeLessThanOrEqual(60);
});

test("a listener across a clean path gets no copies", async () => {
  expect(await play({ delayMs: 150 }, { seconds: 20 })).toMatchObject({ lost: 0, lowGroups: 0, copies: 0 });
});

test.each([
  ["live", 10],
  ["sent ahead", 10],
  ["sent ahead", 40],
  ["sent ahead", 100],
])("a listener hears the lost end of every utterance that is %s, %i ms away", async (kind, roundTripMs) => {
  const link = { delayMs: roundTripMs / 2 };
  const aheadMs = kind === "live" ? undefined : AHEAD_MS;
  const stage = await LossyStage.open({ down: { ...link, loss: 0.05 }, up: link, seed: 1, aheadMs });
  await stage.run(2000);
  stage.down.set(link);
  await stage.run(500);
  stage.pause();
  await stage.run(1500);
  // A live listener's delay is too short for a copy of what was lost first of several.
  const tailMs = kind === "live" ? 20 : 60;
  let missing = 0;
  for (let utterance = 0; utterance < 3; utterance++) {
    stage.resume();
    const parts = [await stage.run(600 - tailMs)];
    stage.down.set({ ...link, blackhole: true });
    parts.push(await stage.run(tailMs));
    stage.pause();
    parts.push(await stage.run(40));
    stage.down.set(link);
    parts.push(await stage.run(1500));
    for (const { spoken, full, low } of parts) missing += spoken - full - low;
  }
  expect(missing).toBeLessThan(1);
});

test("a relay sends a waiting group every 40 ms while nothing arrives, though no further one comes", async () => {
  const link = { delayMs: 10 };
  const stage = await LossyStage.open({ down: { ...link, loss: 0.05 }, up: link, seed: 1, aheadMs: AHEAD_MS });
  await stage.run(2000);
  stage.down.set({ ...link, blackhole: true });
  await stage.run(440);
  stage.pause();
  const at: number[] = [];
  let sent = stage.counters.objectsOut;
  for (let ms = 0; ms < 240; ms++) {
    await stage.run(1);
    if (stage.counters.objectsOut > sent) at.push(stage.now);
    sent = stage.counters.objectsOut;
  }
  expect(at.slice(1).map((each, index) => each - at[index]!)).toEqual([40, 40, 40, 40, 40]);
});
