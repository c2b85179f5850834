import { describe, expect, it } from "vitest";
import { fromMilliseconds as ms } from "../base/index.js";
import { Transit } from "./transit.js";

describe("Transit", () => {
  it("is how far ahead a group was written less the lead with which it landed, believed at once when it grows", () => {
    const transit = new Transit();
    expect(transit.ahead).toBeUndefined();
    for (let sequence = 0; sequence < 300; sequence++) transit.wrote(sequence, ms(1000));
    transit.landed(299, ms(980));
    expect(transit.ahead).toBe(ms(50));
    transit.landed(298, ms(880));
    expect(transit.ahead).toBe(ms(150));
    for (let i = 0; i < 60; i++) transit.landed(297, ms(980));
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
});
