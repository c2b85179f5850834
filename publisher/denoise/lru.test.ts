import { expect, test } from "vitest";
import { Lru } from "./lru.js";
import { TimingRing } from "./timing-ring.js";

test("an Lru keeps the last values requested and computes the others again; a timing ring keeps the latest values", () => {
  const made: number[] = [];
  const squares = new Lru<number, number>(2);
  const square = (value: number) =>
    squares.get(value, () => {
      made.push(value);
      return value * value;
    });
  expect([1, 2, 1, 3, 1, 2].map(square)).toEqual([1, 4, 1, 9, 1, 4]);
  expect(made).toEqual([1, 2, 3, 2]);
  expect(squares.size).toBe(2);

  const ring = new TimingRing(4);
  expect(ring.summary()).toEqual({ mean: 0, p50: 0, p99: 0 });
  for (let value = 1; value <= 6; value++) ring.record(value);
  expect(ring.size).toBe(4);
  expect(ring.summary()).toEqual({ mean: 4.5, p50: 5, p99: 6 });
});
