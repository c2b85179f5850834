import fc from "fast-check";
import { expect, test } from "vitest";
import { priorityOf } from "./send-order.js";

/** The send order that `@moq/net` gives a group: its track's priority, and how many groups go before it. */
const sendOrder = (priority: number, position: number) => -((255 - priority) * 2 ** 44 + position + 1);

test("a track of higher priority goes first, its groups are equal, and streams of the protocol go before all", () => {
  const group = fc.record({ priority: fc.integer({ min: 0, max: 255 }), position: fc.nat({ max: 2 ** 40 }) });
  fc.assert(
    fc.property(group, group, (one, other) => {
      const [first, second] = [one, other].map(({ priority, position }) => priorityOf(sendOrder(priority, position)));
      expect(Math.sign(first! - second!)).toBe(Math.sign(one.priority - other.priority));
      expect(first).toBeLessThan(priorityOf(0));
    }),
    { seed: 26, numRuns: 2000 },
  );
});

test("every send order has a priority of 32 bits, and none overtakes a higher one", () => {
  const order = fc.integer({ min: -Number.MAX_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER });
  fc.assert(
    fc.property(order, order, (one, other) => {
      const [low, high] = [Math.min(one, other), Math.max(one, other)].map((value) => priorityOf(value));
      expect(low).toBeLessThanOrEqual(high!);
      expect([low, high].every((value) => value === (value! | 0))).toBe(true);
    }),
    { seed: 27, numRuns: 2000 },
  );
  expect([undefined, 0, 1_000_000, -1].map((value) => priorityOf(value))).toEqual([0, 0, 1_000_000, -1]);
});
