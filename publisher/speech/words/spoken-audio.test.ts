import { expect, test } from "vitest";
import { SpokenAudio } from "./spoken-audio.js";

const tone = (frames: number, level = 0.3, hertz = 1000) =>
  Float32Array.from({ length: frames }, (_, i) => level * Math.sin((2 * Math.PI * hertz * i) / 48_000));

test("level and frequency of each step are known, at any number of channels", () => {
  for (const [hertz, level, channels] of [
    [250, 0.5, 1],
    [4000, 0.05, 1],
    [1000, 1, 2],
  ] as const) {
    const audio = new SpokenAudio(channels);
    const samples = tone(4800, level, hertz);
    audio.write(
      0,
      channels === 1 ? samples : Float32Array.from({ length: 9600 }, (_, i) => (i % 2 === 0 ? samples[i / 2]! : 0)),
    );
    expect(audio.steps).toBe(10);
    expect(audio.levelDb(5)).toBe(Math.round(20 * Math.log10(level) - 3.01));
    expect(audio.octave(5)).toBeCloseTo(Math.log2(hertz), 0);
  }
});

test("the loud and the quiet of a speaker are known by how often they occur", () => {
  const audio = new SpokenAudio(1);
  audio.write(0, tone(48_000 * 0.9, 0.1));
  audio.write(audio.length, tone(48_000 * 0.1, 0.001));
  expect([audio.loudDb, audio.quietDb]).toEqual([-23, -63]);
});

test("audio rendered again after a rewind counts once", () => {
  const audio = new SpokenAudio(1);
  audio.write(0, tone(9600));
  audio.write(4800, tone(9600));
  expect(audio.length).toBe(14_400);
  expect(audio.steps).toBe(30);
});
