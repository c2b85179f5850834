import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromMilliseconds, fromSeconds, microseconds, toMilliseconds } from "../../base/index.js";
import { reportWith } from "../../tests/support/reports.js";
import { PlayheadBound } from "../playhead/playhead-bound.js";
import { decodeAggregate, encodeAggregate, MAX_LISTED } from "./aggregate.js";
import { ReportAggregator } from "./aggregator.js";
import { ListenerState } from "./listener-state.js";
import { decodeReport, encodeReport, type Report } from "./report.js";

function report(changes: Partial<Report>): Report {
  return reportWith({ playhead: fromSeconds(10), bufferedMs: 500, ...changes });
}

describe("ListenerState", () => {
  test("a late report only ratchets the ack and lowers the lead", () => {
    const state = new ListenerState();
    state.fold(report({ clientTimeMs: 200, playhead: fromSeconds(10.2), receivedGroup: 5 }), fromMilliseconds(1200));
    const late = report({
      clientTimeMs: 100,
      playhead: fromSeconds(99),
      receivedGroup: 8,
      receivedBytes: 900,
      worstLead: microseconds(-20_000),
      worstLeadGroup: 8,
    });
    expect(state.fold(late, fromMilliseconds(1210))).toEqual({ newest: false, rewindApplied: false });
    expect(state.latest?.report.clientTimeMs).toBe(200);
    expect(state.playheadAt(fromMilliseconds(1210))).toBe(fromSeconds(10.21));
    expect([state.receivedGroup, state.receivedBytes]).toEqual([8, 900]);
    // A duplicate of the newest changes nothing either.
    const twin = report({ clientTimeMs: 200, playhead: fromSeconds(50), receivedGroup: 5 });
    expect(state.fold(twin, fromMilliseconds(1220)).newest).toBe(false);
    state.fold(
      report({
        clientTimeMs: 300,
        receivedGroup: 7,
        playhead: fromSeconds(10.3),
        worstLead: microseconds(90_000),
        worstLeadGroup: 9,
      }),
      fromMilliseconds(1300),
    );
    expect(state.receivedGroup).toBe(8);
    expect(state.takeWorstLead()).toEqual({ lead: -20_000, group: 8 });
    expect(state.takeWorstLead()).toBeUndefined();
  });

  test("reports in any order lead to the same acks, lead and newest report", () => {
    const received = fc.record({
      clientTimeMs: fc.nat({ max: 50 }),
      receivedGroup: fc.option(fc.nat({ max: 99 }), { nil: undefined }),
      receivedBytes: fc.nat({ max: 9999 }),
      worstLead: fc.integer({ min: -500, max: 500 }).map(microseconds),
    });
    fc.assert(
      fc.property(fc.array(received, { minLength: 1, maxLength: 30 }), (reports) => {
        const state = new ListenerState();
        for (const changes of reports) state.fold(report({ ...changes, worstLeadGroup: 1 }), fromSeconds(1));
        const groups = reports.flatMap(({ receivedGroup }) => receivedGroup ?? []);
        expect(state.receivedGroup).toBe(groups.length === 0 ? undefined : Math.max(...groups));
        expect(state.receivedBytes).toBe(Math.max(...reports.map(({ receivedBytes }) => receivedBytes)));
        expect(state.takeWorstLead()?.lead).toBe(Math.min(...reports.map(({ worstLead }) => worstLead)));
        expect(state.latest?.report.clientTimeMs).toBe(Math.max(...reports.map(({ clientTimeMs }) => clientTimeMs)));
      }),
      { seed: 11, numRuns: 500 },
    );
  });

  test("a report is frozen together with its staleness, and a new player run resets the state", () => {
    const state = new ListenerState();
    state.fold(report({ clientTimeMs: 0 }), fromSeconds(1));
    state.fold(report({ clientTimeMs: 100, receivedGroup: 3 }), fromSeconds(1.4));
    expect(state.latest).toMatchObject({ arrival: fromSeconds(1.4), staleness: fromSeconds(0.3) });
    expect(Object.isFrozen(state.latest)).toBe(true);
    state.fold(report({ session: 2, clientTimeMs: 50, playhead: fromSeconds(3) }), fromSeconds(2));
    expect(state.latest?.staleness).toBe(0);
    expect(state.receivedGroup).toBeUndefined();
    expect(state.playheadAt(fromSeconds(2))).toBe(fromSeconds(3));
  });

  test("a listener's heard position at a rewind survives a later report that omits it", () => {
    const state = new ListenerState();
    state.fold(report({ clientTimeMs: 0 }), fromSeconds(1));
    const applied = report({ clientTimeMs: 10, discontinuity: 1, from: fromSeconds(9), heardUntil: fromSeconds(9.1) });
    expect(state.fold(applied, fromSeconds(1.01)).rewindApplied).toBe(true);
    expect(state.fold(report({ clientTimeMs: 20, discontinuity: 1 }), fromSeconds(1.02)).rewindApplied).toBe(false);
    expect([state.from, state.heardUntil]).toEqual([fromSeconds(9), fromSeconds(9.1)]);
    state.fold(report({ clientTimeMs: 30, discontinuity: 2 }), fromSeconds(1.03));
    expect(state.heardUntil).toBeUndefined();
  });
});

