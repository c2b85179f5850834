import { expect, test } from "vitest";
import { ByteBudget } from "./byte-budget.js";

test("a budget within a full one is exceeded only by who holds as much as the others on average", () => {
  const whole = new ByteBudget(100);
  const [one, other, small, none] = [60, 60, 60, 60].map((bytes) => new ByteBudget(bytes, whole));
  one!.add(50);
  other!.add(48);
  small!.add(1);
  expect([one, other, small, none].map((budget) => budget!.exceeded)).toEqual([false, false, false, false]);
  small!.add(4);
  expect([one, other, small, none].map((budget) => budget!.exceeded)).toEqual([true, true, false, false]);
  one!.add(-50);
  expect([one, other, small, none].map((budget) => budget!.exceeded)).toEqual([false, false, false, false]);
  other!.add(13);
  expect(other!.exceeded).toBe(true);
  expect(whole.usedBytes).toBe(66);
});
