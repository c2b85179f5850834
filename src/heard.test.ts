import { expect, test } from "vitest";
import { type Microseconds, microseconds } from "../base/index.js";
import { byMediaTime, HeardRecorder, heardScore } from "./heard.js";

/** Syllable-like bursts of noise: an envelope to find, and a waveform to line up to the sample. */
function speechLike(seconds: number, seed: number): Float32Array {
  let state = seed;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const samples = new Float32Array(seconds * 48_000);
  for (let at = 0; at < samples.length; ) {
    const length = Math.floor(2_000 + random() * 12_000);
    const level = random() < 0.4 ? 0 : random();
    for (let i = at; i < Math.min(samples.length, at + length); i++) samples[i] = level * (2 * random() - 1);
    at += length;
  }
  return samples;
}

const run = (timestamp: Microseconds | undefined, frames: number) => ({
  epoch: timestamp === undefined ? undefined : 0,
  timestamp,
  frames,
  pulledAt: microseconds(0),
  lastPulledAt: microseconds(0),
});

test("heard audio is found anywhere in the loop, across its seam and a pause, and noise lowers the score", () => {
  const loop = speechLike(5, 7);
  const noise = speechLike(5, 8);
  const start = 177_777;
  const heard = Float32Array.from({ length: 192_000 }, (_, i) => 0.5 * loop[(start + i) % loop.length]!);
  expect(heardScore(loop, heard)).toBeGreaterThan(60);
  const noisy = heard.map((sample, i) => sample + 0.05 * noise[i]!);
  expect(heardScore(loop, noisy)).toBeGreaterThan(15);
  expect(heardScore(loop, noisy)).toBeLessThan(30);
  expect(heardScore(loop, noise.subarray(0, 192_000))).toBeLessThan(0);
});

test("an underrun is removed and a hole in media time is kept", () => {
  const recorder = new HeardRecorder({ maximumSeconds: 1 });
  recorder.write([Float32Array.of(9, 9, 1, 2, 9, 3, 4)]);
  const record = [
    run(undefined, 2),
    run(microseconds(1_000_000), 2),
    run(undefined, 1),
    run(microseconds(1_000_000 + (3 * 1e6) / 48_000), 2),
  ];
  expect([...byMediaTime(record, recorder.samples)]).toEqual([1, 2, 0, 3, 4]);
  recorder.write([new Float32Array(100_000)]);
  expect(recorder.samples.length).toBe(48_000);
});
