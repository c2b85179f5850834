import { expect, test } from "vitest";
import { Lru } from "./lru.js";

test("an Lru keeps the last values requested and computes the others again", () => {
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
});
