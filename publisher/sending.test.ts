import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { fromMilliseconds, type Microseconds, microseconds } from "../base/index.js";
import type { Aggregate } from "../flow/index.js";
import { Audience } from "./audience.js";
import { Outbox, type OutgoingFrame } from "./outbox.js";

function frame(sequence: number, timestampMs: number, opensEpoch = false): OutgoingFrame {
  return {
    track: "audio",
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

function takeAll(outbox: Outbox, now: number, playhead: number): number[] {
  const sequences: number[] = [];
  for (let next = outbox.take(ms(now), ms(playhead)); next; next = outbox.take(ms(now), ms(playhead))) {
    sequences.push(next.sequence);
  }
  return sequences;
}

describe("Outbox", () => {
  it("paces a burst, and is full while the next hop has more in flight than the window holds", () => {
    const outbox = new Outbox({ bitrateBps: 64_000 });
    for (let i = 0; i < 40; i++) outbox.push(frame(i, i * 20));
    expect(takeAll(outbox, 0, 0)).toHaveLength(16);
    expect(takeAll(outbox, 100, 0)).toHaveLength(16);
    // Nobody acknowledges: no window.
    expect(outbox.isFull(ms(100))).toBe(false);
    // 40 frames of 160 bytes less 11 are on their way; the window of 4 KiB holds 25.
    outbox.acked(10, ms(100));
    expect(outbox.isFull(ms(100))).toBe(true);
    outbox.acked(14, ms(200));
    expect(outbox.isFull(ms(200))).toBe(false);
    outbox.push(frame(40, 800));
    expect(outbox.isFull(ms(200))).toBe(true);
    expect(outbox.isFull(ms(1300))).toBe(false);
    const open = new Outbox({ bitrateBps: 64_000, window: false });
    for (let i = 0; i < 100; i++) open.push(frame(i, i * 20));
    open.acked(0, ms(0));
    expect(open.isFull(ms(0))).toBe(false);
  });

  it("sends nothing that has waited for longer than two seconds, and counts what it skips by reason", () => {
    const outbox = new Outbox({ bitrateBps: 64_000 });
    outbox.push(frame(0, 5000, true));
    outbox.push(frame(1, 5020));
    outbox.push({ ...frame(2, 5040), producedAt: ms(1500) });
    outbox.push({ ...frame(3, 900), producedAt: ms(1500) });
    outbox.skipped(4);
    expect(takeAll(outbox, 2500, 1000)).toEqual([0, 2]);
    expect(outbox.skips).toMatchObject({ age: 1, passed: 1, window: 4 });
    expect(outbox.takeLog(ms(2500))).toMatchObject({ age: 1, passed: 1, window: 4 });
    expect(outbox.takeLog(ms(2600))).toBeUndefined();
  });

  it("drops what is taken back and what is late, but never the frame that opens an epoch", () => {
    const outbox = new Outbox({ bitrateBps: 64_000 });
    for (let i = 0; i < 10; i++) outbox.push(frame(i, i * 20));
    expect(outbox.take(ms(0), ms(0))?.sequence).toBe(0);
    outbox.renege(ms(100));
    expect(outbox.counters.takenBack).toBe(5);
    outbox.push(frame(65_536, 100, true));
    outbox.push(frame(65_537, 120));
    outbox.push(frame(65_538, 500));
    expect(takeAll(outbox, 0, 300)).toEqual([65_536, 65_538]);
    expect(outbox.counters.passed).toBe(5);
    expect(outbox.inFlight(ms(0))).toBe(3 * 160);
    outbox.renege(ms(100));
    expect(outbox.inFlight(ms(0))).toBe(160);
  });

  it("sends again on a new session what still has its moment to come, and nothing that was taken back", () => {
    const outbox = new Outbox({ bitrateBps: 64_000 });
    for (let i = 0; i < 12; i++) outbox.push(frame(i, i * 20));
    expect(takeAll(outbox, 0, 0)).toHaveLength(12);
    outbox.renege(ms(160));
    outbox.push(frame(65_536, 160, true));
    outbox.push(frame(65_537, 180));
    outbox.reconnected(ms(100), ms(1000));
    expect(takeAll(outbox, 1000, 100)).toEqual([5, 6, 7, 65_536, 65_537]);
  });

  it("sends what waited while the process stood still, where listeners play what comes late, but nothing late of before", () => {
    for (const late of [false, true]) {
      const outbox = new Outbox({ bitrateBps: 64_000, late });
      outbox.push(frame(0, 0));
      expect(takeAll(outbox, 0, 0)).toEqual([0]);
      outbox.push(frame(1, 20));
      outbox.push(frame(2, 40));
      expect(takeAll(outbox, 3000, 2000)).toEqual(late ? [1, 2] : []);
      outbox.push(frame(3, 60));
      outbox.reconnected(ms(2000), ms(3000));
      expect(takeAll(outbox, 3000, 2000)).toEqual([]);
      expect(outbox.counters.passed).toBe(late ? 1 : 3);
    }
  });

  it("keeps only the newest opening frame while nobody takes anything", () => {
    const outbox = new Outbox({ bitrateBps: 64_000 });
    outbox.push(frame(65_536, 0, true));
    outbox.push(frame(131_072, 0, true));
    outbox.push(frame(131_073, 2000));
    outbox.expire(ms(1000));
    expect(takeAll(outbox, 0, 1000)).toEqual([131_072, 131_073]);
  });
});

describe("Audience", () => {
  let now = 0;
  const clock = () => microseconds(now * 1000);
  let id = 0;
  const relay = {};

  beforeEach(() => {
    vi.useFakeTimers();
    now = 1000;
    id = 0;
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  function aggregate(
    listeners: { session: number; playheadMs: number; discontinuity?: number; heardMs?: number; receivedMs?: number }[],
    extra: Partial<Aggregate> = {},
  ): Aggregate {
    const playheads = listeners.map(({ playheadMs }) => ms(playheadMs));
    return {
      broadcast: 1,
      aggregateId: ++id,
      relayTimeMs: now,
      listeners: listeners.length,
      overflow: 0,
      playing: true,
      earliest: microseconds(Math.min(...playheads)),
      latest: microseconds(Math.max(...playheads)),
      worstLead: undefined,
      worstLeadGroup: undefined,
      ingestAck: undefined,
      ingestBytes: 0,
      discontinuity: Math.max(...listeners.map(({ discontinuity = 0 }) => discontinuity)),
      bleedMs: 0,
      staleMs: 0,
      listed: listeners.map(({ session, playheadMs, discontinuity = 0, heardMs, receivedMs }) => ({
        session,
        playhead: ms(playheadMs),
        discontinuity,
        heardUntil: heardMs === undefined ? undefined : ms(heardMs),
        receivedUntil: receivedMs === undefined ? undefined : ms(receivedMs),
      })),
      ...extra,
    };
  }

  it("projects the earliest and latest playhead, and knows nobody after three seconds of silence", () => {
    const audience = new Audience({ clock });
    expect(audience.latest(clock())).toBeUndefined();
    audience.observe(
      aggregate([
        { session: 1, playheadMs: 5000 },
        { session: 2, playheadMs: 5200 },
      ]),
      relay,
    );
    now += 300;
    expect(audience.earliest(clock())).toBe(ms(5300));
    expect(audience.latest(clock())).toBe(ms(5500));
    expect(audience.playing).toBe(true);
    now += 3000;
    expect(audience.listeners).toBe(0);
    expect(audience.latest(clock())).toBeUndefined();
  });

  it("takes who is cut off at the playhead, or by rounding just behind it, to start over there, and nobody before", () => {
    const audience = new Audience({ clock });
    audience.observe(aggregate([{ session: 1, playheadMs: 5000 }]), relay);
    audience.startOver(ms(5100), clock());
    expect(audience.isStartingOver(clock())).toBe(false);
    audience.startOver(microseconds(ms(5000) + 10), clock());
    expect(audience.isStartingOver(clock())).toBe(true);
    audience.observe(aggregate([{ session: 1, playheadMs: 5000, discontinuity: 1 }]), relay);
    expect(audience.isStartingOver(clock())).toBe(false);
  });

  it("takes an aggregate that was overtaken for what it tells of interrupts, not for the playhead", () => {
    const audience = new Audience({ clock });
    audience.observe(aggregate([{ session: 1, playheadMs: 5000 }]), relay);
    audience.observe({ ...aggregate([{ session: 1, playheadMs: 100 }]), aggregateId: 0 }, relay);
    expect(audience.latest(clock())).toBe(ms(5000));
  });

  it("waits for every listener's own word, and projects for those that stay silent, within what they had", async () => {
    const audience = new Audience({ clock });
    const before = [
      { session: 1, playheadMs: 5000, receivedMs: 9000 },
      { session: 2, playheadMs: 5100, receivedMs: 5150, discontinuity: 3 },
      { session: 3, playheadMs: 4900, receivedMs: 9000 },
    ];
    audience.observe(aggregate(before), relay);
    now += 100;
    const heard = audience.heard(1000);
    audience.observe(
      aggregate([{ session: 1, playheadMs: 5000, discontinuity: 1, heardMs: 5080 }, ...before.slice(1)]),
      relay,
    );
    await vi.advanceTimersByTimeAsync(1000);
    expect(await heard).toEqual([
      { session: 1, heardUntil: ms(5080), measured: true },
      { session: 2, heardUntil: ms(5150), measured: false },
      { session: 3, heardUntil: ms(5000), measured: false },
    ]);
  });

  it("waits no longer than 300 ms for a listener that says nothing once another has spoken", async () => {
    const audience = new Audience({ clock });
    const quiet = { session: 2, playheadMs: 5000 };
    audience.observe(aggregate([{ session: 1, playheadMs: 5000 }, quiet]), relay);
    const heard = audience.heard(60_000);
    const spoken = aggregate([{ session: 1, playheadMs: 5000, discontinuity: 1, heardMs: 5080 }, quiet]);
    for (let turn = 0; turn < 4; turn++) {
      now += 100;
      audience.observe({ ...spoken, aggregateId: 10 + turn }, relay);
    }
    now += 1;
    audience.observe({ ...spoken, aggregateId: 20 }, relay);
    expect((await heard).map(({ measured }) => measured)).toEqual([true, false]);
  });

  it("believes no relay that puts the listeners beyond what was sent, or far behind", () => {
    const audience = new Audience({ clock });
    for (let at = 0; at <= 8000; at += 20) audience.bound.sent(ms(at), clock());
    audience.bound.begin(ms(5000), clock());
    audience.observe(aggregate([{ session: 1, playheadMs: 35 * 365 * 86_400_000 }]), relay);
    expect(audience.latest(clock())).toBe(ms(5250));
    now += 1000;
    audience.observe(
      {
        ...aggregate([
          { session: 1, playheadMs: 0 },
          { session: 2, playheadMs: 6000 },
        ]),
        aggregateId: 9,
      },
      relay,
    );
    expect([audience.earliest(clock()), audience.latest(clock())]).toEqual([ms(1000), ms(6000)]);
  });

  it("gives each of two interrupts in flight its own answer, also when one is answered by the other's report", async () => {
    const audience = new Audience({ clock });
    audience.observe(aggregate([{ session: 1, playheadMs: 5000 }]), relay);
    const first = audience.heard(1000);
    const second = audience.heard(1000);
    audience.observe(aggregate([{ session: 1, playheadMs: 5000, discontinuity: 1, heardMs: 5080 }]), relay);
    expect(await first).toEqual([{ session: 1, heardUntil: ms(5080), measured: true }]);
    audience.observe(aggregate([{ session: 1, playheadMs: 5100, discontinuity: 2, heardMs: 5130 }]), relay);
    expect(await second).toEqual([{ session: 1, heardUntil: ms(5130), measured: true }]);
    // A listener that got only the later of two has applied one.
    const both = [audience.heard(1000), audience.heard(1000)];
    audience.observe(aggregate([{ session: 1, playheadMs: 5200, discontinuity: 3, heardMs: 5210 }]), relay);
    await vi.advanceTimersByTimeAsync(1000);
    for (const heard of await Promise.all(both))
      expect(heard).toEqual([{ session: 1, heardUntil: ms(5210), measured: true }]);
  });

  it("takes a playhead that stood still when it was reported to have perhaps begun to move", () => {
    const audience = new Audience({ clock });
    expect(audience.furthest(clock())).toBeUndefined();
    audience.observe(aggregate([{ session: 1, playheadMs: 5000 }], { playing: false }), relay);
    now += 150;
    expect(audience.latest(clock())).toBe(ms(5000));
    expect(audience.furthest(clock())).toBe(ms(5150));
    audience.observe(aggregate([{ session: 1, playheadMs: 5040 }]), relay);
    now += 100;
    expect(audience.furthest(clock())).toBe(ms(5140));
  });

  it("does not wait for listeners that left, nor with nobody there", async () => {
    const audience = new Audience({ clock });
    expect(await audience.heard(1000)).toEqual([]);
    audience.observe(aggregate([{ session: 1, playheadMs: 1000 }]), relay);
    const heard = audience.heard(60_000);
    audience.observe({ ...aggregate([{ session: 9, playheadMs: 0 }]), listed: [], listeners: 0 }, relay);
    expect(await heard).toEqual([{ session: 1, heardUntil: ms(1000), measured: false }]);
  });

  it("holds no sender's clock or count against another's, however they take turns", () => {
    const audience = new Audience({ clock });
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
      // Every sender for a while, then turn by turn.
      const sender = senders[turn < 150 ? Math.floor(turn / 50) : turn % 3]!;
      sender.id++;
      const told = { relayTimeMs: now + sender.clockMs, aggregateId: sender.id };
      audience.observe(aggregate([{ session: 1, playheadMs }], told), sender.source);
      expect(audience.latest(clock())).toBe(ms(playheadMs));
      expect(audience.listeners).toBe(1);
    }
  });

  it("follows a sender whose count begins again, and drops what another one overtook by the sender's clock", () => {
    const audience = new Audience({ clock });
    audience.observe(aggregate([{ session: 1, playheadMs: 5000 }], { aggregateId: 70_000 }), relay);
    now += 100;
    audience.observe(aggregate([{ session: 1, playheadMs: 9000 }], { aggregateId: 0 }), relay);
    expect(audience.latest(clock())).toBe(ms(9000));
    audience.observe(
      aggregate([{ session: 1, playheadMs: 100 }], { aggregateId: 90_000, relayTimeMs: now - 50 }),
      relay,
    );
    expect(audience.latest(clock())).toBe(ms(9000));
  });
});
