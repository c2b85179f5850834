import fc from "fast-check";
import { expect, test } from "vitest";
import { CaptureClock } from "./capture-clock.js";

const BLOCK = 960;
const WALL = 1.7e12;

/** Timestamps, in milliseconds, of blocks whose last samples were there at these moments. */
function timestamps(blocks: readonly { readonly wall: number; readonly page: number }[]): number[] {
  const clock = new CaptureClock();
  return blocks.map(({ wall, page }) => clock.take(BLOCK, { wallMs: WALL + wall, pageMs: page }) / 1000);
}

/** Blocks that follow each other without a break. */
function steady(count: number, from = 0): { readonly wall: number; readonly page: number }[] {
  return Array.from({ length: count }, (_, index) => ({ wall: from + index * 20, page: from + index * 20 }));
}

const counted = (count: number) => Array.from({ length: count }, (_, index) => index * 20);

test("a microphone's timestamps count its samples however late its blocks arrive, and wherever the clock is set", () => {
  const delay = fc.double({ min: 0, max: 400, noNaN: true });
  const step = fc.record({
    at: fc.nat(300),
    by: fc.constantFrom(-3_600_000, -2000, -600, 600, 2000, 20_000, 3_600_000),
  });
  fc.assert(
    fc.property(
      fc.array(fc.tuple(delay, delay), { minLength: 300, maxLength: 300 }),
      fc.array(step, { maxLength: 3 }),
      (delays, steps) => {
        const blocks = delays.map(([late, later], index) => {
          const set = steps.filter(({ at }) => at <= index).reduce((sum, { by }) => sum + by, 0);
          return { wall: index * 20 + late + set, page: index * 20 + late + later / 8 };
        });
        expect(timestamps(blocks)).toEqual(counted(blocks.length));
      },
    ),
    { seed: 15 },
  );
});

test("a page that is busy for seconds moves no timestamp of its microphone", () => {
  const blocks = steady(1000).map(({ wall }) => ({ wall, page: wall > 4000 ? Math.max(wall, 7000) : wall }));
  expect(timestamps(blocks)).toEqual(counted(1000));
});

test("a microphone that stood still continues behind the pause, also where the clock was set before", () => {
  const blocks = [...steady(2), ...steady(2, 8040)];
  expect(timestamps(blocks)).toEqual([0, 20, 8040, 8060]);
  for (const set of [-3_600_000, -2000, 2000, 3_600_000]) {
    const after = [...steady(50, 40), ...steady(2, 8040)].map(({ wall, page }) => ({ wall: wall + set, page }));
    expect(timestamps([...steady(2), ...after])).toEqual([...counted(52), 8040, 8060]);
  }
});

test("a microphone goes on where it was if the page's clock stopped with it, and continues behind the next pause", () => {
  const slept = 8 * 3_600_000;
  const after = [...steady(50, 40), ...steady(2, 8040)].map(({ wall, page }) => ({ wall: wall + slept, page }));
  expect(timestamps([...steady(2), ...after])).toEqual([...counted(52), 8040, 8060]);
});

test("a microphone whose clock differs from the computer's drifts without a jump", () => {
  for (const period of [19.996, 20.004]) {
    const blocks = Array.from({ length: 180_000 }, (_, index) => ({ wall: index * period, page: index * period }));
    expect(timestamps(blocks)).toEqual(counted(blocks.length));
  }
});
