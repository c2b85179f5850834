import { expect, test } from "vitest";
import { OpusEncoder, type OpusOptions } from "../publisher/index.js";
import { loadOpus } from "../watch/index.js";
import { VirtualStage } from "./support/virtual-stage.js";

/** An utterance of `ms`, all of it there at once. */
const utterance = (ms: number) => Array.from({ length: ms / 20 }, () => ({ afterMs: 0, ms: 20 }));

/** Milliseconds for which `playing` may still say what was true before. */
const TENS_OF_MS = 80;

/** Runs to a time and returns, for every 10 ms, whether the listener says that it plays and when audio was heard last. */
async function watch(stage: VirtualStage, untilMs: number) {
  const record: { readonly at: number; readonly playing: boolean; readonly silentMs: number }[] = [];
  while (stage.now < untilMs) {
    await stage.runTo(stage.now + 10);
    const silentMs = stage.now - (stage.heard.at(-1)?.at ?? Number.NEGATIVE_INFINITY);
    record.push({ at: stage.now, playing: stage.playout.playing, silentMs });
  }
  return record;
}

/** The moments at which `playing` was wrong for longer than tens of milliseconds. */
const wrong = (record: Awaited<ReturnType<typeof watch>>) =>
  record.filter(({ playing, silentMs }) => (playing ? silentMs > TENS_OF_MS : silentMs < 10));

test("a listener plays while audio is audible and not in an intended pause, and counts no underrun for a start or a pause", async () => {
  const stage = new VirtualStage();
  for (const pauseMs of [200, 1500, 4000]) {
    stage.say(utterance(1200));
    const record = await watch(stage, stage.now + 1200 + 600 + pauseMs);
    expect(wrong(record)).toEqual([]);
    expect(record.some(({ playing }) => playing)).toBe(true);
    expect(stage.playout.playing).toBe(false);
  }
  expect(stage.playout.counters).toMatchObject({ underruns: 0, underrunMs: 0 });
});

test.each([5, 10, 20])(
  "a listener takes the end of no utterance in frames of %i ms for an underrun",
  async (frameMs) => {
    const stage = new VirtualStage({ frameMs });
    for (let ms = 300; ms < 320; ms++) {
      stage.say([{ afterMs: 0, ms }]);
      await stage.runTo(stage.now + 1000);
    }
    expect(stage.playout.counters).toMatchObject({ underruns: 0, underrunMs: 0 });
  },
);

const openOpus = async (options: OpusOptions) => ({
  encoder: await OpusEncoder.create(options),
  openDecoder: await loadOpus({ channels: 1 }),
});

/** A tone of 90 Hz: cut off, it leaves an offset that Opus takes a quarter of a second to forget. */
const low = (amplitude: number) => (index: number) =>
  Math.round(amplitude * Math.sin((2 * Math.PI * 90 * index) / 48_000));

test.each([
  ["audio", 20],
  ["audio", 10],
  ["audio", 5],
  ["voice", 20],
  ["voice", 10],
  ["lowdelay", 5],
] as const)(
  "a listener takes no abrupt end for an underrun, in Opus for %s in frames of %i ms",
  async (application, frameMs) => {
    const stage = new VirtualStage({ frameMs, codec: await openOpus({ application, frameMs }), heard: () => {} });
    for (const amplitude of [30_000, 10_000, 300]) {
      for (const ms of [300, 307, 311.3]) {
        stage.say([{ afterMs: 0, ms }], 0, { code: low(amplitude) });
        await stage.runTo(stage.now + 900);
        expect(stage.playout.counters).toMatchObject({ underruns: 0, underrunMs: 0 });
        expect(stage.playout.resting).toBe(true);
      }
    }
  },
);

test.each([5, 10, 20] as const)(
  "a listener takes audio that breaks off in a quiet passage for an underrun, in Opus in frames of %i ms",
  async (frameMs) => {
    const stage = new VirtualStage({ frameMs, codec: await openOpus({ frameMs }), heard: () => {} });
    // Half a second of voice, and then 40 dB less.
    const code = (index: number) => low(index < 24_000 ? 20_000 : 200)(index);
    stage.say(
      [
        { afterMs: 0, ms: 810 },
        { afterMs: 1500, ms: 500 },
      ],
      0,
      { code },
    );
    await stage.runTo(3500);
    expect(stage.playout.counters.underruns).toBe(1);
  },
);

test("a listener stops playing within tens of milliseconds of an interrupt, and counts no underrun for it", async () => {
  for (const aheadMs of [0, 4000]) {
    const stage = new VirtualStage({ aheadMs });
    stage.say(utterance(3000));
    await stage.runTo(1000);
    expect(stage.playout.playing).toBe(true);
    stage.interrupt();
    // The rewind is on its way for 20 ms, and the publisher looks every 10 ms.
    const record = await watch(stage, 4000);
    expect(record.filter(({ at, playing }) => playing && at > 1000 + 30 + TENS_OF_MS)).toEqual([]);
    expect(wrong(record)).toEqual([]);
    stage.say(utterance(1200));
    await watch(stage, 7000);
    expect(stage.playout.counters).toMatchObject({ underruns: 0, underrunMs: 0 });
  }
});

test("a listener counts no underrun for the time between an interrupt and the reply, however long that is", async () => {
  for (const aheadMs of [0, 2000]) {
    for (let waitMs = 0; waitMs <= 3000; waitMs += waitMs < 400 ? 20 : 200) {
      const stage = new VirtualStage({ aheadMs });
      stage.say(utterance(3000));
      await stage.runTo(1500);
      stage.interrupt();
      await stage.runTo(1500 + waitMs);
      stage.say(utterance(600));
      await stage.runTo(stage.now + 1500);
      const { underruns, underrunMs } = stage.playout.counters;
      expect({ waitMs, underruns, underrunMs }).toEqual({ waitMs, underruns: 0, underrunMs: 0 });
    }
  }
});

test("a listener stops playing within tens of milliseconds of the end of its audio when its relay dies", async () => {
  const stage = new VirtualStage();
  stage.say(utterance(20_000));
  await stage.runTo(3000);
  stage.relayStopped = true;
  const record = await watch(stage, 15_000);
  expect(wrong(record)).toEqual([]);
  expect(record.slice(-900).filter(({ playing }) => playing)).toEqual([]);
  expect(stage.playout.counters.underruns).toBe(1);
});

test.each([300, 900, 3000, 12_000])(
  "a listener counts one underrun as long as what was heard of a relay that stood still for %i ms in the middle of speech",
  async (stoodMs) => {
    const stage = new VirtualStage({ aheadMs: 200 });
    stage.say(utterance(20_000));
    await stage.runTo(3000);
    stage.relayStopped = true;
    await stage.runTo(3000 + stoodMs);
    stage.relayStopped = false;
    const record = await watch(stage, stage.now + 1500);
    expect(wrong(record)).toEqual([]);
    const times = stage.heard.map(({ at }) => at);
    const silences = times.map((at, i) => at - (times[i - 1] ?? at)).filter((ms) => ms > 20);
    const { underruns, underrunMs } = stage.playout.counters;
    expect(silences).toHaveLength(1);
    expect(underruns).toBe(1);
    expect(Math.abs(underrunMs - silences[0]!)).toBeLessThanOrEqual(20);
  },
);
