import { expect, test } from "vitest";
import { Problems } from "./problems.js";

test("a kind of problem is new once, whatever its numbers, and so is each of the first 32", () => {
  const problems = new Problems();
  expect(["It has 5 words.", "It has 66 words.", "It has no words."].map((each) => problems.isNew(each))).toEqual([
    true,
    false,
    true,
  ]);
  const kinds = Array.from({ length: 100 }, (_, index) => "x".repeat(index));
  expect(kinds.filter((kind) => problems.isNew(kind))).toHaveLength(30);
});
