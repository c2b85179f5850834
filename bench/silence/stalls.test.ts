import { expect, test } from "vitest";
import { sharedClock } from "../support/clock.js";
import { StallWatch, stalledMs } from "./stalls.js";

test("stalls that overlap count once, and only as far as they lie within the time asked about", () => {
  const stalls = [
    { from: 40_000, until: 60_000 },
    { from: 0, until: 15_000 },
    { from: 50_000, until: 70_000 },
    { from: 52_000, until: 55_000 },
  ];
  expect(stalledMs(stalls, 10_000, 65_000)).toBe(5 + 25);
  expect(stalledMs(stalls, 20_000, 30_000)).toBe(0);
  expect(stalledMs([], 0, 1)).toBe(0);
});

test("a watch notes when the process stood still", async () => {
  const watch = new StallWatch();
  await new Promise((resolve) => setTimeout(resolve, 20));
  const from = sharedClock();
  while (sharedClock() < from + 50_000);
  await new Promise((resolve) => setTimeout(resolve, 20));
  watch.stop();
  expect(stalledMs(watch.between(from, from + 50_000), from, from + 50_000)).toBeGreaterThan(40);
});
