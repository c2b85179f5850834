import { expect, test } from "vitest";
import { readInterrupt, readRecording, readStats } from "./replies.js";

const piece = { speech: 1, timestamp: 2_000_000, fromMs: 0, lengthMs: 40 };
const heard = { speech: 1, ms: 900, text: "You have" };
const stats = {
  denoise: { strength: 0.5, attenuationLimitDb: 12, bypass: false },
  listeners: 2,
  frontierUs: 4_000_000,
  spoken: { isInterrupted: true, pieces: [piece], heard },
  link: { port: 4443, delayMs: 40, jitterMs: 10, loss: 0.02, rateKbps: 64 },
  caller: { broadcast: "caller", isSpeaking: true },
};
const recording = { text: "You", words: [{ text: "You", startMs: 0, endMs: 90 }], levels: [0.1, 0.2], levelMs: 10 };
const interrupted = { heardUntil: 1_230_000, heard };

/** Every answer that has one value less, or another value in its place; none of these may be read. */
function* broken(value: unknown): Generator<unknown> {
  yield value === null ? 1 : null;
  if (typeof value !== "object" || value === null) return;
  for (const [name, part] of Object.entries(value))
    for (const worse of broken(part)) yield Array.isArray(value) ? [worse] : { ...value, [name]: worse };
}

test("the page reads what its server answers, and no answer in which any value is of another kind", () => {
  const readers = [
    [readStats, stats],
    [readRecording, recording],
    [readInterrupt, interrupted],
  ] as const;
  for (const [read, answer] of readers) {
    expect(read({ ...answer, more: 1 })).toEqual({ ...answer, more: 1 });
    const worse = [...broken(answer)];
    expect(worse.length).toBeGreaterThan(5);
    for (const each of worse) expect(read(each), JSON.stringify(each)).toBeUndefined();
  }
});

test("the page reads answers that leave out what a server need not have, and no others", () => {
  expect(readStats({})).toEqual({});
  expect(readStats({ spoken: { isInterrupted: false, pieces: [] } })?.spoken?.heard).toBeUndefined();
  expect(readInterrupt({})).toEqual({});
  for (const name of Object.keys(recording)) expect(readRecording({ ...recording, [name]: undefined })).toBeUndefined();
});
