import fc from "fast-check";
import { expect, test } from "vitest";
import { sayWords } from "../../../tests/support/virtual-voice.js";
import { Words, type WordTiming } from "./words.js";

const at = (ms: number) => ({ ms, isWhole: false });
const TEXT = "Your order will arrive on Friday, I think.";
const ORDER: WordTiming[] = ["Your", "order", "will", "arrive", "on", "Friday,", "I", "think."].map((text, index) => ({
  text,
  startMs: index * 300,
  durationMs: 250,
}));

function words(list: readonly WordTiming[], text?: string): Words {
  const all = new Words(text);
  all.add(list);
  return all;
}

test("a word counts as heard once its last sample was heard", () => {
  const spoken = words(ORDER, TEXT);
  expect(spoken.heard(at(0))).toEqual({ text: "", exact: true });
  expect(spoken.heard(at(248))).toEqual({ text: "", exact: true });
  expect(spoken.heard(at(250)).text).toBe("Your");
  expect(spoken.heard(at(1450)).text).toBe("Your order will arrive on");
  expect(spoken.heard(at(1749)).text).toBe("Your order will arrive on Friday,");
  expect(spoken.heard({ ms: 2300, isWhole: true })).toEqual({ text: TEXT, exact: true });
});

test("a word without an end ends where the next one starts, and the last one with the source", () => {
  const spoken = words([
    { text: "one", startMs: 0 },
    { text: "two", startMs: 400 },
  ]);
  expect(spoken.heard(at(398)).text).toBe("");
  expect(spoken.heard(at(400)).text).toBe("one");
  expect(spoken.heard(at(90_000)).text).toBe("one");
  expect(spoken.heard({ ms: 800, isWhole: true }).text).toBe("one two");
});

test("words that a service gives one start for, without an end, end together", () => {
  const spoken = words([
    { text: "New", startMs: 1000 },
    { text: "York", startMs: 1000 },
    { text: "City", startMs: 1000 },
    { text: "is", startMs: 1600 },
  ]);
  expect(spoken.heard(at(1500)).text).toBe("");
  expect(spoken.heard(at(1600)).text).toBe("New York City");
});

test.each([
  ["It\u2019s \u201Cfine\u201D, isn\u2019t it", ["It's", '"fine",', "isn't", "it"]],
  ["It's 'fine', isn't it", ["it\u2019s", "\u2018fine\u2019,", "isn\u2019t", "IT"]],
  ["Well\u2026 10\u00A0000 half\u2013price", ["well...", "10 000", "half-price"]],
  ["Caf\u00E9 cr\u00E8me", ["Cafe\u0301", "cre\u0300me"]],
  ["Cafe\u0301 cre\u0300me", ["caf\u00E9", "CR\u00C8ME"]],
  ["Donau\u00ADdampf \u0130stanbul Stra\u00DFe", ["Donaudampf", "i\u0307stanbul", "STRASSE"]],
  ["\u200F\u05E9\u05DC\u05D5\u05DD\u200F \u05D8\u05D5\u05D1", ["\u05E9\u05DC\u05D5\u05DD", "\u05D8\u05D5\u05D1"]],
])("the words of %j are found in another typography, one by one", (text, spoken) => {
  const list = spoken.map((each, index) => ({ text: each, startMs: index * 300, durationMs: 300 }));
  const all = words(list, text);
  const parts = text.split(" ");
  for (let count = 0; count <= parts.length; count++) {
    expect(all.heard(at(count * 300))).toEqual({ text: parts.slice(0, count).join(" "), exact: true });
  }
});

test("a word is not found at the start of one that differs in its accent", () => {
  const list = ["to", "cafe", "resume"].map((text, index) => ({ text, startMs: index * 300, durationMs: 300 }));
  expect(words(list, "to re\u0301sume\u0301 caf\u00E9").heard(at(600))).toEqual({ text: "to", exact: false });
});

test("timings that come again, one by one or all, or with another end, count once", () => {
  const spoken = words(ORDER, TEXT);
  spoken.add(ORDER);
  for (const word of ORDER) spoken.add([{ text: word.text, startMs: word.startMs, endMs: word.startMs + 280 }]);
  expect(spoken.heard(at(870))).toEqual({ text: "Your order", exact: true });
  expect(spoken.heard(at(1480))).toEqual({ text: "Your order will arrive on", exact: true });
  // A word that is said twice, and a letter that is written twice, are not.
  const twice = words(
    ["very", "very"].map((text, index) => ({ text, startMs: index * 300, durationMs: 300 })),
    "very very good",
  );
  twice.add([{ text: "good", startMs: 600, durationMs: 300 }]);
  expect(twice.heard(at(600)).text).toBe("very very");
});

