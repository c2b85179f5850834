import { expect, test } from "vitest";
import { noise } from "../../tests/support/signal.js";
import { exponentialIntegral } from "./mmse.js";
import { findLag, highPass, pauseNoise, score, siSdr, stoi } from "./score.js";
import { estimate, markdown, quantile } from "./statistics.js";

const RATE = 48_000;

/** Words of a buzzing voice with pauses between them. */
function voice(seconds: number): Float32Array {
  return Float32Array.from({ length: seconds * RATE }, (_, i) => {
    const time = i / RATE;
    if (time % 0.8 > 0.5) return 0;
    const pitch = 2 * Math.PI * 130 * (time + 0.02 * Math.sin(9 * time));
    let sum = 0;
    for (let k = 1; k < 30; k++) sum += Math.sin(k * pitch) / k;
    return 0.1 * sum * (1 + Math.sin(23 * time));
  });
}

test("SI-SDR is the ratio that was mixed, whatever the level of the output", () => {
  const clean = highPass(voice(2));
  const sound = noise(clean.length, 1);
  const energy = (x: ArrayLike<number>) => Array.from(x).reduce((sum, v) => sum + v * v, 0);
  const gain = Math.sqrt(energy(clean) / energy(sound) / 10 ** (12 / 10));
  const mixed = clean.map((x, i) => 0.3 * (x + gain * sound[i]!));
  expect(siSdr(clean, mixed)).toBeCloseTo(12, 0);
  expect(
    siSdr(
      clean,
      clean.map((x) => -2 * x),
    ),
  ).toBeGreaterThan(100);
});

test("a clip that only comes late scores as if it had come in time, and noise lowers every score", async () => {
  const clean = voice(4);
  const late = new Float32Array(clean.length);
  late.set(clean.subarray(0, clean.length - 480), 480);
  expect(findLag(clean, late)).toBe(480);
  const same = await score(clean, clean, late, false);
  expect(same.siSdrDb).toBeGreaterThan(60);
  expect(same.stoi).toBeGreaterThan(0.999);

  const sound = noise(clean.length, 1);
  const [little, much] = [0.05, 0.5].map((gain) => clean.map((x, i) => x + gain * sound[i]!));
  const [better, worse] = [await score(clean, much!, little!, false), await score(clean, much!, much!, false)];
  expect(better.siSdrDb).toBeGreaterThan(worse.siSdrDb + 15);
  expect(better.stoi).toBeGreaterThan(worse.stoi);
  expect(worse.pauseDb).toBeCloseTo(0, 5);
  expect(better.pauseDb).toBeCloseTo(-20, 0);
  expect(await stoi(clean, sound)).toBeLessThan(0.4);
});

test("a method with a high-pass of its own isn't filtered twice", async () => {
  const clean = voice(3).map((x, i) => x + 0.2 * Math.sin((2 * Math.PI * 20 * i) / RATE));
  const filtered = Float32Array.from(highPass(clean));
  expect((await score(clean, clean, filtered, true)).siSdrDb).toBeGreaterThan(60);
  expect((await score(clean, clean, filtered, false)).siSdrDb).toBeLessThan(30);
});

test("clips without pauses say nothing about pauses", () => {
  const steady = noise(RATE, 1);
  expect(pauseNoise(steady, steady, steady)).toBeNaN();
});

test("the exponential integral agrees with its tables", () => {
  expect(exponentialIntegral(0.1)).toBeCloseTo(1.8229, 3);
  expect(exponentialIntegral(1)).toBeCloseTo(0.21938, 4);
  expect(exponentialIntegral(3)).toBeCloseTo(0.013048, 5);
});

test("estimates leave out what is not a number, and tables line up", () => {
  const { mean, interval, count } = estimate([1, 3, Number.NaN]);
  expect([mean, count]).toEqual([2, 2]);
  expect(interval).toBeCloseTo(1.96, 5);
  expect(quantile([5, 1, 3], 0.5)).toBe(3);
  expect(
    markdown([
      ["a", "bb"],
      ["ccc", "d"],
    ]),
  ).toBe("| a   | bb |\n| --- | -- |\n| ccc | d  |");
});
