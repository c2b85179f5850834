import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { fromMilliseconds, type Microseconds, microseconds } from "../../base/index.js";
import { CongestionController } from "../../flow/congestion/index.js";
import type { Session } from "../../transport/index.js";
import { CachedGroup } from "../broadcast/cached-group.js";
import { RelayCounters } from "../relay-counters.js";
import { Code } from "../wire/code.js";
import { decodeDatagram, WireFrame } from "../wire/group.js";
import { BurstSmoother } from "./burst-smoother.js";
import type { CopySource } from "./copy-source.js";
import { DatagramSender } from "./datagram-sender.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const SMALL = [fromMilliseconds(40), fromMilliseconds(200)];
const WHOLE = [fromMilliseconds(100)];

/** Sends an object every 20 ms over a path that loses a burst of packets; returns the objects that arrived. */
function overBurst(burst: { from: number; packets: number }, delays: readonly Microseconds[]): number[] {
  const arrived = new Set<number>();
  let packet = 0;
  let handed: number[] = [];
  // What is handed over at once shares a packet.
  const deliver = (): void => {
    if (handed.length === 0) return;
    const isLost = packet >= burst.from && packet < burst.from + burst.packets;
    packet++;
    if (!isLost) for (const sequence of handed) arrived.add(sequence);
    handed = [];
  };
  const sender = make((sequence) => handed.push(sequence), { delays });
  for (let sequence = 0; sequence < 50; sequence++) {
    sender.send(record(sequence), true);
    deliver();
    for (let ms = 0; ms < 20; ms++) {
      vi.advanceTimersByTime(1);
      deliver();
    }
  }
  vi.advanceTimersByTime(1000);
  deliver();
  return [...arrived].sort((a, b) => a - b);
}

function make(
  path: (sequence: number, bytes: number) => void,
  copies: Partial<Pick<CopySource, "delays" | "of">> = {},
  control: Pick<CongestionController, "copied" | "silent" | "probeAt"> = DELIVERING,
  counters = new RelayCounters(),
): DatagramSender {
  const send = (body: Uint8Array): boolean => {
    path(decodeDatagram(body).sequence, body.length);
    return true;
  };
  const session = { datagrams: { maxSize: 1200, send } } as Partial<Session> as Session;
  return new DatagramSender({
    clock: () => fromMilliseconds(Date.now()),
    session,
    subscribe: 3,
    counters,
    smoother: new BurstSmoother({ counters }),
    copies: { delays: SMALL, of: (group) => group, ...copies },
    control,
  });
}

const DELIVERING = { copied: () => {}, silent: () => false, probeAt: microseconds(0) };

/** A path that is silent until it is not, with a probe every 40 ms. */
class SilentPath {
  isSilent = true;
  probeAt = microseconds(0);
  copied(_bytes: number, at: Microseconds): void {
    this.probeAt = microseconds(at + fromMilliseconds(40));
  }
  silent(): boolean {
    return this.isSilent;
  }
}

/** A controller whose path lost a group, with 100 groups acknowledged by now. */
function lossyControl(roundTripMs: number): CongestionController {
  const control = new CongestionController({ spanMs: 250 });
  for (let group = 0; group < 100; group++) {
    control.sent(group, 80, now());
    vi.advanceTimersByTime(20);
    const arrived = group - Math.ceil(roundTripMs / 20);
    const isHeld = arrived >= 30 && arrived < 45;
    if (arrived >= 0) control.acknowledged(report(isHeld ? 29 : arrived, arrived));
  }
  vi.advanceTimersByTime(roundTripMs);
  control.acknowledged(report(99, 99));
  expect(control.repeats).toBe(true);
  return control;
}

function report(receivedGroup: number, groups: number) {
  return { session: 1, receivedGroup, receivedBytes: groups * 80, at: now(), staleness: microseconds(0) };
}

function now(): Microseconds {
  return fromMilliseconds(Date.now());
}

function record(sequence: number, bytes = 80): CachedGroup {
  const group = new CachedGroup(sequence, microseconds(0));
  group.push(WireFrame.of(sequence * 20_000, new Uint8Array(bytes)));
  group.end();
  return group;
}

test.each([1, 2, 3, 5, 7])("no object is lost to a burst of %i packets where it is copied small", (packets) => {
  for (let from = 0; from < 40; from++)
    expect(overBurst({ from, packets }, SMALL)).toEqual(Array.from({ length: 50 }, (_, sequence) => sequence));
});

test.each([1, 2, 3, 5])("no object is lost to a burst of %i packets where it is copied whole", (packets) => {
  for (let from = 0; from < 40; from++)
    expect(overBurst({ from, packets }, WHOLE)).toEqual(Array.from({ length: 50 }, (_, sequence) => sequence));
});

test("copies of an object go in the packets of the objects that go 40 and 200 ms later", () => {
  const packets: number[][] = [];
  const sender = make((sequence) => packets.at(-1)!.push(sequence));
  for (let sequence = 0; sequence < 12; sequence++) {
    packets.push([]);
    sender.send(record(sequence), true);
    const handed = packets.at(-1)!.length;
    vi.advanceTimersByTime(20);
    expect(packets.at(-1)).toHaveLength(handed);
  }
  expect(packets.slice(0, 4)).toEqual([[0], [1], [2, 0], [3, 1]]);
  expect(packets.slice(10)).toEqual([
    [10, 0, 8],
    [11, 1, 9],
  ]);
});

