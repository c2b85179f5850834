import fc from "fast-check";
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
    const behindMs = () => stage.now - stage.playout.playhead! / 1e3;
    const before = behindMs();
    stage.stopped = true;
    await stage.runTo(5000 + seconds * 1000);
    stage.stopped = false;
    const woke = stage.now;
    await stage.runTo(woke + 5000);
    const heard = stage.heard.filter(({ at }) => at >= woke && at < woke + 1000);
    expect(heard.length).toBeGreaterThan(0);
    expect(Math.abs(behindMs() - before)).toBeLessThan(20);
    expect(stage.playout.bufferedMs).toBeLessThan(5000);
    expect(stage.playout.counters.jumps).toBe(1);
  },
);

/** Lets a process stand still at times, each `everyMs` after the last one ended. */
async function standStill(
  stage: VirtualStage,
  stops: readonly { readonly who: "publisher" | "listener"; readonly afterMs: number; readonly forMs: number }[],
  untilMs: number,
): Promise<void> {
  for (const { who, afterMs, forMs } of stops) {
    await stage.runTo(Math.min(untilMs, stage.now + afterMs));
    if (who === "publisher") stage.publisherStopped = true;
    else stage.stopped = true;
    // A listener that stands still for longer jumps to where it would be.
    await stage.runTo(Math.min(untilMs, stage.now + (who === "listener" ? Math.min(forMs, 1100) : forMs)));
    stage.publisherStopped = false;
    stage.stopped = false;
  }
  await stage.runTo(untilMs);
}

test("a listener hears all of every utterance once and in order although publisher and listener stall at times", async () => {
  const length = 1200;
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          pace: fc.constantFrom(0, 0.9),
          pauseMs: fc.integer({ min: 0, max: 1500 }),
          stops: fc.array(
            fc.record({
              who: fc.constantFrom("publisher", "listener"),
              afterMs: fc.integer({ min: 1, max: 600 }),
              forMs: fc.integer({ min: 1, max: 1500 }),
            }),
            { maxLength: 4 },
          ),
        }),
        { minLength: 1, maxLength: 4 },
      ),
      fc.constantFrom(0, 500, 4000),
      async (replies, aheadMs) => {
        const stage = new VirtualStage({ aheadMs });
        for (const { pace, pauseMs, stops } of replies) {
          const since = stage.now;
          const first = stage.heard.length;
          stage.say(Array.from({ length: length / 20 }, (_, i) => ({ afterMs: i === 0 ? 0 : 20 * pace, ms: 20 })));
          const stood = stops.reduce((sum, { afterMs, forMs }) => sum + afterMs + forMs, 0);
          await standStill(stage, stops, since + length + stood + 2000 + pauseMs);
          const heard = stage.heard.slice(first).map(({ index }) => index);
          expect(heard.filter((index, i) => i > 0 && index <= heard[i - 1]!)).toEqual([]);
          expect(stage.coverage(length, since)).toEqual({ missing: expect.toSatisfy((ms) => ms < 5), repeated: 0 });
        }
        expect(stage.sendQueue.counters.passed).toBe(0);
      },
    ),
    { numRuns: 12, seed: 20261127 },
  );
});

test.each([0, 20, 300, 700])(
  "a relay that takes nothing for %i ms costs a broadcast sent ahead no audio",
  async (ms) => {
    const stage = new VirtualStage({ aheadMs: 400, window: true });
    stage.say([{ afterMs: 0, ms: 6000 }]);
    await stage.runTo(1500);
    stage.relayStopped = true;
    await stage.runTo(1500 + ms);
    stage.relayStopped = false;
    await stage.runTo(9000);
    const { missing, repeated } = stage.coverage(6000);
    // Samples within a fade can't be traced.
    expect(missing).toBeLessThan(1);
    expect(repeated).toBe(0);
  },
);

test.each([400, 600, 800])(
  "a relay that takes nothing for %i ms leaves no hole in a reply to a player that reports nothing",
  async (ms) => {
    const stage = new VirtualStage({ aheadMs: 1000, window: true });
    stage.unreported = true;
    stage.say([{ afterMs: 0, ms: 10_000 }]);
    await stage.runTo(3000);
    void stage.interrupt();
    const reply = stage.say([{ afterMs: 0, ms: 4000 }]);
    stage.relayStopped = true;
    await stage.runTo(3000 + ms);
    stage.relayStopped = false;
    await stage.runTo(6000);
    expect(reply.pieces).toMatchObject([{ fromMs: 0 }]);
  },
);

test.each([0, 300, 800, 1500])(
  "an interrupt as a relay returns that took nothing for %i ms silences at once, and finds out what was heard",
  async (ms) => {
    const stage = new VirtualStage({ transitMs: 20 });
    stage.say([{ afterMs: 0, ms: 200 }]);
    await stage.runTo(1500);
    const before = stage.heard.length;
    const speech = stage.say([{ afterMs: 0, ms: 6000 }]);
    await stage.runTo(2500);
    stage.relayStopped = true;
    await stage.runTo(2500 + ms);
    stage.relayStopped = false;
    const heardSo = stage.heard.length;
    const interruption = stage.interrupt();
    await stage.runTo(stage.now + 3000);
    const { perListener } = await interruption;
    expect(perListener).toMatchObject([{ measured: true }]);
    expect((stage.heard.length - heardSo) / 48).toBeLessThan(45);
    const { heardMs } = await speech.done;
    expect(Math.abs(heardMs - (stage.heard.length - before) / 48)).toBeLessThan(1);
  },
);
