import { expect, test } from "vitest";
import { VirtualStage } from "./support/virtual-stage.js";

test.each([
  ["ahead", 5],
  ["ahead", 60],
  ["live", 5],
  ["live", 60],
] as const)(
  "a listener of a broadcast in mode %s that stood still for %i s is in time again within a second",
  async (mode, seconds) => {
    const stage = new VirtualStage({ mode });
    const total = (seconds + 20) * 1000;
    stage.say(Array.from({ length: total / 20 }, () => ({ afterMs: mode === "live" ? 20 : 1, ms: 20 })));
    await stage.runTo(5000);
    const behind = (from: number, to: number) => {
      const heard = stage.heard.filter(({ at }) => at >= from && at < to);
      return heard.reduce((most, { index, at }) => Math.max(most, at - index / 48), 0);
    };
    const before = behind(4000, 5000);
    stage.stopped = true;
    await stage.runTo(5000 + seconds * 1000);
    stage.stopped = false;
    const woke = stage.now;
    await stage.runTo(woke + 5000);
    const heard = stage.heard.filter(({ at }) => at >= woke && at < woke + 1000);
    expect(heard.length).toBeGreaterThan(0);
    // The range of places comes round every 625 ms: what tells is where in it the listener is.
    const lag = (behind(woke + 1000, woke + 2000) - before) % 625;
    expect(Math.min(Math.abs(lag), 625 - Math.abs(lag))).toBeLessThan(150);
    expect(stage.playout.bufferedMs).toBeLessThan(5000);
    expect(stage.playout.counters.jumps).toBe(1);
  },
);
