import { beforeEach, describe, expect, test } from "vitest";
import { fromMilliseconds, type Microseconds, microseconds } from "../../base/index.js";
import type { Aggregate } from "../../flow/report/index.js";
import { aggregateOf } from "../../tests/support/reports.js";
import { Wake } from "../wake.js";
import { Listeners } from "./listeners.js";
import { type OutgoingFrame, SendQueue } from "./send-queue.js";
import { UplinkEvents } from "./uplink-events.js";

function frame(sequence: number, timestampMs: number, opensEpoch = false): OutgoingFrame {
  return {
    sequence,
    timestamp: fromMilliseconds(timestampMs),
    payload: new Uint8Array(160),
    producedAt: fromMilliseconds(0),
    opensEpoch,
    opensGroup: true,
    endsGroup: true,
  };
}

const ms = (value: number): Microseconds => fromMilliseconds(value);

function takeAll(sendQueue: SendQueue, now: number, playhead: number): number[] {
  const sequences: number[] = [];
  for (let next = sendQueue.take(ms(now), ms(playhead)); next; next = sendQueue.take(ms(now), ms(playhead))) {
    sequences.push(next.sequence);
  }
  return sequences;
}

describe("SendQueue", () => {
  test("a queue paces a burst, and is full while more is in flight than the window holds", () => {
    const sendQueue = new SendQueue({ bitrateBps: 64_000, frameMs: 20 });
    for (let i = 0; i < 40; i++) sendQueue.push(frame(i, i * 20));
    expect(takeAll(sendQueue, 0, 0)).toHaveLength(16);
    expect(takeAll(sendQueue, 100, 0)).toHaveLength(16);
    // Without acknowledgements there is no window.
    expect(sendQueue.isFull(ms(100))).toBe(false);
    // 40 frames of 160 bytes less 11 are in flight; the window of 4 KiB holds 25.
    sendQueue.acked(10, ms(100));
    expect(sendQueue.isFull(ms(100))).toBe(true);
    sendQueue.acked(14, ms(200));
    expect(sendQueue.isFull(ms(200))).toBe(false);
    sendQueue.push(frame(40, 800));
    expect(sendQueue.isFull(ms(200))).toBe(true);
    expect(sendQueue.isFull(ms(1300))).toBe(false);
    const open = new SendQueue({ bitrateBps: 64_000, frameMs: 20, window: false });
    for (let i = 0; i < 100; i++) open.push(frame(i, i * 20));
    open.acked(0, ms(0));
    expect(open.isFull(ms(0))).toBe(false);
  });

  test("a queue sends as much audio at once, and as fast, whatever the length of a frame", () => {
    for (const frameMs of [5, 10, 20, 40]) {
      const sendQueue = new SendQueue({ bitrateBps: 64_000, frameMs });
      for (let i = 0; i < 2000 / frameMs; i++) sendQueue.push(frame(i, i * frameMs));
      expect(takeAll(sendQueue, 0, 0)).toHaveLength(320 / frameMs);
      expect(takeAll(sendQueue, 20, 0)).toHaveLength(160 / frameMs);
    }
  });

  test("a queue carries audio in real time over any path up to a second long, and bounds what a queue there holds", () => {
    for (let delayMs = 0; delayMs <= 1000; delayMs += 50) {
      const sendQueue = new SendQueue({ bitrateBps: 64_000, frameMs: 20 });
      const sentAt: number[] = [];
      let full = 0;
      for (let now = 0; now < 10_000; now += 20) {
        sendQueue.push({ ...frame(sentAt.length, sentAt.length * 20), producedAt: ms(now) });
        // A report every 100 ms carries what had arrived by then.
        const arrived = sentAt.findLastIndex((at) => at <= now - delayMs);
        if (now % 100 === 0 && arrived >= 0) sendQueue.acked(arrived, ms(now));
        if (sendQueue.isFull(ms(now))) full++;
        expect(sendQueue.take(ms(now), ms(0))).toBeDefined();
        sentAt.push(now);
      }
      expect(full).toBe(0);
      expect(sendQueue.roundTrip! - ms(delayMs)).toBeGreaterThanOrEqual(0);
      expect(sendQueue.roundTrip! - ms(delayMs)).toBeLessThanOrEqual(ms(20));
    }
    const slow = new SendQueue({ bitrateBps: 64_000, frameMs: 20 });
    let [sent, most] = [0, 0];
    for (let now = 0; now < 120_000; now += 20) {
      // The link carries half of the audio.
      if (now % 100 === 0 && sent > 0) slow.acked(Math.min(sent - 1, Math.floor(now / 40)), ms(now));
      if (slow.isFull(ms(now))) continue;
      slow.push({ ...frame(sent++, now), producedAt: ms(now) });
      slow.take(ms(now), ms(0));
      most = Math.max(most, slow.inFlight(ms(now)));
    }
    expect(most).toBeGreaterThan(4096);
    expect(most).toBeLessThan(8 * 1350 + 160);
  });

  test("a queue sends nothing that waited for more than two seconds, and counts skips by reason", () => {
    const sendQueue = new SendQueue({ bitrateBps: 64_000, frameMs: 20 });
    sendQueue.push(frame(0, 5000, true));
    sendQueue.push(frame(1, 5020));
    sendQueue.push({ ...frame(2, 5040), producedAt: ms(1500) });
    sendQueue.push({ ...frame(3, 900), producedAt: ms(1500) });
    sendQueue.skipped(4);
    expect(takeAll(sendQueue, 2500, 1000)).toEqual([0, 2]);
    expect(sendQueue.skips).toMatchObject({ age: 1, passed: 1, window: 4 });
    expect(sendQueue.takeLog(ms(2500))).toMatchObject({ age: 1, passed: 1, window: 4 });
    expect(sendQueue.takeLog(ms(2600))).toBeUndefined();
  });

  test("a queue drops stale and late frames, but never the frame that opens an epoch", () => {
    const sendQueue = new SendQueue({ bitrateBps: 64_000, frameMs: 20 });
    for (let i = 0; i < 10; i++) sendQueue.push(frame(i, i * 20));
    expect(sendQueue.take(ms(0), ms(0))?.sequence).toBe(0);
    sendQueue.rewind(ms(100));
    expect(sendQueue.counters.takenBack).toBe(5);
    sendQueue.push(frame(65_536, 100, true));
    sendQueue.push(frame(65_537, 120));
    sendQueue.push(frame(65_538, 500));
    expect(takeAll(sendQueue, 0, 300)).toEqual([65_536, 65_538]);
    expect(sendQueue.counters.passed).toBe(5);
    expect(sendQueue.inFlight(ms(0))).toBe(3 * 160);
    sendQueue.rewind(ms(100));
    expect(sendQueue.inFlight(ms(0))).toBe(160);
  });

  test("a queue sends frames again on a new session if they are neither late nor stale", () => {
    const sendQueue = new SendQueue({ bitrateBps: 64_000, frameMs: 20 });
    for (let i = 0; i < 12; i++) sendQueue.push(frame(i, i * 20));
    expect(takeAll(sendQueue, 0, 0)).toHaveLength(12);
    sendQueue.rewind(ms(160));
    sendQueue.push(frame(65_536, 160, true));
    sendQueue.push(frame(65_537, 180));
    sendQueue.reconnected(ms(100), ms(1000));
    expect(takeAll(sendQueue, 1000, 100)).toEqual([5, 6, 7, 65_536, 65_537]);
  });

  test("a queue sends nothing on a new session, sent or waiting, from before an interrupt", () => {
    const sendQueue = new SendQueue({ bitrateBps: 64_000, frameMs: 20 });
    for (let i = 0; i < 12; i++) sendQueue.push(frame(i, i * 20));
    for (let i = 0; i < 6; i++) expect(sendQueue.take(ms(0), ms(0))?.sequence).toBe(i);
    sendQueue.rewind(ms(160));
    sendQueue.push(frame(65_536, 160, true));
    sendQueue.keepFrom(65_536);
    sendQueue.push(frame(65_537, 180));
    sendQueue.reconnected(ms(60), ms(1000));
    expect(takeAll(sendQueue, 1000, 60)).toEqual([65_536, 65_537]);
  });

  test("where listeners play late audio, a queue sends frames that waited through a stall, but no earlier late ones", () => {
    for (const late of [false, true]) {
      const sendQueue = new SendQueue({ bitrateBps: 64_000, frameMs: 20, late });
      sendQueue.push(frame(0, 0));
      expect(takeAll(sendQueue, 0, 0)).toEqual([0]);
      sendQueue.push(frame(1, 20));
      sendQueue.push(frame(2, 40));
      expect(takeAll(sendQueue, 3000, 2000)).toEqual(late ? [1, 2] : []);
      sendQueue.push(frame(3, 60));
      sendQueue.reconnected(ms(2000), ms(3000));
      expect(takeAll(sendQueue, 3000, 2000)).toEqual([]);
      expect(sendQueue.counters.passed).toBe(late ? 1 : 3);
    }
  });

  test("a queue without takers keeps only the newest opening frame", () => {
    const sendQueue = new SendQueue({ bitrateBps: 64_000, frameMs: 20 });
    sendQueue.push(frame(65_536, 0, true));
    sendQueue.push(frame(131_072, 0, true));
    sendQueue.push(frame(131_073, 2000));
    sendQueue.expire(ms(1000));
    expect(takeAll(sendQueue, 0, 1000)).toEqual([131_072, 131_073]);
  });
});

