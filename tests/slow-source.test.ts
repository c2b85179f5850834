import fc from "fast-check";
import { expect, test } from "vitest";
import { VirtualStage } from "./support/virtual-stage.js";

/** Audio of `totalMs` in chunks of `chunkMs`, each of which takes `pace` times its length to come. */
function chunks(totalMs: number, chunkMs: number, pace: number) {
  const count = Math.ceil(totalMs / chunkMs);
  return Array.from({ length: count }, (_, i) => ({
    afterMs: i === 0 ? 0 : chunkMs * pace,
    ms: Math.min(chunkMs, totalMs - i * chunkMs),
  }));
}

/** A sample for each time that silence was faded out of. */
const TRACEABLE_MS = 1;

test.each([0.8, 1, 1.2, 2])(
  "a listener hears all of an utterance whose source takes %f times its length",
  async (pace) => {
    const stage = new VirtualStage();
    for (let reply = 0; reply < 4; reply++) {
      const since = stage.now;
      stage.say(chunks(2000, 100, pace));
      await stage.runTo(stage.now + 2000 * Math.max(1, pace) + 1500);
      const { missing, repeated } = stage.coverage(2000, since);
      expect(missing).toBeLessThan(TRACEABLE_MS);
      expect(repeated).toBe(0);
    }
    expect(stage.sendQueue.counters.passed).toBe(0);
  },
);

test("a listener hears an utterance whose first sample comes seconds late from its start, without an underrun", async () => {
  const stage = new VirtualStage();
  for (const lateMs of [0, 500, 2000, 5000]) {
    const since = stage.now;
    const { underruns } = stage.playout.counters;
    stage.say([{ afterMs: lateMs, ms: 100 }, ...chunks(900, 100, 0.5).map((chunk) => ({ ...chunk, afterMs: 50 }))]);
    await stage.runTo(stage.now + lateMs + 2500);
    expect(stage.coverage(1000, since).missing).toBeLessThan(TRACEABLE_MS);
    expect(stage.playout.counters.underruns).toBe(underruns);
  }
  expect(stage.renderer.underruns).toBe(0);
});

test("whatever the source's chunks, pace and stalls, no audio is lost, repeated or out of order", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          chunkMs: fc.integer({ min: 3, max: 400 }),
          pace: fc.double({ min: 0.5, max: 1.6, noNaN: true }),
          stallMs: fc.constantFrom(0, 0, 30, 300, 1500, 4000),
          stallAt: fc.double({ min: 0, max: 1, noNaN: true }),
          pauseMs: fc.constantFrom(0, 200, 900, 3000),
        }),
        { minLength: 1, maxLength: 3 },
      ),
      fc.constantFrom(5, 10, 20, 40),
      fc.constantFrom(1, 20, 90),
      fc.constantFrom(0, 500, 4000),
      async (replies, frameMs, transitMs, aheadMs) => {
        const stage = new VirtualStage({ frameMs, transitMs, aheadMs });
        for (const { chunkMs, pace, stallMs, stallAt, pauseMs } of replies) {
          const since = stage.now;
          const all = chunks(1500, chunkMs, pace);
          all[Math.floor(stallAt * (all.length - 1))]!.afterMs += stallMs;
          stage.say(all);
          await stage.runTo(stage.now + 1500 * Math.max(1, pace) + stallMs + 2500 + pauseMs);
          const { missing, repeated } = stage.coverage(1500, since);
          expect(missing).toBeLessThan(5 * TRACEABLE_MS);
          expect(repeated).toBe(0);
        }
        const places = stage.heard.map(({ index }) => index);
        expect(places.filter((index, i) => index < places[i - 1]!)).toHaveLength(replies.length - 1);
        expect(stage.sendQueue.counters.passed).toBe(0);
      },
    ),
    { numRuns: 12, seed: 20261126 },
  );
});

