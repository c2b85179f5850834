import { expect, test } from "vitest";
import { microseconds, fromMilliseconds as ms } from "../base/index.js";
import { epochOf } from "./epoch.js";
import { Timeline } from "./timeline.js";

test("sequences rise by one, and a rewind jumps to the next multiple of 65,536", () => {
  const timeline = new Timeline();
  expect(timeline.next(ms(0), ms(20))).toEqual({ sequence: 0 });
  expect(timeline.next(ms(20), ms(20))).toEqual({ sequence: 1 });
  expect(timeline.frontier).toBe(ms(40));
  expect(timeline.epoch).toBe(0);
  expect(timeline.rewind(ms(10))).toEqual({ sequence: 65_536, epoch: 1, to: ms(10) });
  expect(timeline.frontier).toBe(ms(10));
  expect(timeline.next(ms(10), ms(20))).toEqual({ sequence: 65_536 });
  expect(timeline.next(ms(30))).toEqual({ sequence: 65_537 });
  expect(timeline.frontier).toBe(ms(30));
  expect(timeline.rewind(ms(0)).sequence).toBe(131_072);
  expect(timeline.epoch).toBe(2);
});

test("rewinds without a group between them are one, from the earlier point; one past the end makes nothing stale", () => {
  const timeline = new Timeline();
  expect(timeline.rewind(ms(0))).toEqual({ sequence: 65_536, epoch: 1, to: ms(0) });
  timeline.next(ms(0), ms(20));
  expect(timeline.rewind(ms(500))).toEqual({ sequence: 131_072, epoch: 2, to: ms(500) });
  expect(timeline.rewind(ms(700))).toEqual({ sequence: 131_072, epoch: 2, to: ms(500) });
  expect(timeline.rewind(ms(5))).toEqual({ sequence: 131_072, epoch: 2, to: ms(5) });
  expect(timeline.next(ms(5))).toEqual({ sequence: 131_072 });
});

test("a full block of sequences continues into the next without a rewind", () => {
  const timeline = new Timeline();
  for (let index = 0; index < 65_536; index += 1) timeline.next(microseconds(index));
  const { sequence } = timeline.next(microseconds(65_536));
  expect(sequence).toBe(65_536);
  expect(epochOf(sequence)).toBe(1);
  expect(timeline.rewind(microseconds(3)).sequence).toBe(131_072);
});

test("a timeline refuses time that goes back without a rewind, or misses its cut", () => {
  const timeline = new Timeline();
  timeline.next(ms(40));
  timeline.next(ms(40));
  expect(() => timeline.next(ms(39))).toThrow("timestamp must not go back from 40000 to 39000 without a rewind.");
  timeline.rewind(ms(20));
  expect(() => timeline.next(ms(40))).toThrow("timestamp must be 20000, where the rewind before it cut, not 40000.");
  expect(timeline.next(ms(20))).toEqual({ sequence: 65_536 });
  expect(() => timeline.next(-1 as never)).toThrow(expect.objectContaining({ code: "INVALID_TIMESTAMP" }));
  expect(() => timeline.rewind(Number.NaN as never)).toThrow(expect.objectContaining({ code: "INVALID_TIMESTAMP" }));
});
