import fc from "fast-check";
import { expect, test } from "vitest";
import { CaptureClock } from "./capture-clock.js";

const BLOCK = 960;

test("a microphone's timestamps count its samples however late its blocks arrive", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 400, noNaN: true }), { minLength: 2, maxLength: 200 }), (delays) => {
      const clock = new CaptureClock();
      delays.forEach((delay, index) => {
        expect(clock.take(BLOCK, 1e12 + index * 20 + (index === 0 ? 0 : delay))).toBe(index * 20_000);
      });
    }),
    { seed: 15 },
  );
});

test("a microphone that stood still continues behind the pause", () => {
  const clock = new CaptureClock();
  expect(clock.take(BLOCK, 1000)).toBe(0);
  expect(clock.take(BLOCK, 1020)).toBe(20_000);
  expect(clock.take(BLOCK, 9040)).toBe(8_040_000);
  expect(clock.take(BLOCK, 9060)).toBe(8_060_000);
});

test("a microphone whose clock differs from the computer's drifts without a jump, and no timestamp goes back", () => {
  const clock = new CaptureClock();
  // 200 ppm for an hour; a wall clock that is set back in between.
  const wrong = Array.from({ length: 180_000 }, (_, index) => index).filter((index) => {
    const setBack = index > 90_000 ? 3_600_000 : 0;
    return clock.take(BLOCK, 1e12 + index * 20.004 - setBack) !== index * 20_000;
  });
  expect(wrong).toEqual([]);
});
