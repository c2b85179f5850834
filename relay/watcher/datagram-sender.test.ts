import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { microseconds } from "../../base/index.js";
import type { Session } from "../../transport/index.js";
import { CachedGroup } from "../broadcast/cached-group.js";
import { RelayCounters } from "../relay-counters.js";
import { Code } from "../wire/code.js";
import { decodeDatagram, WireFrame } from "../wire/group.js";
import { BurstSmoother } from "./burst-smoother.js";
import { DatagramSender } from "./datagram-sender.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Sends an object every 20 ms over a path that loses a burst of packets; returns the objects that arrived. */
function overBurst(burst: { from: number; packets: number }): number[] {
  const arrived = new Set<number>();
  let packet = 0;
  const sender = make((sequence) => {
    const isLost = packet >= burst.from && packet < burst.from + burst.packets;
    packet++;
    if (!isLost) arrived.add(sequence);
  });
  for (let sequence = 0; sequence < 50; sequence++) {
    sender.send(record(sequence), true);
    vi.advanceTimersByTime(20);
  }
  vi.advanceTimersByTime(1000);
  return [...arrived].sort((a, b) => a - b);
}

function make(path: (sequence: number) => void): DatagramSender {
  const counters = new RelayCounters();
  const send = (body: Uint8Array): boolean => {
    path(decodeDatagram(body).sequence);
    return true;
  };
  const session = { datagrams: { maxSize: 1200, send } } as Partial<Session> as Session;
  return new DatagramSender({ session, subscribe: 3, counters, smoother: new BurstSmoother({ counters }) });
}

function record(sequence: number): CachedGroup {
  const group = new CachedGroup(sequence, microseconds(0));
  group.push(WireFrame.of(sequence * 20_000, new Uint8Array(80)));
  group.end();
  return group;
}

test.each([1, 2, 3, 5])("no object is lost to a burst of %i packets", (packets) => {
  for (let from = 0; from < 90; from++) {
    expect(overBurst({ from, packets })).toEqual(Array.from({ length: 50 }, (_, sequence) => sequence));
  }
});

test("an object is repeated once, 100 ms later, even the last of an utterance, but not once it is stale", () => {
  const sent: number[] = [];
  const sender = make((sequence) => sent.push(sequence));
  const [first, second] = [record(0), record(1)];
  sender.send(first, true);
  sender.send(second, true);
  vi.advanceTimersByTime(99);
  expect(sent).toEqual([0, 1]);
  second.discard(Code.STALE_GROUP);
  vi.advanceTimersByTime(1000);
  expect(sent).toEqual([0, 1, 0]);
  sender.send(record(2), true);
  sender.close();
  vi.advanceTimersByTime(1000);
  expect(sent).toEqual([0, 1, 0, 2]);
  const single: number[] = [];
  make((sequence) => single.push(sequence)).send(first, false);
  vi.advanceTimersByTime(1000);
  expect(single).toEqual([0]);
});
