import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromMilliseconds, type Microseconds, toMilliseconds } from "../../base/index.js";
import { PlaybackClock } from "./playback-clock.js";
import { Playout } from "./playout.js";
import type { Run } from "./sample-ring.js";
import { framesIn, QUANTUM_FRAMES } from "./samples.js";

const PACKET_MS = 20;

/** Plays in steps of one quantum, with packets that arrive at set times, and records when each was heard. */
class Bench {
  readonly playout: Playout;
  readonly heard: (Run & { readonly at: number })[] = [];
  frames = 0;
  generation = 0;
  #arrivals: { readonly at: number; readonly run: () => void }[] = [];

  constructor(options: Partial<ConstructorParameters<typeof Playout>[0]> = {}) {
    this.playout = new Playout({ channels: 1, ...options });
  }

  at(milliseconds: number, run: () => void) {
    this.#arrivals.push({ at: framesIn(milliseconds), run });
    this.#arrivals.sort((left, right) => left.at - right.at);
  }

  packet(atMs: number, timestampMs: number, epoch = 0, level?: number, begins = false) {
    this.at(atMs, () => this.deliver(fromMilliseconds(timestampMs), epoch, level, begins));
  }

  deliver(timestamp: Microseconds, epoch: number, level = 0.5, begins = false) {
    const samples = new Float32Array(framesIn(PACKET_MS)).fill(level);
    this.playout.arrive(timestamp, begins);
    this.playout.write(timestamp, [samples], { epoch, generation: this.generation });
  }

  rewind(fromMs: number) {
    this.generation++;
    const from = fromMilliseconds(fromMs);
    this.playout.rewind({ discontinuity: this.generation, from, generation: this.generation });
  }

