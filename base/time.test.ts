import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { every, sleep, timePassed } from "./time.js";

/** A hidden page: its clock runs, and its timers fire a minute late. */
beforeEach(() => vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval"] }));
afterEach(() => vi.useRealTimers().restoreAllMocks());

function clock(): { now: number } {
  const clock = { now: 1000 };
  vi.spyOn(performance, "now").mockImplementation(() => clock.now);
  return clock;
}

test("a sleep ends on time where only an unthrottled clock runs, and not before", async () => {
  const time = clock();
  let ended = 0;
  for (const ms of [100, 300]) void sleep(ms).then(() => ended++);
  const pass = async (ms: number): Promise<number> => {
    time.now += ms;
    timePassed();
    await Promise.resolve();
    return ended;
  };
  expect(await pass(99)).toBe(0);
  expect(await pass(1)).toBe(1);
  expect(await pass(200)).toBe(2);
  expect(vi.getTimerCount()).toBe(0);
  expect(await pass(1000)).toBe(2);
});

test("a repeated task runs once in each interval where the timers of the page are on time too", async () => {
  const time = clock();
  let runs = 0;
  const stop = every(100, () => runs++);
  for (let at = 0; at < 1000; at += 10) {
    time.now += 10;
    // What passes the time is never quite in step with the timer.
    if (at % 30 === 0) timePassed();
    vi.advanceTimersByTime(10);
  }
  expect(runs).toBe(10);
  for (let at = 0; at < 1000; at += 10) {
    time.now += 10;
    vi.advanceTimersByTime(10);
  }
  expect(runs).toBe(20);
  stop();
});

test("a repeated task keeps its interval where only an unthrottled clock runs, until it is ended", () => {
  const time = clock();
  let runs = 0;
  const stop = every(100, () => runs++);
  for (let at = 0; at < 1000; at += 20) {
    time.now += 20;
    timePassed();
  }
  expect(runs).toBe(10);
  stop();
  time.now += 1000;
  timePassed();
  expect(runs).toBe(10);
  expect(vi.getTimerCount()).toBe(0);
});
