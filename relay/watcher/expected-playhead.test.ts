import { expect, test } from "vitest";
import { fromMilliseconds as ms } from "../../base/index.js";
import { ExpectedPlayhead } from "./expected-playhead.js";
import { type Waiting, WatcherQueue } from "./watcher-queue.js";

const FRAME_MS = 20;

/**
 * A publisher whose media time omits pauses, a watcher on a link of `perTick` groups in 10 ms that goes back for late
 * audio, and the queue between them; returns the groups that the queue dropped.
 */
function play({ answers, perTick, reports }: { answers: number[]; perTick: number; reports: boolean }) {
  const dropped: number[] = [];
  const received: number[] = [];
  const queue = new WatcherQueue<Waiting>({ maxGroups: 2048 });
  const expected = new ExpectedPlayhead();
  let sequence = 0;
  let playhead: number | undefined;
  let reported: number | undefined;
  let nowMs = 0;
  const step = (): void => {
    const now = ms(nowMs);
    const reportedNow = reported === undefined ? undefined : ms(reported);
    for (let sent = 0; sent < perTick; sent++) {
      const next = queue.take({
        now,
        playhead: expected.at(now, reportedNow),
        inFlightBytes: 0,
        windowBytes: 4096,
        busyStreams: 0,
      });
      if (next === undefined) break;
      const at = next.timestamp! / 1000;
      received.push(next.sequence);
      // Nothing later was heard, so the watcher goes back for it.
      if (playhead === undefined || at < playhead) playhead = at - 80;
    }
    dropped.push(...queue.takeDropped().map(({ group }) => group.sequence));
    nowMs += 10;
    if (playhead !== undefined) playhead += 10;
    if (reported !== undefined) reported += 10;
    if (reports && nowMs % 100 === 0 && playhead !== undefined) reported = Math.max(0, playhead);
  };
  for (const seconds of answers) {
    // The whole answer at once, as far ahead as it is long.
    for (let frame = 0; frame < seconds * 50; frame++) {
      const group = { sequence: sequence++, timestamp: ms(frame * FRAME_MS + (sequence - frame - 1) * FRAME_MS) };
      expected.arrived(group, { now: ms(nowMs), playhead: reported === undefined ? undefined : ms(reported) });
      queue.push({ ...group, bytes: 160, since: ms(nowMs), urgent: false });
    }
    // Until it was heard, and a pause of four seconds, in which the playhead runs on.
    for (const end = nowMs + seconds * 1000 + 4000; nowMs < end; ) step();
  }
  return { dropped, received, sent: sequence };
}

test.each([1, 2, 8])("every group of every answer goes to a watcher that takes %i groups in 10 ms", (perTick) => {
  const { dropped, received, sent } = play({ answers: [10, 25, 5], perTick, reports: true });
  expect(dropped).toEqual([]);
  expect(received).toEqual(Array.from({ length: sent }, (_, index) => index));
});

test("the reports count again once they show that the watcher went back, and after three seconds", () => {
  const expected = new ExpectedPlayhead();
  const group = (sequence: number, timestampMs: number, nowMs: number, playheadMs: number) =>
    expected.arrived({ sequence, timestamp: ms(timestampMs) }, { now: ms(nowMs), playhead: ms(playheadMs) });
  group(0, 10_000, 0, 14_000);
  expect(expected.at(ms(0), ms(14_000))).toBe(ms(9000));
  group(1, 15_000, 500, 14_500);
  expect(expected.at(ms(1500), ms(15_500))).toBe(ms(10_500));
  expect(expected.at(ms(1600), ms(11_550))).toBe(ms(11_550));
  expect(expected.at(ms(1700), ms(14_000))).toBe(ms(14_000));
  group(2, 16_000, 2000, 18_000);
  expect(expected.at(ms(5000), ms(21_000))).toBe(ms(18_000));
  expect(expected.at(ms(5001), ms(21_001))).toBe(ms(21_001));
});

test("a straggler, a group ahead of the playhead, and a watcher without reports change nothing", () => {
  const expected = new ExpectedPlayhead();
  const state = { now: ms(0), playhead: ms(1000) };
  expected.arrived({ sequence: 7, timestamp: ms(1200) }, state);
  expected.arrived({ sequence: 6, timestamp: ms(900) }, state);
  expected.arrived({ sequence: 8, timestamp: undefined }, state);
  expect(expected.at(ms(0), ms(1000))).toBe(ms(1000));
  expected.arrived({ sequence: 9, timestamp: ms(900) }, { now: ms(0), playhead: undefined });
  expect(expected.at(ms(0), undefined)).toBeUndefined();
  expect(expected.at(ms(0), ms(1000))).toBe(ms(1000));
});

test("a watcher that goes back for late audio has passed nothing behind what it heard, however long that waits", () => {
  const group = (sequence: number) => ({ sequence, timestamp: ms(sequence * FRAME_MS) });
  let goesBack = true;
  const expected = new ExpectedPlayhead(() => goesBack);
  const queue = new WatcherQueue<Waiting>();
  const held = { inFlightBytes: 2, windowBytes: 1, busyStreams: 0 };
  const push = (sequence: number, playheadMs: number) => {
    expected.arrived(group(sequence), { now: ms(0), playhead: ms(playheadMs) });
    queue.push({ ...group(sequence), bytes: 160, since: ms(0), urgent: false });
  };
  const dropped = (nowMs: number, playheadMs: number, heardMs: number | undefined) => {
    const now = ms(nowMs);
    const heard = heardMs === undefined ? undefined : ms(heardMs);
    queue.expire({ ...held, now, playhead: expected.passed(expected.at(now, ms(playheadMs)), heard) });
    return queue.takeDropped().map(({ group: { sequence } }) => sequence);
  };
  for (const sequence of [6, 7, 8]) push(sequence, 100);
  // It stands where the last group ended, and runs on a second later; a newer group may have overtaken these.
  for (const nowMs of [600, 1100, 1145, 30_000]) expect(dropped(nowMs, 100 + nowMs, 120)).toEqual([]);
  expect(dropped(600, 700, undefined)).toEqual([]);
  // Media time stood still: it is about to go back.
  push(9, 30_100);
  for (const nowMs of [500, 1500, 2999, 3001, 9000]) expect(dropped(nowMs, 30_100 + nowMs, 120)).toEqual([]);
  expect(dropped(9000, 145, 400)).toEqual([6]);
  goesBack = false;
  expect(dropped(9000, 170, 120)).toEqual([7]);
});

test("a watcher that a rewind sends back has passed nothing behind it, until its reports show that", () => {
  const expected = new ExpectedPlayhead(() => true);
  expected.arrived({ sequence: 500, timestamp: ms(10_000) }, { now: ms(0), playhead: ms(4000) });
  expected.arrived({ sequence: 65_536, timestamp: ms(4000) }, { now: ms(0), playhead: ms(4500) });
  const passed = (nowMs: number, playheadMs: number) =>
    expected.passed(expected.at(ms(nowMs), ms(playheadMs)), ms(10_000));
  expect(passed(0, 4500)).toBe(ms(3000));
  expect(passed(2500, 7000)).toBe(ms(4000));
  expect(passed(2600, 6650)).toBe(ms(6650));
});
