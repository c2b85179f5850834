import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type Clock, fromMilliseconds, type Microseconds, microseconds } from "../base/index.js";
import { RewindConsumer, type RewindConsumerOptions } from "./consumer.js";
import { EPOCH_SIZE } from "./epoch.js";
import { HandedOut } from "./handed-out.js";

interface Vectors {
  classify: {
    boundary: { prevMax: number; resetGroup: number; resetTimestamp: number };
    rows: [number, number, string][];
  };
  scenarios: {
    id: string;
    steps: ({ recv: [number, number[]] } | { read: "all" | number })[];
    expect: { ms: number[]; discontinuity: number; from?: number };
  }[];
}

const vectors = JSON.parse(readFileSync(new URL("../tests/vectors/rewind.json", import.meta.url), "utf8")) as Vectors;
const payload = Uint8Array.of(1);
const still: Clock = () => microseconds(0);

function receive(consumer: RewindConsumer, sequence: number, timesMs: number[]): void {
  for (const time of timesMs) {
    consumer.receive(sequence, { timestamp: fromMilliseconds(time), payload, keyframe: true });
  }
  consumer.finish(sequence);
}

function readAll(consumer: RewindConsumer, limit = Number.POSITIVE_INFINITY): number[] {
  const out: number[] = [];
  while (out.length < limit) {
    const delivery = consumer.read();
    if (delivery === undefined) break;
    out.push(delivery.frame.timestamp / 1000);
  }
  return out;
}

describe("the published vectors", () => {
  test.each(vectors.scenarios)("$id", ({ steps, expect: expected }) => {
    const consumer = new RewindConsumer({ clock: still });
    const ms: number[] = [];
    for (const step of steps) {
      if ("recv" in step) receive(consumer, ...step.recv);
      else ms.push(...readAll(consumer, step.read === "all" ? undefined : step.read));
    }
    expect(ms).toEqual(expected.ms);
    expect(consumer.discontinuity).toBe(expected.discontinuity);
    expect(consumer.from).toBe(expected.from === undefined ? undefined : expected.from * 1000);
  });

  test.each(vectors.classify.rows)("at the boundary (55, 58, 90), %i at %i is a %s", (sequence, time, verdict) => {
    const { prevMax, resetGroup, resetTimestamp } = vectors.classify.boundary;
    const consumer = new RewindConsumer({ clock: still });
    receive(consumer, prevMax - 1, [80]);
    receive(consumer, prevMax, [95, 100]);
    readAll(consumer);
    if (sequence !== resetGroup) receive(consumer, resetGroup, [resetTimestamp]);
    receive(consumer, sequence, [time]);
    const out = readAll(consumer);
    expect(out.includes(time)).toBe(verdict === "keep");
    expect(consumer.discontinuity).toBe(1);
    const earliest = verdict === "keep" ? Math.min(resetTimestamp, time) : resetTimestamp;
    expect(consumer.from).toBe(earliest * 1000);
  });
});

const ms = fromMilliseconds;

/** A consumer with a clock that moves only when set. */
function setup(options: Partial<RewindConsumerOptions> = {}) {
  let now = ms(0);
  const consumer = new RewindConsumer({ clock: () => now, ...options });
  return {
    consumer,
    at(time: number) {
      now = ms(time);
    },
    /** A whole group of frames at these milliseconds. */
    group: (sequence: number, ...times: number[]) => receive(consumer, sequence, times),
    /** Frames of a group that is still open. */
    frames(sequence: number, ...times: number[]) {
      for (const time of times) consumer.receive(sequence, { timestamp: ms(time), payload, keyframe: true });
    },
    read: () => readAll(consumer),
    wake: () => {
      const wake = consumer.nextWake();
      return wake === undefined ? undefined : wake / 1000;
    },
  };
}

