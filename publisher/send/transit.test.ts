import { describe, expect, test } from "vitest";
import { fromMilliseconds as ms } from "../../base/index.js";
import { Transit } from "./transit.js";

describe("Transit", () => {
  test("is how far ahead a group was written less the lead with which it landed, believed at once when it grows", () => {
    const transit = new Transit();
    expect(transit.ahead).toBeUndefined();
    for (let sequence = 0; sequence < 300; sequence++) transit.wrote(sequence, ms(900));
    transit.landed(299, ms(880));
    expect(transit.ahead).toBe(ms(50));
    transit.landed(298, ms(780));
    expect(transit.ahead).toBe(ms(150));
    for (let i = 0; i < 60; i++) transit.landed(297, ms(880));
    expect(transit.ahead).toBeLessThan(ms(51));
    // A group that is not remembered tells nothing; a lead that can't be is no reason to be late.
    transit.landed(3, ms(-5000));
    transit.landed(296, ms(5000));
    expect(transit.ahead).toBeGreaterThan(ms(30));
    transit.landed(295, ms(-9_000_000));
    expect(transit.ahead).toBe(ms(3030));
    transit.reset();
    expect(transit.ahead).toBeUndefined();
  });

  test("is not taken for longer because a relay holds what is in no hurry, but for shorter when even that comes soon", () => {
    const transit = new Transit();
    transit.wrote(1, ms(8000));
    transit.landed(1, ms(950));
    expect(transit.ahead).toBe(ms(80));
    transit.wrote(2, ms(300));
    transit.landed(2, ms(200));
    expect(transit.ahead).toBe(ms(130));
    transit.wrote(3, ms(6000));
    transit.landed(3, ms(1000));
    expect(transit.ahead).toBe(ms(130));
    transit.wrote(4, ms(2000));
    transit.landed(4, ms(1980));
    expect(transit.ahead).toBe(ms(110));
  });
});