test("as many words as are allowed take one pass to count and to join", () => {
  const count = 65_536;
  // Two words have each start.
  const list = Array.from({ length: count }, (_, index) => ({ text: `w${index}`, startMs: 100 * (index >> 1) }));
  const spoken = words(list);
  const texts = list.map(({ text }) => text);
  // Each word compared to all others, it would take minutes.
  for (let part = 1; part <= 40; part++) {
    const ms = Math.floor((part * count) / 40) * 50;
    const ended = 2 * Math.min(count / 2 - 1, Math.floor((ms + 1) / 100));
    expect(spoken.heard(at(ms)).text).toBe(texts.slice(0, ended).join(" "));
  }
  expect(spoken.heard({ ms: 1e9, isWhole: true }).text).toBe(texts.join(" "));
});

test("characters are joined as they are, words with spaces, and neither in scripts without spaces", () => {
  const characters = [..."Hi, you"].map((text, index) => ({ text, startMs: index * 50, durationMs: 50 }));
  expect(words(characters).heard(at(1000)).text).toBe("Hi, you");
  expect(words(characters).heard(at(150)).text).toBe("Hi,");
  const tokens = ["Hello", ",", "it's", " me", "(", "you"].map((text, index) => ({
    text,
    startMs: index,
    endMs: index,
  }));
  expect(words(tokens).heard(at(1000)).text).toBe("Hello, it's me (you");
  const japanese = ["今日", "は", "晴れ"].map((text, index) => ({ text, startMs: index, endMs: index }));
  expect(words(japanese).heard(at(1000)).text).toBe("今日は晴れ");
  for (const [parts, joined] of [
    [["スーパー", "に", "行く", "。", "𠮷野", "家"], "スーパーに行く。𠮷野家"],
    [["你好", "，", "世界", "！", "再见"], "你好，世界！再见"],
    [["မင်္ဂ", "လာပါ"], "မင်္ဂလာပါ"],
    [["สวัส", "ดี"], "สวัสดี"],
    [["¿", "Qué", "tal", "?", "👍", "Sí"], "¿Qué tal? 👍 Sí"],
  ] as const) {
    const timings = parts.map((text, index) => ({ text, startMs: index, endMs: index }));
    expect(words(timings).heard(at(1000)).text).toBe(joined);
  }
});

test("timings of characters cut no word in half, and no character where a script has no words", () => {
  const timed = (text: string, units: readonly string[], known = true) => {
    const cut = new Words(known ? text : undefined);
    cut.add(units.map((each, index) => ({ text: each, startMs: index * 50, durationMs: 50 })));
    return cut;
  };
  const each = (text: string, known = true) => timed(text, [...text], known);
  for (const known of [true, false]) {
    const order = each("Your order", known);
    expect(order.heard(at(380))).toEqual({ text: "Your", exact: true });
    expect(order.heard(at(180))).toEqual({ text: "", exact: true });
    expect(order.heard(at(500)).text).toBe("Your order");
    expect(order.heard({ ms: 500, fromMs: 60, isWhole: true }).text).toBe("order");
  }
  expect(timed("Hi \u{1f600} ok", "Hi \u{1f600} ok".split("")).heard(at(201)).text).toBe("Hi");
  expect(timed("cafe\u0301 ok", "cafe\u0301 ok".split("")).heard(at(201)).text).toBe("");
  expect(each("\u4f60\u597d\u4e16\u754c").heard(at(101)).text).toBe("\u4f60\u597d");
  expect(each("\u0e01\u0e34\u0e19\u0e02\u0e49\u0e32\u0e27").heard(at(51)).text).toBe("");
  for (const ms of [60, 110]) expect(each("I'm here").heard(at(ms)).text).toBe("");
  for (const ms of [60, 110, 210]) expect(each("1,250 euros").heard(at(ms)).text).toBe("");
  expect(each("1,250 euros").heard(at(260)).text).toBe("1,250");
  expect(each("Friday, 10:30.").heard(at(560)).text).toBe("Friday,");
  // A name in letters among characters that are words of their own.
  const mixed = each("\u8bf7\u6253\u5f00iPhone\u8bbe\u7f6e");
  for (const ms of [151, 310, 440]) expect(mixed.heard(at(ms)).text).toBe("\u8bf7\u6253\u5f00");
  expect(mixed.heard(at(451)).text).toBe("\u8bf7\u6253\u5f00iPhone");
  expect(mixed.heard({ ms: 550, fromMs: 210, isWhole: true }).text).toBe("\u8bbe\u7f6e");
  expect(each("'Hi' he said").heard(at(160)).text).toBe("'Hi");
});