describe("the wait for a missing group", () => {
  test("a consumer says whether more may come of the group that was read last", () => {
    const { consumer, frames, read, group } = setup({ gap: ms(50) });
    frames(0, 0, 20);
    expect(consumer.unfinished).toBe(false);
    expect(read()).toEqual([0, 20]);
    expect(consumer.unfinished).toBe(true);
    consumer.finish(0);
    expect(consumer.unfinished).toBe(false);
    group(1, 40);
    expect(read()).toEqual([40]);
    expect(consumer.unfinished).toBe(false);
  });

  test("a consumer waits from the first newer frame on, and no longer once the group comes", () => {
    const { consumer, at, group, read, wake } = setup({ gap: ms(50) });
    group(0, 0);
    expect(read()).toEqual([0]);
    expect([wake(), consumer.peek()]).toEqual([undefined, undefined]);
    at(100);
    group(3, 60);
    at(120);
    group(2, 40);
    expect(wake()).toBe(150);
    expect(read()).toEqual([]);
    expect(consumer.peek()).toEqual({ sequence: 2, epoch: 0, timestamp: ms(40), afterGap: true });
    at(149.999);
    expect(read()).toEqual([]);
    at(150);
    expect(wake()).toBe(undefined);
    expect(readAll(consumer, 1)).toEqual([40]);
    expect(consumer.peek()).toEqual({ sequence: 3, epoch: 0, timestamp: ms(60), afterGap: false });
    expect(read()).toEqual([60]);
    expect(consumer.counters.skipped).toBe(1);
    group(5, 100);
    group(4, 80);
    expect(read()).toEqual([80, 100]);
    expect(consumer.counters.skipped).toBe(1);
    group(1, 20);
    expect(read()).toEqual([]);
    expect(consumer.counters.late).toBe(1);
  });

  test("a consumer waits for the rest of an unfinished group until it is finished or reset", () => {
    const { consumer, at, group, frames, read, wake } = setup({ gap: ms(50) });
    frames(0, 0, 20);
    expect(read()).toEqual([0, 20]);
    group(1, 80);
    expect(wake()).toBe(50);
    frames(0, 40);
    expect(read()).toEqual([40]);
    expect(wake()).toBe(50);
    consumer.finish(0);
    expect(wake()).toBe(undefined);
    expect(read()).toEqual([80]);
    expect(consumer.counters.skipped).toBe(0);
    at(10);
    frames(2, 100);
    group(3, 160);
    expect(read()).toEqual([100]);
    consumer.abort(2);
    expect(read()).toEqual([160]);
    expect(consumer.counters.skipped).toBe(0);
    frames(4, 180);
    group(5, 240);
    expect(read()).toEqual([180]);
    at(60);
    expect(read()).toEqual([240]);
    expect(consumer.counters.skipped).toBe(1);
    frames(4, 200);
    expect(read()).toEqual([]);
    expect(consumer.counters.late).toBe(1);
  });

  test("a consumer does not wait for a group that is empty or stale, nor where the next one rewound", () => {
    const { consumer, group, read, wake } = setup({ gap: ms(50) });
    group(4, 80);
    expect(read()).toEqual([80]);
    consumer.finish(5);
    group(6, 100);
    expect(read()).toEqual([100]);
    group(7, 120);
    group(8, 140);
    group(9, 110);
    expect(read()).toEqual([110]);
    group(20, 50);
    expect(wake()).toBe(undefined);
    expect(read()).toEqual([50]);
    group(22, 50);
    expect(read()).toEqual([50]);
    expect(consumer.counters.skipped).toBe(0);
    group(24, 51);
    expect(read()).toEqual([]);
    expect(wake()).toBe(50);
  });

  test("a consumer waits from the second group on: nothing is known to be missing before the first", () => {
    const { frames, group, read, wake } = setup({ gap: ms(50) });
    group(5, 100);
    group(7, 140);
    expect(read()).toEqual([100]);
    const late = setup({ gap: ms(50) });
    late.consumer.finish(5);
    late.group(7, 140);
    expect(late.wake()).toBe(50);
    late.frames(6, 120);
    expect(late.read()).toEqual([120]);
    expect(wake()).toBe(50);
    frames(6, 120);
    expect(read()).toEqual([120]);
    expect(wake()).toBe(50);
  });
});

