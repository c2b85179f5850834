import { expect, test } from "vitest";
import { fromMilliseconds, microseconds } from "../../base/index.js";
import type { SkipReason } from "../../flow/congestion/index.js";
import { ByteBudget } from "../broadcast/byte-budget.js";
import { type Waiting, WatcherQueue, type WatcherState } from "./watcher-queue.js";

const ms = fromMilliseconds;
const IDLE: WatcherState = {
  now: ms(0),
  playhead: undefined,
  inFlightBytes: 0,
  windowBytes: undefined,
  busyStreams: 0,
};

function make(options: ConstructorParameters<typeof WatcherQueue>[0] = {}) {
  const queue = new WatcherQueue<Waiting>({ ...options, maxBusyStreams: 2 });
  const dropped = (): [number, SkipReason][] =>
    queue.takeDropped().map(({ group, reason }) => [group.sequence, reason]);
  const push = (sequence: number, more: Partial<Waiting> = {}) =>
    queue.push({ sequence, timestamp: ms(sequence * 20), bytes: 100, since: ms(0), urgent: false, ...more });
  const takeAll = (state: Partial<WatcherState> = {}) => {
    const taken: number[] = [];
    for (let next = queue.take({ ...IDLE, ...state }); next; next = queue.take({ ...IDLE, ...state }))
      taken.push(next.sequence);
    return taken;
  };
  return { queue, dropped, push, takeAll };
}

test("groups leave in sequence order, urgent ones first, the newest of these before the others", () => {
  const { push, takeAll, queue } = make();
  for (const sequence of [5, 3, 4]) push(sequence);
  push(65_536, { urgent: true });
  push(131_072, { urgent: true });
  push(131_073);
  expect(takeAll()).toEqual([131_072, 65_536, 3, 4, 5, 131_073]);
  expect([queue.length, queue.bytes]).toEqual([0, 0]);
});

test("a full window and busy streams hold groups back, but the window never holds an urgent one", () => {
  const { push, takeAll } = make();
  push(1);
  push(65_536, { urgent: true });
  expect(takeAll({ windowBytes: 1000, inFlightBytes: 1001 })).toEqual([65_536]);
  expect(takeAll({ windowBytes: 1000, inFlightBytes: 1001 })).toEqual([]);
  expect(takeAll({ busyStreams: 2 })).toEqual([]);
  expect(takeAll({ windowBytes: 1000, inFlightBytes: 1000, busyStreams: 1 })).toEqual([1]);
});

test("all queues of a session hold what the session may; the fullest of them drop, to their last group", () => {
  const session = new ByteBudget(1000);
  const [full, large, small] = [make({ session }), make({ session }), make({ session })];
  for (const sequence of [1, 2, 3, 4]) full!.push(sequence);
  large!.push(1, { bytes: 500 });
  small!.push(1, { bytes: 80 });
  expect([full, large, small].flatMap((each) => each!.dropped())).toEqual([]);
  small!.push(2, { bytes: 30 });
  full!.push(5);
  expect(full!.dropped()).toEqual([
    [1, "overflow"],
    [2, "overflow"],
  ]);
  // A group that waits grows.
  large!.queue.measure(() => 800);
  expect(large!.dropped()).toEqual([[1, "overflow"]]);
  expect(small!.dropped()).toEqual([]);
  expect(session.usedBytes).toBe(410);
  for (const { queue } of [full!, large!, small!]) queue.clear();
  expect(session.usedBytes).toBe(0);
});

test("a group far ahead waits until it is due, unless it is urgent", () => {
  const { push, takeAll } = make();
  for (const sequence of [1, 2, 3]) push(sequence);
  push(65_536, { urgent: true, timestamp: ms(2000) });
  expect(takeAll({ until: ms(60) })).toEqual([65_536, 1, 2]);
  expect(takeAll()).toEqual([3]);
});

test("a waiting group is dropped when it is too late, or by age when no playhead is known", () => {
  const { push, takeAll, dropped } = make();
  for (const sequence of [1, 2, 3, 4]) push(sequence);
  // 50 ms is audible now: group 2 (40 to 60 ms) still matters.
  expect(takeAll({ playhead: ms(50) })).toEqual([2, 3, 4]);
  expect(dropped()).toEqual([[1, "passed"]]);
  push(5, { since: ms(0) });
  push(6, { since: ms(100) });
  expect(takeAll({ now: microseconds(ms(2000) + 1) })).toEqual([6]);
  expect(dropped()).toEqual([[5, "age"]]);
  push(6);
  expect(takeAll({ playhead: ms(9999), now: ms(2100), windowBytes: 100, inFlightBytes: 101 })).toEqual([]);
  expect(dropped()).toEqual([[6, "window"]]);
  push(7, { timestamp: undefined });
  expect(takeAll({ playhead: ms(9999), now: ms(1) })).toEqual([7]);
});

test("a live group has a limit on its wait for a full window, wherever the playhead is, and none for other reasons", () => {
  const full = { playhead: ms(0), windowBytes: 100, inFlightBytes: 101, maxWait: ms(1500) };
  const { push, takeAll, dropped } = make();
  push(1, { since: ms(0) });
  push(2, { since: ms(20) });
  push(65_536, { since: ms(0), urgent: true });
  expect(takeAll({ ...full, now: ms(1500), busyStreams: 2 })).toEqual([]);
  expect(dropped()).toEqual([]);
  expect(takeAll({ ...full, now: ms(1520), busyStreams: 2 })).toEqual([]);
  expect(dropped()).toEqual([[1, "window"]]);
  expect(takeAll({ ...full, now: ms(9000), maxWait: undefined })).toEqual([65_536]);
  expect(takeAll({ ...full, now: ms(9000), inFlightBytes: 100, busyStreams: 2 })).toEqual([]);
  expect(dropped()).toEqual([]);
  expect(takeAll({ ...full, now: ms(9000), inFlightBytes: 100 })).toEqual([2]);
});

test("a last group behind the playhead is dropped once it waited too long, so that a paused end of speech still goes out", () => {
  const { push, takeAll, dropped } = make();
  push(1);
  expect(takeAll({ playhead: ms(500), now: ms(10), busyStreams: 2 })).toEqual([]);
  expect(dropped()).toEqual([]);
  expect(takeAll({ playhead: ms(500), now: ms(2001) })).toEqual([]);
  expect(dropped()).toEqual([[1, "passed"]]);
});

test("a rewind removes groups, and full queues drop their oldest group that is not urgent", () => {
  const { queue, push, takeAll, dropped } = make({ maxGroups: 3, maxBytes: 1000 });
  for (const sequence of [1, 2, 3]) push(sequence);
  queue.discard(({ timestamp }) => timestamp !== undefined && timestamp >= ms(40));
  expect(dropped()).toEqual([
    [3, "stale"],
    [2, "stale"],
  ]);
  push(65_536, { urgent: true });
  push(65_537);
  push(65_538);
  expect(dropped()).toEqual([[1, "overflow"]]);
  push(65_539, { bytes: 900 });
  expect(dropped()).toEqual([
    [65_537, "overflow"],
    [65_538, "overflow"],
  ]);
  expect(takeAll()).toEqual([65_536, 65_539]);
});