  runTo(milliseconds: number) {
    const output = [new Float32Array(QUANTUM_FRAMES)];
    while (this.frames < framesIn(milliseconds)) {
      while (this.#arrivals[0] && this.#arrivals[0].at <= this.frames) this.#arrivals.shift()?.run();
      for (const run of this.playout.pull(output)) this.heard.push({ ...run, at: this.frames + run.offset });
      this.frames += QUANTUM_FRAMES;
    }
  }

  heardMs(epoch: number) {
    return this.heard.filter((run) => run.epoch === epoch).reduce((sum, run) => sum + run.frames, 0) / 48;
  }

  /** Joins heard frames where media time and real time both continue. */
  stretches() {
    const joined: { epoch: number; fromMs: number; untilMs: number; atMs: number }[] = [];
    for (const { epoch, timestamp, frames, at } of this.heard) {
      const fromMs = toMilliseconds(timestamp);
      const last = joined.at(-1);
      const length = frames / 48;
      const goesOn =
        last?.epoch === epoch &&
        Math.abs(last.untilMs - fromMs) < 0.1 &&
        Math.abs(last.atMs + last.untilMs - last.fromMs - at / 48) < 0.1;
      if (goesOn) last.untilMs = fromMs + length;
      else joined.push({ epoch, fromMs, untilMs: fromMs + length, atMs: at / 48 });
    }
    return joined.map(({ epoch, fromMs, untilMs, atMs }) =>
      [epoch, fromMs, untilMs, atMs].map((number) => Math.round(number)),
    );
  }
}

test("audio begins one jitter delay after the first frame, and frames sent ahead do not hurry it", () => {
  const bench = new Bench({ jitterMs: 80 });
  for (let index = 0; index < 100; index++) bench.packet(0, index * PACKET_MS);
  bench.runTo(1000);
  expect(bench.stretches()).toEqual([[0, 0, 920, 80]]);
  expect(bench.playout.bufferedMs).toBeCloseTo(1080, -1);
  expect(bench.playout.counters).toMatchObject({ anchors: 1, underruns: 0, staleMs: 0, lateFrames: 0 });
});

test("a rewind ahead of the playhead keeps the audio before it and continues without a break", () => {
  const bench = new Bench();
  for (let index = 0; index < 100; index++) bench.packet(0, index * PACKET_MS);
  bench.at(500, () => {
    bench.rewind(600);
    for (let index = 30; index < 50; index++) bench.deliver(fromMilliseconds(index * PACKET_MS), 1);
  });
  bench.runTo(900);
  expect(bench.stretches()).toEqual([
    [0, 0, 600, 80],
    [1, 600, 821, 680],
  ]);
  expect(bench.playout.applied).toEqual({ discontinuity: 1, from: 600_000, heardUntil: 600_000 });
  expect(bench.playout.counters).toMatchObject({ anchors: 1, staleMs: 0 });
});

test("a rewind behind the playhead silences at once and the next frame sets the playhead, once", () => {
  const bench = new Bench();
  for (let index = 0; index < 100; index++) bench.packet(0, index * PACKET_MS);
  bench.at(800, () => bench.rewind(700));
  for (let index = 0; index < 50; index++) bench.packet(900, 700 + index * PACKET_MS, 1);
  bench.runTo(1200);
  expect(bench.stretches()).toEqual([
    [0, 0, 720, 80],
    [1, 700, 919, 981],
  ]);
  const { heardUntil } = bench.playout.applied!;
  expect(toMilliseconds(heardUntil!)).toBeCloseTo(720, 5);
  expect(bench.playout.counters.anchors).toBe(2);
});

test("a rewind reports how far the listener heard once all kept audio is decoded or played", () => {
  const bench = new Bench();
  for (let index = 0; index < 15; index++) bench.packet(0, index * PACKET_MS);
  // Received, but decoded only after the rewind.
  for (let index = 15; index < 20; index++) bench.packet(260, index * PACKET_MS);
  bench.at(250, () => bench.rewind(400));
  for (let index = 0; index < 20; index++)
    bench.at(300, () => bench.deliver(fromMilliseconds(400 + index * PACKET_MS), 1));
  const { playout } = bench;
  bench.runTo(255);
  bench.generation = 0;
  expect(playout.applied).toEqual({ discontinuity: 1, from: 400_000, heardUntil: undefined });
  bench.runTo(299);
  bench.generation = 1;
  expect(playout.applied?.heardUntil).toBeUndefined();
  bench.runTo(700);
  expect(bench.stretches().slice(0, 1)).toEqual([[0, 0, 400, 80]]);
  expect(playout.applied?.heardUntil).toBe(400_000);
  bench.rewind(600);
  expect(playout.applied).toMatchObject({ discontinuity: 2, heardUntil: expect.any(Number) });
});

test("a rewind ahead of the playhead never reports audio that was lost before the cut, nor a pause, as heard", () => {
  const history = fc.record({
    lost: fc.array(fc.integer({ min: 0, max: 39 }), { maxLength: 12 }),
    atMs: fc.integer({ min: 100, max: 700 }),
    aheadMs: fc.integer({ min: -60, max: 200 }),
    replies: fc.boolean(),
  });
  fc.assert(
    fc.property(history, ({ lost, atMs, aheadMs, replies }) => {
      const bench = new Bench();
      for (let index = 0; index < 40; index++) if (!lost.includes(index)) bench.packet(0, index * PACKET_MS);
      const cut = Math.max(20, atMs - 80 + aheadMs);
      const reported: (number | undefined)[] = [];
      bench.at(atMs, () => {
        bench.rewind(cut);
        reported.push(bench.playout.applied!.heardUntil);
        if (!replies) return;
        for (let index = 0; index < 10; index++) bench.deliver(fromMilliseconds(cut + index * PACKET_MS), 1);
      });
      bench.runTo(1500);
      const last = bench.heard.findLast((run) => run.epoch === 0);
      const heard = last ? last.timestamp + (last.frames * 1e6) / 48_000 : 0;
      reported.push(bench.playout.applied!.heardUntil);
      expect(reported.at(-1)).toBeDefined();
      expect(reported.filter((until) => until !== undefined && Math.abs(until - heard) > 5)).toEqual([]);
    }),
    { seed: 11, numRuns: 300 },
  );
});

test("a rewind whose first group comes late is refined: it cuts the old audio further back and keeps the new", () => {
  const bench = new Bench();
  for (let index = 0; index < 50; index++) bench.packet(0, index * PACKET_MS);
  bench.at(200, () => {
    bench.rewind(500);
    bench.deliver(fromMilliseconds(500), 1);
    bench.playout.rewind({ discontinuity: 1, from: fromMilliseconds(400), generation: 1 });
    for (let index = 0; index < 5; index++) bench.deliver(fromMilliseconds(400 + index * PACKET_MS), 1);
  });
  bench.runTo(700);
  expect(bench.stretches()).toEqual([
    [0, 0, 400, 80],
    [1, 400, 520, 480],
  ]);
  expect(bench.playout.applied?.heardUntil).toBe(400_000);
});

test("late audio makes the playhead wait, loses nothing, and a later pause makes up for it", () => {
  const bench = new Bench({ jitterMs: 40, adaptive: false });
  for (let index = 0; index < 25; index++) bench.packet(index * PACKET_MS, index * PACKET_MS);
  // 300 ms without any packet, then all of them, then in time again.
  for (let index = 25; index < 50; index++) bench.packet(Math.max(index * PACKET_MS, 800), index * PACKET_MS);
  // A pause of two seconds.
  for (let index = 150; index < 160; index++) bench.packet(index * PACKET_MS, index * PACKET_MS);
  bench.runTo(3500);
  expect(bench.heardMs(0)).toBeCloseTo(60 * PACKET_MS, 0);
  expect(bench.stretches()[1]?.slice(0, 2)).toEqual([0, 500]);
  expect(bench.stretches().at(-1)).toEqual([0, 3000, 3200, 3040]);
  expect(bench.playout.counters).toMatchObject({ underruns: 1, anchors: 1, lateFrames: 0 });
  expect(bench.playout.counters.underrunMs).toBeCloseTo(263, -1);
});

test("a listener that has heard nothing yet has heard up to where its playhead began, wherever that is now", () => {
  const bench = new Bench({ jitterMs: 80 });
  const heardMs = () => bench.playout.heardUntil && toMilliseconds(bench.playout.heardUntil);
  bench.runTo(100);
  expect(heardMs()).toBeUndefined();
  bench.at(100, () => bench.playout.arrive(fromMilliseconds(1000)));
  bench.at(150, () => bench.playout.lost(framesIn(1500)));
  bench.packet(200, 3000);
  bench.runTo(500);
  expect(heardMs()).toBeCloseTo(920, 0);
  bench.runTo(2000);
  expect(heardMs()).toBe(3020);
});

test("when everything is late for good, a live listener sets its playhead again and another one goes back", () => {
  for (const live of [true, false]) {
    const bench = new Bench({ maximumHoldMs: 200 });
    bench.playout.setPublisher({ marksPauses: true });
    bench.playout.setLive(live);
    for (let index = 0; index < 25; index++) bench.packet(index * PACKET_MS, index * PACKET_MS);
    for (let index = 25; index < 150; index++) bench.packet(index * PACKET_MS + 2000, index * PACKET_MS);
    bench.runTo(5500);
    expect(bench.playout.counters.recoveries).toBe(live ? 1 : 0);
    expect(bench.heardMs(0)).toBeGreaterThan(live ? 2000 : 2999);
  }
});

test("a listener plays a whole reply that comes late, however late, unless something later was heard", () => {
  for (const lateMs of [900, 1800, 5000, 20_000])
    for (const overtakenMs of [undefined, 60]) {
      const bench = new Bench({ jitterMs: 40 });
      bench.playout.setPublisher({ marksPauses: true });
      for (let at = 0; at <= 400; at += PACKET_MS) bench.packet(at, at, 0, at === 400 ? 0 : 0.5);
      for (let at = 0; at < 700; at += PACKET_MS) bench.packet(2000 + lateMs, 2000 + at, 1);
      // Heard meanwhile.
      if (overtakenMs) for (let at = 0; at < overtakenMs; at += PACKET_MS) bench.packet(2740, 2800 + at, 2);
      bench.runTo(4000 + lateMs);
      const isHeard = overtakenMs === undefined;
      expect([lateMs, bench.heardMs(1)]).toEqual([lateMs, expect.closeTo(isHeard ? 700 : 0, 0)]);
      expect(bench.playout.counters).toMatchObject({ anchors: 1, lateMs: isHeard ? 0 : 700 });
    }
});

test("a listener hears a reply in full, however long the pause that its publisher left out of media time", () => {
  const packets = 50;
  const pauses = fc.record({
    pauseMs: fc.integer({ min: 100, max: 60_000 }),
    leftOutMs: fc.integer({ min: 0, max: 100 }),
  });
  fc.assert(
    fc.property(fc.array(pauses, { minLength: 1, maxLength: 4 }), (replies) => {
      const bench = new Bench();
      let atMs = 0;
      let startMs = 0;
      for (const { pauseMs, leftOutMs } of [{ pauseMs: 0, leftOutMs: 0 }, ...replies]) {
        atMs += pauseMs;
        startMs += leftOutMs;
        for (let index = 0; index < packets; index++) bench.packet(atMs, startMs + index * PACKET_MS);
        startMs += packets * PACKET_MS;
        atMs += packets * PACKET_MS + 100;
      }
      bench.runTo(atMs + 3000);
      expect(bench.heardMs(0)).toBeCloseTo((replies.length + 1) * packets * PACKET_MS, 0);
      const starts = bench.heard.map(({ timestamp }) => timestamp);
      expect(starts).toEqual([...starts].sort((left, right) => left - right));
      expect(bench.playout.counters).toMatchObject({ lateFrames: 0, recoveries: 0, overflowFrames: 0 });
    }),
    { seed: 13, numRuns: 30 },
  );
});

test("a pause longer than the playhead otherwise goes back is not an underrun and adds no delay", () => {
  const bench = new Bench({ jitterMs: 80 });
  for (let index = 0; index < 50; index++) bench.packet(0, index * PACKET_MS);
  for (let index = 50; index < 100; index++) bench.packet(6000, index * PACKET_MS);
  bench.runTo(8000);
  expect(bench.stretches().map(([, fromMs, untilMs]) => [fromMs, untilMs])).toEqual([
    [0, 1000],
    [1000, 2000],
  ]);
  expect(bench.playout.counters).toMatchObject({ underruns: 0, underrunMs: 0, anchors: 1 });
  expect(bench.playout.clock.targetMs).toBeLessThanOrEqual(80);
});

test.each([
  ["is there seconds ahead of it plays after the target delay", 3500, 3040],
  ["is there a little ahead of it plays at its time", 200, 3200],
])("after a pause audio that %s", (_, leadMs, atMs) => {
  const bench = new Bench({ jitterMs: 40 });
  bench.playout.setPublisher({ marksPauses: true });
  const end = 400;
  for (let at = 0; at <= end; at += PACKET_MS) bench.packet(at, at, 0, at === end ? 0 : 0.5);
  for (let at = 0; at < 400; at += PACKET_MS) bench.packet(3000 + at, 3000 - 40 + leadMs + at, 1);
  bench.runTo(7500);
  const [reply, ...rest] = bench.stretches().filter(([epoch]) => epoch === 1);
  expect(rest).toEqual([]);
  expect(reply).toEqual([1, 2960 + leadMs, 3360 + leadMs, atMs]);
});

test("audio that comes a fifth slower than it plays is heard in a few stretches, after waits that double", () => {
  const heard = (live: boolean) => {
    const bench = new Bench({ jitterMs: 40 });
    bench.playout.setPublisher({ marksPauses: true });
    bench.playout.setLive(live);
    for (let at = 0; at < 2000; at += PACKET_MS) bench.packet(at * 1.25, at);
    bench.runTo(4500);
    return bench.stretches();
  };
  const stretches = heard(false);
  const waits = stretches.slice(1).map(([, , , at], index) => {
    const [, from, until, before] = stretches[index]!;
    return at! - before! - (until! - from!);
  });
  expect(waits.slice(0, 4).map((wait) => Math.round(wait / 20) * 20)).toEqual([40, 80, 160, 320]);
  expect(stretches.reduce((sum, [, from, until]) => sum + until! - from!, 0)).toBe(2000);
  // A live listener must not fall behind.
  expect(heard(true).length).toBeGreaterThan(2 * stretches.length);
});

test("an utterance that breaks off hands no wait on to the next one, and a lost packet takes none away", () => {
  const resumed = (begins: boolean) => {
    const bench = new Bench({ jitterMs: 40 });
    bench.playout.setPublisher({ marksPauses: true });
    for (const [index, startMs] of [0, 3000, 6000].entries())
      for (let at = 0; at < 100; at += PACKET_MS)
        bench.packet(startMs + (at < 60 ? at : 200 + at), startMs + at, index, 0.5, begins && at === 0);
    bench.runTo(9000);
    return bench.stretches().flatMap(([, fromMs, , atMs]) => (fromMs! % 1000 === 60 ? [atMs] : []));
  };
  expect(resumed(true)).toEqual([280, 3280, 6280]);
  expect(resumed(false)).toEqual([280, 3341, 6421]);
});

test("a rewind ahead of a playhead that waits for more audio ends the wait", () => {
  const bench = new Bench({ jitterMs: 40 });
  bench.playout.setPublisher({ marksPauses: true });
  for (const at of [0, 20, 40]) bench.packet(at, at);
  bench.packet(200, 60);
  bench.runTo(210);
  expect(bench.playout.moving).toBe(false);
  bench.rewind(70);
  bench.runTo(1000);
  const [, rest] = bench.stretches();
  expect(rest).toEqual([0, 60, 70, expect.toSatisfy((at) => at < 216)]);
});

test("the last packet after an underrun plays although no more audio comes", () => {
  const bench = new Bench({ jitterMs: 40 });
  bench.playout.setPublisher({ marksPauses: true });
  for (const at of [0, 20, 40]) bench.packet(at, at);
  bench.packet(200, 60);
  bench.runTo(1000);
  expect(bench.stretches()).toEqual([
    [0, 0, 60, 40],
    [0, 60, 80, 240],
  ]);
});

test("audio that comes behind what was heard is not played, and counted", () => {
  const bench = new Bench({ jitterMs: 40 });
  for (let at = 0; at < 400; at += PACKET_MS) if (at !== 200) bench.packet(at, at);
  bench.packet(300, 200);
  bench.runTo(1000);
  expect(bench.heardMs(0)).toBeCloseTo(380, 0);
  expect(bench.playout.counters).toMatchObject({ lateMs: 20, recoveries: 0 });
});

test("a playhead past the last audio heard goes back for no audio of a live broadcast", () => {
  const bench = new Bench({ jitterMs: 80 });
  bench.playout.setLive(true);
  for (let index = 0; index < 50; index++) bench.packet(index * PACKET_MS, index * PACKET_MS);
  bench.packet(6000, 1000);
  bench.runTo(7000);
  expect(bench.heardMs(0)).toBeCloseTo(1000, 0);
});

test.each([true, false])("silence that is sent keeps audio playing for half a second, live: %s", (live) => {
  const bench = new Bench({ jitterMs: 40 });
  bench.playout.setPublisher({ marksPauses: true });
  bench.playout.setLive(live);
  const isSilent = (at: number) => (at >= 1000 && at < 1400) || at >= 2000;
  for (let at = 0; at < 6000; at += PACKET_MS) bench.packet(at, at, 0, isSilent(at) ? 0 : 0.5);
  const playing: number[] = [];
  for (let at = 100; at <= 5900; at += 100) {
    bench.runTo(at);
    if (bench.playout.playing) playing.push(at);
  }
  expect([playing[0], playing.length, playing.at(-1)]).toEqual([100, 25, 2500]);
});

test("the delay follows the jitter up at once and down over ten quiet seconds", () => {
  const clock = new PlaybackClock({ jitterMs: 80 });
  const arrive = (count: number, jitterMs: number, startMs: number) => {
    for (let index = 0; index < count; index++) {
      clock.arrive(fromMilliseconds(startMs + index * PACKET_MS - (index % 10 === 9 ? jitterMs : 0)));
      clock.advance(framesIn(PACKET_MS));
    }
  };
  arrive(1, 0, 0);
  expect(clock.targetMs).toBe(80);
  arrive(100, 150, PACKET_MS);
  expect(clock.targetMs).toBeCloseTo(170, 0);
  arrive(600, 10, 101 * PACKET_MS);
  expect(clock.targetMs).toBe(40);
});

test("after a rewind audio that is sent ahead begins within the initial delay, and live audio keeps its learnt delay", () => {
  const delayAfter = (live: boolean, from: number) => {
    const clock = new PlaybackClock({ jitterMs: 80 });
    clock.setLive(live);
    for (let index = 0; index < 300; index++) {
      const timestamp = fromMilliseconds(index * PACKET_MS - (index % 10 === 9 ? 150 : 0));
      clock.landed(timestamp);
      clock.arrive(timestamp);
      clock.advance(framesIn(PACKET_MS));
    }
    expect(clock.targetMs).toBeGreaterThan(150);
    expect(clock.rewind({ discontinuity: 1, from: fromMilliseconds(from) })).toBe(from < 6000);
    clock.arrive(fromMilliseconds(from));
    return clock.targetMs;
  };
  expect(delayAfter(false, 3000)).toBe(80);
  expect(delayAfter(false, 9000)).toBeGreaterThan(150);
  expect(delayAfter(true, 3000)).toBeGreaterThan(150);
});

test("one rewind sets the playhead once, however often it is refined, and the next one may again", () => {
  const clock = new PlaybackClock({ jitterMs: 0, adaptive: false });
  const from = (milliseconds: number, discontinuity: number) =>
    clock.rewind({ discontinuity, from: fromMilliseconds(milliseconds) });
  clock.arrive(fromMilliseconds(0));
  clock.advance(framesIn(500));
  expect(from(600, 1)).toBe(false);
  expect(from(300, 1)).toBe(true);
  expect(clock.position).toBeUndefined();
  clock.arrive(fromMilliseconds(300));
  clock.advance(framesIn(100));
  expect(from(200, 1)).toBe(false);
  expect(clock.playhead).toBe(400_000);
  expect(from(350, 2)).toBe(true);
  expect(clock.counters.anchors).toBe(2);
});

test("a listener that stalled through rewinds goes on where the others are", () => {
  const bench = new Bench({ jitterMs: 80 });
  for (let index = 0; index < 100; index++) bench.packet(0, index * PACKET_MS);
  // At 1000 ms it is at 920 ms, and then stalls for 6 s. Others were interrupted twice meanwhile, at 1500 and 4000 ms.
  bench.at(1000, () => {
    bench.playout.lost(framesIn(6000));
    bench.rewind(1500);
    for (let index = 75; index < 200; index++) bench.deliver(fromMilliseconds(index * PACKET_MS), 1);
    bench.rewind(4000);
    for (let index = 200; index < 500; index++) bench.deliver(fromMilliseconds(index * PACKET_MS), 2);
  });
  bench.runTo(1500);
  expect(bench.stretches()).toEqual([
    [0, 0, 920, 80],
    [2, 6920, 7421, 1000],
  ]);
  expect(bench.playout.counters).toMatchObject({ staleMs: 0, jumps: 1 });
});

test.each([true, false])("a listener whose audio is late after a stall does not wait for it, live: %s", (live) => {
  const bench = new Bench({ jitterMs: 80 });
  bench.playout.setPublisher({ marksPauses: true, aheadMs: 300 });
  bench.playout.setLive(live);
  for (let index = 0; index < 50; index++) bench.packet(index * PACKET_MS, index * PACKET_MS);
  bench.at(1000, () => bench.playout.lost(framesIn(6000)));
  // Its session is back after 0.8 s, and begins a little earlier than the others are.
  for (let index = 375; index < 550; index++) bench.packet(Math.max(1800, index * PACKET_MS - 6000), index * PACKET_MS);
  bench.runTo(4000);
  expect(bench.stretches().at(-1)).toEqual([0, 7720, 9920, 1800]);
});

test("an interrupt right after a stall takes a listener back as any other", () => {
  for (const [stallMs, backMs] of [
    [1500, 120],
    [1500, 1000],
    [5000, 120],
  ] as const) {
    const bench = new Bench({ jitterMs: 80 });
    for (let index = 0; index < 500; index++) bench.packet(0, index * PACKET_MS);
    bench.at(1000, () => bench.playout.lost(framesIn(stallMs)));
    const cut = 1120 + stallMs - backMs;
    bench.at(1200, () => bench.rewind(cut));
    for (let index = 0; index < 50; index++) bench.packet(1250, cut + index * PACKET_MS, 1);
    bench.runTo(1500);
    const [epoch, from, , at] = bench.stretches().at(-1)!;
    expect([epoch, from]).toEqual([1, cut]);
    expect(at).toBeLessThanOrEqual(1331);
  }
});

test("a listener that is behind others ends a pause early although the audio after it was there before", () => {
  const bench = new Bench({ jitterMs: 80 });
  bench.playout.setPublisher({ marksPauses: true, aheadMs: 2000 });
  for (let index = 0; index < 50; index++) bench.packet(0, index * PACKET_MS, 0, index === 49 ? 0 : 0.5);
  // While it plays the first utterance, the next one is there: others had heard the first one long before.
  bench.at(900, () => {
    bench.playout.arrive(fromMilliseconds(3000), true);
    for (let index = 150; index < 200; index++) bench.deliver(fromMilliseconds(index * PACKET_MS), 0);
  });
  bench.runTo(2000);
  expect(bench.stretches()).toEqual([
    [0, 0, 1000, 80],
    [0, 3000, 3840, 1160],
  ]);
  expect(bench.playout.counters).toMatchObject({ jumps: 1, underruns: 0 });
});

test("a listener that is behind others ends each of several pauses early whose audio is there before", () => {
  const bench = new Bench({ jitterMs: 80 });
  bench.playout.setPublisher({ marksPauses: true, aheadMs: 2000 });
  for (let index = 0; index < 50; index++) bench.packet(0, index * PACKET_MS, 0, index === 49 ? 0 : 0.5);
  bench.at(900, () => {
    for (const start of [1800, 2800, 3800]) {
      bench.playout.arrive(fromMilliseconds(start), true);
      for (let at = 0; at < 500; at += PACKET_MS) bench.deliver(fromMilliseconds(start + at), 0, at === 480 ? 0 : 0.5);
    }
  });
  bench.runTo(4000);
  expect(bench.stretches()).toEqual([
    [0, 0, 1000, 80],
    [0, 1800, 2300, 1160],
    [0, 2800, 3300, 1741],
    [0, 3800, 4300, 2323],
  ]);
  expect(bench.playout.counters).toMatchObject({ jumps: 3, underruns: 0 });
});

test("a rewind forgets the pauses that it takes back", () => {
  const bench = new Bench({ jitterMs: 80 });
  bench.playout.setPublisher({ marksPauses: true, aheadMs: 2000 });
  for (let index = 0; index < 50; index++) bench.packet(0, index * PACKET_MS, 0, index === 49 ? 0 : 0.5);
  bench.at(900, () => {
    bench.playout.arrive(fromMilliseconds(3000), true);
    bench.rewind(2000);
    bench.playout.arrive(fromMilliseconds(3000));
    for (let at = 3000; at < 3500; at += PACKET_MS) bench.deliver(fromMilliseconds(at), 0, 1);
  });
  bench.runTo(4000);
  expect(bench.stretches().map(([, from, , at]) => [from, at])).toEqual([
    [0, 80],
    [3000, 3080],
  ]);
});

describe("a listener that joins", () => {
  /** What others hear at 0 ms and all that they have ahead, as a relay sends it to a listener that is new. */
  const join = (bench: Bench, atMs: number, fromMs: number, { aheadMs = 320, begins = false } = {}) => {
    for (let index = 0; index * PACKET_MS < aheadMs; index++) {
      const timestamp = fromMs + index * PACKET_MS;
      bench.packet(atMs, timestamp, 0, 0.5, begins && index === 0);
      bench.at(atMs, () => bench.playout.landed(fromMilliseconds(timestamp)));
    }
  };
  const open = (aheadMs?: number) => {
    const bench = new Bench({ jitterMs: 80 });
    bench.playout.setPublisher({ marksPauses: true, aheadMs });
    return bench;
  };

  test("in mid-speech begins where the others are, with a rewind too", () => {
    const bench = open(2000);
    join(bench, 100, 1000);
    bench.at(160, () => bench.rewind(1060));
    bench.runTo(500);
    expect(bench.stretches()).toEqual([[0, 1000, 1060, 101]]);
  });

  test.each([
    ["at the beginning of a broadcast", 2000, { begins: true }],
    ["with little ahead of it", 2000, { aheadMs: 160 }],
    ["of a publisher that need not send ahead", undefined, {}],
  ])("%s waits for one jitter delay", (_, aheadMs, options) => {
    const bench = open(aheadMs);
    join(bench, 100, 1000, options);
    bench.runTo(300);
    expect(bench.stretches()).toEqual([[0, 1000, expect.any(Number), 181]]);
  });

  test("again waits for one jitter delay, as after every rewind", () => {
    const bench = open(2000);
    join(bench, 0, 1000);
    bench.runTo(100);
    bench.rewind(1000);
    join(bench, 100, 1000);
    bench.runTo(200);
    expect(bench.stretches()).toEqual([
      [0, 1000, 1101, 0],
      [0, 1000, 1019, 181],
    ]);
  });

  test("in a pause begins the next utterance as soon as it is there", () => {
    const bench = open(2000);
    // The end of the last utterance is all that a relay has. Others have been past it for 200 ms.
    bench.packet(0, 980, 0, 0);
    for (let index = 0; index < 20; index++) bench.packet(200, 1360 + index * PACKET_MS, 0, 0.5, index === 0);
    bench.runTo(1000);
    expect(bench.stretches()).toEqual([
      [0, 980, 1000, 80],
      [0, 1360, 1760, 280],
    ]);
  });
});

test("a hole that is not a pause is not skipped, and neither is a short pause", () => {
  for (const [nextMs, begins] of [
    [3000, false],
    [1300, true],
  ] as const) {
    const bench = new Bench({ jitterMs: 80 });
    bench.playout.setPublisher({ marksPauses: true, aheadMs: 2000 });
    for (let index = 0; index < 50; index++) bench.packet(0, index * PACKET_MS, 0, index === 49 ? 0 : 0.5);
    bench.at(900, () => {
      bench.playout.arrive(fromMilliseconds(nextMs), begins);
      bench.deliver(fromMilliseconds(nextMs), 0);
    });
    bench.runTo(4000);
    expect(bench.stretches().at(-1)).toEqual([0, nextMs, nextMs + PACKET_MS, nextMs + 80]);
  }
});
