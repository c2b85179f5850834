import { expect, test } from "vitest";
import { VirtualStage, type VirtualStageOptions } from "./support/virtual-stage.js";

/** A live broadcast of a source that captures in chunks of 20 ms, by a clock of `rate` times the publisher's. */
function broadcast({
  rate = 1,
  backlogMs = 0,
  stall = () => 0,
  ...options
}: {
  rate?: number;
  backlogMs?: number;
  /** How much longer the chunk that follows a moment takes. */
  stall?: (at: number) => number;
} & VirtualStageOptions = {}) {
  const stage = new VirtualStage({ mode: "live", ...options });
  const chunks: { afterMs: number; ms: number }[] = [];
  for (let ms = 0; ms < backlogMs; ms += 20) chunks.push({ afterMs: 0, ms: 20 });
  for (let at = 0; at < 60_000; at += 20 / rate) chunks.push({ afterMs: 20 / rate + stall(at), ms: 20 });
  stage.say(chunks);
  /** From the capture of what was heard at the end of a stretch to its sound; the worst of it in the stretch. */
  const delays = (fromMs: number, toMs: number) =>
    stage.heard
      .filter(({ at }) => at >= fromMs && at < toMs)
      .map(({ index, at }) => at - (index / 48 - backlogMs) / rate);
  const worst = (fromMs: number, toMs: number) => delays(fromMs, toMs).reduce((most, one) => Math.max(most, one));
  return { stage, worst };
}

test("a listener makes up for 2 s of audio that waited before a live broadcast within 10 s, by small skips", async () => {
  const { stage, worst } = broadcast({ backlogMs: 2000 });
  await stage.runTo(20_000);
  expect(worst(500, 1500)).toBeGreaterThan(1900);
  expect(worst(10_000, 11_000)).toBeLessThan(200);
  expect(worst(15_000, 20_000)).toBeLessThan(200);
  let longest = 0;
  for (let i = 1; i < stage.heard.length; i++)
    longest = Math.max(longest, stage.heard[i]!.index - stage.heard[i - 1]!.index);
  expect(longest / 48).toBeLessThan(21);
  expect(stage.playout.counters.underruns).toBe(0);
});

test.each([0.98, 1.02, 0.995, 1.005])(
  "a live source whose clock runs %f times as fast is heard with a bounded delay and without a break",
  async (rate) => {
    const { stage, worst } = broadcast({ rate, heardEvery: 48 });
    await stage.runTo(5000);
    const { underruns } = stage.playout.counters;
    await stage.runTo(45_000);
    expect(worst(5000, 45_000)).toBeLessThan(250);
    expect(stage.playout.counters.underruns).toBe(underruns);
  },
);

test("audio that waits while the publisher stalls comes late, and is soon in time again", async () => {
  let blocks = 100;
  const { stage, worst } = broadcast({ blocksPerTick: () => blocks });
  await stage.runTo(10_000);
  blocks = 0;
  await stage.runTo(10_800);
  blocks = 100;
  await stage.runTo(25_000);
  expect(worst(9000, 10_000)).toBeLessThan(200);
  expect(worst(20_000, 25_000)).toBeLessThan(200);
});

test("a source that captured nothing for a while continues in time", async () => {
  const { stage, worst } = broadcast({ stall: (at) => (at === 10_000 ? 600 : 0) });
  await stage.runTo(25_000);
  expect(worst(9000, 10_000)).toBeLessThan(200);
  // The source's own clock stood still as well.
  expect(worst(20_000, 25_000) - 600).toBeLessThan(200);
});
