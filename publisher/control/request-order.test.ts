import fc from "fast-check";
import { expect, test } from "vitest";
import { RequestOrder } from "./request-order.js";

const numbers = (requests: readonly { order: number }[]): number[] => requests.map(({ order }) => order);
const range = (length: number): number[] => Array.from({ length }, (_, index) => index);

test("requests run in order however they arrive", () => {
  const arrivals = fc
    .integer({ min: 1, max: 32 })
    .chain((length) => fc.shuffledSubarray(range(length), { minLength: length, maxLength: length }));
  fc.assert(
    fc.property(arrivals, (orders) => {
      const requests = new RequestOrder();
      const ran = orders.flatMap((order) => numbers(requests.take({ order }).due));
      expect(ran).toEqual(range(orders.length));
      expect(requests.isWaiting).toBe(false);
    }),
    { seed: 13 },
  );
});

test("a burst that arrives newest first keeps the wait for its oldest request alive, and one behind a hole does not", () => {
  const burst = new RequestOrder();
  const taken = range(20).map((index) => burst.take({ order: 19 - index }));
  expect(taken.map(({ isCloser }) => isCloser)).toEqual(Array(20).fill(true));
  expect(numbers(taken.at(-1)!.due)).toEqual(range(20));

  const turning = new RequestOrder();
  const behind = range(5).map((index) => turning.take({ order: index + 1 }));
  expect(behind.map(({ isCloser }) => isCloser)).toEqual([true, false, false, false, false]);
  expect(turning.isWaiting).toBe(true);
  expect(numbers(turning.skip())).toEqual([1, 2, 3, 4, 5]);
  expect([turning.isWaiting, turning.skip()]).toEqual([false, []]);
  // The one that was missing runs when it comes after all.
  expect(numbers(turning.take({ order: 0 }).due)).toEqual([0]);
  expect(numbers(turning.take({ order: 6 }).due)).toEqual([6]);
});

test("no more than 32 requests wait for a missing one", () => {
  const requests = new RequestOrder();
  for (const index of range(32)) expect(requests.take({ order: 100 - 2 * index }).due).toEqual([]);
  expect(numbers(requests.take({ order: 200 }).due)).toEqual([200]);
  expect(requests.isWaiting).toBe(true);
  expect(numbers(requests.skip())).toEqual([38]);
});
