import { describe, expect, test } from "vitest";
import { fromMilliseconds } from "../../base/index.js";
import { ReportSchedule } from "./schedule.js";

const ms = fromMilliseconds;

describe("ReportSchedule", () => {
  test("a schedule reports ten times a second and at once on request, without catching up after a pause", () => {
    const schedule = new ReportSchedule();
    const sent: number[] = [];
    for (let now = 0; now <= 1001; now += 7) if (schedule.poll(ms(now))) sent.push(now);
    expect(sent.length).toBe(11);
    expect(schedule.poll(ms(1003))).toBeUndefined();
    schedule.hurry();
    expect(schedule.nextAt(ms(1004))).toBe(ms(1004));
    expect(schedule.poll(ms(1004))).toMatchObject({ reportId: 11 });
    expect(schedule.nextAt(ms(1004))).toBe(ms(1104));
    expect(schedule.poll(ms(9000))).toBeDefined();
    expect(schedule.poll(ms(9050))).toBeUndefined();
  });

  test("a schedule carries the worst lead of the last 250 ms, and keeps it through a skipped tick", () => {
    const schedule = new ReportSchedule();
    schedule.landed(ms(30), 1, ms(0));
    schedule.landed(ms(-80), 2, ms(10));
    schedule.landed(ms(90), 3, ms(20));
    expect(schedule.poll(ms(100))?.worst).toEqual({ lead: ms(-80), group: 2 });
    for (const now of [200, 300, 400, 500])
      expect(schedule.poll(ms(now), now <= 400)?.worst).toEqual(now === 500 ? { lead: ms(-80), group: 2 } : undefined);
    expect(schedule.skipped).toBe(3);
    schedule.landed(ms(70), 4, ms(600));
    expect(schedule.poll(ms(700))?.worst).toEqual({ lead: ms(70), group: 4 });
    expect(schedule.poll(ms(1000))?.worst).toBeUndefined();
  });

  test("a schedule keeps a requested report that met a backed-up transport for the next tick", () => {
    const schedule = new ReportSchedule();
    schedule.poll(ms(0));
    schedule.hurry();
    expect(schedule.poll(ms(10), true)).toBeUndefined();
    expect(schedule.poll(ms(20))).toBeDefined();
  });
});