test("words that arrive while the audio streams count from then on, even out of order", () => {
  const spoken = new Words(TEXT);
  expect(spoken.timed).toBe(false);
  spoken.add(ORDER.slice(3, 5));
  spoken.add(ORDER.slice(0, 3));
  expect(spoken.heard(at(850)).text).toBe("Your order will");
  spoken.add(ORDER.slice(5));
  expect(spoken.heard(at(2050)).text).toBe("Your order will arrive on Friday, I");
});

test("a word spoken differently from its spelling makes the text inexact only until the next one", () => {
  const spoken = words(
    [
      { text: "It", startMs: 0, endMs: 100 },
      { text: "costs", startMs: 100, endMs: 200 },
      { text: "five", startMs: 200, endMs: 300 },
      { text: "euros", startMs: 300, endMs: 400 },
    ],
    "It costs 5 Euros.",
  );
  expect(spoken.heard(at(200))).toEqual({ text: "It costs", exact: true });
  expect(spoken.heard(at(300))).toEqual({ text: "It costs", exact: false });
  expect(spoken.heard(at(400))).toEqual({ text: "It costs 5 Euros", exact: true });
});

const said = (words: string) =>
  words.split(" ").map((text, index) => ({ text, startMs: index * 100, endMs: index * 100 + 90 }));

test("a short word behind one that is spoken differently is not found within another word", () => {
  const spoken = words(said("It costs fifteen more a year"), "It costs €15 extra a year, a year.");
  expect(spoken.heard(at(490))).toEqual({ text: "It costs €15 extra a", exact: true });
  expect(words(said("sea a year"), "caaa a year").heard(at(190)).text).toBe("caaa a");
});

test.each([
  ["I have 2 dogs and two cats", "I have two dogs and two cats", 3, "I have"],
  ["Room 25, five people", "room twenty five five people", 3, "Room"],
  ["1,234,567 is one more", "one million two hundred thirty four thousand five hundred sixty seven is one more", 1, ""],
  ["2 4 two four", "two four two four", 2, ""],
  ["我有2只狗和两只猫", "我 有 两 只 狗 和 两 只 猫", 3, "我有"],
])("a word that stands for a number is not taken for its like later on: %s", (text, spoken, count, heard) => {
  const timed = words(said(spoken), text);
  const all = spoken.split(" ").length;
  expect(timed.heard(at(count * 100))).toEqual({ text: heard, exact: false });
  expect(timed.heard(at(all * 100)).text).toBe(text);
});

test("text without timings is passed once the words behind it come", () => {
  const link = words(said("see docs for more about it all"), "See [docs](https://a.b/c) for more about it all.");
  expect(link.heard(at(200))).toEqual({ text: "See [docs", exact: true });
  expect(link.heard(at(300))).toEqual({ text: "See [docs](https://a.b/c) for", exact: true });
  expect(words(said("the dog barks at me"), "Well, the dog barks at me").heard(at(100)).text).toBe("Well, the");
});

test("a text whose audio broke off was heard only as far as its audio", () => {
  const timed = words(said("one two three"), "One two three.");
  const untimed = new Words("One two three four.", sayWords(["One", "two", "three"], 300));
  for (const each of [timed, untimed]) each.breakOff();
  expect(timed.heard({ ms: 190, isWhole: true, isComplete: true })).toEqual({ text: "One two", exact: true });
  expect("One two").toContain(untimed.heard({ ms: 900, isWhole: true, isComplete: true }).text);
});

test("a word whose end is null has no end of its own", () => {
  const timings = JSON.parse(
    '[{"text":"one","startMs":0,"durationMs":null},{"text":"two","startMs":400,"endMs":null}]',
  );
  expect(words(timings).heard(at(300)).text).toBe("");
  expect(words(timings).heard(at(400)).text).toBe("one");
});

const TOKENS = [
  ...["five", "a", "dogs", "two", "and", "Euros"].map((text) => [text, text] as const),
  ...[["5", "five"] as const, ["25,", "twenty five"] as const, ["2", "two"] as const],
  ...[["€5", "five euros"] as const, ["125", "a hundred and twenty five"] as const],
] as const;

