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

test("the last letters of French words are probably not said, and those of other languages are", () => {
  const spelled = (text: string) =>
    spokenWords(text).map(({ start, end, sounds, silent }) => [
      text.slice(start, end),
      sounds.map((sound) => sound[0]).join(""),
      silent,
    ]);
  expect(spelled("Ils parlent des heures à l'hôtel, c'est tout")).toEqual([
    ["Ils", "vsf", 1],
    ["parlent", "svsvss", 3],
    ["des", "svf", 1],
    ["heures", "vsf", 1],
    ["à", "v", 0],
    ["l'hôtel", "svsvs", 0],
    ["c'est", "fvfs", 2],
    ["tout", "svs", 1],
  ]);
  const others = [
    "The talent hurts the two hosts",
    "Please pour it",
    "Das Talent ist des Hauses",
    "Hast du das",
    "Du kennst des Rats Lust",
    "Creo que la casa es la de los reyes",
    "Wat doe je pas laat",
    "Il gatto e le case",
  ];
  for (const text of others) expect(spelled(text).map(([, , silent]) => silent)).toEqual(text.split(" ").map(() => 0));
});
