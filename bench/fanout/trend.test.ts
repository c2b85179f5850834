import { expect, test } from "vitest";
import { seededRandom } from "../harness.js";
import { trendOf } from "./trend.js";

test("a trend separates a leak from noise, even from noise that wanders", () => {
  const random = seededRandom(3);
  const leaking = Array.from({ length: 100 }, (_, x) => ({ x, y: 1000 + 2 * x + 40 * random() }));
  const leak = trendOf(leaking);
  expect(leak.slope).toBeCloseTo(2, 0);
  expect(leak.slope - leak.margin).toBeGreaterThan(0);

  // A process's memory goes in steps that last: of 400 such walks with no trend, few may look like a leak.
  let accused = 0;
  for (let walk = 0; walk < 400; walk += 1) {
    let level = 0;
    const points = Array.from({ length: 100 }, (_, x) => {
      level = 0.7 * level + random() - 0.5;
      return { x, y: level };
    });
    const { slope, margin } = trendOf(points);
    if (slope - margin > 0) accused += 1;
  }
  expect(accused).toBeLessThanOrEqual(24);

  expect(trendOf([1, 2, 3, 4].map((x) => ({ x, y: 5 })))).toEqual({ slope: 0, margin: 0 });
  expect(() => trendOf([])).toThrow(expect.objectContaining({ code: "TOO_FEW_SAMPLES" }));
});