describe("the hold for a new epoch's first group", () => {
  const first = EPOCH_SIZE;

  test("a consumer withholds everything for 200 ms, or until the first group is there", () => {
    const { consumer, at, group, read, wake } = setup();
    group(0, 0);
    group(1, 20);
    expect(consumer.holding).toBe(false);
    at(10);
    group(first + 1, 100);
    expect(consumer.holding).toBe(true);
    expect([read(), wake()]).toEqual([[], 210]);
    at(20);
    group(first + 2, 120);
    expect(wake()).toBe(210);
    at(209);
    expect(read()).toEqual([]);
    group(first, 10);
    expect(consumer.holding).toBe(false);
    expect(read()).toEqual([0, 10, 100, 120]);
    expect(consumer.counters).toMatchObject({ held: 1, stale: 1 });

    group(2 * first + 1, 140);
    expect([read(), wake(), consumer.holding]).toEqual([[], 409, true]);
    at(409);
    expect(consumer.holding).toBe(false);
    expect(read()).toEqual([140]);
    group(2 * first + 2, 160);
    expect(read()).toEqual([160]);
    expect(consumer.counters.held).toBe(2);
  });

  test("a consumer does not hold for a late joiner, nor where a later epoch decided already", () => {
    const { consumer, group, frames, read, wake } = setup({ epochHold: ms(80) });
    group(first + 5, 100);
    expect(read()).toEqual([100]);
    group(2 * first, 80);
    group(first + 6, 60);
    expect(read()).toEqual([60, 80]);
    expect(consumer.counters.held).toBe(0);
    frames(3 * first + 1, 90);
    expect(wake()).toBe(80);
    group(4 * first, 85);
    expect(wake()).toBe(undefined);
    expect(read()).toEqual([85]);
    frames(3 * first + 2, 70);
    expect([read(), wake(), consumer.holding]).toEqual([[], undefined, false]);
    expect(consumer.counters.held).toBe(1);
  });

  test("a hold does not depend on which of the epochs came first", () => {
    const { consumer, at, group, read, wake } = setup();
    group(first + 2, 5);
    at(50);
    expect([wake(), consumer.holding]).toEqual([undefined, false]);
    group(34, 0);
    expect([read(), wake(), consumer.holding]).toEqual([[], 200, true]);
    at(200);
    expect(read()).toEqual([0, 5]);
    expect(consumer.counters.held).toBe(1);

    const joined = setup();
    joined.group(first + 2, 5);
    expect(joined.read()).toEqual([5]);
    joined.group(34, 0);
    joined.group(first + 3, 25);
    expect([joined.read(), joined.consumer.counters.held]).toEqual([[25], 0]);
  });

  test("a hold lasts as long as the wait for a missing group where both apply", () => {
    // Ahead of what was read, and behind it.
    for (const back of [0, 60]) {
      const { at, group, read, wake } = setup({ gap: ms(300) });
      group(0, 80);
      expect(read()).toEqual([80]);
      group(first + 2, 120 - back);
      expect(wake()).toBe(300);
      at(299);
      expect(read()).toEqual([]);
      if (back > 0) group(first + 1, 100 - back);
      if (back > 0) group(first, 80 - back);
      at(300);
      expect(read()).toEqual(back > 0 ? [20, 40, 60] : [120]);
    }
    const short = setup({ gap: ms(100) });
    short.group(0, 0);
    short.read();
    short.group(first + 1, 100);
    expect(short.wake()).toBe(200);
  });

  test("a consumer keeps track of sixteen epochs and no more", () => {
    const { consumer, at, group, read } = setup();
    group(0, 0);
    for (let epoch = 1; epoch <= 17; epoch += 1) {
      at(epoch);
      group(epoch * first + 1, 1000 - epoch);
    }
    expect(consumer.counters.held).toBe(17);
    group(2 * first + 2, 1000);
    expect(consumer.counters.held).toBe(17);
    // The oldest was forgotten, so that it begins again.
    group(first + 2, 1000);
    expect(consumer.counters.held).toBe(18);
    at(216);
    expect(read()).toEqual([]);
    at(217);
    expect(read()).toEqual([0, 983]);
  });
});

