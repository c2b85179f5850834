import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromMilliseconds, fromSeconds, microseconds, toSeconds } from "../../base/index.js";
import { LeadController, type LeadMode } from "./lead.js";

const ms = fromMilliseconds;

/** A steady writer at 20 groups per second, 30 ms down, 50 ms up; after five seconds the way down grows by a step. */
function simulate(mode: LeadMode, stepMs: number): { peak: number; late: number } {
  const controller = new LeadController({ mode });
  const flying: { arrival: number; start: number; group: number }[] = [];
  const reports: { arrival: number; lead: number; group: number }[] = [];
  let recent: { at: number; lead: number; group: number }[] = [];
  let peak = 0;
  let late = 0;
  let group = 0;
  for (let now = 0; now < 20_000; now += 10) {
    if (now % 50 === 0) {
      const start = now + controller.advance(ms(now)) / 1000;
      controller.wrote(ms(now), ms(50), group, ms(0));
      flying.push({ arrival: now + 30 + (now >= 5000 ? stepMs : 0), start, group: group++ });
    }
    while (flying[0] && flying[0].arrival <= now) {
      const { start, group } = flying.shift()!;
      if (start < now) late++;
      recent.push({ at: now, lead: start - now, group });
    }
    recent = recent.filter(({ at }) => now - at <= 250);
    if (now % 50 === 0 && recent.length > 0) {
      const worst = recent.reduce((a, b) => (b.lead < a.lead ? b : a));
      reports.push({ arrival: now + 50, lead: Math.floor(worst.lead), group: worst.group });
    }
    while (reports[0] && reports[0].arrival <= now) {
      const { lead, group } = reports.shift()!;
      controller.observe({ lead: ms(lead), group, at: ms(now) });
    }
    peak = Math.max(peak, toSeconds(controller.transport(ms(now))));
  }
  return { peak, late };
}

describe("the landing-lead controller", () => {
  test("a gated lead controller raises once by the shortfall, and an ungated one runs away", () => {
    for (const [stepMs, gated, ungated] of [
      [200, 0.131, 1.43],
      [500, 0.431, 3.0],
      [1000, 0.931, 3.0],
    ] as const) {
      const calm = simulate("gated", stepMs);
      const wild = simulate("ungated", stepMs);
      expect(Math.abs(calm.peak - gated)).toBeLessThan(0.005);
      expect(Math.abs(wild.peak - ungated)).toBeLessThan(0.01);
      expect(calm.late).toBe(wild.late);
    }
  });

  test("a lead controller counts only leads of groups sent after the last raise", () => {
    const controller = new LeadController();
    controller.wrote(ms(0), ms(50), 1, ms(0));
    controller.wrote(ms(50), ms(50), 2, ms(0));
    expect(controller.observe({ lead: ms(50), group: 1, at: ms(100) })).toBe("raised");
    expect(controller.transport(ms(100))).toBe(ms(100));
    expect(controller.observe({ lead: ms(50), group: 2, at: ms(200) })).toBe("gated");
    controller.wrote(ms(200), ms(50), 3, ms(100));
    expect(controller.observe({ lead: ms(140), group: 3, at: ms(300) })).toBe("raised");
    expect(controller.transport(ms(300))).toBe(ms(110));
    expect(controller.observe({ lead: ms(150), group: 4, at: ms(300) })).toBe("enough");
  });

  test("a lead controller holds while leads are moderate, and decays when they are ample or reports have stopped", () => {
    const controller = new LeadController();
    controller.observe({ lead: ms(-850), group: 0, at: ms(0) });
    for (let now = 0; now <= 30_000; now += 1000) controller.observe({ lead: ms(340), group: 9, at: ms(now) });
    expect(controller.transport(ms(30_000))).toBe(ms(1000));
    expect(controller.transport(ms(40_000))).toBe(ms(1000));
    controller.observe({ lead: ms(360), group: 10, at: ms(40_000) });
    expect(toSeconds(controller.transport(ms(60_000)))).toBeCloseTo(Math.exp(-1), 5);
    const silent = new LeadController();
    silent.observe({ lead: ms(-850), group: 0, at: ms(0) });
    silent.transport(ms(10_000));
    expect(toSeconds(silent.transport(ms(30_000)))).toBeCloseTo(Math.exp(-1), 5);
  });

  test("a lead controller grows by what a known transit will lack, once, and its late groups raise nothing more", () => {
    const controller = new LeadController();
    controller.wrote(ms(0), ms(20), 7, ms(0));
    // The base lead is 250 ms, and groups should land 150 ms early.
    controller.foresee(ms(90), ms(0));
    expect(controller.transport(ms(0))).toBe(0);
    for (let report = 0; report < 3; report++) controller.foresee(ms(400), ms(0));
    expect(controller.transport(ms(0))).toBe(ms(300));
    expect(controller.observe({ lead: ms(-50), group: 7, at: ms(10) })).toBe("gated");
    controller.foresee(ms(9000), ms(10));
    expect(controller.transport(ms(10))).toBe(ms(3000));
  });

  test("a lead controller never asks for more than three seconds", () => {
    const controller = new LeadController();
    controller.observe({ lead: fromSeconds(-60), group: 5, at: ms(0) });
    expect(controller.transport(ms(0))).toBe(fromSeconds(3));
  });

  test("a lead controller ignores leads of groups before a rewind and while a loop band is armed", () => {
    const controller = new LeadController();
    controller.wrote(ms(0), ms(20), 100, ms(0));
    controller.rewind(fromSeconds(1), 100);
    expect(controller.observe({ lead: ms(-400), group: 100, at: ms(10) })).toBe("ignored");
    controller.loopBandArmed = true;
    expect(controller.observe({ lead: ms(-400), group: 200, at: ms(10) })).toBe("ignored");
    controller.loopBandArmed = false;
    expect(controller.observe({ lead: ms(200), group: 200, at: ms(10) })).toBe("enough");
    expect(controller.observe({ lead: ms(-50), group: 201, at: ms(10) })).toBe("raised");
    expect(controller.transport(ms(10))).toBe(ms(200));
  });
});

