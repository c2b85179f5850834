import { expect, test } from "vitest";
import { fromMilliseconds } from "../../base/index.js";
import { MediaRate } from "./media-rate.js";

/** Whether a bot that sends `rate` times real time for `seconds`, in messages of 20 ms of wall time, gets a warning. */
function isWarned(rate: number, seconds: number): boolean {
  const media = new MediaRate();
  let warnings = 0;
  for (let ms = 0; ms < seconds * 1000; ms += 20) if (media.take(20 * rate, fromMilliseconds(ms))) warnings++;
  expect(warnings).toBeLessThanOrEqual(1);
  return warnings === 1;
}

test("a bot that sends PCM as mu-law, at six times the speech, gets one warning", () => {
  expect(isWarned(6, 60)).toBe(true);
  expect(isWarned(4.2, 60)).toBe(true);
});

test("a bot at twice or three times real time gets no warning", () => {
  expect(isWarned(2, 120)).toBe(false);
  expect(isWarned(3.9, 120)).toBe(false);
});

test("a whole answer at once causes no warning", () => {
  const media = new MediaRate();
  for (let second = 0; second < 300; second += 15) {
    for (let part = 0; part < 100; part++) expect(media.take(100, fromMilliseconds(second * 1000 + part))).toBe(false);
  }
});