test("events of the uplink are bounded: a flood of reports drops the oldest of them, counts them, and nothing else", () => {
  const events = new UplinkEvents(new Wake());
  events.push({ kind: "connected" });
  for (let i = 0; i < 300; i++)
    events.push({ kind: "aggregate", aggregate: aggregateOf([]), source: events, at: ms(i) });
  events.push({ kind: "displaced", displaced: true });
  const kept = events.take();
  expect(events.dropped).toBe(46);
  expect(kept).toHaveLength(256);
  expect([kept.at(0)?.kind, kept.at(-1)?.kind]).toEqual(["connected", "displaced"]);
  expect(kept[1]).toMatchObject({ at: ms(46) });
});

describe("Listeners", () => {
  let now = 0;
  const clock = () => microseconds(now * 1000);
  let id = 0;
  const relay = {};

  beforeEach(() => {
    now = 1000;
    id = 0;
  });

  /** Listeners that may be as far as this in what was sent. */
  function listenersUpTo(mostMs: number): Listeners {
    const listeners = new Listeners({ clock });
    for (let at = 0; at <= mostMs; at += 20) listeners.bound.sent(ms(at), clock());
    listeners.bound.begin(ms(mostMs), clock());
    return listeners;
  }

  function heardAt(listeners: Listeners, limitMs: number) {
    listeners.rewound(clock());
    return listeners.heard(limitMs);
  }

  function aggregate(
    listeners: { session: number; playheadMs: number; discontinuity?: number; heardMs?: number; receivedMs?: number }[],
    extra: Partial<Aggregate> = {},
  ): Aggregate {
    const listed = listeners.map(({ session, playheadMs, discontinuity = 0, heardMs, receivedMs }) => ({
      session,
      playhead: ms(playheadMs),
      discontinuity,
      heardUntil: heardMs === undefined ? undefined : ms(heardMs),
      receivedUntil: receivedMs === undefined ? undefined : ms(receivedMs),
    }));
    return aggregateOf(listed, { aggregateId: ++id, relayTimeMs: now, ...extra });
  }

  test("listeners have an earliest and a latest projected playhead, and are unknown after three seconds of silence", () => {
    const listeners = listenersUpTo(5200);
    expect(listeners.latest(clock())).toBeUndefined();
    listeners.observe(
      aggregate([
        { session: 1, playheadMs: 5000 },
        { session: 2, playheadMs: 5200 },
      ]),
      relay,
    );
    now += 300;
    expect(listeners.earliest(clock())).toBe(ms(5300));
    expect(listeners.latest(clock())).toBe(ms(5500));
    expect(listeners.playing).toBe(true);
    // A process that stood still has reports that it has not read: only time that passed counts.
    now += 3500;
    expect(listeners.listeners).toBe(2);
    listeners.pass(ms(3000));
    expect(listeners.listeners).toBe(2);
    listeners.pass(ms(1));
    expect(listeners.listeners).toBe(0);
    expect(listeners.latest(clock())).toBeUndefined();
  });

  test("before anything was sent a playhead is that of an earlier publisher of the name, and counts for nothing", () => {
    const listeners = new Listeners({ clock });
    listeners.observe(aggregate([{ session: 1, playheadMs: 60_000 }]), relay);
    expect(listeners.listeners).toBe(1);
    expect(listeners.earliest(clock())).toBeUndefined();
    expect(listeners.furthest(clock())).toBeUndefined();
    listeners.bound.sent(ms(500), clock());
    expect(listeners.latest(clock())).toBe(ms(500));
  });

  test("the lead covers a long path from the first landing on, before any group lands late", () => {
    const listeners = new Listeners({ clock });
    for (let group = 0; group < 60; group++) listeners.transit.wroteBefore(group, ms(group * 20), clock());
    // The first group takes 200 ms, and waits 80 in the jitter buffer; the report takes 150 ms more.
    now += 430;
    listeners.observe(aggregate([{ session: 1, playheadMs: 0 }], { worstLead: ms(80), worstLeadGroup: 0 }), relay);
    expect(listeners.lead.advance(clock())).toBeGreaterThan(ms(350 + 140));
    expect(listeners.lead.advance(clock())).toBeLessThan(ms(350 + 160));
  });

  test("a listener cut off at its playhead, or by rounding just behind it, starts over there; one before does not", () => {
    const listeners = listenersUpTo(5000);
    listeners.observe(aggregate([{ session: 1, playheadMs: 5000 }]), relay);
    listeners.startOver(ms(5100), clock());
    expect(listeners.isStartingOver(clock())).toBe(false);
    listeners.startOver(microseconds(ms(5000) + 10), clock());
    expect(listeners.isStartingOver(clock())).toBe(true);
    listeners.observe(aggregate([{ session: 1, playheadMs: 5000, discontinuity: 1 }]), relay);
    expect(listeners.isStartingOver(clock())).toBe(false);
  });

  test("a listener that comes when all have left is where it reports, not where those would start over", () => {
    const listeners = listenersUpTo(5000);
    listeners.observe(aggregate([{ session: 1, playheadMs: 5000 }]), relay);
    listeners.startOver(ms(5000), clock());
    now += 300;
    const ends = { earliest: ms(0), latest: ms(0), discontinuity: 0, playing: false };
    listeners.observe(aggregate([], ends), relay);
    expect(listeners.listeners).toBe(0);
    expect(listeners.isStartingOver(clock())).toBe(false);
    now += 100;
    listeners.observe(aggregate([{ session: 2, playheadMs: 4600 }]), relay);
    expect(listeners.latest(clock())).toBe(ms(4600));
  });

  test("an overtaken aggregate counts for interrupts, not for the playhead", () => {
    const listeners = listenersUpTo(5000);
    listeners.observe(aggregate([{ session: 1, playheadMs: 5000 }]), relay);
    listeners.observe({ ...aggregate([{ session: 1, playheadMs: 100 }]), aggregateId: 0 }, relay);
    expect(listeners.latest(clock())).toBe(ms(5000));
  });

  test("heard() waits for every listener's report, and projects silent ones within what they had received", async () => {
    const listeners = new Listeners({ clock });
    const before = [
      { session: 1, playheadMs: 5000, receivedMs: 9000 },
      { session: 2, playheadMs: 5100, receivedMs: 5150, discontinuity: 3 },
      { session: 3, playheadMs: 4900, receivedMs: 9000 },
    ];
    listeners.observe(aggregate(before), relay);
    now += 100;
    const heard = heardAt(listeners, 1000);
    listeners.observe(
      aggregate([{ session: 1, playheadMs: 5000, discontinuity: 1, heardMs: 5080 }, ...before.slice(1)]),
      relay,
    );
    listeners.pass(ms(999));
    listeners.pass(ms(1));
    expect(await heard).toEqual([
      { session: 1, heardUntil: ms(5080), measured: true },
      { session: 2, heardUntil: ms(5150), measured: false },
      { session: 3, heardUntil: ms(5000), measured: false },
    ]);
  });

  test("heard() waits no longer than 300 ms for a silent listener once another has reported", async () => {
    const listeners = new Listeners({ clock });
    const quiet = { session: 2, playheadMs: 5000 };
    listeners.observe(aggregate([{ session: 1, playheadMs: 5000 }, quiet]), relay);
    const heard = heardAt(listeners, 1000);
    const spoken = aggregate([{ session: 1, playheadMs: 5000, discontinuity: 1, heardMs: 5080 }, quiet]);
    const asked = now;
    let found: number | undefined;
    void heard.then(() => {
      found = now;
    });
    for (let turn = 0; turn < 4; turn++) {
      listeners.observe({ ...spoken, aggregateId: 10 + turn }, relay);
      now += 100;
      listeners.pass(ms(100));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await heard).map(({ measured }) => measured)).toEqual([true, false]);
    expect(found! - asked).toBe(300);
  });

  test("heard() counts no standstill of the process: a batch of unread reports counts as a whole", async () => {
    const listeners = new Listeners({ clock });
    const [one, other] = [
      { session: 1, playheadMs: 5000 },
      { session: 2, playheadMs: 5100 },
    ];
    listeners.observe(aggregate([one, other]), relay);
    const heard = heardAt(listeners, 1000);
    const first = { ...one, discontinuity: 1, heardMs: 5080 };
    listeners.observe({ ...aggregate([first, other]), aggregateId: 10 }, relay);
    now += 3500;
    listeners.observe({ ...aggregate([first, other]), aggregateId: 11 }, relay);
    listeners.pass(ms(250));
    const second = { ...other, discontinuity: 1, heardMs: 5150 };
    listeners.observe({ ...aggregate([first, second]), aggregateId: 12 }, relay);
    expect((await heard).map(({ measured }) => measured)).toEqual([true, true]);
  });

  test("no relay can put the listeners beyond what was sent, or far behind", () => {
    const listeners = new Listeners({ clock });
    for (let at = 0; at <= 8000; at += 20) listeners.bound.sent(ms(at), clock());
    listeners.bound.begin(ms(5000), clock());
    listeners.observe(aggregate([{ session: 1, playheadMs: 35 * 365 * 86_400_000 }]), relay);
    expect(listeners.latest(clock())).toBe(ms(5250));
    now += 1000;
    listeners.observe(
      {
        ...aggregate([
          { session: 1, playheadMs: 0 },
          { session: 2, playheadMs: 6000 },
        ]),
        aggregateId: 9,
      },
      relay,
    );
    expect([listeners.earliest(clock()), listeners.latest(clock())]).toEqual([ms(1000), ms(6000)]);
  });

  test("each of two concurrent interrupts gets its own result, also when the other's report ends it", async () => {
    const listeners = new Listeners({ clock });
    listeners.observe(aggregate([{ session: 1, playheadMs: 5000 }]), relay);
    const first = heardAt(listeners, 1000);
    const second = heardAt(listeners, 1000);
    listeners.observe(aggregate([{ session: 1, playheadMs: 5000, discontinuity: 1, heardMs: 5080 }]), relay);
    expect(await first).toEqual([{ session: 1, heardUntil: ms(5080), measured: true }]);
    listeners.observe(aggregate([{ session: 1, playheadMs: 5100, discontinuity: 2, heardMs: 5130 }]), relay);
    expect(await second).toEqual([{ session: 1, heardUntil: ms(5130), measured: true }]);
    // A listener that got only the later of two has applied one.
    const both = [heardAt(listeners, 1000), heardAt(listeners, 1000)];
    listeners.observe(aggregate([{ session: 1, playheadMs: 5200, discontinuity: 3, heardMs: 5210 }]), relay);
    listeners.pass(ms(999));
    listeners.pass(ms(1));
    for (const heard of await Promise.all(both))
      expect(heard).toEqual([{ session: 1, heardUntil: ms(5210), measured: true }]);
  });

  test("a report that an interrupt no longer waited for counts for that one, not for the next", async () => {
    const listeners = new Listeners({ clock });
    listeners.observe(aggregate([{ session: 1, playheadMs: 5000 }]), relay);
    const first = heardAt(listeners, 1000);
    listeners.pass(ms(1000));
    expect((await first).map(({ measured }) => measured)).toEqual([false]);
    const second = heardAt(listeners, 1000);
    listeners.observe(aggregate([{ session: 1, playheadMs: 5000, discontinuity: 1, heardMs: 5080 }]), relay);
    listeners.observe(aggregate([{ session: 1, playheadMs: 5600, discontinuity: 2, heardMs: 5650 }]), relay);
    expect(await second).toEqual([{ session: 1, heardUntil: ms(5650), measured: true }]);
  });

  test("a report of another rewind just before an interrupt is not taken for the interrupt's", async () => {
    const listeners = new Listeners({ clock });
    listeners.observe(aggregate([{ session: 1, playheadMs: 5000 }]), relay);
    listeners.rewound(clock());
    now += 20;
    const heard = heardAt(listeners, 1000);
    listeners.observe(aggregate([{ session: 1, playheadMs: 5000, discontinuity: 1, heardMs: 5080 }]), relay);
    listeners.observe(aggregate([{ session: 1, playheadMs: 5100, discontinuity: 2, heardMs: 5100 }]), relay);
    expect(await heard).toEqual([{ session: 1, heardUntil: ms(5100), measured: true }]);
  });

  test("a new session to the relay forgets no rewind that a listener has still to report", async () => {
    const listeners = new Listeners({ clock });
    listeners.observe(aggregate([{ session: 1, playheadMs: 5000, discontinuity: 5 }]), relay);
    listeners.rewound(clock());
    listeners.reset();
    const other = {};
    listeners.observe(aggregate([{ session: 1, playheadMs: 5000, discontinuity: 5 }]), other);
    const heard = heardAt(listeners, 1000);
    listeners.observe(aggregate([{ session: 1, playheadMs: 5000, discontinuity: 6, heardMs: 5080 }]), other);
    listeners.observe(aggregate([{ session: 1, playheadMs: 5300, discontinuity: 7, heardMs: 5300 }]), other);
    expect(await heard).toEqual([{ session: 1, heardUntil: ms(5300), measured: true }]);
  });

  test("a playhead that stalled at its last report counts as possibly moving", () => {
    const listeners = listenersUpTo(5000);
    expect(listeners.furthest(clock())).toBeUndefined();
    listeners.observe(aggregate([{ session: 1, playheadMs: 5000 }], { playing: false }), relay);
    now += 150;
    expect(listeners.latest(clock())).toBe(ms(5000));
    expect(listeners.furthest(clock())).toBe(ms(5150));
    listeners.observe(aggregate([{ session: 1, playheadMs: 5040 }]), relay);
    now += 100;
    expect(listeners.furthest(clock())).toBe(ms(5140));
  });

  test("a playhead that stalled counts as possibly where a player is that never stalls", () => {
    const listeners = new Listeners({ clock });
    for (let at = 1000; at <= 9000; at += 20) listeners.bound.sent(ms(at), clock());
    now += 5000;
    listeners.observe(aggregate([{ session: 1, playheadMs: 2000 }], { playing: false }), relay);
    now += 150;
    expect(listeners.latest(clock())).toBe(ms(2000));
    expect(listeners.furthest(clock())).toBe(ms(6150));
  });

  test("heard() does not wait for listeners that left, nor without any", async () => {
    const listeners = new Listeners({ clock });
    expect(await heardAt(listeners, 1000)).toEqual([]);
    listeners.observe(aggregate([{ session: 1, playheadMs: 1000 }]), relay);
    const heard = heardAt(listeners, 60_000);
    listeners.observe({ ...aggregate([{ session: 9, playheadMs: 0 }]), listed: [], listeners: 0 }, relay);
    expect(await heard).toEqual([{ session: 1, heardUntil: ms(1000), measured: false }]);
  });

  test("the clock and count of one sender never count against another's, however they take turns", () => {
    const listeners = listenersUpTo(5000);
    const hour = 3_600_000;
    const senders = [
      { source: {}, clockMs: 0, id: 1_000_000 },
      { source: {}, clockMs: 7 * hour, id: 0 },
      { source: {}, clockMs: -2 * hour + 10_000_000, id: 500 },
    ];
    let playheadMs = 5000;
    for (let turn = 0; turn < 300; turn++) {
      now += 100;
      playheadMs += 100;
      // Every sender for a while, then in turns.
      const sender = senders[turn < 150 ? Math.floor(turn / 50) : turn % 3]!;
      sender.id++;
      const sent = { relayTimeMs: now + sender.clockMs, aggregateId: sender.id };
      listeners.observe(aggregate([{ session: 1, playheadMs }], sent), sender.source);
      expect(listeners.latest(clock())).toBe(ms(playheadMs));
      expect(listeners.listeners).toBe(1);
    }
  });

  test("a sender whose count restarts stays valid, and its clock shows which aggregates were overtaken", () => {
    const listeners = listenersUpTo(9000);
    listeners.observe(aggregate([{ session: 1, playheadMs: 5000 }], { aggregateId: 70_000 }), relay);
    now += 100;
    listeners.observe(aggregate([{ session: 1, playheadMs: 9000 }], { aggregateId: 0 }), relay);
    expect(listeners.latest(clock())).toBe(ms(9000));
    listeners.observe(
      aggregate([{ session: 1, playheadMs: 100 }], { aggregateId: 90_000, relayTimeMs: now - 50 }),
      relay,
    );
    expect(listeners.latest(clock())).toBe(ms(9000));
  });
});

test("a round trip above 200 ms, by landing leads or the relay's acks, is allowed for up to three seconds", () => {
  const listeners = new Listeners({ clock: () => ms(0) });
  const allowedAt = (relayMs: number) => {
    listeners.relayAnswers(ms(relayMs));
    return listeners.allowance / 1000;
  };
  expect([listeners.allowance, allowedAt(150), allowedAt(1200)]).toEqual([0, 0, 1000]);
  listeners.transit.wrote(1, ms(2000));
  listeners.transit.landed(1, ms(500), ms(0));
  expect([allowedAt(1200), allowedAt(1600), allowedAt(60_000)]).toEqual([1300, 1400, 2800]);
  listeners.reset();
  expect(listeners.allowance).toBe(0);
});
