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
    expect(schedule.poll(ms(1004))).toMatchObject({ reportId: 11 });
    expect(schedule.poll(ms(1103))).toBeUndefined();
    expect(schedule.poll(ms(1104))).toBeDefined();
    expect(schedule.poll(ms(9000))).toBeDefined();
    expect(schedule.poll(ms(9050))).toBeUndefined();
  });

  test("a schedule reports every 20 ms, for 200 ms at most, while a path that loses delivers nothing", () => {
    const reports = (copies: number, fromMs: number): number[] => {
      const schedule = new ReportSchedule();
      for (let now = 0; now < 1000; now += 20) schedule.arrived(ms(now), { copy: now < copies * 20 });
      const sent: number[] = [];
      for (let now = 0; now < fromMs + 300; now++) if (schedule.poll(ms(now)) && now >= fromMs) sent.push(now);
      return sent;
    };
    const quick = [1030, 1050, 1070, 1090, 1110, 1130, 1150, 1170, 1190, 1210];
    expect(reports(8, 1001)).toEqual(quick);
    expect(reports(8, 2001).length).toBe(3);
    expect(reports(7, 1001)).toEqual([1100, 1200, 1300]);
  });

  test("a schedule takes a path for one that loses until five seconds after its copies", () => {
    const schedule = new ReportSchedule();
    for (let now = 0; now < 160; now += 20) schedule.arrived(ms(now), { copy: true });
    for (let now = 160; now <= 5000; now += 20) schedule.arrived(ms(now), { copy: false });
    expect(schedule.poll(ms(4950))).toBeDefined();
    schedule.arrived(ms(4940), { copy: false });
    expect(schedule.poll(ms(4989))).toBeUndefined();
    expect(schedule.poll(ms(4990))).toBeDefined();
    schedule.arrived(ms(5000), { copy: false });
    expect(schedule.poll(ms(5055))).toBeUndefined();
    expect(schedule.poll(ms(5089))).toBeUndefined();
    expect(schedule.poll(ms(5090))).toBeDefined();
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
