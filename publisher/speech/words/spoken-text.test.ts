import { expect, test } from "vitest";
import { spokenWords } from "./spoken-text.js";

const cut = (text: string) => spokenWords(text).map(({ start, end }) => text.slice(start, end));
const sounds = (word: string) =>
  spokenWords(word)[0]!
    .sounds.map((sound) => sound[0])
    .join("");

test("a text is cut between words, and in scripts without spaces by a dictionary", () => {
  expect(cut("Twenty-four, don't (you) think? - No.")).toEqual(["Twenty-four", "don't", "you", "think", "No"]);
  expect(cut("今日は晴れ")).toEqual(["今日", "は", "晴れ"]);
  expect(cut(" … ")).toEqual([]);
});

test("a pause follows punctuation, brackets and line ends", () => {
  const pauses = spokenWords("One, two three. Four (five) six\nseven").map(({ pause }) => pause);
  expect(pauses).toEqual(["comma", "none", "stop", "comma", "comma", "stop", "none"]);
});

test("letters are spelled out as they sound", () => {
  expect(sounds("think")).toBe("fvss");
  expect(sounds("arrive")).toBe("vsvf");
  expect(sounds("Straße")).toBe("fssvfv");
  expect(sounds("être")).toBe("vss");
  expect(sounds("PBX")).toBe("svsvsv");
  expect(sounds("хлеб")).toBe("fsvs");
  expect(sounds("7")).toBe("fvsv");
});