describe("numbers without epochs", () => {
  const hasEpochs = () => false;

  test("a consumer without epochs neither holds nor names one, and keeps to the rule", () => {
    const { consumer, group, read } = setup({ hasEpochs });
    for (let packet = 0; packet < 20; packet += 1) {
      group(packet * 20_000 + 5, packet * 20);
      expect(consumer.holding).toBe(false);
      expect(consumer.peek()).toMatchObject({ sequence: packet * 20_000 + 5, epoch: 0 });
      expect(consumer.read()).toMatchObject({ epoch: 0, discontinuity: 0 });
    }
    group(400_005, 300);
    expect(consumer.read()).toMatchObject({ epoch: 0, discontinuity: 1, from: ms(300) });
    expect(read()).toEqual([]);
    expect(consumer.counters.held).toBe(0);
  });

  test("a consumer holds as soon as numbers have epochs", () => {
    let isOurs = false;
    const { consumer, group, read } = setup({ hasEpochs: () => isOurs });
    group(0, 0);
    group(EPOCH_SIZE + 1, 20);
    expect(read()).toEqual([0, 20]);
    isOurs = true;
    group(2 * EPOCH_SIZE + 1, 40);
    expect([read(), consumer.holding, consumer.counters.held]).toEqual([[], true, 1]);
  });

  test("a consumer waits for no missing number once eight gaps in a row stayed empty, until a group fills one", () => {
    const { at, frames, group, read, wake } = setup({ hasEpochs, gap: ms(50) });
    const next = (sequence: number) => {
      group(sequence, sequence * 10);
      return read();
    };
    expect(next(0)).toEqual([0]);
    for (let sequence = 2; sequence < 16; sequence += 2) {
      at(sequence * 100);
      expect([next(sequence), wake()]).toEqual([[], sequence * 100 + 50]);
      at(sequence * 100 + 50);
      expect(read()).toEqual([sequence * 10]);
    }
    for (const sequence of [16, 18, 100]) expect(next(sequence)).toEqual([sequence * 10]);
    // For the rest of an open group it waits nevertheless.
    frames(102, 1020);
    expect(read()).toEqual([1020]);
    expect([next(104), wake()]).toEqual([[], 1500]);
    at(1500);
    expect(read()).toEqual([1040]);
    // A repeat fills no gap, a late group does.
    expect(next(100)).toEqual([]);
    expect(next(106)).toEqual([1060]);
    expect(next(99)).toEqual([]);
    expect([next(108), wake()]).toEqual([[], 1550]);
  });

  test("a consumer waits for every missing number where numbers have epochs, however many stayed empty", () => {
    const { group, read, wake, at } = setup({ gap: ms(50) });
    group(0, 0);
    expect(read()).toEqual([0]);
    for (let sequence = 2; sequence < 60; sequence += 2) {
      at(sequence * 100);
      group(sequence, sequence * 10);
      expect([read(), wake()]).toEqual([[], sequence * 100 + 50]);
      at(sequence * 100 + 50);
      expect(read()).toEqual([sequence * 10]);
    }
  });
});

describe("the flush point", () => {
  test("the flush point is the earliest one of the rewinds since the last delivery", () => {
    const { consumer, group, read } = setup();
    group(0, 0, 20, 40, 60, 80, 100);
    read();
    group(EPOCH_SIZE, 40, 60, 80);
    group(2 * EPOCH_SIZE, 60);
    expect([consumer.discontinuity, consumer.from]).toEqual([2, ms(40)]);
    expect(consumer.read()).toMatchObject({ sequence: EPOCH_SIZE, epoch: 1, discontinuity: 2, from: ms(40) });
    expect(read()).toEqual([60]);
    group(3 * EPOCH_SIZE, 50);
    expect([consumer.discontinuity, consumer.from]).toEqual([3, ms(50)]);
    group(4 * EPOCH_SIZE, 30);
    expect([consumer.discontinuity, consumer.from]).toEqual([4, ms(30)]);
  });

  test("the flush point falls at an unchanged counter when the rewind starts earlier, even behind the reader", () => {
    const { consumer, group, read } = setup();
    group(0, 0);
    group(1, 100, 120);
    read();
    group(10, 90);
    expect(read()).toEqual([90]);
    group(9, 70);
    expect(read()).toEqual([]);
    expect([consumer.discontinuity, consumer.from]).toEqual([1, ms(70)]);
    expect(consumer.isStale(1, ms(70))).toBe(true);
    expect(consumer.isStale(0, ms(69))).toBe(false);
    expect(consumer.counters.late).toBe(1);
    group(8, 80);
    expect([consumer.discontinuity, consumer.from]).toEqual([1, ms(70)]);
    group(11, 85);
    expect([consumer.discontinuity, consumer.from]).toEqual([2, ms(70)]);
  });
});