describe("ReportAggregator", () => {
  test("what a listener missed is in the next three aggregates, also behind an edge, until it applies a rewind", () => {
    const [edge, relay] = [1, 2].map(() => new ReportAggregator({ broadcast: 1 })) as [
      ReportAggregator,
      ReportAggregator,
    ];
    const past = { clientTimeMs: 0, playhead: fromMilliseconds(9500), bufferedMs: -700 };
    const missed = { session: 1, from: fromMilliseconds(8800), to: fromMilliseconds(9500), discontinuity: 0 };
    const found = [100, 200, 300, 400].map((at) => {
      const now = fromMilliseconds(at);
      for (const one of [past, { clientTimeMs: at }]) edge.fold(report(one), now);
      const aggregate = decodeAggregate(encodeAggregate(edge.aggregate(now, { group: 1, bytes: 1 })));
      if (!aggregate.ok) throw new Error(aggregate.code);
      relay.foldEdge(aggregate.aggregate, now, "edge");
      return [aggregate.aggregate.missed, relay.aggregate(now, { group: 1, bytes: 1 }).missed];
    });
    expect(found[0]![0]).toEqual([]);
    expect(found.slice(1)).toEqual([0, 1, 2].map(() => [[missed], [missed]]));
    const again = fromMilliseconds(500);
    edge.fold(report({ ...past, playhead: fromMilliseconds(9900) }), again);
    edge.fold(report({ clientTimeMs: 500, discontinuity: 1 }), again);
    edge.fold(report({ ...past, playhead: fromMilliseconds(9901) }), again);
    expect(edge.aggregate(again, { group: 1, bytes: 1 }).missed).toEqual([]);
  });

  test("the aggregator projects every listener with its own staleness and folds the rest", () => {
    const aggregator = new ReportAggregator({ broadcast: 1 });
    aggregator.fold(report({ session: 1, clientTimeMs: 1000 }), fromSeconds(5));
    aggregator.fold(report({ session: 2, clientTimeMs: 70_000, playhead: fromSeconds(8) }), fromSeconds(5));
    // Listener 2's next report spent 0.4 s in a queue.
    aggregator.fold(
      report({
        session: 2,
        clientTimeMs: 70_100,
        playhead: fromSeconds(8.1),
        worstLead: microseconds(-50_000),
        worstLeadGroup: 77,
        bleedMs: 3,
        discontinuity: 1,
        from: fromSeconds(8),
        heardUntil: fromSeconds(8.05),
      }),
      fromSeconds(5.5),
    );
    aggregator.fold(
      report({
        session: 1,
        clientTimeMs: 1500,
        playhead: fromSeconds(10.5),
        worstLead: microseconds(1000),
        worstLeadGroup: 80,
      }),
      fromSeconds(5.5),
    );
    aggregator.fold(report({ session: 3, playing: false, playhead: fromSeconds(500) }), fromSeconds(5.5));
    const aggregate = aggregator.aggregate(fromSeconds(6), { group: 81, bytes: 4000 });
    expect(aggregate).toMatchObject({
      broadcast: 1,
      aggregateId: 0,
      relayTimeMs: 6000,
      listeners: 3,
      overflow: 0,
      playing: true,
      earliest: fromSeconds(9),
      latest: fromSeconds(11),
      worstLead: -50_000,
      worstLeadGroup: 77,
      ingestAck: 81,
      ingestBytes: 4000,
      discontinuity: 1,
      bleedMs: 3,
    });
    expect(aggregate.listed[1]).toEqual({
      session: 2,
      playhead: fromSeconds(9),
      discontinuity: 1,
      heardUntil: fromSeconds(8.05),
      receivedUntil: fromSeconds(8.6),
      isOverdue: true,
    });
    expect(decodeAggregate(encodeAggregate(aggregate))).toEqual({ ok: true, aggregate });
    expect(aggregator.latestPlayhead(fromSeconds(6))).toBe(fromSeconds(11));
    const next = aggregator.aggregate(fromSeconds(6.1), { group: 82, bytes: 4100 });
    expect([next.aggregateId, next.worstLead]).toEqual([1, undefined]);
  });

  test("a playhead that runs on through silence has received no further, behind an edge too, until audio arrives", () => {
    const edge = new ReportAggregator({ broadcast: 1 });
    const relay = new ReportAggregator({ broadcast: 1 });
    const received = (atMs: number, bufferedMs: number, receivedBytes: number) => {
      const now = fromMilliseconds(atMs);
      edge.fold(report({ clientTimeMs: atMs, playhead: now, bufferedMs, receivedBytes }), now);
      const aggregate = edge.aggregate(now, { group: atMs, bytes: atMs });
      relay.foldEdge(aggregate, now, "edge");
      const behind = relay.aggregate(now, { group: atMs, bytes: atMs });
      expect(decodeAggregate(encodeAggregate(behind))).toEqual({ ok: true, aggregate: behind });
      return [aggregate, behind].map(({ listed }) => toMilliseconds(listed[0]?.receivedUntil ?? microseconds(-1)));
    };
    expect(received(1000, 0, 500)).toEqual([-0.001, -0.001]);
    expect(received(1100, 250, 800)).toEqual([1350, 1350]);
    expect(received(1300, 50, 800)).toEqual([1350, 1350]);
    expect(received(1400, 0, 800)).toEqual([1350, 1350]);
    expect(received(3000, 0, 800)).toEqual([1350, 1350]);
    // Short audio may come and be over between two reports.
    expect(received(3100, 0, 900)).toEqual([3100, 3100]);
    expect(received(3200, 0, 900)).toEqual([3100, 3100]);
    expect(received(3300, 700, 2000)).toEqual([4000, 4000]);
    // It jumped: what was ready and what has arrived since were not played.
    expect(received(5300, -1900, 3000)).toEqual([3400, 3400]);
    expect(received(5400, -2000, 3000)).toEqual([3400, 3400]);
    expect(received(5500, 400, 3500)).toEqual([5900, 5900]);
    // It says nothing more: it may have stopped.
    const later = edge.aggregate(fromMilliseconds(5800), { group: 1, bytes: 1 });
    expect(later.listed[0]).toMatchObject({ playhead: fromMilliseconds(5800), receivedUntil: fromMilliseconds(5620) });
  });

  test("a listener that waits with audio left counts as the earliest for a moment, and a paused one does not", () => {
    const aggregator = new ReportAggregator({ broadcast: 1 });
    const at = (seconds: number, waits: boolean) => {
      const clientTimeMs = seconds * 1000;
      aggregator.fold(report({ session: 1, clientTimeMs, playhead: fromSeconds(seconds) }), fromSeconds(seconds));
      const behind = { session: 2, clientTimeMs, playhead: fromSeconds(9), bufferedMs: 150, playing: !waits };
      aggregator.fold(report(behind), fromSeconds(seconds));
      return aggregator.aggregate(fromSeconds(seconds), { group: 1, bytes: 0 }).earliest;
    };
    expect(at(9.3, false)).toBe(fromSeconds(9));
    expect(at(9.6, true)).toBe(fromSeconds(9));
    expect(at(10, true)).toBe(fromSeconds(9));
    expect(at(10.2, true)).toBe(fromSeconds(10.2));
  });

  test("the aggregator drops silent listeners, refuses and counts misfits, and lets no listener speak for another", () => {
    const aggregator = new ReportAggregator({ broadcast: 1, maxListeners: 2 });
    expect(aggregator.latestPlayhead(microseconds(0))).toBeUndefined();
    aggregator.fold(report({ session: 1 }), fromSeconds(0), "a");
    aggregator.fold(report({ session: 1, playhead: fromSeconds(20) }), fromSeconds(2), "b");
    expect(aggregator.listener("a")?.playheadAt(fromSeconds(0))).toBe(fromSeconds(10));
    expect(aggregator.fold(report({ session: 3 }), fromSeconds(2), "c")).toBeUndefined();
    expect([aggregator.listeners, aggregator.overflow]).toEqual([2, 1]);
    const aggregate = aggregator.aggregate(fromSeconds(3.1), { group: undefined, bytes: 0 });
    expect([aggregate.listeners, aggregate.overflow, aggregate.earliest]).toEqual([1, 1, fromSeconds(21.1)]);
    expect(aggregator.fold(report({ session: 3 }), fromSeconds(3.2), "c")).toBeDefined();
    aggregator.forget("b");
    aggregator.forget("c");
    const empty = aggregator.aggregate(fromSeconds(3.3), { group: undefined, bytes: 0 });
    expect(empty).toMatchObject({ listeners: 0, playing: false, earliest: 0, latest: 0, listed: [] });
  });

  test("the aggregator names listeners that just applied a rewind at once and all others in turn", () => {
    const aggregator = new ReportAggregator({ broadcast: 1 });
    const none = { group: undefined, bytes: 0 };
    for (let session = 0; session < 60; session++) aggregator.fold(report({ session }), fromSeconds(1));
    // Every listener is new at first; from then on they take turns.
    for (let turn = 0; turn < 3; turn++) aggregator.aggregate(fromSeconds(1), none);
    const seen = new Set<number>();
    for (let turn = 0; turn < 3; turn++)
      for (const { session } of aggregator.aggregate(fromSeconds(1), none).listed) seen.add(session);
    expect(seen.size).toBe(60);
    const last = aggregator.aggregate(fromSeconds(1), none).listed.at(-1)!.session;
    aggregator.fold(report({ session: last, clientTimeMs: 10, discontinuity: 4 }), fromSeconds(1.01));
    const listed = aggregator.aggregate(fromSeconds(1.01), none).listed;
    expect(listed).toHaveLength(MAX_LISTED);
    expect(listed[0]).toMatchObject({ session: last, discontinuity: 4 });
  });
});

