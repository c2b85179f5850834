import { describe, expect, test } from "vitest";
import { fromMilliseconds as ms } from "../../base/index.js";
import { Transit } from "./transit.js";

/** A path of 20 ms, known from a second of landings. Lands groups written 260 ms ahead, and returns the typical transit. */
function onPath(): (at: number, lead: number) => number {
  const transit = new Transit();
  const land = (at: number, lead: number): number => {
    transit.wrote(at, ms(260));
    transit.landed(at, ms(lead), ms(at));
    return transit.typical;
  };
  for (let at = 0; at < 1000; at += 100) expect(land(at, 240)).toBe(ms(20));
  return land;
}

describe("Transit", () => {
  test("transit is the distance a group was written ahead less its landing lead, and a growth counts at once", () => {
    const transit = new Transit();
    expect(transit.ahead).toBeUndefined();
    for (let sequence = 0; sequence < 300; sequence++) transit.wrote(sequence, ms(900));
    transit.landed(299, ms(880), ms(0));
    expect(transit.ahead).toBe(ms(50));
    transit.landed(298, ms(780), ms(0));
    expect(transit.ahead).toBe(ms(150));
    for (let i = 0; i < 60; i++) transit.landed(297, ms(880), ms(0));
    expect(transit.ahead).toBeLessThan(ms(51));
    // A forgotten group says nothing; an impossible lead must not make anything late.
    transit.landed(3, ms(-5000), ms(0));
    transit.landed(296, ms(5000), ms(0));
    expect(transit.ahead).toBeGreaterThan(ms(30));
    for (const at of [0, 500]) transit.landed(295, ms(-9_000_000), ms(at));
    expect(transit.ahead).toBe(ms(3030));
    transit.reset();
    expect(transit.ahead).toBeUndefined();
  });

  test("transit does not grow because a relay holds groups on purpose, but falls when even those arrive soon", () => {
    const transit = new Transit();
    transit.wrote(1, ms(8000));
    transit.landed(1, ms(950), ms(0));
    expect(transit.ahead).toBe(ms(80));
    transit.wrote(2, ms(300));
    transit.landed(2, ms(200), ms(0));
    expect(transit.ahead).toBe(ms(130));
    transit.wrote(3, ms(6000));
    transit.landed(3, ms(1000), ms(0));
    expect(transit.ahead).toBe(ms(130));
    transit.wrote(4, ms(2000));
    transit.landed(4, ms(1980), ms(0));
    expect(transit.ahead).toBe(ms(110));
  });

  test("a backlog that a stalled listener reads at once says nothing about the transit, a path that grew does", () => {
    const land = onPath();
    for (const at of [7000, 7100, 7200]) expect(land(at, -2600)).toBe(ms(20));
    // Seconds later the next speech begins, and the stall counts for nothing.
    for (let at = 9000; at < 10_000; at += 100) expect(land(at, 240)).toBe(ms(20));
    expect([14_000, 14_100, 14_400, 14_500].map((at) => land(at, -500))).toEqual([20, 20, 20, 760].map(ms));
  });

  test("two stalls of listeners a minute apart say nothing about the transit, even with nothing in between", () => {
    for (const apart of [2100, 10_000, 60_000]) {
      const land = onPath();
      for (const at of [5000, 5100, 5000 + apart, 5100 + apart]) expect(land(at, -2600)).toBe(ms(20));
      expect(land(5500 + apart, -2600)).toBe(ms(2860));
    }
  });

  test("the most that a transit takes follows neither one landing after a stall nor the hold of a relay at once", () => {
    const transit = new Transit();
    const land = (leadMs: number): number => {
      transit.landed(1, ms(leadMs), ms(0));
      return transit.most / 1000;
    };
    expect(transit.most).toBe(0);
    transit.wrote(1, ms(3000));
    expect([land(1800), land(2600), land(1800)].map(Math.round)).toEqual([1200, 1000, 1013]);
    expect([land(200), land(1800)].map(Math.round)).toEqual([1124, 1129]);
    for (let landing = 0; landing < 20; landing++) land(2980);
    expect(transit.most).toBeLessThan(ms(30));
  });

  test("a group that waited for a playhead for long says nothing about the transit", () => {
    const transit = new Transit();
    transit.wroteBefore(7, ms(5000), ms(0));
    transit.wroteBefore(8, ms(5020), ms(58_500));
    // The playhead stood still until a listener played, a minute after the first group was sent.
    transit.began(ms(4900), ms(60_000));
    transit.landed(7, ms(80), ms(60_000));
    expect(transit.ahead).toBeUndefined();
    transit.landed(8, ms(100), ms(60_000));
    expect(transit.ahead).toBeDefined();
  });

  test("the transit of groups sent before the playhead was known is measured from where it must have been", () => {
    const transit = new Transit();
    transit.wroteBefore(7, ms(5000), ms(100));
    transit.wroteBefore(8, ms(5020), ms(110));
    transit.landed(7, ms(80), ms(0));
    expect(transit.ahead).toBeUndefined();
    // The playhead was at 4500 ms when the first group was sent.
    transit.began(ms(4900), ms(500));
    transit.landed(7, ms(80), ms(0));
    expect(transit.typical).toBe(ms(420));
    transit.reset();
    transit.began(ms(4900), ms(500));
    transit.landed(7, ms(80), ms(0));
    expect(transit.ahead).toBeUndefined();
  });
});