describe("a frame that was handed out", () => {
  const [first, second] = [EPOCH_SIZE, 2 * EPOCH_SIZE];
  const start = 3 * EPOCH_SIZE;

  test("a first group that comes late makes a delivered frame stale, although the rewind was reported already", () => {
    const { consumer, group, frames, read } = setup();
    group(3, 220);
    group(start, 220);
    group(first, 120);
    expect(consumer.read()).toMatchObject({ sequence: first, discontinuity: 1, from: ms(120) });
    expect(read()).toEqual([220]);
    group(second, 120);
    expect(consumer.isStale(first, ms(120))).toBe(true);
    expect([consumer.discontinuity, consumer.from]).toEqual([2, ms(120)]);
    frames(start, 240);
    expect(consumer.read()).toMatchObject({ sequence: start, discontinuity: 2, from: ms(120) });
  });

  test("a delivered frame becomes stale after the hold for that first group ran out", () => {
    const { consumer, at, group, read } = setup();
    group(0, 0);
    group(1, 100, 120, 140);
    expect(read()).toEqual([0, 100, 120, 140]);
    group(first + 1, 160);
    at(200);
    expect(read()).toEqual([160]);
    expect(consumer.discontinuity).toBe(0);
    group(first, 130);
    expect([consumer.discontinuity, consumer.from]).toEqual([1, ms(130)]);
    group(first + 2, 165);
    group(first + 3, 180);
    group(second + 1, 170);
    expect(read()).toEqual([]);
    at(400);
    expect(consumer.read()).toMatchObject({ sequence: first + 2, discontinuity: 2, from: ms(130) });
    expect(read()).toEqual([170]);
    group(second, 162);
    expect([consumer.discontinuity, consumer.from]).toEqual([3, ms(162)]);
    group(second + 2, 190);
    expect(consumer.read()).toMatchObject({ discontinuity: 3, from: ms(162) });
  });

  test("a group that rewinds to the very same time within its epoch makes a delivered frame stale", () => {
    const { consumer, group, read } = setup();
    group(9, 160);
    group(11, 40);
    expect(read()).toEqual([40]);
    group(12, 40);
    expect(consumer.isStale(11, ms(40))).toBe(true);
    expect(consumer.read()).toMatchObject({ sequence: 12, discontinuity: 2, from: ms(40) });
    // A straggler beyond their start turns other groups into rewinds.
    const late = setup();
    late.group(11, 40);
    late.group(12, 40);
    expect(late.read()).toEqual([40, 40]);
    expect(late.consumer.discontinuity).toBe(0);
    late.group(8, 160);
    expect([late.consumer.isStale(11, ms(40)), late.consumer.isStale(12, ms(40))]).toEqual([true, false]);
    expect([late.consumer.discontinuity, late.consumer.from]).toEqual([1, ms(40)]);
  });

  test("a stale frame is reported once: a consumer does not flush twice", () => {
    const { consumer, group, read } = setup();
    group(0, 0);
    group(1, 100, 120);
    read();
    group(10, 70);
    expect(read()).toEqual([70]);
    group(9, 80);
    expect([consumer.discontinuity, consumer.from]).toEqual([1, ms(70)]);
    group(11, 90);
    group(12, 80);
    expect([consumer.discontinuity, consumer.from]).toEqual([2, ms(80)]);
  });
});

describe("the bounds", () => {
  test("a full buffer drops the oldest first, and counts it", () => {
    const byGroups = setup({ maxGroups: 3 });
    for (const sequence of [3, 1, 2, 5, 4]) byGroups.group(sequence, sequence * 20);
    expect(byGroups.consumer.buffered).toEqual({ groups: 3, frames: 3, bytes: 3, span: ms(40) });
    expect(byGroups.consumer.counters.overflow).toBe(2);
    expect(byGroups.read()).toEqual([60, 80, 100]);
    for (const sequence of [6, 7, 8, 9, 10]) byGroups.consumer.finish(sequence);
    expect(byGroups.consumer.buffered.groups).toBe(3);

    const byBytes = setup({ maxBytes: 3 });
    byBytes.group(0, 0, 20);
    byBytes.group(1, 40);
    expect(byBytes.consumer.counters.overflow).toBe(0);
    byBytes.group(2, 60);
    expect(byBytes.consumer.counters.overflow).toBe(2);
    expect(byBytes.consumer.buffered.bytes).toBe(2);
    expect(byBytes.read()).toEqual([40, 60]);

    // Frames without a byte take memory as well, in every state.
    const byFrames = setup({ maxFrames: 3 });
    const empty = (sequence: number, time: number) =>
      byFrames.consumer.receive(sequence, { timestamp: ms(time), payload: new Uint8Array(0), keyframe: true });
    for (let index = 0; index < 20; index++) empty(index, index * 20);
    expect(byFrames.consumer.buffered).toMatchObject({ frames: 3, bytes: 0 });
    expect(byFrames.read()).toEqual([340, 360, 380]);
    for (let index = 20; index < 23; index++) empty(index, index * 20);
    empty(23, 410);
    for (let index = 24; index < 40; index++) empty(index, index * 20);
    expect(byFrames.consumer.buffered.frames).toBe(3);

    const bySpan = setup({ maxSpanUs: ms(40) });
    bySpan.group(0, 0);
    bySpan.group(1, 40);
    expect(bySpan.consumer.counters.overflow).toBe(0);
    bySpan.group(2, 41);
    expect(bySpan.consumer.counters.overflow).toBe(1);
    bySpan.group(3, 10);
    expect(bySpan.consumer.buffered).toMatchObject({ frames: 1, span: ms(0) });
    expect(bySpan.consumer.counters).toMatchObject({ overflow: 1, stale: 2 });
    bySpan.consumer.finish(9);
    bySpan.group(4, 51);
    expect(bySpan.consumer.counters.overflow).toBe(2);
    expect(bySpan.read()).toEqual([51]);
  });

  test("a buffer measures time to the rewound live edge and frees stale frames at once", () => {
    const { consumer, group } = setup({ maxSpanUs: ms(100), maxBytes: 8 });
    group(0, 0, 20, 40, 60, 80, 100);
    group(1, 30, 50);
    expect(consumer.buffered).toMatchObject({ frames: 4, bytes: 4, span: ms(50) });
    expect(consumer.counters).toMatchObject({ stale: 4, overflow: 0 });
  });

  test("a consumer never delivers a frame that needs a dropped one", () => {
    const { consumer, read } = setup({ maxBytes: 2 });
    const video = (sequence: number, time: number, keyframe: boolean) =>
      consumer.receive(sequence, { timestamp: ms(time), payload, keyframe });
    video(0, 0, true);
    video(0, 33, false);
    video(0, 66, false);
    video(0, 100, false);
    expect(consumer.counters.overflow).toBe(4);
    expect(read()).toEqual([]);
    video(0, 133, true);
    video(0, 166, false);
    expect(read()).toEqual([133, 166]);
    expect(consumer.buffered).toMatchObject({ frames: 0, bytes: 0 });
  });
});

