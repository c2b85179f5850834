import { readFile } from "node:fs/promises";
import fc from "fast-check";
import { expect, test } from "vitest";
import { readSamples } from "../../../tests/support/caller-sounds.js";
import { say } from "../../../tests/support/virtual-voice.js";
import { SpokenAudio } from "./spoken-audio.js";
import { spokenWords } from "./spoken-text.js";
import { TextAlignment } from "./text-alignment.js";
import { Words } from "./words.js";

const VOCABULARY =
  "a the of and to is it you we order arrive Friday please account number responsibility strength through people seven window confirmation router minutes international believe twenty-four don't".split(
    " ",
  );
const texts = fc
  .array(fc.tuple(fc.constantFrom(...VOCABULARY), fc.constantFrom("", "", "", "", ",", ".", "?")), {
    minLength: 4,
    maxLength: 30,
  })
  .map((words) => `${words.map(([word, mark]) => word + mark).join(" ")}.`);

/** How many words an estimate is ahead of the speaker, at every 400 ms. */
function offs(text: string, seed: number, aheadMs: number): number[] {
  const { trace, endsMs, lengthMs } = say(text, seed);
  const words = new Words(text, trace);
  const found: number[] = [];
  for (let ms = 100; ms < lengthMs; ms += 400) {
    trace.steps = Math.min(lengthMs, ms + aheadMs) / 10;
    const isComplete = ms + aheadMs >= lengthMs;
    const heard = words.heard({ ms, isWhole: false, isComplete }).text;
    found.push(heard.split(" ").filter(Boolean).length - endsMs.filter((end) => end <= ms).length);
  }
  return found;
}

test("without timings no word counts that a random speaker has not said, and the text is within a word", () => {
  const all: number[] = [];
  fc.assert(
    fc.property(texts, fc.nat(), fc.constantFrom(200, 4000, 60_000), (text, seed, aheadMs) => {
      const found = offs(text, seed, aheadMs);
      all.push(...found);
      expect(Math.max(...found)).toBeLessThanOrEqual(0);
    }),
    { numRuns: 15, seed: 14 },
  );
  expect(all.filter((off) => off >= -1).length / all.length).toBeGreaterThanOrEqual(0.9);
});

test.each([8000, 200])(
  "without timings no word of the shipped recording counts before it was said, known %i ms ahead, and the text is within a word",
  async (aheadMs) => {
    const folder = new URL("../../../examples/audio/", import.meta.url).pathname;
    const { text, words } = JSON.parse(await readFile(`${folder}demo-words.json`, "utf8")) as {
      readonly text: string;
      readonly words: readonly { readonly endMs: number }[];
    };
    const samples = await readSamples(`${folder}demo-clean.wav`);
    const audio = new SpokenAudio(1);
    const spoken = new Words(text, audio);
    const found: number[] = [];
    for (let ms = 100; ms < samples.length / 48; ms += 300) {
      audio.write(audio.length, samples.subarray(audio.length, (ms + aheadMs) * 48));
      const heard = spoken.heard({ ms, isWhole: false, isComplete: audio.length === samples.length }).text;
      found.push(heard.split(" ").filter(Boolean).length - words.filter(({ endMs }) => endMs <= ms).length);
    }
    expect(Math.max(...found)).toBeLessThanOrEqual(0);
    expect(found.filter((off) => off >= -1).length / found.length).toBeGreaterThanOrEqual(0.9);
  },
);

test("a text that grows while the audio streams is aligned like one that was known from the start", () => {
  const text = "Your order will arrive on Friday, I think. If it does not, please call us again.";
  const { trace, lengthMs } = say(text, 3);
  const [whole, growing] = [new Words(text, trace), new Words(undefined, trace)];
  let given = 0;
  for (let ms = 100; ms < lengthMs; ms += 100) {
    trace.steps = ms / 10;
    const upTo = text.indexOf(" ", Math.ceil((1.6 * text.length * ms) / lengthMs) + 12);
    const end = upTo < 0 ? text.length : upTo;
    growing.addText(text.slice(given, end));
    given = Math.max(given, end);
    const audio = { ms, isWhole: false };
    expect(whole.heard(audio).text.startsWith(growing.heard(audio).text)).toBe(true);
  }
  trace.steps = lengthMs / 10;
  const end = { ms: lengthMs - 100, isWhole: false, isComplete: true };
  expect(growing.heard(end)).toEqual(whole.heard(end));
});

test("silence, noise and a text that is not said let no word count", () => {
  for (const level of [0, 0.001, 0.3]) {
    const audio = new SpokenAudio(1);
    const random = Float32Array.from({ length: 48_000 * 2 }, (_, i) => level * Math.sin(i * i));
    audio.write(0, random);
    const alignment = new TextAlignment(audio);
    alignment.setWords(spokenWords("Is anything said here, and if so, by which of the two voices?"));
    expect(alignment.at(200, false, 0.97).ended, `level ${level}`).toBeLessThanOrEqual(2);
    expect(new TextAlignment(audio).at(200, true, 0.97)).toEqual({ ended: 0, begun: 0 });
  }
});

test("a text far longer than the audio that is complete counts only words that were said", () => {
  const sentence = "Your order will arrive on Friday, I think. ";
  const { trace, endsMs, lengthMs } = say(sentence, 5);
  const words = new Words(sentence.repeat(40), trace);
  const counts = (ms: number) =>
    words.heard({ ms, isWhole: false, isComplete: true }).text.split(" ").filter(Boolean).length;
  const found: number[] = [];
  for (let ms = 100; ms < lengthMs; ms += 100) found.push(counts(ms) - endsMs.filter((end) => end <= ms).length);
  expect(Math.max(...found)).toBeLessThanOrEqual(0);
  expect(found.filter((off) => off >= -1).length / found.length).toBeGreaterThanOrEqual(0.9);
});

test("a long text is followed to its last word", () => {
  const sentence = "Your order will arrive on Friday, I think. ";
  const { trace } = say(sentence.repeat(40), 5);
  const alignment = new TextAlignment(trace);
  alignment.setWords(spokenWords(sentence.repeat(40)));
  expect(alignment.at(trace.steps, true, 0.97).ended).toBe(320);
  expect(alignment.at(trace.steps - 100, true, 0.97).ended).toBeLessThan(320);
});