describe("a listener that lies", () => {
  /** Fifteen seconds of a broadcast that is sent 400 ms ahead, with two listeners of it. */
  function scene() {
    const aggregator = new ReportAggregator({ broadcast: 1 });
    const bound = new PlayheadBound();
    aggregator.bound = bound;
    const at = (milliseconds: number) => fromMilliseconds(milliseconds);
    let clientTimeMs = 0;
    const run = (milliseconds: number, lie?: (playheadUs: number) => Partial<Report>, session = 666) => {
      const end = clientTimeMs + milliseconds;
      for (; clientTimeMs < end; clientTimeMs += 100) {
        const now = at(clientTimeMs);
        aggregator.fold(report({ session: 1, clientTimeMs, playhead: at(clientTimeMs) }), now, "a");
        aggregator.fold(report({ session: 2, clientTimeMs, playhead: at(clientTimeMs - 150) }), now, "b");
        if (lie) aggregator.fold(report({ session, clientTimeMs, ...lie(at(clientTimeMs)) }), now, "liar");
        for (let frame = 0; frame < 100; frame += 20)
          bound.sent(at(clientTimeMs + 400 + frame), at(clientTimeMs + frame));
      }
      return aggregator.aggregate(at(clientTimeMs), { group: 100, bytes: 1 });
    };
    return { aggregator, bound, at, run, now: () => at(clientTimeMs) };
  }

  test("a lying listener moves no playhead beyond the audible audio, and leaves nothing behind", () => {
    for (const claim of [(at: number) => at + 20e6, () => Number.MAX_SAFE_INTEGER, (at: number) => at + 3600e6]) {
      const { run, at } = scene();
      run(5000);
      const lying = run(5000, (now) => ({ playhead: microseconds(claim(now)) }));
      // 400 ms ahead plus the bound's slack, however long it lies.
      expect(lying.latest).toBeLessThanOrEqual(at(10_000 + 400 + 250));
      expect(lying.earliest).toBeCloseTo(at(10_000 - 150), -5);
      const after = run(5000);
      expect(after.listeners).toBe(2);
      expect(after.latest).toBeCloseTo(at(15_000), -5);
    }
  });

  test("a lying listener far behind cuts at most 5 s, and alone starves no other", () => {
    const { run, at } = scene();
    run(9000);
    const aggregate = run(1000, () => ({ playhead: microseconds(0) }));
    expect([aggregate.earliest, aggregate.latest].map((time) => Math.round(time / 1e5))).toEqual([99, 100]);
    const { aggregator, now } = scene();
    // The others have played everything and wait; the liar claims that it alone plays, from the start.
    for (const session of [1, 2])
      aggregator.fold(report({ session, playing: false, bufferedMs: 0, playhead: at(9000) }), now(), session);
    aggregator.fold(report({ session: 3, playing: true, playhead: microseconds(0) }), now(), "liar");
    expect(aggregator.aggregate(now(), { group: 1, bytes: 1 }).latest).toBe(at(9000));
    expect(aggregator.latestPlayhead(now())).toBe(at(9000));
  });

  test("a listener that joins beside one that stands still begins where that one would be", () => {
    const { aggregator, run, now, at } = scene();
    run(4000);
    expect(aggregator.latestPlayhead(now())! / 1e6).toBeCloseTo(at(4000) / 1e6, 1);
    run(0);
    const later = microseconds(now() + 2_800_000);
    expect(aggregator.latestPlayhead(later)! / 1e6).toBeCloseTo((at(4000) + 2_800_000) / 1e6, 1);
  });

  test("a listener that joins when all have left begins where they would be, not at the end of what was sent ahead", () => {
    const aggregator = new ReportAggregator({ broadcast: 1 });
    const bound = new PlayheadBound();
    for (let at = 0; at <= 5000; at += 20) bound.sent(fromMilliseconds(at), fromSeconds(1));
    expect(aggregator.latestPlayhead(fromSeconds(1))).toBeUndefined();
    aggregator.bound = bound;
    aggregator.fold(report({ playhead: fromSeconds(1) }), fromSeconds(2));
    aggregator.forget(1);
    expect(aggregator.latestPlayhead(fromSeconds(2.5))).toBe(fromSeconds(1.5));
  });

  test("a lying listener worsens the landing lead of the others by half a second at most, from whichever group", () => {
    const { aggregator, now } = scene();
    const lead = { worstLead: microseconds(200_000), worstLeadGroup: 90 };
    aggregator.fold(report({ session: 1, ...lead }), now(), "a");
    aggregator.fold(report({ session: 2, ...lead }), now(), "b");
    // An edge counts once, however many listeners it names.
    for (let session = 10; session < 40; session++)
      aggregator.fold(
        report({ session, worstLead: microseconds(-9e8), worstLeadGroup: Number.MAX_SAFE_INTEGER }),
        now(),
        `edge/${session}`,
        "edge",
      );
    const aggregate = aggregator.aggregate(now(), { group: 100, bytes: 1 });
    expect([aggregate.worstLead, aggregate.worstLeadGroup]).toEqual([-350_000, 100]);
    // The same when it alone reports between two aggregates, or while the others have long been silent in a pause.
    const lie = { session: 10, clientTimeMs: 1, worstLead: microseconds(-9e8), worstLeadGroup: 7 };
    aggregator.fold(report(lie), now(), "edge/10", "edge");
    expect(aggregator.aggregate(now(), { group: 100, bytes: 1 }).worstLead).toBe(-350_000);
    // Neither does a peer far ahead hide that another's audio lands late.
    aggregator.fold(
      report({ session: 2, clientTimeMs: 2, worstLead: microseconds(9e8), worstLeadGroup: 91 }),
      now(),
      "b",
    );
    aggregator.fold(
      report({ session: 1, clientTimeMs: 2, worstLead: microseconds(-200_000), worstLeadGroup: 92 }),
      now(),
      "a",
    );
    expect(aggregator.aggregate(now(), { group: 100, bytes: 1 }).worstLead).toBe(-200_000);
    const later = microseconds(now() + 2_500_000);
    aggregator.fold(report({ ...lie, clientTimeMs: 2500 }), later, "edge/10", "edge");
    expect(aggregator.aggregate(later, { group: 100, bytes: 1 }).worstLead).toBe(-350_000);
  });

  test("a lying listener invents no rewind, and takes neither another's id nor every place", () => {
    const { aggregator, bound, run, at } = scene();
    const before = run(1000, () => ({ discontinuity: 0 }));
    let applied = 0;
    for (let index = 1; index < 50; index++) {
      const claimed = report({ session: 666, clientTimeMs: 1000 + index, discontinuity: index, playhead: at(1000) });
      if (aggregator.fold(claimed, at(1000 + index), "liar")?.rewindApplied) applied++;
    }
    expect(applied).toBe(0);
    expect(run(1000).discontinuity).toBe(before.discontinuity);
    bound.rewind(at(1500), at(2000));
    aggregator.fold(report({ session: 1, clientTimeMs: 3000, discontinuity: 1 }), at(3000), "a");
    expect(aggregator.aggregate(at(3000), { group: 1, bytes: 1 }).discontinuity).toBe(before.discontinuity + 1);
    // The first one's id, with another place.
    const twin = scene();
    twin.run(1000, () => ({ playhead: microseconds(7) }), 1);
    const listed = twin.run(100).listed.filter(({ session }) => session === 1);
    expect(listed.map(({ playhead }) => Math.round(playhead / 1e5))).toEqual([11]);
    // One peer fills its own share of the table.
    const small = new ReportAggregator({ broadcast: 1, maxListeners: 100, maxPerPeer: 60 });
    for (let session = 0; session < 100; session++) small.fold(report({ session }), at(1), `edge/${session}`, "edge");
    expect([small.listeners, small.overflow]).toEqual([60, 40]);
    expect(small.fold(report({ session: 500 }), at(1), "honest")).toBeDefined();
    for (let session = 0; session < 60; session++) small.forget(`edge/${session}`);
    expect(small.fold(report({ session: 1 }), at(1), "edge/1", "edge")).toBeDefined();
  });

  test("a listener with a second connection counts once, by the first until that breaks off", () => {
    const aggregator = new ReportAggregator({ broadcast: 1 });
    const at = (ms: number) => fromMilliseconds(ms);
    const say = (connection: string, ms: number, discontinuity: number) =>
      aggregator.fold(
        report({ clientTimeMs: ms, playhead: at(ms), discontinuity, heardUntil: at(ms) }),
        at(ms),
        connection,
      );
    const listed = (ms: number) => {
      const { listeners, earliest, listed } = aggregator.aggregate(at(ms), { group: 1, bytes: 1 });
      return { listeners, earliest, discontinuities: listed.map((one) => one.discontinuity) };
    };
    say("before", 1000, 3);
    say("after", 1400, 4);
    expect(listed(1400)).toEqual({ listeners: 1, earliest: at(1400), discontinuities: [3] });
    say("after", 1600, 4);
    expect(listed(1600)).toEqual({ listeners: 1, earliest: at(1600), discontinuities: [4] });
    say("before", 1700, 5);
    expect(listed(1700)).toEqual({ listeners: 1, earliest: at(1700), discontinuities: [5] });
  });

  test("no report can make an unreadable aggregate", () => {
    const wild = fc.oneof(fc.maxSafeInteger(), fc.nat({ max: 9 })).map(Math.abs);
    fc.assert(
      fc.property(fc.array(fc.array(wild, { minLength: 12, maxLength: 12 }), { maxLength: 20 }), (reports) => {
        const { aggregator, run, now } = scene();
        run(500);
        for (const [index, numbers] of reports.entries()) {
          const fields = Object.keys(report({})).filter((key) => key !== "playing");
          const claimed = Object.fromEntries(fields.map((key, place) => [key, numbers[place % 12]]));
          const encoded = decodeReport(encodeReport({ ...(claimed as unknown as Report), playing: index % 2 === 0 }));
          if (!encoded.ok) throw new Error(encoded.code);
          aggregator.fold(encoded.report, now(), index % 3 === 0 ? "liar" : index);
          const aggregate = aggregator.aggregate(now(), { group: numbers[0], bytes: numbers[1]! });
          expect(aggregate.latest).toBeLessThanOrEqual(microseconds(now() + 1e6));
          expect(decodeAggregate(encodeAggregate(aggregate)).ok).toBe(true);
        }
      }),
      { seed: 5, numRuns: 300 },
    );
  });
});
