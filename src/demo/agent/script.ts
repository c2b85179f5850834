import type { PageRecording } from "../../page/index.js";

/** Speech restarts this long before a word, if the word before leaves room. */
const RUN_UP_MS = 100;

type Words = PageRecording["words"];

/** The first word of a recording that was not heard completely; undefined when all were. */
export function firstUnheard(words: Words, heardWords: number): number | undefined {
  return heardWords < words.length ? heardWords : undefined;
}

/** The first word of a word's sentence. */
export function sentenceStart(words: Words, index: number): number {
  const end = words.slice(0, index).findLastIndex(({ text }) => /[.!?]$/.test(text));
  return end + 1;
}

/** Where to start so that a word is heard completely, in milliseconds of the recording. */
export function startOf(words: Words, index: number): number {
  const { startMs } = words[index]!;
  const endBefore = words[index - 1]?.endMs ?? 0;
  return Math.max(endBefore, startMs - RUN_UP_MS);
}

/** The words from a position on, with their times counted from there. */
export function wordsFrom(words: Words, fromMs: number): Words {
  return words
    .filter(({ startMs }) => startMs >= fromMs)
    .map(({ text, startMs, endMs }) => ({ text, startMs: startMs - fromMs, endMs: endMs - fromMs }));
}
