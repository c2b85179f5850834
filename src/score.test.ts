import { expect, test } from "vitest";
import { noise } from "../tests/support/signal.js";
import { alignedScore, findLag, levelDb, siSdr } from "./score.js";

test("a score ignores scale and delay, and falls by the noise added", () => {
  const clean = noise(48_000, 1);
  const added = noise(48_000, 2);
  const noisy = clean.map((sample, i) => sample + 0.1 * added[i]!);
  expect(siSdr(clean, noisy)).toBeGreaterThan(19.5);
  expect(siSdr(clean, noisy)).toBeLessThan(20.5);
  expect(siSdr(clean, added)).toBeLessThan(-20);

  const late = new Float32Array(48_000);
  late.set(
    noisy.subarray(0, 47_700).map((sample) => sample * 0.3),
    300,
  );
  expect(findLag(clean, late, 400)).toBe(300);
  expect(alignedScore(clean, late, 400)).toBeGreaterThan(19);
  expect(alignedScore(late, clean, 400)).toBeGreaterThan(15);
});

test("levels are decibels below full scale and silence has a floor", () => {
  expect(levelDb(new Float32Array(100))).toBe(-120);
  expect(levelDb(new Float32Array(100).fill(0.1))).toBeCloseTo(-20, 3);
});