test("whatever numbers a text has, its heard part holds none that was not said to its end", () => {
  const tokens = fc.array(fc.constantFrom(...TOKENS), { minLength: 1, maxLength: 14 });
  fc.assert(
    fc.property(tokens, (list) => {
      const text = list.map(([written]) => written).join(" ");
      const spoken = list.map(([, each]) => each).join(" ");
      const timed = words(said(spoken), text);
      const overs = list.map((_, index) => list.slice(0, index + 1).flatMap(([, each]) => each.split(" ")).length);
      for (let count = 0; count <= overs.at(-1)!; count++) {
        const whole = list.slice(0, overs.filter((each) => each <= count).length);
        const most = whole.map(([written]) => written).join(" ");
        expect(most.startsWith(timed.heard(at(count * 100)).text.trim())).toBe(true);
      }
    }),
    { numRuns: 500, seed: 14 },
  );
});

test("timings in any order, and of any length, never count a word that was not heard", () => {
  const names = "alpha beta gamma delta, epsilon zeta eta. theta iota kappa lambda mu".split(" ");
  const times = fc.array(fc.record({ startMs: fc.nat(3000), durationMs: fc.nat(900) }), {
    minLength: names.length,
    maxLength: names.length,
  });
  fc.assert(
    fc.property(times, fc.array(fc.nat(4000), { maxLength: 20 }), (list, moments) => {
      const timings = list.map((time, index) => ({ text: names[index]!.replace(/\W/g, ""), ...time }));
      const spoken = words(timings, names.join(" "));
      for (const ms of moments) {
        const first = timings.findIndex(({ startMs, durationMs }) => startMs + durationMs > ms + 1);
        const most = names.slice(0, first < 0 ? names.length : first).join(" ");
        expect(most.startsWith(spoken.heard(at(ms)).text)).toBe(true);
      }
    }),
    { numRuns: 500, seed: 14 },
  );
});

test("words that are not in a long text are looked for only as far as they could be", () => {
  const text = "banana ".repeat(142_000);
  const list = Array.from({ length: 65_536 }, (_, index) => ({
    text: index % 2 ? "a" : "x",
    startMs: index,
    endMs: index,
  }));
  expect(words(list, text).heard(at(70_000))).toEqual({ text: "", exact: false });
  expect(words([{ text: "banana", startMs: 0 }, ...list.slice(1)], text).heard(at(70_000)).text).toBe("banana");
  // Without spaces all of it could be one word.
  expect(words(list, "ba".repeat(500_000)).heard(at(70_000)).text).toBe("");
});

test("without timings the text is cut where the audio says so, never within a word", () => {
  const trace = sayWords(["One", "two", "three", "four."], 300);
  const spoken = new Words("One two three four.", trace);
  const heard = (ms: number) => spoken.heard({ ms, isWhole: false, isComplete: true });
  expect(heard(0)).toEqual({ text: "", exact: false });
  expect(heard(280).text).toBe("");
  const texts = Array.from({ length: 150 }, (_, i) => heard(10 * i).text);
  expect([...new Set(texts)]).toEqual(["", "One", "One two", "One two three", "One two three four"]);
  expect(spoken.heard({ ms: 1, isWhole: true })).toEqual({ text: "One two three four.", exact: false });
  expect(new Words().heard({ ms: 1, isWhole: true })).toEqual({ text: "", exact: false });
  expect(new Words("No audio.").heard({ ms: 1000, isWhole: false })).toEqual({ text: "", exact: false });
});

test("within a sentence that has one time for all its words, the text is cut where the audio says so", () => {
  const parts = ["One", "two", "three", "four.", "Five", "six", "seven", "eight."];
  const sentences = [
    { text: "One two three four. ", startMs: 0 },
    { text: "Five six seven eight.", startMs: 1200 },
  ];
  for (const text of [parts.join(" "), undefined]) {
    const spoken = new Words(text, sayWords(parts, 300));
    spoken.add(sentences);
    const heard = (ms: number) => spoken.heard({ ms, isWhole: false, isComplete: true });
    expect(heard(0)).toEqual({ text: "", exact: true });
    expect(heard(1200)).toEqual({ text: "One two three four.", exact: true });
    const counts = Array.from({ length: 240 }, (_, index) => {
      const found = heard(10 * index).text.replace(/\.$/, "");
      const count = found.split(" ").filter(Boolean).length;
      expect(parts.slice(0, count).join(" ").replace(/\.$/, "")).toBe(found);
      expect(count).toBeLessThanOrEqual(Math.floor((10 * index + 1) / 300));
      return count;
    });
    expect(counts).toEqual(counts.toSorted((one, other) => one - other));
    // Each word is found within the time of the next one.
    for (const [word, found] of [...new Set(counts)].entries()) expect(found).toBe(word);
    expect(heard(1800)).toEqual({ text: "One two three four. Five", exact: false });
    expect(spoken.heard({ ms: 2400, isWhole: true })).toEqual({ text: parts.join(" "), exact: true });
  }
});

