import { cp, mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { queryObjects } from "node:v8";
import { expect, test, vi } from "vitest";
import { Controls } from "../../publisher/control/controls.js";
import { openAudio, type SpeechResult } from "../../publisher/index.js";
import { Speech } from "../../publisher/speech/speech.js";
import { knobsSchema } from "../../publisher/tracks/mixer.js";
import { Wake } from "../../publisher/wake.js";
import { descriptorsOf } from "../support/open-files.js";
import { VirtualStage } from "../support/virtual-stage.js";

const SAMPLES_PER_MS = 48;
const RANGE = 30_000;
/** Positions agree to this: a report, and the speaker's quantum of 2.7 ms. */
const WITHIN_MS = 20;

/** How far a speech was heard, by the samples that the speaker played since a moment. */
function spoken(stage: VirtualStage, { isNegative = false, since = 0, until = Number.POSITIVE_INFINITY } = {}): number {
  let reached = 0;
  for (const { index, at, isNegative: sign } of stage.heard) {
    if (sign !== isNegative || at < since || at > until) continue;
    const place = ((index % RANGE) + RANGE) % RANGE;
    const next = reached + ((((place - reached) % RANGE) + RANGE + 4800) % RANGE) - 4800;
    if (next - reached < RANGE / 2) reached = Math.max(reached, next + 1);
  }
  return reached / SAMPLES_PER_MS;
}

/** Samples of a speech that stands out from those before and behind it. */
const NEGATIVE = { code: (index: number) => -1000 - (index % RANGE) };

const whole = (ms: number) => [{ afterMs: 0, ms }];

/** Lets what was found out reach the application. */
async function settled(stage: VirtualStage, ms = 300): Promise<void> {
  await stage.runTo(stage.now + ms);
}

async function result(stage: VirtualStage, done: Promise<SpeechResult>): Promise<SpeechResult> {
  let found: SpeechResult | undefined;
  void done.then((one) => {
    found = one;
  });
  // A file takes its own time, which is not the stage's.
  for (let i = 0; i < 4000 && found === undefined; i++) await settled(stage, 50);
  if (found === undefined) throw new Error("The speech did not end.");
  return found;
}

test("none of a hundred short speeches ends before it was heard, however far ahead they are sent", async () => {
  const stage = new VirtualStage({ aheadMs: 20_000 });
  let ended = 0;
  for (let i = 0; i < 100; i++)
    void stage.say(whole(150)).done.then(({ outcome }) => {
      if (outcome === "finished") ended++;
    });
  for (; stage.now < 14_000; await settled(stage, 500))
    expect(ended * 150).toBeLessThanOrEqual(stage.heard.length / SAMPLES_PER_MS + WITHIN_MS);
  await settled(stage, 6000);
  expect(ended).toBe(100);
});

test("a speech that is heard to its end ends with its length, per listener, and with progress that only rises", async () => {
  const stage = new VirtualStage({ aheadMs: 3000 });
  const speech = stage.say(whole(2000));
  const events: string[] = [];
  const reached: number[] = [];
  const wrong: object[] = [];
  speech.on("started", ({ measured }) => events.push(`started ${measured}`));
  speech.on("progress", ({ ms, measured }) => {
    reached.push(ms);
    if (!measured || ms > spoken(stage) + WITHIN_MS) wrong.push({ ms, measured });
  });
  speech.on("finished", ({ outcome }) => events.push(outcome));
  const end = await result(stage, speech.done);
  expect(end).toMatchObject({ outcome: "finished", heardMs: 2000, measured: true });
  expect(end.listeners).toEqual([{ id: 1, fromMs: 0, heardMs: 2000, measured: true }]);
  expect(events).toEqual(["started true", "finished"]);
  expect(wrong).toEqual([]);
  expect(reached.length).toBeGreaterThan(10);
  expect(reached).toEqual([...reached].sort((one, other) => one - other));
  expect(speech.phase).toBe("done");
});

test("an interrupted speech ends where the listener fell silent", async () => {
  const stage = new VirtualStage({ aheadMs: 3000 });
  const speech = stage.say(whole(5000));
  await stage.runTo(1480);
  void speech.interrupt();
  expect(await result(stage, speech.done)).toMatchObject({ outcome: "interrupted", measured: true });
  expect(Math.abs(speech.heardMs - spoken(stage))).toBeLessThan(WITHIN_MS);
  expect(speech.heardMs).toBeGreaterThan(1000);
});

test("a paused speech stays open, continues without a gap or a repeat, and counts no sample twice", async () => {
  const stage = new VirtualStage({ aheadMs: 3000 });
  const speech = stage.say(whole(4000));
  const events: string[] = [];
  for (const name of ["paused", "resumed", "finished"] as const) speech.on(name, () => events.push(name));
  await stage.runTo(1500);
  expect(speech.pause()).toBe(true);
  expect(speech.pause()).toBe(false);
  await stage.runTo(4000);
  expect(events).toEqual(["paused"]);
  expect(speech.phase).toBe("paused");
  const paused = speech.heardMs;
  expect(Math.abs(paused - spoken(stage))).toBeLessThan(WITHIN_MS);
  expect(speech.resume()).toBe(speech);
  const end = await result(stage, speech.done);
  expect(end).toMatchObject({ outcome: "finished", heardMs: 4000 });
  expect(events).toEqual(["paused", "resumed", "finished"]);
  const { missing, repeated } = stage.coverage(4000);
  expect(missing).toBeLessThan(3);
  expect(repeated).toBeLessThan(3);
});

test("a speech that is resumed and interrupted later ends at the position in its source, not on the clock", async () => {
  const stage = new VirtualStage({ aheadMs: 3000 });
  const speech = stage.say(whole(8000));
  await stage.runTo(1500);
  speech.pause();
  await stage.runTo(6000);
  speech.resume();
  await stage.runTo(7500);
  void speech.interrupt();
  const { heardMs } = await result(stage, speech.done);
  expect(Math.abs(heardMs - spoken(stage))).toBeLessThan(WITHIN_MS);
  expect(heardMs).toBeLessThan(4000);
});

test("an interrupt frees a writer that waits for room, and a resume has it wait again", async () => {
  const stage = new VirtualStage({ aheadMs: 600 });
  const speech = stage.renderer.say(openAudio({ sampleRate: 48_000, format: "s16le" }), {});
  const write = (ms: number) => speech.write(new Int16Array(48 * ms).fill(2000));
  expect(write(12_000)).toBe(false);
  let isReady = false;
  const ready = () =>
    speech.ready.then(() => {
      isReady = true;
    });
  void ready();
  await stage.runTo(1000);
  expect(isReady).toBe(false);
  await result(stage, speech.interrupt());
  expect(isReady).toBe(true);
  isReady = false;
  const again = speech.resume()!;
  void ready();
  await settled(stage);
  expect(isReady).toBe(false);
  await stage.runTo(stage.now + 3000);
  expect(isReady).toBe(true);
  speech.end();
  expect(await result(stage, again.done)).toMatchObject({ outcome: "finished", heardMs: 12_000 });
});

test("the holes of a slow source do not count towards its position", async () => {
  const stage = new VirtualStage({ aheadMs: 3000 });
  const slow = Array.from({ length: 20 }, () => ({ afterMs: 300, ms: 200 }));
  const speech = stage.say(slow);
  await stage.runTo(4000);
  void speech.interrupt();
  const { heardMs } = await result(stage, speech.done);
  expect(heardMs).toBeGreaterThan(1500);
  expect(Math.abs(heardMs - spoken(stage))).toBeLessThan(WITHIN_MS);
});

test("interrupting the second of three speeches leaves the first and the third whole", async () => {
  for (const at of [600, 1500, 2400]) {
    const stage = new VirtualStage({ aheadMs: 5000 });
    const first = stage.say(whole(1000));
    const second = stage.say(whole(3000), 0, NEGATIVE);
    const third = stage.say(whole(1000));
    await stage.runTo(at);
    void second.interrupt();
    const interrupted = await result(stage, second.done);
    expect(interrupted.outcome).toBe("interrupted");
    expect(Math.abs(interrupted.heardMs - spoken(stage, { isNegative: true }))).toBeLessThan(WITHIN_MS);
    expect(await result(stage, first.done)).toMatchObject({ outcome: "finished", heardMs: 1000 });
    expect(await result(stage, third.done)).toMatchObject({ outcome: "finished", heardMs: 1000 });
    const counts = new Uint8Array(48_000);
    for (const { index, isNegative } of stage.heard) {
      const place = ((index % RANGE) + RANGE) % RANGE;
      if (!isNegative) counts[place]!++;
    }
    // Places below 18,000 come twice in each of both speeches, those from there on once.
    expect(counts.subarray(0, 18_000).filter((count) => count !== 4).length / SAMPLES_PER_MS).toBeLessThan(6);
    expect(counts.subarray(18_000, RANGE).filter((count) => count !== 2).length / SAMPLES_PER_MS).toBeLessThan(6);
  }
});

test("an interrupt of all returns how far each speech was heard, and resume returns the one that continues", async () => {
  const stage = new VirtualStage({ aheadMs: 5000 });
  const first = stage.say(whole(1000));
  const second = stage.say(whole(3000), 0, NEGATIVE);
  const third = stage.say(whole(500));
  await stage.runTo(2000);
  const interrupting = stage.interrupt();
  await settled(stage);
  const { speeches } = await interrupting;
  expect(speeches.map(({ speech }) => speech)).toEqual([second, third]);
  expect((await first.done).outcome).toBe("finished");
  const heard = spoken(stage, { isNegative: true });
  expect(Math.abs(speeches[0]!.heardMs - heard)).toBeLessThan(WITHIN_MS);
  expect(speeches[1]!.heardMs).toBe(0);
  const resumed = stage.interrupts.resumeAll()!;
  expect(resumed).toHaveLength(2);
  expect(second.resumedAs).toBe(resumed[0]);
  expect(third.resumedAs).toBe(resumed[1]);
  expect(resumed[0]!.heardMs).toBe(speeches[0]!.heardMs);
  expect(await result(stage, resumed[0]!.done)).toMatchObject({ outcome: "finished", heardMs: 3000 });
  expect(await result(stage, resumed[1]!.done)).toMatchObject({ outcome: "finished", heardMs: 500 });
  expect((await second.done).outcome).toBe("interrupted");
});

test("without a listener the clock's estimate counts, and is marked as one", async () => {
  const stage = new VirtualStage({ aheadMs: 3000 });
  stage.unreported = true;
  const speech = stage.say(whole(2000));
  const started: boolean[] = [];
  speech.on("started", ({ measured }) => started.push(measured));
  expect(await result(stage, speech.done)).toMatchObject({
    outcome: "finished",
    heardMs: 2000,
    measured: false,
    listeners: [],
  });
  expect(started).toEqual([false]);
});

test("an interrupt before the first report takes back all that no listener can have heard yet", async () => {
  for (const [afterMs, transitMs] of [
    [20, 20],
    [60, 20],
    [70, 100],
    [70, 150],
  ] as const) {
    const stage = new VirtualStage({ aheadMs: 3000, transitMs });
    const speech = stage.say(whole(70));
    await stage.runTo(afterMs);
    const found = stage.interrupt();
    await settled(stage, 1500);
    const { rewound } = await found;
    const { outcome, heardMs } = await speech.done;
    expect({ afterMs, samples: stage.heard.length, rewound, outcome, heardMs }).toEqual({
      afterMs,
      samples: 0,
      rewound: true,
      outcome: "interrupted",
      heardMs: 0,
    });
  }
});

test("an interrupt before the first report cuts where a resume continues, also when the relay wanted the audio late", async () => {
  for (const [wantedMs, afterMs] of [
    [0, 100],
    [0, 450],
    [200, 210],
    [200, 400],
    [300, 800],
  ] as const) {
    const stage = new VirtualStage({ aheadMs: 2000 });
    stage.unreported = true;
    stage.wanted = wantedMs === 0;
    const speech = stage.say(whole(2000));
    await stage.runTo(wantedMs);
    stage.wanted = true;
    await stage.runTo(afterMs);
    const { timestamp } = speech.pieces[0]!;
    const found = stage.interrupt();
    await settled(stage, 1500);
    const { to } = await found;
    await speech.done;
    const since = stage.now;
    expect(stage.interrupts.resumeAll()).toHaveLength(1);
    await settled(stage, 1000);
    const { index } = stage.heard.find(({ at }) => at > since)!;
    const cutMs = (to - timestamp) / 1000;
    // Samples say where they are within a range.
    const off = (index - cutMs * SAMPLES_PER_MS + 3.5 * RANGE) % RANGE;
    expect(Math.abs(off - RANGE / 2), `wanted at ${wantedMs} ms, cut at ${cutMs} ms`).toBeLessThan(5 * SAMPLES_PER_MS);
  }
});

test("a listener that joins late is listed with its start, and one that leaves with how far it heard", async () => {
  const stage = new VirtualStage({ aheadMs: 3000 });
  stage.unreported = true;
  const speech = stage.say(whole(12_000));
  await stage.runTo(3000);
  stage.unreported = false;
  await stage.runTo(5000);
  expect(speech.measured).toBe(true);
  expect(Math.abs(speech.heardMs - spoken(stage))).toBeLessThan(200);
  stage.unreported = true;
  const gone = speech.heardMs;
  const { listeners, heardMs, outcome } = await result(stage, speech.done);
  expect({ heardMs, outcome }).toEqual({ heardMs: 12_000, outcome: "finished" });
  expect(listeners).toHaveLength(1);
  expect(listeners[0]!.fromMs).toBeGreaterThan(2500);
  expect(Math.abs(listeners[0]!.heardMs - gone)).toBeLessThan(400);
});

test("a speech whose last listener has left is not heard on the word of the clock while that may come back", async () => {
  const stage = new VirtualStage({ aheadMs: 3000 });
  const speech = stage.say(whole(4000));
  const progress: { readonly ms: number; readonly measured: boolean }[] = [];
  speech.on("progress", (one) => progress.push(one));
  await stage.runTo(1500);
  stage.leave();
  await stage.runTo(1520);
  const { heardMs } = speech;
  expect(stage.playback.count).toBe(0);
  expect(stage.listeners.listeners).toBe(0);
  await stage.runTo(2400);
  expect(speech).toMatchObject({ heardMs, measured: true, phase: "speaking" });
  stage.comeBack();
  await stage.runTo(2500);
  expect(stage.playback.count).toBe(1);
  expect(Math.abs(speech.heardMs - spoken(stage))).toBeLessThan(200);
  expect(await result(stage, speech.done)).toMatchObject({ outcome: "finished", heardMs: 4000, measured: true });
  expect(progress.filter(({ measured }) => !measured)).toEqual([]);
  const { missing, repeated } = stage.coverage(4000);
  expect({ missing, repeated }).toEqual({ missing: expect.closeTo(0, -1), repeated: 0 });
});

test("a speech whose last listener has left ends by the clock, with what that listener heard", async () => {
  const stage = new VirtualStage({ aheadMs: 3000 });
  const speech = stage.say(whole(4000));
  await stage.runTo(1500);
  stage.leave();
  await stage.runTo(1520);
  const { heardMs } = speech;
  const end = await result(stage, speech.done);
  expect(end).toMatchObject({ outcome: "finished", heardMs: 4000, measured: false });
  expect(end.listeners).toEqual([{ id: 1, fromMs: 0, heardMs, measured: true }]);
});

test("an interrupt waits for no listener that has left, and one that comes back hears nothing of the next speech before its rewind", async () => {
  for (const awayMs of [300, 900]) {
    const stage = new VirtualStage({ aheadMs: 3000, transitMs: 80 });
    const first = stage.say(whole(6000));
    await stage.runTo(1500);
    stage.leave();
    await stage.runTo(1540);
    const found = stage.interrupt();
    const second = stage.say(whole(3000), 0, NEGATIVE);
    await stage.runTo(1560);
    expect(await first.done).toMatchObject({ outcome: "interrupted", measured: false });
    expect((await found).perListener).toEqual([]);
    const wrong: object[] = [];
    second.on("progress", ({ ms, measured }) => {
      const heardMs = spoken(stage, { isNegative: true });
      if (!measured || ms > heardMs + WITHIN_MS) wrong.push({ awayMs, ms, measured, heardMs });
    });
    await stage.runTo(1500 + awayMs);
    stage.comeBack();
    const end = await result(stage, second.done);
    expect(end).toMatchObject({ outcome: "finished", heardMs: 3000, measured: true });
    expect(wrong).toEqual([]);
  }
});

test("a new speech waits behind a paused one, or drops it on request", async () => {
  const stage = new VirtualStage({ aheadMs: 3000 });
  const paused = stage.say(whole(3000));
  await stage.runTo(1000);
  paused.pause();
  await settled(stage);
  const queued = stage.say(whole(500), 0, NEGATIVE);
  await settled(stage, 2000);
  expect(queued.phase).toBe("queued");
  const dropping = stage.say(whole(500), 0, { ...NEGATIVE, after: "drop" });
  expect(await paused.done).toMatchObject({ outcome: "interrupted", measured: true });
  expect(await result(stage, queued.done)).toMatchObject({ outcome: "finished" });
  expect(await result(stage, dropping.done)).toMatchObject({ outcome: "finished" });
});

test("a speech that is interrupted or paused before it has a whole frame holds nothing up but what waits for its resume", async () => {
  const begin = async (act: "interrupt" | "pause") => {
    const stage = new VirtualStage({ aheadMs: 600 });
    const first = stage.renderer.say(openAudio({ sampleRate: 48_000, format: "s16le" }), {});
    first.write(new Int16Array(480).fill(3000));
    await stage.runTo(50);
    void first[act]();
    await stage.runTo(100);
    return { stage, first, phase: first.phase, next: stage.say(whole(300)) };
  };
  const interrupted = await begin("interrupt");
  expect(interrupted.phase).toBe("done");
  expect(await interrupted.first.done).toMatchObject({ outcome: "interrupted", heardMs: 0 });
  expect(await result(interrupted.stage, interrupted.next.done)).toMatchObject({ outcome: "finished", heardMs: 300 });

  const { stage, first, phase, next } = await begin("pause");
  expect(phase).toBe("paused");
  await settled(stage, 1000);
  expect([first.phase, next.phase, first.heardMs]).toEqual(["paused", "queued", 0]);
  first.resume();
  first.end();
  expect(await result(stage, first.done)).toMatchObject({ outcome: "finished", heardMs: 10 });
  expect(await result(stage, next.done)).toMatchObject({ outcome: "finished", heardMs: 300 });
});

test("a listener that stopped reporting before the end of a speech is not measured by an interrupt after it", async () => {
  const stage = new VirtualStage({ aheadMs: 3000 });
  const speech = stage.say(whole(1000));
  await stage.runTo(700);
  stage.unreported = true;
  await stage.runTo(1400);
  const found = stage.interrupt();
  await settled(stage, 1000);
  const { heardUntil, perListener } = await found;
  expect(perListener).toEqual([{ session: 1, heardUntil, measured: false }]);
  expect(heardUntil).toBeLessThanOrEqual(spoken(stage) * 1000);
  expect((await speech.done).heardMs).toBeLessThanOrEqual(spoken(stage));
  const reporting = new VirtualStage({ aheadMs: 3000 });
  reporting.say(whole(1000));
  await reporting.runTo(1400);
  const after = reporting.interrupt();
  await settled(reporting, 1000);
  expect((await after).perListener.map(({ measured }) => measured)).toEqual([true]);
});

test("a publisher that stood still reads the reports that came meanwhile before it judges by the clock", async () => {
  const stage = new VirtualStage({ aheadMs: 2000 });
  const standStill = async (ms: number) => {
    stage.publisherStopped = true;
    await stage.runTo(stage.now + ms);
    stage.publisherStopped = false;
  };
  const speech = stage.say(whole(1000));
  await stage.runTo(700);
  await standStill(3500);
  expect([stage.playback.count, stage.listeners.listeners]).toEqual([1, 1]);
  expect(await result(stage, speech.done)).toMatchObject({ outcome: "finished", heardMs: 1000, measured: true });
  const other = stage.say(whole(3000));
  await settled(stage, 1000);
  const interruption = stage.interrupt();
  await standStill(1500);
  expect(await result(stage, other.done)).toMatchObject({ outcome: "interrupted", measured: true });
  expect((await interruption).perListener).toMatchObject([{ measured: true }]);
  const last = stage.say(whole(6000));
  await settled(stage, 1000);
  await standStill(3500);
  // Before the reports are read.
  const late = stage.interrupt();
  expect(await result(stage, last.done)).toMatchObject({ outcome: "interrupted", measured: true });
  expect((await late).perListener).toMatchObject([{ measured: true }]);
});

test("what listeners lack of a speech that is interrupted while the relay is away stays unheard when another is there", async () => {
  for (const awayMs of [600, 800, 1000, 1400, 2900, 3500, 6000]) {
    const stage = new VirtualStage({ aheadMs: 500 });
    const speech = stage.say(whole(20_000));
    await stage.runTo(2000);
    stage.loseRelay();
    await stage.runTo(2000 + awayMs);
    const interruption = stage.interrupt();
    await settled(stage, 100);
    const before = stage.heard.length;
    stage.findRelay();
    await interruption;
    await settled(stage, 2000);
    expect(stage.heard.length).toBe(before);
    const { outcome, heardMs } = await result(stage, speech.done);
    expect(heardMs).toBeLessThanOrEqual(awayMs < 3000 ? spoken(stage) : 2000 + awayMs);
    expect(outcome).toBe("interrupted");
    const { now } = stage;
    const next = stage.say(whole(500));
    expect(await result(stage, next.done)).toMatchObject({ outcome: "finished", heardMs: 500 });
    // The fade at its beginning can't be traced.
    expect(stage.coverage(500, now).missing).toBeLessThan(0.1);
  }
});

test("an interrupt finds its place from the first report of a broadcast on, before anything was heard", async () => {
  const slow = Array.from({ length: 10 }, () => ({ afterMs: 60, ms: 40 }));
  for (let afterMs = 20; afterMs <= 240; afterMs += 2) {
    const stage = new VirtualStage({ aheadMs: 600 });
    await stage.runTo(5);
    const speech = stage.say(slow);
    await stage.runTo(afterMs);
    const interruption = stage.interrupt();
    await settled(stage, 300);
    const { to, heardUntil } = await interruption;
    expect(Math.min(to, heardUntil)).toBeGreaterThanOrEqual(0);
    expect((await speech.done).heardMs).toBeLessThanOrEqual(spoken(stage) + 20);
  }
});

/** A word every 300 ms. */
const WORDS = Array.from({ length: 50 }, (_, index) => ({ text: `w${index}`, startMs: index * 300, durationMs: 280 }));

/** How far the source was heard by now; it reads each sample heard once. */
function reach(stage: VirtualStage): () => number {
  let read = 0;
  let samples = 0;
  return () => {
    for (; read < stage.heard.length; read++) samples = Math.max(samples, stage.heard[read]!.index + 1);
    return samples / SAMPLES_PER_MS;
  };
}

test("an interrupt measures what was heard over a round trip of up to three seconds", async () => {
  for (const roundTripMs of [0, 300, 600, 900, 1200, 2000, 3000]) {
    const stage = new VirtualStage({ transitMs: roundTripMs / 2, aheadMs: 4000 });
    const heard = reach(stage);
    const speech = stage.say(whole(15_000), 0, { words: WORDS });
    await stage.runTo(roundTripMs > 2000 ? 7000 : 5000);
    const interruptedAt = stage.now;
    void speech.interrupt();
    const { outcome, measured, heardMs, heardText, listeners } = await result(stage, speech.done);
    expect({ roundTripMs, outcome, measured }).toEqual({ roundTripMs, outcome: "interrupted", measured: true });
    expect(Math.abs(heardMs - heard())).toBeLessThan(WITHIN_MS);
    expect(heardText.split(" ")).toEqual(WORDS.filter((_, i) => i * 300 + 280 <= heardMs + 1).map(({ text }) => text));
    expect(listeners).toMatchObject([{ heardMs, measured: true }]);
    // The report of the rewind ends the wait, and not a limit.
    expect(stage.now - interruptedAt).toBeLessThan(roundTripMs + 150);
  }
});

test("over a long path, positions are measured through a pause, a resume and an interrupt, and none is ahead of the ear", async () => {
  for (const [roundTripMs, aheadMs] of [
    [600, 4000],
    [1200, 4000],
    [1200, 0],
  ] as const) {
    const stage = new VirtualStage({ transitMs: roundTripMs / 2, aheadMs });
    const heard = reach(stage);
    const speech = stage.say(whole(15_000));
    let ahead = 0;
    const listen = async (ms: number) => {
      for (const end = stage.now + ms; stage.now < end; ) {
        await settled(stage, 50);
        if (speech.measured) ahead = Math.max(ahead, speech.heardMs - heard());
      }
    };
    const paused: { readonly measured: boolean; readonly off: number }[] = [];
    speech.on("paused", ({ ms, measured }) => paused.push({ measured, off: Math.abs(ms - heard()) }));
    await listen(6000);
    speech.pause();
    await listen(4000);
    expect(paused).toEqual([{ measured: true, off: expect.toSatisfy((off: number) => off < WITHIN_MS) }]);
    speech.resume();
    await listen(4000);
    void speech.interrupt();
    await listen(3000);
    const { measured, heardMs } = await speech.done;
    expect({ roundTripMs, measured }).toEqual({ roundTripMs, measured: true });
    expect(Math.abs(heardMs - heard())).toBeLessThan(WITHIN_MS);
    expect(ahead).toBeLessThan(WITHIN_MS);
  }
});

test("a listener that never answers costs a second on a short path, and the length of a long one more", async () => {
  for (const [roundTripMs, limitMs] of [
    [0, 1000],
    [200, 1000],
    [1200, 2000],
    [3000, 3800],
  ] as const) {
    const stage = new VirtualStage({ transitMs: roundTripMs / 2, aheadMs: 4000 });
    const speech = stage.say(whole(15_000));
    await stage.runTo(7000);
    stage.unreported = true;
    const interruptedAt = stage.now;
    void speech.interrupt();
    // The reports under way do not show the rewind.
    expect(await result(stage, speech.done)).toMatchObject({ outcome: "interrupted" });
    expect(stage.now - interruptedAt).toBeGreaterThan(limitMs - 50);
    expect(stage.now - interruptedAt).toBeLessThan(limitMs + 150);
  }
});

test("on a slow machine, an interrupt waits for a report that never comes at most three times its limit", async () => {
  // Up to 50 ms count as they are, longer turns as 50 ms or a third.
  for (const [everyMs, limitMs] of [
    [10, 1000],
    [40, 1000],
    [100, 2000],
    [200, 3000],
    [700, 3000],
  ] as const) {
    const stage = new VirtualStage({ aheadMs: 3000 });
    stage.say(whole(10_000));
    await stage.runTo(1000);
    stage.unreported = true;
    const interruptedAt = stage.now;
    let foundAt: number | undefined;
    const found = stage.interrupt().then((interruption) => {
      foundAt = stage.now;
      return interruption;
    });
    while (foundAt === undefined && stage.now < interruptedAt + 10_000) {
      stage.publisherStopped = true;
      await stage.runTo(stage.now + everyMs - 1);
      stage.publisherStopped = false;
      await stage.runTo(stage.now + 1);
    }
    expect((await found).perListener).toMatchObject([{ measured: false }]);
    expect(foundAt! - interruptedAt).toBeGreaterThanOrEqual(limitMs - 50);
    expect(foundAt! - interruptedAt).toBeLessThanOrEqual(limitMs + 2 * everyMs);
    // Nor does a listener that left count for longer than three times 3 s.
    const heardAt = stage.now;
    while (stage.playback.count > 0) {
      stage.publisherStopped = true;
      await stage.runTo(stage.now + everyMs - 1);
      stage.publisherStopped = false;
      await stage.runTo(stage.now + 1);
    }
    expect(stage.now - heardAt).toBeLessThanOrEqual(9000);
    expect(stage.listeners.listeners).toBe(0);
  }
});

test("a publisher whose next speech waits for its denoisers sends, is interrupted and reads reports all the same", async () => {
  const stage = new VirtualStage({ aheadMs: 2000 });
  const first = stage.say(whole(1500));
  await stage.runTo(1000);
  let loaded = () => {};
  const loading = new Promise<[]>((resolve) => {
    loaded = () => resolve([]);
  });
  const denoisers = vi.spyOn(stage.renderer.factory, "makeDenoisers").mockReturnValue(loading);
  const second = stage.say(whole(500), 20_000);
  await settled(stage, 200);
  expect(denoisers).toHaveBeenCalledTimes(1);
  const found = stage.interrupt();
  expect(await result(stage, first.done)).toMatchObject({ outcome: "interrupted", measured: true });
  expect((await second.done).outcome).toBe("interrupted");
  expect((await found).perListener).toMatchObject([{ measured: true }]);
  const third = stage.say(whole(500), 40_000);
  await settled(stage);
  loaded();
  expect(await result(stage, third.done)).toMatchObject({ outcome: "finished", heardMs: 500, measured: true });
});

test("a knob changed just after a reply or a resume began repeats next to nothing, whatever the path", async () => {
  for (const transitMs of [2, 20, 120])
    for (const isResumed of [false, true]) {
      const stage = new VirtualStage({ transitMs, aheadMs: 1000 });
      stage.say(whole(500));
      await settled(stage, 3000);
      const since = stage.now;
      const speech = stage.say(whole(1000));
      if (isResumed) {
        await settled(stage, 200 + transitMs);
        void speech.pause();
        await settled(stage);
        speech.resume();
      }
      const { rewinds } = stage.audioTrack.counters;
      for (const bypass of [true, false, true, false]) {
        await settled(stage, 60);
        stage.turn({ bypass });
      }
      await settled(stage, 2000);
      expect(stage.audioTrack.counters.rewinds - rewinds).toBe(4);
      const { missing, repeated } = stage.coverage(1000, since);
      expect(missing).toBeLessThan(5);
      // Less than one packet in four changes.
      expect(repeated).toBeLessThan(20);
    }
});

test("a speech closes its file at its end, once its interrupt can't be resumed, and when the publisher closes", async () => {
  const folder = await realpath(await mkdtemp(join(tmpdir(), "unsay-speech-")));
  const file = join(folder, "speech.wav");
  await cp("examples/audio/clean-speech.wav", file);
  const stage = new VirtualStage({ aheadMs: 500 });
  const say = (loop: boolean) => stage.renderer.say(openAudio({ file, loop }), {});
  const open = async () => {
    await vi.waitFor(async () => {
      await settled(stage, 100);
      expect(descriptorsOf(file)).toBe(1);
    });
  };
  const closed = () => vi.waitFor(() => expect(descriptorsOf(file)).toBe(0));
  const interrupted = say(true);
  await open();
  void stage.interrupt();
  await result(stage, interrupted.done);
  expect(descriptorsOf(file)).toBe(1);
  const next = stage.say(whole(100));
  await result(stage, next.done);
  await closed();
  const ended = say(false);
  await open();
  await result(stage, ended.done);
  await closed();
  const dropped = say(true);
  await open();
  stage.renderer.close();
  expect((await dropped.done).outcome).toBe("interrupted");
  await closed();
  await rm(folder, { recursive: true });
});

test("a source that is interrupted and resumed all the time keeps none of the handles it had before", async () => {
  const stage = new VirtualStage({ mode: "live" });
  let speech: Speech | undefined = stage.say(Array.from({ length: 400 }, () => ({ afterMs: 20, ms: 20 })));
  await settled(stage, 1000);
  // Collects what nothing holds before it counts.
  const before = queryObjects(Speech, { format: "count" });
  for (let resumes = 0; resumes < 50; resumes++) {
    const interrupted: Speech | undefined = speech;
    void stage.interrupt();
    await settled(stage, 30);
    [speech] = stage.interrupts.resumeAll() ?? [];
    expect(interrupted!.resumedAs).toBe(speech);
    await settled(stage, 40);
  }
  await settled(stage, 2000);
  expect(queryObjects(Speech, { format: "count" }) - before).toBeLessThan(10);
  expect(speech?.phase).toBe("speaking");
});

test("a loop is armed no longer than there is a speech that it repeats", async () => {
  const change = async (controls: Controls, audioTrack: VirtualStage["audioTrack"], band?: object | null) => {
    const requested =
      band === undefined ? undefined : controls.request({ op: "loop_band", requestId: `${band}`, band });
    controls.tick({ soonest: () => Math.max(audioTrack.cursor, 0), interrupt: () => {}, resume: () => false });
    await requested;
    return controls.banded;
  };
  const band = { start: 600_000, end: 1_000_000 };
  const neverReached = { start: 600_000, end: 7_000_000 };
  for (const [end, armed] of [
    ["unlooped", band],
    ["interrupted", band],
    ["said", neverReached],
  ] as const) {
    const stage = new VirtualStage({ aheadMs: 2000 });
    const { renderer, audioTrack } = stage;
    const knobs = knobsSchema.parse({});
    const wake = new Wake();
    const controls = new Controls({ channels: 1, knobs, renderer, audioTrack, wake, models: {}, sources: undefined });
    controls.start(undefined, { owned: false });
    stage.say(whole(6000));
    await settled(stage, 1500);
    expect(await change(controls, audioTrack, armed)).toBe(true);
    if (end === "unlooped") await change(controls, audioTrack, null);
    if (end === "interrupted") void stage.interrupt();
    await settled(stage, 8000);
    expect([end, await change(controls, audioTrack)]).toEqual([end, false]);
    stage.say(whole(300));
    await settled(stage, 500);
    expect([end, await change(controls, audioTrack)]).toEqual([end, false]);
  }
});

/** What can hold a reply up: the relay stands still, or only what it sends to the listener. */
const STALLS = ["relayStopped", "audioStopped"] as const;

test("a reply that is held up is heard whole, and at no time said to be heard further than the speaker played it", async () => {
  for (const stall of STALLS)
    for (const [fromMs, stallMs, aheadMs] of [
      [-400, 1800, 0],
      [0, 900, 0],
      [0, 1800, 4000],
      [10, 2800, 0],
      [350, 1200, 0],
      [640, 1800, 0],
    ] as const) {
      const stage = new VirtualStage({ aheadMs });
      stage.say(whole(200), 0, NEGATIVE);
      await stage.runTo(1500 + Math.min(0, fromMs));
      stage[stall] = fromMs < 0;
      await stage.runTo(1500);
      const since = stage.now;
      const speech = stage.say(whole(600));
      const next = stage.say(whole(100), 0, NEGATIVE);
      const played = (isNegative: boolean) =>
        stage.heard.filter((one) => one.at > since && one.isNegative === isNegative).length / SAMPLES_PER_MS;
      let ahead = 0;
      const note = () => {
        ahead = Math.max(ahead, speech.heardMs - played(false), next.heardMs - played(true));
      };
      for (const each of [speech, next]) each.on("progress", note).on("finished", note);
      await stage.runTo(since + Math.max(0, fromMs));
      stage[stall] = true;
      await stage.runTo(stage.now + stallMs);
      stage[stall] = false;
      const ends = await Promise.all([result(stage, speech.done), result(stage, next.done)]);
      const found = ends.map(({ outcome, heardMs, measured }) => ({ outcome, heardMs, measured }));
      expect({ stall, fromMs, found }).toEqual({
        stall,
        fromMs,
        found: [600, 100].map((heardMs) => ({ outcome: "finished", heardMs, measured: true })),
      });
      expect([played(false), played(true)]).toEqual([expect.closeTo(600, 0), expect.closeTo(100, 0)]);
      expect(ahead).toBeLessThan(WITHIN_MS);
    }
});

test("an interrupt takes a reply back that is held up, although the playhead has passed it", async () => {
  for (const stall of STALLS)
    for (const afterMs of [300, 1000]) {
      const stage = new VirtualStage({ aheadMs: 3000 });
      stage.say(whole(200), 0, NEGATIVE);
      await stage.runTo(1500);
      const since = stage.now;
      stage[stall] = true;
      const speech = stage.say(whole(700));
      await settled(stage, afterMs);
      void speech.interrupt();
      await settled(stage, 100);
      stage[stall] = false;
      const { outcome, heardMs, measured } = await result(stage, speech.done);
      expect({ stall, afterMs, outcome, measured }).toEqual({ stall, afterMs, outcome: "interrupted", measured: true });
      await settled(stage, 2000);
      expect(Math.abs(heardMs - spoken(stage, { since }))).toBeLessThan(WITHIN_MS);
      expect(heardMs).toBeLessThan(100);
    }
});

test("a reply that never arrives ends without a word heard of it, while the listener is there", async () => {
  const stage = new VirtualStage({ aheadMs: 3000 });
  stage.say(whole(200), 0, NEGATIVE);
  await stage.runTo(1500);
  stage.audioStopped = true;
  const text = "All of this is lost.";
  const speech = stage.say(whole(700), 0, { text, words: [{ text, startMs: 0, durationMs: 700 }] });
  await settled(stage, 1000);
  stage.loseAudio();
  stage.audioStopped = false;
  const { outcome, heardMs, heardText } = await result(stage, speech.done);
  expect({ outcome, heardMs, heardText }).toEqual({ outcome: "interrupted", heardMs: 0, heardText: "" });
  const next = stage.say(whole(300));
  expect(await result(stage, next.done)).toMatchObject({ outcome: "finished", heardMs: 300, measured: true });
});

test("audio that a listener jumps over after a standstill does not count as heard", async () => {
  for (const [aheadMs, isFollowed] of [
    [600, false],
    [3000, false],
    [20_000, false],
    [3000, true],
    [20_000, true],
  ] as const)
    for (const stallMs of [2200, 2800]) {
      const stage = new VirtualStage({ aheadMs });
      const speech = stage.say(whole(3000));
      // Audio that is heard behind it says nothing about it.
      if (isFollowed) stage.say(whole(4000), 0, NEGATIVE);
      await stage.runTo(1500);
      stage.stopped = true;
      await stage.runTo(1500 + stallMs);
      stage.stopped = false;
      const { outcome, heardMs, measured } = await result(stage, speech.done);
      expect({ aheadMs, stallMs, isFollowed, outcome, measured }).toMatchObject({
        outcome: "interrupted",
        measured: true,
      });
      expect(stage.playout.counters.jumps).toBe(1);
      // A relay takes a listener as playing on for 200 ms after its last report.
      expect(heardMs - spoken(stage)).toBeLessThan(200);
      expect(heardMs).toBeGreaterThan(1300);
    }
});

test("nothing of a reply counts as heard while the interrupt before it is held up, and its listener plays on", async () => {
  for (const stallMs of [1500, 2500, 4000]) {
    const stage = new VirtualStage({ aheadMs: 3000 });
    const old = stage.say(whole(6000));
    await stage.runTo(1500);
    stage.audioStopped = true;
    void stage.interrupt();
    const speech = stage.say(whole(1200), 0, NEGATIVE);
    await stage.runTo(1500 + stallMs);
    expect({ stallMs, heardMs: speech.heardMs }).toEqual({ stallMs, heardMs: 0 });
    stage.audioStopped = false;
    expect(await result(stage, speech.done)).toMatchObject({ outcome: "finished", heardMs: 1200, measured: true });
    expect(spoken(stage, { isNegative: true })).toBeCloseTo(1200, 0);
    expect((await old.done).heardMs).toBeLessThan(spoken(stage));
  }
});

test("a reply of which no packet arrives is not heard, although the next one is", async () => {
  for (const [lostMs, gapMs, aheadMs] of [
    [700, 0, 3000],
    [700, 0, 600],
    [700, 400, 3000],
    [300, 0, 3000],
    [200, 0, 3000],
    [2500, 0, 3000],
  ] as const) {
    const stage = new VirtualStage({ aheadMs });
    stage.say(whole(200), 0, NEGATIVE);
    await stage.runTo(1500);
    const text = "All of this is lost.";
    const words = [{ text, startMs: 0, durationMs: lostMs }];
    const lost = stage.say(whole(lostMs), 0, { text, words });
    let furthest = 0;
    lost.on("progress", ({ ms }) => {
      furthest = Math.max(furthest, ms);
    });
    let start: number | undefined;
    stage.loses = (timestamp) => {
      start ??= lost.pieces[0]?.timestamp;
      return start !== undefined && timestamp >= start && timestamp < start + lostMs * 1000;
    };
    await settled(stage, 20 + gapMs);
    const next = stage.say(whole(600), 0, NEGATIVE);
    const { outcome, heardMs, heardText } = await result(stage, lost.done);
    expect({ lostMs, gapMs, aheadMs, outcome, heardMs, heardText, furthest }).toEqual({
      lostMs,
      gapMs,
      aheadMs,
      outcome: "interrupted",
      heardMs: 0,
      heardText: "",
      furthest: 0,
    });
    expect(await result(stage, next.done)).toMatchObject({ outcome: "finished", heardMs: 600, measured: true });
  }
});

test("a reply whose end was lost on the way is heard up to there, and one that lacks less is heard whole", async () => {
  for (const [fromMs, toMs, heardMs] of [
    [400, 700, 400],
    [560, 700, 560],
    [600, 700, 700],
    [200, 560, 700],
    [0, 640, 700],
    [0, 700, 0],
  ] as const)
    for (const gapMs of [0, 400]) {
      const stage = new VirtualStage({ aheadMs: 3000 });
      stage.say(whole(200), 0, NEGATIVE);
      await stage.runTo(1500);
      const speech = stage.say(whole(700));
      let start: number | undefined;
      stage.loses = (timestamp) => {
        start ??= speech.pieces[0]?.timestamp;
        const at = start === undefined ? -1 : (timestamp - start) / 1000;
        return at >= fromMs && at < toMs;
      };
      await settled(stage, 20 + gapMs);
      stage.say(whole(600), 0, NEGATIVE);
      const end = await result(stage, speech.done);
      const outcome = heardMs === 700 ? "finished" : "interrupted";
      expect({ fromMs, gapMs, ...end }).toMatchObject({ fromMs, gapMs, outcome });
      // Packets don't begin where the speech does.
      expect(Math.abs(end.heardMs - heardMs)).toBeLessThan(25);
    }
});

test("a listener that stands still near the end of a reply counts as playing on until its next report is overdue", async () => {
  for (const beforeEndMs of [40, 140, 240, 340])
    for (const stillMs of [900, 2600]) {
      const stage = new VirtualStage({ aheadMs: 3000 });
      stage.say(whole(200), 0, NEGATIVE);
      await stage.runTo(1500);
      const speech = stage.say(whole(1000));
      while (spoken(stage) < 1000 - beforeEndMs) await stage.runTo(stage.now + 1);
      stage.stopped = true;
      await settled(stage, stillMs);
      // A report's delay, and the time until another is due and 20 ms late.
      expect(speech.heardMs - spoken(stage)).toBeLessThan(120 + WITHIN_MS);
      expect({ beforeEndMs, stillMs, phase: speech.phase }).toEqual({ beforeEndMs, stillMs, phase: "speaking" });
      stage.stopped = false;
      await result(stage, speech.done);
    }
});

test("a speech that is resumed is heard whole, although the pause before it was reported shortly before its interrupt", async () => {
  const stage = new VirtualStage();
  const before = stage.say(whole(200), 0, NEGATIVE);
  expect(await result(stage, before.done)).toMatchObject({ outcome: "finished" });
  await settled(stage, 3000);
  const speech = stage.say(whole(600));
  while (spoken(stage) < 50) await stage.runTo(stage.now + 1);
  void stage.interrupt();
  await settled(stage, 700);
  const [resumed] = stage.interrupts.resumeAll() ?? [];
  expect(resumed).toBe(speech.resumedAs);
  expect(await result(stage, resumed!.done)).toMatchObject({ outcome: "finished", heardMs: 600, measured: true });
});

test("a reply of which no packet arrives is not heard when the next one is paused before its first word", async () => {
  const stage = new VirtualStage({ aheadMs: 3000 });
  stage.say(whole(200), 0, NEGATIVE);
  await stage.runTo(1500);
  const lost = stage.say(whole(700));
  let start: number | undefined;
  stage.loses = (timestamp) => {
    start ??= lost.pieces[0]?.timestamp;
    return start !== undefined && timestamp >= start && timestamp < start + 700_000;
  };
  const next = stage.say(whole(400), 0, NEGATIVE);
  await settled(stage, 400);
  expect(next.pause()).toBe(true);
  expect(await result(stage, lost.done)).toMatchObject({ outcome: "interrupted", heardMs: 0 });
  next.resume();
  expect(await result(stage, next.done)).toMatchObject({ outcome: "finished", heardMs: 400, measured: true });
});
