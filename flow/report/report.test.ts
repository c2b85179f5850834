import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { microseconds } from "../../base/index.js";
import { type Aggregate, decodeAggregate, encodeAggregate, MAX_AGGREGATE_BYTES, MAX_LISTED } from "./aggregate.js";
import { decodeReceipt, encodeReceipt, type Receipt } from "./receipt.js";
import { broadcastHash, isReportDatagram, reportKind } from "./record.js";
import { decodeReport, encodeReport, MAX_REPORT_BYTES, type Report } from "./report.js";

const SEED = 20_261;

function below(limit: number): fc.Arbitrary<number> {
  return fc.oneof(fc.maxSafeInteger(), fc.nat({ max: 5000 })).map((value) => Math.abs(value) % limit);
}
// Unix time in microseconds is beyond 2^50; two times lie at most 142 years apart.
const time = below(2 ** 52).map(microseconds);
const lead = fc.integer({ min: -(2 ** 20), max: 2 ** 20 - 1 }).map((value) => microseconds(value * 1000));
const optional = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined });

const anyReport: fc.Arbitrary<Report> = fc
  .record({
    broadcast: below(2 ** 32),
    session: below(2 ** 32),
    reportId: below(2 ** 30),
    clientTimeMs: below(2 ** 35),
    playhead: time,
    playing: fc.boolean(),
    discontinuity: below(2 ** 21),
    rewind: optional(fc.record({ from: time, heardUntil: time })),
    receivedBytes: below(2 ** 42),
    receivedGroup: optional(below(2 ** 52)),
    worst: optional(fc.record({ worstLead: lead, worstLeadGroup: below(2 ** 52) })),
    bufferedMs: fc.integer({ min: -(2 ** 20), max: 2 ** 20 - 1 }),
    bleedMs: below(2 ** 14),
    staleMs: below(2 ** 14),
  })
  .map(({ rewind, worst, ...rest }) => ({
    ...rest,
    from: rewind?.from,
    heardUntil: rewind?.heardUntil,
    worstLead: worst?.worstLead,
    worstLeadGroup: worst?.worstLeadGroup,
  }));

const anyAggregate: fc.Arbitrary<Aggregate> = fc
  .record({
    broadcast: below(2 ** 32),
    aggregateId: below(2 ** 30),
    relayTimeMs: below(2 ** 35),
    listeners: below(2 ** 21),
    overflow: below(2 ** 21),
    playing: fc.boolean(),
    ends: fc.tuple(time, time),
    worst: optional(fc.record({ worstLead: lead, worstLeadGroup: below(2 ** 52) })),
    ingestAck: optional(below(2 ** 52)),
    ingestBytes: below(2 ** 42),
    discontinuity: below(2 ** 21),
    bleedMs: below(2 ** 14),
    staleMs: below(2 ** 14),
    listed: fc.array(
      fc.record({
        session: below(2 ** 32),
        playhead: time,
        discontinuity: below(2 ** 21),
        heardUntil: optional(time),
        receivedUntil: optional(time),
        isOverdue: fc.boolean(),
      }),
      { maxLength: MAX_LISTED },
    ),
    missed: fc.array(fc.record({ session: below(2 ** 32), from: time, to: time, discontinuity: below(2 ** 21) }), {
      maxLength: MAX_LISTED,
    }),
  })
  .map(({ ends, worst, ...rest }) => ({
    ...rest,
    missed: rest.missed.slice(0, MAX_LISTED - rest.listed.length),
    earliest: microseconds(Math.min(...ends)),
    latest: microseconds(Math.max(...ends)),
    worstLead: worst?.worstLead,
    worstLeadGroup: worst?.worstLeadGroup,
  }));

const DAY_OLD: Report = {
  broadcast: broadcastHash("demo.hang"),
  session: 0xdead_beef,
  reportId: 864_000,
  clientTimeMs: 86_400_123,
  playhead: microseconds(86_400_000_000),
  playing: true,
  discontinuity: 100,
  from: microseconds(43_000_000_000),
  heardUntil: microseconds(43_000_400_000),
  receivedBytes: 700_000_000,
  receivedGroup: 100 * 65_536 + 40_000,
  worstLead: microseconds(142_000),
  worstLeadGroup: 100 * 65_536 + 39_990,
  bufferedMs: 950,
  bleedMs: 0,
  staleMs: 0,
};

