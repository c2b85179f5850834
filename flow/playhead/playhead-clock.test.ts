import { describe, expect, test } from "vitest";
import { fromMilliseconds, fromSeconds, microseconds } from "../../base/index.js";
import { reportWith } from "../../tests/support/reports.js";
import { ListenerState } from "../report/listener-state.js";
import type { Report } from "../report/report.js";
import { PlayheadClock } from "./playhead-clock.js";
import { StalenessEstimator } from "./staleness.js";

const zero = microseconds(0);

describe("StalenessEstimator", () => {
  test("the estimator finds no staleness at a constant offset and measures an extra delay exactly", () => {
    for (const extra of [0.1, 0.5, 1.0, 4.8]) {
      const estimator = new StalenessEstimator();
      for (let tick = 0; tick < 50; tick++) {
        const sent = tick * 0.1;
        expect(estimator.observe(fromSeconds(sent), fromSeconds(1000 + sent))).toBe(0);
      }
      expect(estimator.observe(fromSeconds(5), fromSeconds(1005 + extra))).toBe(fromSeconds(extra));
    }
  });

  test("the estimator takes a raised offset as the new base once the old one has aged out, and not before", () => {
    const estimator = new StalenessEstimator();
    estimator.observe(zero, fromSeconds(100));
    // A burst of reports pushes no minimum out.
    for (let tick = 1; tick < 1000; tick++)
      expect(estimator.observe(fromMilliseconds(tick), fromMilliseconds(100_000 + tick + 700))).toBe(700_000);
    expect(estimator.observe(fromSeconds(119), fromSeconds(219.7))).toBe(700_000);
    let last = -1;
    for (let sent = 120; sent < 360; sent += 1) last = estimator.observe(fromSeconds(sent), fromSeconds(100.7 + sent));
    expect(last).toBe(0);
    estimator.reset();
    expect(estimator.observe(zero, fromSeconds(9000))).toBe(0);
  });
});

describe("PlayheadClock", () => {
  test("a playhead clock projects a report through its staleness, and an unstamped one through the wall clock", () => {
    const clock = new PlayheadClock();
    expect(clock.at(zero)).toBeUndefined();
    clock.observe({ playhead: fromSeconds(10), playing: true, arrival: fromSeconds(50), staleness: fromSeconds(2) });
    expect(clock.at(fromSeconds(50))).toBe(fromSeconds(12));
    expect(clock.at(fromSeconds(51))).toBe(fromSeconds(13));
    clock.observe({ playhead: fromSeconds(30), playing: true, arrival: fromSeconds(52), staleness: zero });
    expect(clock.at(fromSeconds(52.5))).toBe(fromSeconds(30.5));
  });

  test("a playhead clock runs on for two seconds without a report and then holds; a paused player holds at once", () => {
    const clock = new PlayheadClock();
    clock.observe({ playhead: fromSeconds(10), playing: true, arrival: zero, staleness: fromSeconds(0.5) });
    expect(clock.at(fromSeconds(2))).toBe(fromSeconds(12.5));
    expect(clock.at(fromSeconds(60))).toBe(fromSeconds(12.5));
    clock.observe({ playhead: fromSeconds(12), playing: false, arrival: fromSeconds(60), staleness: fromSeconds(1) });
    expect(clock.at(fromSeconds(61))).toBe(fromSeconds(12));
  });

  test("a playhead clock slews small steps back, takes middling ones, and jumps on large ones, seeks and rewinds", () => {
    const clock = new PlayheadClock();
    const sample = (playhead: number, arrival: number, moved = false) =>
      clock.observe({
        playhead: fromSeconds(playhead),
        playing: true,
        arrival: fromSeconds(arrival),
        staleness: zero,
        moved,
      });
    expect(sample(10, 0)).toBe("anchor");
    expect(sample(10.95, 1)).toBe("slew");
    let previous = clock.at(fromSeconds(1))!;
    expect(previous).toBe(fromSeconds(11));
    for (let now = 1.01; now < 2.5; now += 0.01) {
      const playhead = clock.at(fromSeconds(now))!;
      expect(playhead).toBeGreaterThan(previous);
      previous = playhead;
    }
    expect(clock.at(fromSeconds(2.5))).toBe(fromSeconds(12.45));
    expect(sample(12.5, 2.5)).toBe("step");
    expect(clock.at(fromSeconds(2.5))).toBe(fromSeconds(12.5));
    expect(sample(12.44, 2.5)).toBe("step");
    expect(clock.at(fromSeconds(2.5))).toBe(fromSeconds(12.44));
    expect(sample(12.3, 2.5)).toBe("step");
    expect(sample(12.27, 2.5, true)).toBe("jump");
    expect(clock.at(fromSeconds(2.5))).toBe(fromSeconds(12.27));
    expect(sample(13, 2.5)).toBe("jump");
  });
});

describe("the estimated playhead while five seconds of queueing build up on the way up", () => {
  // The control run omits the estimator and must diverge: otherwise the test could not fail.
  const worstErrorMs = (estimateStaleness: boolean): number => {
    const state = new ListenerState({ estimateStaleness });
    let worst = 0;
    const inFlight: { arrival: number; report: Report }[] = [];
    for (let ms = 0; ms < 20_000; ms += 10) {
      const delay = 40 + (ms < 5000 ? 0 : Math.min(5000, ms - 5000) * 0.999);
      if (ms % 100 === 0) inFlight.push({ arrival: ms + delay, report: report(ms) });
      while (inFlight[0] && inFlight[0].arrival <= ms) {
        const { arrival, report } = inFlight.shift()!;
        state.fold(report, fromMilliseconds(arrival));
      }
      // Beyond the free run it holds on purpose; while queueing grows at almost 1 s per second no report arrives.
      const playhead = state.playheadAt(fromMilliseconds(ms));
      const lastArrival = state.latest?.arrival ?? 0;
      if (playhead !== undefined && fromMilliseconds(ms) - lastArrival <= fromSeconds(2))
        worst = Math.max(worst, Math.abs(playhead - fromMilliseconds(1000 + ms)) / 1000);
    }
    return worst;
  };

  test("the estimated playhead stays within 50 ms, and without the estimator is off by the whole queue", () => {
    expect(worstErrorMs(true)).toBeLessThan(50);
    expect(worstErrorMs(false)).toBeGreaterThan(1500);
  });
});

function report(clientTimeMs: number): Report {
  const playhead = fromMilliseconds(1000 + clientTimeMs);
  return reportWith({ session: 7, reportId: clientTimeMs / 100, clientTimeMs, playhead });
}
