import fc from "fast-check";
import { expect, test } from "vitest";
import { checkBounds, checkHolds, checkSchedule } from "../tests/support/rewind.js";
import { expandShuffled, expandTimeline } from "../tests/support/schedule.js";

test("over 20,000 schedules the consumer follows the rule, whatever the order of arrival", () => {
  const seen = { received: 0, delivered: 0, stale: 0, late: 0, duplicate: 0, held: 0, discontinuity: 0, lowered: 0 };
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400, size: "max" }), (bytes) => {
      const outcome = checkSchedule(expandTimeline(bytes));
      for (const key of Object.keys(seen) as (keyof typeof seen)[]) seen[key] += outcome[key];
    }),
    // Shrinking helps people; the mutation run only needs to know that it failed.
    { seed: 20_260_914, numRuns: 20_000, endOnFailure: process.env.UNSAY_MUTATION === "1" },
  );
  // The schedules must reach every verdict often, or the agreement would mean little.
  for (const [name, count] of Object.entries(seen)) expect(count, name).toBeGreaterThan(1000);
});

test("over 5,000 schedules a consumer exceeds no bound, counts every frame, and delivers no stale one", () => {
  let overflow = 0;
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400, size: "max" }), (bytes) => {
      overflow += checkBounds(expandTimeline(bytes));
    }),
    { seed: 20_260_915, numRuns: 5000, endOnFailure: process.env.UNSAY_MUTATION === "1" },
  );
  expect(overflow).toBeGreaterThan(1000);
});

test("over 20,000 shuffled schedules a consumer reports every frame that becomes stale", () => {
  const seen = { stale: 0, held: 0, discontinuity: 0, lowered: 0 };
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80, size: "max" }), (bytes) => {
      const outcome = checkSchedule(expandShuffled(bytes));
      for (const key of Object.keys(seen) as (keyof typeof seen)[]) seen[key] += outcome[key];
    }),
    { seed: 20_261_126, numRuns: 20_000, endOnFailure: process.env.UNSAY_MUTATION === "1" },
  );
  for (const [name, count] of Object.entries(seen)) expect(count, name).toBeGreaterThan(1000);
});

test("over 5,000 schedules the holds, and their lengths, do not depend on the order of arrival", () => {
  let held = 0;
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80, size: "max" }), (bytes) => {
      held += checkHolds(expandShuffled(bytes)) ? 1 : 0;
    }),
    { seed: 20_261_127, numRuns: 5000, endOnFailure: process.env.UNSAY_MUTATION === "1" },
  );
  expect(held).toBeGreaterThan(1000);
});