describe("a report", () => {
  test("a report survives a round trip within 64 bytes, and omits only fields that are too long", () => {
    expect(decodeReport(encodeReport(DAY_OLD))).toEqual({ ok: true, report: DAY_OLD });
    let shortened = 0;
    fc.assert(
      fc.property(anyReport, (report) => {
        const bytes = encodeReport(report);
        expect(bytes.length).toBeLessThanOrEqual(MAX_REPORT_BYTES);
        expect(isReportDatagram(bytes)).toBe(true);
        expect(reportKind(bytes)).toBe("report");
        const decoded = decodeReport(bytes);
        if (!decoded.ok) throw new Error(decoded.code);
        const lost: Partial<Record<keyof Report, undefined>> = {};
        if (report.from !== undefined && decoded.report.from === undefined) {
          shortened++;
          lost.from = undefined;
          lost.heardUntil = undefined;
          if (decoded.report.worstLead === undefined) {
            lost.worstLead = undefined;
            lost.worstLeadGroup = undefined;
          }
        } else if (bytes.length > 48 && decoded.report.worstLead === undefined) {
          lost.worstLead = undefined;
          lost.worstLeadGroup = undefined;
        }
        expect(decoded.report).toEqual({ ...report, ...lost });
      }),
      { seed: SEED, numRuns: 2000 },
    );
    expect(shortened).toBeGreaterThan(0);
  });

  test("a report rounds its lead towards late and saturates its counters", () => {
    const decoded = decodeReport(
      encodeReport({ ...DAY_OLD, worstLead: microseconds(-1), bleedMs: 1e9, staleMs: 3.7, bufferedMs: 1e9 }),
    );
    expect(decoded).toMatchObject({
      report: { worstLead: -1000, bleedMs: 16_383, staleMs: 3, bufferedMs: 2 ** 20 - 1 },
    });
    for (const [bufferedMs, read] of [
      [-1e9, -(2 ** 20)],
      [-350.4, -350],
      [350.4, 351],
    ] as const)
      expect(decodeReport(encodeReport({ ...DAY_OLD, bufferedMs }))).toMatchObject({ report: { bufferedMs: read } });
  });

  test("a report clamps every number out of range, and encoding never throws", () => {
    const wild = { ...DAY_OLD, playhead: microseconds(-5), clientTimeMs: 1.5, receivedGroup: 2 ** 60 };
    expect(decodeReport(encodeReport(wild))).toMatchObject({
      report: { playhead: 0, clientTimeMs: 1, receivedGroup: Number.MAX_SAFE_INTEGER },
    });
    const number = fc.oneof(fc.double(), fc.maxSafeInteger(), fc.constantFrom(2 ** 49, 2 ** 50, 2 ** 53, 2 ** 62));
    const fields = Object.keys(DAY_OLD) as (keyof Report)[];
    fc.assert(
      fc.property(fc.array(number, { minLength: fields.length, maxLength: fields.length }), (numbers) => {
        const report = Object.fromEntries(fields.map((field, index) => [field, numbers[index]])) as unknown as Report;
        const bytes = encodeReport({ ...report, playing: true });
        expect(bytes.length).toBeLessThanOrEqual(MAX_REPORT_BYTES);
        expect(decodeReport(bytes).ok).toBe(true);
      }),
      { seed: SEED, numRuns: 5000 },
    );
  });

  test("a report differs from media by its first eight bytes", () => {
    expect(isReportDatagram(Uint8Array.of(0xff, 0xff, 0xff))).toBe(false);
    expect(isReportDatagram(new Uint8Array(8).fill(0xff))).toBe(true);
    const media = encodeReport(DAY_OLD);
    media[7] = 0xfe;
    expect(isReportDatagram(media)).toBe(false);
    expect(decodeReport(media)).toEqual({ ok: false, code: "NOT_A_REPORT" });
    expect(reportKind(new Uint8Array(8).fill(0xff))).toBeUndefined();
  });

  test("the report decoder never throws, on any bytes", () => {
    const valid = encodeReport(DAY_OLD);
    for (let length = 0; length < valid.length; length++)
      expect(decodeReport(valid.subarray(0, length)).ok, `cut at ${length}`).toBe(false);
    expect(decodeReport(Uint8Array.of(...valid, 0))).toEqual({ ok: false, code: "OUT_OF_RANGE" });
    expect(decodeReport(new Uint8Array(65).fill(0xff))).toEqual({ ok: false, code: "TOO_LONG" });
    expect(decodeAggregate(valid)).toEqual({ ok: false, code: "WRONG_KIND" });
    // Eight bytes of id, four of reportId, eight of playhead, the kind, then the version in the upper half.
    const newer = valid.slice();
    newer[21]! += 0x10;
    expect(decodeReport(newer)).toEqual({ ok: false, code: "WRONG_VERSION" });
    const sizes: number[] = [];
    for (let bit = 0; bit < valid.length * 8; bit++) {
      const flipped = valid.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      const decoded = decodeReport(flipped);
      // Whatever still decodes is in range, so it can be encoded again.
      if (decoded.ok) sizes.push(encodeReport(decoded.report).length);
    }
    expect(sizes.length).toBeGreaterThan(100);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(MAX_REPORT_BYTES);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.constantFrom(1, 2, 9), (tail, kind) => {
        for (const bytes of [tail, Uint8Array.of(...new Array(8).fill(0xff), 1, 1, kind, 0x1f, ...tail)]) {
          const report = decodeReport(bytes);
          if (report.ok) encodeReport(report.report);
          const aggregate = decodeAggregate(bytes);
          if (aggregate.ok) encodeAggregate(aggregate.aggregate);
        }
      }),
      { seed: SEED, numRuns: 20_000 },
    );
  });
});

