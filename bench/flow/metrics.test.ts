import { describe, expect, test } from "vitest";
import { fromSeconds, microseconds } from "../../base/index.js";
import { audible, LeadBuckets, timeToSilenceMs } from "./metrics.js";

const s = fromSeconds;

describe("audible", () => {
  const run = { listeningSince: s(10), sent: s(15), frontier: s(6) };
  const group = (arrival: number, start: number, played = true) => ({ arrival: s(arrival), start: s(start), played });

  test("waits for the playhead when the change arrives ahead of it, and for the change when it is late", () => {
    expect(audible({ ...run, groups: [group(15.05, 5.2), group(15.1, 6.5)] })).toEqual({ firstMs: 200, fullMs: 1000 });
    expect(audible({ ...run, groups: [group(18, 5.2), group(18, 6.5)] })).toEqual({ firstMs: 3000, fullMs: 3000 });
  });

  test("counts nothing that the speaker did not play", () => {
    expect(audible({ ...run, groups: [group(15.05, 5.2, false), group(15.1, 6.5)] })).toEqual({
      firstMs: 1500,
      fullMs: 1500,
    });
    expect(audible({ ...run, groups: [group(15.05, 5.2, false)] })).toEqual({ firstMs: undefined, fullMs: undefined });
  });
});

describe("LeadBuckets", () => {
  test("summarises five seconds at a time and stays bounded", () => {
    const buckets = new LeadBuckets({ maxBuckets: 2 });
    buckets.add(microseconds(5), s(0));
    for (const lead of [100, -100, 300, 200]) buckets.add(microseconds(lead), s(6));
    buckets.add(microseconds(-1), s(10));
    expect(buckets.summary()).toEqual([
      { start: s(5), count: 4, min: -100, median: 150, negative: 0.25 },
      { start: s(10), count: 1, min: -1, median: -1, negative: 1 },
    ]);
    for (let index = 0; index < 9000; index++) buckets.add(microseconds(0), s(11));
    expect(buckets.dropped).toBe(9000 - 8191);
  });
});

describe("timeToSilenceMs", () => {
  test("ends with the last taken-back sample that was pulled", () => {
    const pull = (at: number, stale: boolean) => ({ at: s(at), stale });
    expect(timeToSilenceMs(s(2), [])).toBe(0);
    expect(timeToSilenceMs(s(2), [pull(1, true), pull(2.003, true), pull(2.01, true), pull(2.5, false)])).toBe(10);
  });
});
