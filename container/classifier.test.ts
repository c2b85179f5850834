import { expect, test } from "vitest";
import { fromMilliseconds as ms } from "../base/index.js";
import { RewindClassifier } from "./classifier.js";
import { EPOCH_SIZE } from "./epoch.js";

test("a rewind is reported once, with its extent, and lowered when its first group comes late", () => {
  const classifier = new RewindClassifier();
  for (const [sequence, time] of [
    [0, 0],
    [1, 100],
    [2, 200],
  ] as const) {
    expect(classifier.observe(sequence, ms(time))).toEqual({ stale: false });
  }
  expect(classifier.observe(5, ms(30))).toEqual({
    stale: false,
    rewind: { from: ms(30), sequence: 5, lowered: false },
  });
  expect(classifier.observe(5, ms(30))).toEqual({ stale: false });
  expect(classifier.observe(6, ms(50))).toEqual({ stale: false });
  expect(classifier.observe(3, ms(10))).toEqual({
    stale: false,
    rewind: { from: ms(10), sequence: 3, lowered: true },
  });
  expect(classifier.observe(4, ms(300))).toEqual({ stale: true });
  expect(classifier.observe(1, ms(120))).toEqual({ stale: true });
  expect([classifier.isStale(0, ms(9)), classifier.isStale(0, ms(10)), classifier.isStale(2, ms(200))]).toEqual([
    false,
    true,
    true,
  ]);
  expect(classifier.observe(7, ms(40))).toEqual({
    stale: false,
    rewind: { from: ms(40), sequence: 7, lowered: false },
  });
  expect(classifier.isStale(6, ms(50))).toBe(true);
});

test("isStale answers for a group that was never observed", () => {
  const classifier = new RewindClassifier();
  expect(classifier.isStale(4, ms(0))).toBe(false);
  classifier.observe(EPOCH_SIZE, ms(100));
  expect(classifier.isStale(4, ms(99))).toBe(false);
  expect(classifier.isStale(4, ms(100))).toBe(true);
  expect(classifier.isStale(EPOCH_SIZE + 1, ms(100))).toBe(false);
  classifier.observe(EPOCH_SIZE + 2, ms(100));
  expect(classifier.isStale(EPOCH_SIZE + 1, ms(100))).toBe(false);
  classifier.observe(EPOCH_SIZE - 1, ms(100));
  expect(classifier.isStale(EPOCH_SIZE + 1, ms(100))).toBe(true);
  expect([classifier.hasSeen(EPOCH_SIZE), classifier.hasSeen(EPOCH_SIZE + 1), classifier.hasSeen(3)]).toEqual([
    true,
    false,
    false,
  ]);
});

test("memory is bounded, and everything older counts as stale", () => {
  const classifier = new RewindClassifier({ capacity: 8 });
  for (let sequence = 0; sequence < 8; sequence += 1) classifier.observe(sequence, ms(20 * sequence));
  expect(classifier.size).toBe(8);
  expect(classifier.isStale(0, ms(0))).toBe(false);
  classifier.observe(8, ms(160));
  expect(classifier.size).toBe(7);
  expect([classifier.isStale(1, ms(20)), classifier.isStale(2, ms(40))]).toEqual([true, false]);
  expect(classifier.observe(1, ms(20))).toEqual({ stale: true });
  expect(classifier.observe(0, ms(0))).toEqual({ stale: true });
  expect(classifier.size).toBe(7);
  // How far time had got is remembered beyond the groups that got it there.
  const tall = new RewindClassifier({ capacity: 4 });
  tall.observe(0, ms(900));
  for (let sequence = 1; sequence < 5; sequence += 1) tall.observe(sequence, ms(10));
  expect(tall.size).toBe(4);
  expect(tall.isStale(3, ms(10))).toBe(true);
  const least = new RewindClassifier({ capacity: 1 });
  for (let sequence = 0; sequence < 5; sequence += 1) expect(least.observe(sequence, ms(sequence)).stale).toBe(false);
  expect(least.size).toBe(1);
  expect(new RewindClassifier().size).toBe(0);
});