describe("the base lead", () => {
  test("the base lead starts from the seed, follows the cadence with gaps capped, and stays within its bounds", () => {
    const controller = new LeadController();
    expect(controller.close(ms(0))).toBe(ms(162));
    expect(controller.advance(ms(0))).toBe(ms(250));
    controller.wrote(ms(0), ms(70), 0, ms(0));
    controller.wrote(ms(1000), fromSeconds(1), 1, ms(0));
    // 0.07 + 0.1 * (0.18 - 0.07) = 0.081
    expect(controller.close(ms(1000))).toBe(ms(179.6));
    controller.wrote(ms(9000), ms(20), 2, ms(7980));
    expect(controller.advance(ms(9000))).toBe(ms(1350));
  });

  test("the base lead rises by a shortfall and decays within seconds", () => {
    const controller = new LeadController();
    controller.wrote(ms(0), ms(20), 0, ms(0));
    controller.wrote(ms(520), ms(20), 1, ms(500));
    const close = controller.close(ms(520));
    expect(controller.advance(ms(520)) - close).toBe(ms(550));
    controller.wrote(ms(540), ms(20), 2, ms(0));
    expect(controller.advance(ms(540)) - controller.close(ms(540))).toBeGreaterThan(ms(540));
    const later = controller.close(ms(2020));
    expect(controller.advance(ms(2020)) - later).toBe(microseconds(Math.round(550_000 * Math.exp(-1))));
  });

  test("a pause without anything to write does not count as a stall", () => {
    const controller = new LeadController();
    controller.wrote(ms(0), ms(20), 1, ms(0));
    const before = controller.advance(ms(0));
    controller.rest();
    controller.wrote(ms(5000), ms(20), 2, ms(0));
    expect(controller.advance(ms(5000))).toBe(before);
    controller.wrote(ms(6000), ms(20), 3, ms(980));
    expect(controller.advance(ms(6000))).toBeGreaterThan(before);
  });

  test("a gap counts as a stall only as far as the write after it was late", () => {
    const controller = new LeadController();
    controller.wrote(ms(0), ms(20), 1, ms(20));
    const before = controller.advance(ms(0));
    controller.wrote(ms(1400), ms(20), 2, ms(20));
    expect(controller.advance(ms(1400)) - before).toBeLessThan(ms(40));
    controller.wrote(ms(1900), ms(20), 3, ms(500));
    expect(controller.advance(ms(1900)) - controller.close(ms(1900))).toBe(ms(530));
  });

  test("the frontier never moves back, except by a rewind or a wrap", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            kind: fc.constantFrom("write", "lead", "idle", "rewind"),
            gap: fc.integer({ min: 0, max: 3000 }),
            lead: fc.integer({ min: -4000, max: 2000 }),
            playhead: fc.integer({ min: -200, max: 3000 }),
          }),
          { maxLength: 60 },
        ),
        (steps) => {
          const controller = new LeadController();
          let now = 0;
          let playhead = 0;
          let group = 0;
          let previous = Number.NEGATIVE_INFINITY;
          for (const step of steps) {
            now += step.gap;
            playhead = Math.max(0, playhead + step.playhead);
            if (step.kind === "write") controller.wrote(ms(now), ms(20), group++, ms(step.gap));
            if (step.kind === "lead") controller.observe({ lead: ms(step.lead), group, at: ms(now) });
            if (step.kind === "rewind") {
              controller.rewind(ms(playhead), group);
              previous = Number.NEGATIVE_INFINITY;
            }
            const frontier = controller.frontier(ms(playhead), ms(now));
            expect(frontier).toBeGreaterThanOrEqual(previous);
            expect(frontier - ms(playhead)).toBeGreaterThanOrEqual(ms(250));
            previous = frontier;
          }
        },
      ),
      { seed: 4, numRuns: 500 },
    );
    const controller = new LeadController();
    controller.frontier(fromSeconds(100), ms(0));
    controller.wrap(ms(0));
    expect(controller.frontier(ms(0), ms(0))).toBe(ms(250));
  });
});

test("on a fresh track leads of its own groups count at once, and those of the track before never", () => {
  const controller = new LeadController();
  for (let group = 0; group < 5000; group++) controller.wrote(ms(group * 20), ms(20), group, ms(0));
  controller.rewind(ms(90_000));
  for (let group = 0; group < 10; group++) controller.wrote(ms(100_000 + group * 20), ms(20), group, ms(0));
  expect(controller.observe({ lead: ms(-300), group: 4990, at: ms(100_200) })).toBe("ignored");
  expect(controller.observe({ lead: ms(-300), group: 5, at: ms(100_210) })).not.toBe("ignored");
  expect(controller.transport(ms(100_210))).toBeGreaterThan(0);
});