test("words from before the first listener joined don't count, with timings or without", () => {
  const late = { ms: 1750, fromMs: 650, isWhole: false };
  for (const spoken of [words(ORDER, TEXT), words(ORDER)]) {
    expect(spoken.heard(late)).toEqual({ text: "arrive on Friday,", exact: true });
    expect(spoken.heard({ ...late, ms: 850 })).toEqual({ text: "", exact: true });
    expect(spoken.heard({ ...late, fromMs: 600 }).text).toBe("will arrive on Friday,");
    expect(spoken.heard({ ...late, isWhole: true }).text).toBe("arrive on Friday, I think.");
  }
  // One that is spoken differently has no place: the text begins with the next that has.
  const priced = words(said("Five euros a day"), "5 Euros a day");
  expect(priced.heard({ ms: 400, fromMs: 50, isWhole: false })).toEqual({ text: "Euros a day", exact: false });
  const untimed = new Words("One two three four five.", sayWords(["One", "two", "three", "four", "five."], 300));
  const joined = { ms: 1150, fromMs: 450, isWhole: false, isComplete: true };
  expect(untimed.heard(joined)).toEqual({ text: "three", exact: false });
  expect(untimed.heard({ ...joined, ms: 1500, isWhole: true }).text).toBe("three four five.");
  expect(untimed.heard({ ...joined, ms: 500 }).text).toBe("");
});

test("an invalid timing is refused with a sentence that names it", () => {
  const add = (word: object) => () => new Words().add([{ text: "a", startMs: 0, ...word }]);
  expect(add({ startMs: -1 })).toThrow("Speech.words[].startMs must be a number of milliseconds from 0 on, not -1.");
  expect(add({ startMs: Number.NaN })).toThrow("not NaN");
  expect(add({ startMs: 5, endMs: 4 })).toThrow("Speech.words[].endMs must be");
  expect(add({ durationMs: Number.POSITIVE_INFINITY })).toThrow("Speech.words[].durationMs must be");
  expect(add({ text: 5 })).toThrow("Speech.words[].text must be a string, not 5.");
  expect(add({ durationMs: -1 })).toThrow("Speech.words[].durationMs must be");
  expect(() => new Words().addText(Symbol("a") as never)).toThrow("Speech.addText must be a string");
  expect(() => new Words().add(Array.from({ length: 65_537 }, () => ({ text: "a", startMs: 0 })))).toThrow("65536");
});

test("the heard text only grows with the heard audio, and holds no word whose end was not heard", () => {
  const list = fc.array(fc.record({ text: fc.constantFrom("ab", "cd", "ef", "56"), length: fc.nat(400) }), {
    maxLength: 30,
  });
  fc.assert(
    fc.property(list, fc.boolean(), fc.array(fc.nat(9000), { maxLength: 20 }), (entries, written, moments) => {
      let start = 0;
      const timings = entries.map(({ text, length }) => {
        const timing = { text, startMs: start, endMs: start + length };
        start += length + 10;
        return timing;
      });
      const spoken = words(timings, written ? timings.map(({ text }) => text).join(" ") : undefined);
      let before = "";
      for (const ms of moments.sort((one, other) => one - other)) {
        const { text } = timings.length > 0 ? spoken.heard(at(ms)) : { text: "" };
        const ended = timings.filter(({ endMs }) => endMs <= ms + 1);
        expect(text).toBe(ended.map((timing) => timing.text).join(" "));
        expect(text.startsWith(before)).toBe(true);
        before = text;
      }
    }),
    { numRuns: 300, seed: 7 },
  );
});

test("a text that comes in parts counts like one that was complete from the start", () => {
  const words = [
    { text: "One", startMs: 0, endMs: 200 },
    { text: "two", startMs: 250, endMs: 400 },
  ];
  const audio = { ms: 300, isWhole: false };
  const inParts = new Words();
  inParts.addText("One, ");
  expect(inParts.heard(audio)).toEqual({ text: "", exact: false });
  inParts.add(words);
  expect(inParts.heard(audio)).toEqual({ text: "One", exact: true });
  inParts.addText("two.");
  expect(inParts.heard({ ...audio, ms: 400 })).toEqual({ text: "One, two", exact: true });
  expect(() => inParts.addText("x".repeat(1_000_001))).toThrow("1000000 characters");
});
