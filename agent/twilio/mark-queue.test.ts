import fc from "fast-check";
import { expect, test } from "vitest";
import { MAX_MARKS, MarkQueue } from "./mark-queue.js";

test("a mark is answered when the audio before it was heard, and no earlier", () => {
  const marks = new MarkQueue();
  expect(marks.add("a", 100, 0)).toEqual([]);
  expect(marks.add("b", 200, 0)).toEqual([]);
  expect(marks.add("c", 200, 0)).toEqual([]);
  expect(marks.heard(99.9)).toEqual([]);
  expect(marks.heard(100)).toEqual(["a"]);
  expect(marks.heard(250)).toEqual(["b", "c"]);
  expect(marks.heard(1e9)).toEqual([]);
});

test("a mark without audio before it is answered at once", () => {
  expect(new MarkQueue().add("a", 0, 0)).toEqual(["a"]);
});

test("clear answers all pending marks, in order, and none twice", () => {
  const marks = new MarkQueue();
  marks.add("a", 100, 0);
  marks.add("b", 200, 0);
  marks.heard(150);
  expect(marks.clear()).toEqual(["b"]);
  expect(marks.clear()).toEqual([]);
});

test("beyond the bound the oldest mark is answered early", () => {
  const marks = new MarkQueue();
  for (let i = 0; i < MAX_MARKS; i++) expect(marks.add(`m${i}`, 100, 0)).toEqual([]);
  expect(marks.add("one more", 100, 0)).toEqual(["m0"]);
  expect(marks.size).toBe(MAX_MARKS);
});

test("over any history every mark is answered once, in order, and never before its audio unless it was cleared", () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant("media" as const), ms: fc.integer({ min: 0, max: 500 }) }),
    fc.record({ kind: fc.constant("mark" as const) }),
    fc.record({ kind: fc.constant("hear" as const), ms: fc.integer({ min: 0, max: 400 }) }),
    fc.record({ kind: fc.constant("clear" as const) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const marks = new MarkQueue();
      const answered: number[] = [];
      const places: number[] = [];
      let written = 0;
      let heard = 0;
      const answer = (names: readonly string[], isClear = false) => {
        for (const name of names) {
          answered.push(Number(name));
          expect(places[Number(name)]).toBeLessThanOrEqual(isClear ? written : heard);
        }
      };
      for (const each of steps) {
        if (each.kind === "media") written += each.ms;
        else if (each.kind === "mark") {
          places.push(written);
          answer(marks.add(String(places.length - 1), written, heard));
        } else if (each.kind === "hear") {
          heard = Math.min(written, heard + each.ms);
          answer(marks.heard(heard));
        } else {
          answer(marks.clear(), true);
          heard = written;
        }
      }
      answer(marks.clear(), true);
      expect(answered).toEqual(places.map((_, index) => index));
    }),
    { seed: 14 },
  );
});