test("a consumer remembers delivered frames up to a bound, the newest of them", () => {
  const handedOut = new HandedOut(4);
  const remembers = (sequence: number) => handedOut.hasStale((frame) => frame.sequence === sequence);
  for (let sequence = 0; sequence < 4; sequence += 1) handedOut.add({ sequence, timestamp: ms(sequence) });
  expect([remembers(0), remembers(3)]).toEqual([true, true]);
  handedOut.add({ sequence: 4, timestamp: ms(4) });
  expect([remembers(0), remembers(1), remembers(4)]).toEqual([false, true, true]);
  handedOut.flush(ms(3));
  expect([remembers(2), remembers(3), remembers(4)]).toEqual([true, false, false]);
});

test("a late frame counts as a repeat for as long as repeats can be expected", () => {
  const { consumer, group, frames, read } = setup();
  frames(0, 0, 20);
  frames(0, 20, 0, 40);
  expect(consumer.counters.duplicate).toBe(2);
  expect(read()).toEqual([0, 20, 40]);
  frames(0, 40);
  for (let sequence = 1; sequence <= 257; sequence += 1) group(sequence, 20 * sequence + 40);
  expect(read()).toHaveLength(257);
  expect(consumer.counters.duplicate).toBe(3);
  group(1, 60);
  group(1, 65);
  expect(consumer.counters).toMatchObject({ duplicate: 4, late: 1 });
  group(0, 0);
  expect(consumer.counters).toMatchObject({ duplicate: 4, late: 2 });
  const long = setup();
  for (let time = 0; time <= 256; time += 1) long.frames(0, time);
  long.frames(0, 1);
  expect(long.consumer.counters.duplicate).toBe(1);
  long.frames(0, 0);
  expect(long.consumer.counters.duplicate).toBe(1);
});

test("frames of a group after its reset still count, such as the same group by datagram", () => {
  const { consumer, frames, read } = setup();
  consumer.abort(3);
  frames(3, 60);
  expect(read()).toEqual([60]);
  consumer.abort(2);
  expect(consumer.buffered.groups).toBe(1);
});

test("a consumer refuses sequences and timestamps that are not whole numbers, by name", () => {
  const { consumer } = setup();
  const frame = { timestamp: ms(0), payload, keyframe: true };
  for (const sequence of [-1, 0.5, Number.NaN, 2 ** 53]) {
    expect(() => consumer.receive(sequence, frame)).toThrow(expect.objectContaining({ code: "INVALID_SEQUENCE" }));
    expect(() => consumer.receive(0, { ...frame, timestamp: sequence as Microseconds })).toThrow(
      expect.objectContaining({ code: "INVALID_TIMESTAMP" }),
    );
  }
  expect(consumer.counters.received).toBe(0);
});
