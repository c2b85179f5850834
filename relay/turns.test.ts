import { expect, test } from "vitest";
import { fromMilliseconds, type Microseconds, microseconds } from "../base/index.js";
import { Turns } from "./turns.js";

const ms = (value: number): Microseconds => fromMilliseconds(value);

/** How long a second of sound in groups of 20 ms takes when each goes as soon as its turn comes, in milliseconds. */
function secondTakes(lossy: boolean): number {
  const turns = new Turns();
  let now = ms(1000);
  for (let group = 0; group <= 50; group++) {
    now = microseconds(Math.max(now, turns.nextAt));
    turns.take(ms(group * 20), { now, lossy });
  }
  return (now - ms(1000)) / 1000;
}

test("what is in no hurry goes at twice its speed, and hardly faster than it plays where the path loses", () => {
  // A turn may be missed by 20 ms before the next one waits.
  expect(secondTakes(false)).toBeGreaterThanOrEqual(450);
  expect(secondTakes(false)).toBeLessThanOrEqual(500);
  expect(secondTakes(true)).toBeGreaterThanOrEqual(790);
  expect(secondTakes(true)).toBeLessThanOrEqual(834);
});