describe("an aggregate", () => {
  test("an aggregate survives a round trip within 1200 bytes", () => {
    let longest = 0;
    fc.assert(
      fc.property(anyAggregate, (aggregate) => {
        const bytes = encodeAggregate(aggregate);
        longest = Math.max(longest, bytes.length);
        expect(reportKind(bytes)).toBe("aggregate");
        expect(decodeAggregate(bytes)).toEqual({ ok: true, aggregate });
      }),
      { seed: SEED, numRuns: 1000 },
    );
    expect(longest).toBeLessThanOrEqual(MAX_AGGREGATE_BYTES);
  });

  test("an aggregate names 24 listeners at most", () => {
    const [sample] = fc.sample(anyAggregate, { seed: SEED, numRuns: 1 });
    const empty = encodeAggregate({
      ...sample!,
      latest: microseconds(0),
      earliest: microseconds(0),
      listed: [],
      missed: [],
    });
    const listing = (count: number) => Uint8Array.of(...empty.subarray(0, -1), count, ...new Uint8Array(7 * count));
    expect(decodeAggregate(listing(24)).ok).toBe(true);
    expect(decodeAggregate(listing(25))).toEqual({ ok: false, code: "OUT_OF_RANGE" });
  });

  test("the aggregate decoder never throws, on any bytes", () => {
    fc.assert(
      fc.property(anyAggregate, fc.nat(), fc.nat({ max: 7 }), (aggregate, at, bit) => {
        const bytes = encodeAggregate(aggregate);
        expect(decodeAggregate(bytes.subarray(0, at % bytes.length)).ok).toBe(false);
        bytes[at % bytes.length]! ^= 1 << bit;
        const decoded = decodeAggregate(bytes);
        if (decoded.ok) encodeAggregate(decoded.aggregate);
      }),
      { seed: SEED, numRuns: 2000 },
    );
  });
});

describe("a receipt", () => {
  const count = fc.integer({ min: 0, max: 2 ** 28 - 1 });
  const receipt: fc.Arbitrary<Receipt> = fc.record({
    broadcast: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    session: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    reportId: fc.integer({ min: 0, max: 2 ** 30 - 1 }),
    level: fc.constantFrom("full", "reduced", "low"),
    stalenessMs: fc.integer({ min: 0, max: 2 ** 21 - 1 }),
    queueingMs: fc.integer({ min: 0, max: 2 ** 21 - 1 }),
    inFlightBytes: count,
    windowBytes: count,
    skips: fc.record({ window: count, age: count, passed: count, stale: count, overflow: count }),
  });

  test("a receipt survives a round trip within 64 bytes, and is taken for no other record", () => {
    fc.assert(
      fc.property(receipt, (sent) => {
        const bytes = encodeReceipt(sent);
        expect(bytes.length).toBeLessThanOrEqual(MAX_REPORT_BYTES);
        expect(reportKind(bytes)).toBe("receipt");
        expect(decodeReceipt(bytes)).toEqual({ ok: true, receipt: sent });
        expect([decodeReport(bytes), decodeAggregate(bytes)]).toEqual(Array(2).fill({ ok: false, code: "WRONG_KIND" }));
      }),
      { seed: 11, numRuns: 500 },
    );
  });

  test("the receipt decoder never throws, on any bytes", () => {
    const mangled = fc.tuple(receipt, fc.nat(), fc.nat({ max: 255 }), fc.nat()).map(([sent, at, byte, cut]) => {
      const bytes = encodeReceipt(sent);
      bytes[at % bytes.length] = byte;
      return bytes.subarray(0, bytes.length - (cut % 4 === 0 ? cut % bytes.length : 0));
    });
    let valid = 0;
    fc.assert(
      fc.property(fc.oneof(mangled, fc.uint8Array({ maxLength: 80 })), (bytes) => {
        const decoded = decodeReceipt(bytes);
        if (decoded.ok) valid++;
        expect(decoded.ok ? decodeReceipt(encodeReceipt(decoded.receipt)) : decoded).toEqual(decoded);
      }),
      { seed: 12, numRuns: 2000 },
    );
    expect(valid).toBeGreaterThan(100);
  });
});

describe("broadcastHash", () => {
  test("a broadcast's hash is FNV-1a with its published vectors", () => {
    expect(broadcastHash("")).toBe(0x811c9dc5);
    expect(broadcastHash("a")).toBe(0xe40c292c);
    expect(broadcastHash("foobar")).toBe(0xbf9cf968);
  });
});