test("copies that wait go with the next object, also when that one is not copied itself", () => {
  const sent: number[] = [];
  const sender = make((sequence) => sent.push(sequence));
  sender.send(record(0), true);
  vi.advanceTimersByTime(40);
  sender.send(record(1), false);
  expect(sent).toEqual([0, 1, 0]);
  vi.advanceTimersByTime(160);
  sender.send(record(2), false);
  expect(sent).toEqual([0, 1, 0, 2, 0]);
  vi.advanceTimersByTime(1000);
  expect(sent).toEqual([0, 1, 0, 2, 0]);
});

test("copies of the last object of an utterance go by themselves, and none of a stale one", () => {
  const sent: number[] = [];
  const sender = make((sequence) => sent.push(sequence));
  const [first, second] = [record(0), record(1)];
  sender.send(first, true);
  sender.send(second, true);
  vi.advanceTimersByTime(69);
  expect(sent).toEqual([0, 1]);
  vi.advanceTimersByTime(2);
  expect(sent).toEqual([0, 1, 0, 1]);
  second.discard(Code.STALE_GROUP);
  vi.advanceTimersByTime(1000);
  expect(sent).toEqual([0, 1, 0, 1, 0]);
  sender.send(record(2), true);
  sender.close();
  vi.advanceTimersByTime(1000);
  expect(sent).toEqual([0, 1, 0, 1, 0, 2]);
});

test("an object that is not to be copied goes once", () => {
  const sent: number[] = [];
  make((sequence) => sent.push(sequence)).send(record(0), false);
  vi.advanceTimersByTime(1000);
  expect(sent).toEqual([0]);
});

test("what goes as a copy is decided when it goes", () => {
  const low = new Map<number, CachedGroup>();
  const sent: [sequence: number, bytes: number][] = [];
  const sender = make((...each) => sent.push(each), { of: ({ sequence }) => low.get(sequence) });
  sender.send(record(0, 160), true);
  sender.send(record(1, 160), true);
  low.set(0, record(0, 30));
  vi.advanceTimersByTime(1000);
  expect(sent.map(([sequence]) => sequence)).toEqual([0, 1, 0, 0]);
  expect(sent[0]![1] - sent[2]![1]).toBe(130);
});

test("an object goes small and by itself while the path delivers nothing, and copies follow once it delivers", () => {
  const small = new Map([0, 1, 2].map((sequence) => [sequence, record(sequence, 30)]));
  const sent: [sequence: number, bytes: number][] = [];
  const path = new SilentPath();
  const sender = make((...each) => sent.push(each), { of: ({ sequence }) => small.get(sequence) }, path);
  path.probeAt = microseconds(now() + fromMilliseconds(10_000));
  sender.send(record(0, 160), true);
  vi.advanceTimersByTime(300);
  sender.send(record(1, 160), true);
  vi.advanceTimersByTime(300);
  expect(sent.map(([sequence]) => sequence)).toEqual([0, 1]);
  for (const [, bytes] of sent) expect(bytes).toBeLessThan(50);
  path.isSilent = false;
  sender.send(record(2, 160), false);
  expect(sent.map(([sequence]) => sequence)).toEqual([0, 1, 2, 0, 1]);
  expect(sent[2]![1]).toBeGreaterThan(150);
});

test("while the path delivers nothing, copies go one by one behind the probes of groups, and all once it delivers", () => {
  const sent: [sequence: number, atMs: number][] = [];
  const path = new SilentPath();
  const start = Date.now();
  const sender = make((sequence) => sent.push([sequence, Date.now() - start]), {}, path);
  for (let sequence = 0; sequence < 5; sequence++) sender.send(record(sequence), true);
  sent.splice(0);
  vi.advanceTimersByTime(200);
  expect(sent).toEqual([
    [0, 70],
    [1, 130],
    [2, 190],
  ]);
  path.isSilent = false;
  vi.advanceTimersByTime(60);
  expect(sent.slice(3).map(([sequence]) => sequence)).toEqual([3, 4, 0, 1, 2, 3, 4]);
});

test("copies that are a second overdue are dropped and counted", () => {
  const sent: number[] = [];
  const path = new SilentPath();
  const counters = new RelayCounters();
  const sender = make((sequence) => sent.push(sequence), {}, path, counters);
  path.probeAt = microseconds(now() + fromMilliseconds(10_000));
  for (let sequence = 0; sequence < 10; sequence++) sender.send(record(sequence), true);
  vi.advanceTimersByTime(1150);
  expect(counters.copiesExpired).toBe(10);
  vi.advanceTimersByTime(1000);
  expect(counters.copiesExpired).toBe(20);
  path.isSilent = false;
  sender.send(record(10), false);
  expect(sent).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

test.each([10, 20, 40, 100, 200])(
  "both copies of the last object of an utterance go when it is lost, %i ms away",
  (trip) => {
    const control = lossyControl(trip);
    const sent: number[] = [];
    const start = Date.now();
    const sender = make(() => sent.push(Date.now() - start), {}, control);
    control.sent(100, 80, now());
    sender.send(record(100), true);
    for (let ms = 0; ms < 600; ms++) {
      vi.advanceTimersByTime(1);
      // The listener reports every 20 ms, from 50 ms after the arrival of the last object but one.
      if (ms >= trip + 30 && ms % 20 === 0) control.acknowledged(report(99, 99));
    }
    expect(sent).toEqual([0, 70, 230]);
  },
);
