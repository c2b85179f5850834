import { expect, test } from "vitest";
import { readOutline } from "../recording.js";
import { firstUnheard, sentenceStart, startOf, wordsFrom } from "./script.js";

test("the agent repeats the sentence that was cut, or the first word that was not heard, and counts from there", async () => {
  const { words } = await readOutline();
  const texts = words.map(({ text }) => text);
  expect(firstUnheard(words, words.length)).toBeUndefined();
  const cut = firstUnheard(words, texts.indexOf("installed"))!;
  expect(texts[sentenceStart(words, cut)]).toBe("You");
  expect(sentenceStart(words, cut)).toBe(1);
  expect(sentenceStart(words, texts.lastIndexOf("help"))).toBe(texts.indexOf("PBX.") + 1);
  expect(sentenceStart(words, 0)).toBe(0);
  for (const [index, word] of words.entries()) {
    const fromMs = startOf(words, index);
    expect(fromMs).toBeLessThanOrEqual(word.startMs);
    expect(fromMs).toBeGreaterThanOrEqual(words[index - 1]?.endMs ?? 0);
    const rest = wordsFrom(words, fromMs);
    expect(rest.map(({ text }) => text)).toEqual(texts.slice(index));
    expect(rest[0]!.startMs).toBe(word.startMs - fromMs);
    expect(rest[0]!.endMs - rest[0]!.startMs).toBe(word.endMs - word.startMs);
  }
});
