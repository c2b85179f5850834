import { expect, test } from "vitest";
import { VoicedAudio } from "./voiced-audio.js";

const tone = (frames: number, level = 0.3) => Float32Array.from({ length: frames }, (_, i) => level * Math.sin(i / 7));

test("pauses and faint noise are not voice, and speech is, at any level", () => {
  for (const level of [0.5, 0.02]) {
    const voiced = new VoicedAudio(1);
    voiced.write(0, tone(4800, level));
    voiced.write(4800, tone(4800, level / 100));
    voiced.write(9600, tone(4800, level));
    expect(voiced.voicedMs(14_400)).toBe(200);
    expect(voiced.voicedMs(2400)).toBe(50);
    expect(voiced.voicedMs(9600)).toBe(100);
    expect(voiced.voicedMs(9840)).toBe(105);
  }
});

test("silence alone has no voice", () => {
  const voiced = new VoicedAudio(2);
  voiced.write(0, new Float32Array(48_000));
  expect(voiced.voicedMs(24_000)).toBe(0);
});

test("audio rendered again after a rewind counts once", () => {
  const voiced = new VoicedAudio(1);
  voiced.write(0, tone(9600));
  voiced.write(4800, tone(9600));
  expect(voiced.length).toBe(14_400);
  expect(voiced.voicedMs(96_000)).toBe(300);
});
