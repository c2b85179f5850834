import { expect, test } from "vitest";
import { lateForMs, leadBuckets, madeUpMs, playheadErrors, silentMs, wireRateBps } from "./figures.js";

const SECOND = 1e6;
const span = { from: 10 * SECOND, to: 20 * SECOND };
const landing = (at: number, lead: number, timestamp = 0) => ({ at: at * SECOND, lead: lead * 1000, timestamp });

test("leads are grouped by 5 s from the row's start, and lateness lasts from its first to its last moment", () => {
  const landings = [
    landing(9, -900),
    landing(11, 30),
    landing(12, -10),
    landing(13, 50),
    landing(14, -1),
    landing(16, 9),
  ];
  expect(leadBuckets(landings, span).map(({ count, min, negative }) => [count, min, negative])).toEqual([
    [4, -10_000, 0.5],
    [1, 9000, 0],
  ]);
  expect(lateForMs(landings, span)).toBe(4000);
  expect(lateForMs([landing(11, 1)], span)).toBe(0);
  expect(lateForMs([landing(11, 1), landing(15, -1)], span)).toBe(5000);
});

test("silence counts after the first sound, and sound that never came counts as made up", () => {
  const frames = (ms: number) => ms * 48;
  const runs = [
    { at: 0, timestamp: undefined, frames: frames(9000) },
    { at: 9 * SECOND, timestamp: 0, frames: frames(1500) },
    { at: 10.5 * SECOND, timestamp: undefined, frames: frames(40) },
    { at: 10.54 * SECOND, timestamp: 1_500_000, frames: frames(100) },
    { at: 19.99 * SECOND, timestamp: undefined, frames: frames(100) },
  ];
  expect(silentMs(runs, span)).toBeCloseTo(50);
  const all = Array.from({ length: 90 }, (_, index) => landing(0, 100, index * 20_000));
  expect(madeUpMs({ runs, landings: all }, span, 20)).toBe(0);
  // One came too late, one never; one more is missing before the row begins.
  const some = all.filter((_, index) => index !== 60 && index !== 10);
  some[76 - 2] = { ...some[76 - 2]!, lead: -30_000 };
  expect(some[76 - 2]!.timestamp).toBe(76 * 20_000);
  expect(madeUpMs({ runs, landings: some }, span, 20)).toBe(40);
});

test("an estimate is compared with the playhead between two looks at it, while the speaker plays", () => {
  const far = [11, 12, 13, 14].map((at) => ({
    at: at * SECOND,
    playheadUs: (at - 10) * SECOND,
    playing: at !== 14,
    bufferMs: 0,
    downQueuedBytes: 0,
    downBytes: at * 1000,
  }));
  const near = [10.5, 11.5, 12.25, 13.5, 25].map((at) => ({
    at: at * SECOND,
    playheadUs: (at - 10) * SECOND + 7000,
    leadMs: 0,
    stalenessMs: 0,
  }));
  const errors = playheadErrors(near, far, span);
  expect(errors.map(({ at }) => at / SECOND)).toEqual([11.5, 12.25]);
  for (const { errorMs } of errors) expect(errorMs).toBeCloseTo(7);
  expect(wireRateBps(far, span)).toBe(8000);
});
