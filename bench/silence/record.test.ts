import { expect, test } from "vitest";
import { fromMilliseconds, type Microseconds } from "../../base/index.js";
import type { ListenerStats, PlayedRun } from "../../watch/index.js";
import { heardAfterInterrupt, reachedAt } from "./record.js";

const ms = fromMilliseconds;

/** Sound of an epoch: milliseconds of media time, pulled from `at` on at the speed it plays at. */
function run(epoch: number | undefined, fromMs: number, untilMs: number, at: number): PlayedRun {
  const length = untilMs - fromMs;
  return {
    epoch,
    timestamp: epoch === undefined ? undefined : ms(fromMs),
    frames: length * 48,
    pulledAt: ms(at),
    lastPulledAt: ms(at + length),
  };
}

function heard(record: PlayedRun[], runs: number, last: PlayedRun | undefined, epoch: number | undefined) {
  const flush = { at: ms(1060), from: ms(500), last, runs, stats: {} as ListenerStats };
  return heardAfterInterrupt(record, { calledAt: ms(1000), flush, epoch, reply: ms(520) });
}

test("silence, the heard position and the new speech are read off a record", () => {
  const old = run(0, 0, 560, 500);
  const record = [old, run(undefined, 0, 80, 1060), run(1, 500, 520, 1140), run(1, 530, 900, 1170)];
  const expected = { silentAt: ms(1060), heardUntil: ms(560), replyAt: ms(1170), staleMs: 0 };
  expect(heard(record, 1, { ...old }, 1)).toEqual(expected);
  // Without epochs the flush shows the same.
  const fresh = record.map((each): PlayedRun => (each.epoch === undefined ? each : { ...each, epoch: 0 }));
  expect(heard(fresh, 1, { ...old }, undefined)).toEqual(expected);
  expect(reachedAt([old], ms(300))).toBe(ms(800) as Microseconds);
  expect(reachedAt([old], ms(600))).toBeUndefined();
});

test("old sound after the flush is stale, and a listener that was silent at the call does not count", () => {
  const before = run(0, 0, 560, 500);
  const longer = { ...before, frames: 600 * 48, lastPulledAt: ms(1100) };
  expect(heard([longer, run(1, 500, 900, 1140)], 1, before, 1).staleMs).toBeCloseTo(40);
  expect(heard([before, run(1, 500, 520, 1140), run(0, 700, 730, 1160)], 1, before, 1).staleMs).toBeCloseTo(30);
  const early = run(0, 0, 400, 500);
  expect(heard([early, run(1, 500, 900, 1140)], 1, early, 1)).toMatchObject({ silentAt: undefined, replyAt: ms(1160) });
});