test("a listener hears a publisher that is too slow in pieces, counts underruns, and hears it whole again once it is fast enough", async () => {
  // 5 ms frames, of which the machine makes eight tenths in time.
  let blocks = 100;
  const stage = new VirtualStage({ frameMs: 5, blocksPerTick: () => blocks });
  stage.say(chunks(12_000, 100, 0.1));
  await stage.runTo(2000);
  let tick = 0;
  for (; stage.now < 8000; tick++) {
    blocks = tick % 5 === 0 ? 0 : 1;
    await stage.runTo(stage.now + 10);
  }
  expect(stage.playout.counters.underruns).toBeGreaterThan(0);
  const heard = stage.heard.length;
  expect(heard / 48).toBeGreaterThan(5500);
  blocks = 100;
  await stage.runTo(16_000);
  expect(stage.coverage(12_000).missing).toBeLessThan(20 * TRACEABLE_MS);
  expect(stage.sendQueue.counters.passed).toBe(0);
});

test("a listener hears all of a reply, however often the publisher was interrupted before", async () => {
  const stage = new VirtualStage({ aheadMs: 3000 });
  const utterance = (ms: number) => chunks(ms, 20, 0);
  /** Interrupts, says something once the old audio is over, and returns when it began. */
  const reply = async (ms: number): Promise<number> => {
    stage.interrupt();
    await stage.runTo(stage.now + 200);
    stage.say(utterance(ms));
    return stage.now;
  };
  stage.say(utterance(10_000));
  await stage.runTo(1500);
  // Each interrupt sets the listener back to the cut: the clock gains on its playhead, by seconds in the end.
  for (let round = 0; round < 12; round++) {
    const since = await reply(10_000);
    await stage.runTo(since + 400);
    expect(stage.coverage(100, since).missing).toBeLessThan(5 * TRACEABLE_MS);
    expect(stage.coverage(100, since).repeated).toBe(0);
  }
  const since = await reply(2000);
  await stage.runTo(since + 4000);
  expect(stage.coverage(2000, since).missing).toBeLessThan(5 * TRACEABLE_MS);
  expect(stage.coverage(2000, since).repeated).toBe(0);
  expect(stage.heard.at(-1)!.at - since).toBeLessThan(2400);
});

test.each([
  [20, 0],
  [20, 4000],
  [10, 0],
  [5, 0],
])(
  "in frames of %i ms, sent %i ms ahead, a speech is heard to its end while the next one's source is late",
  async (frameMs, aheadMs) => {
    const stage = new VirtualStage({ frameMs, aheadMs });
    stage.say(chunks(300, 300, 1));
    await stage.runTo(1500);
    const { underruns } = stage.playout.counters;
    const since = stage.now;
    let doneAt = Number.POSITIVE_INFINITY;
    stage.say(chunks(507, 507, 1)).done.then(() => {
      doneAt = stage.now;
    });
    stage.say([{ afterMs: 2500, ms: 300 }], 0, { code: (index) => -1000 - index });
    const heard = (isSecond: boolean) =>
      stage.heard.filter(({ at, isNegative }) => at >= since && isNegative === isSecond);
    await stage.runTo(since + 1200);
    expect(heard(false).length / 48).toBeGreaterThan(507 - TRACEABLE_MS);
    expect(doneAt - since).toBeLessThan(800);
    await stage.runTo(since + 4000);
    expect(heard(false).length / 48).toBeLessThanOrEqual(507);
    expect(heard(true).length / 48).toBeGreaterThan(300 - TRACEABLE_MS);
    expect(stage.playout.counters.underruns).toBe(underruns);
    expect(stage.renderer.underruns).toBe(0);
  },
);

test.each([0, 500, 4000])(
  "sent %i ms ahead, speeches whose sources are in time follow one another without a gap",
  async (aheadMs) => {
    const stage = new VirtualStage({ aheadMs });
    let said = 0;
    for (const ms of [507, 303, 12, 411, 7]) {
      stage.say([{ afterMs: 0, ms }], Math.round(said * 48));
      said += ms;
    }
    await stage.runTo(3000);
    expect(stage.heard.length / 48).toBeGreaterThan(said - TRACEABLE_MS);
    // A gap would move what follows it, and a repeat would go back.
    const [first, last] = [stage.heard[0]!, stage.heard.at(-1)!];
    expect((last.index - first.index + 1) / 48).toBeLessThanOrEqual(said);
    expect(last.at - first.at).toBeLessThan(said + 4);
  },
);
