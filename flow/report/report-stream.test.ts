import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ProtocolError } from "../../base/index.js";
import { MAX_AGGREGATE_BYTES } from "./aggregate.js";
import { isReportDatagram } from "./record.js";
import { frameReport, REPORT_STREAM_TYPE, ReportStreamReader, ReportStreamWriter } from "./report-stream.js";

const record = fc
  .uint8Array({ maxLength: MAX_AGGREGATE_BYTES - 8 })
  .map((tail) => Uint8Array.of(...REPORT_STREAM_TYPE, ...tail));

describe("the report stream", () => {
  test("the reader returns every record, however the stream is cut", () => {
    expect(isReportDatagram(REPORT_STREAM_TYPE)).toBe(true);
    fc.assert(
      fc.property(fc.array(record, { maxLength: 6 }), fc.integer({ min: 1, max: 700 }), (records, size) => {
        const wire = Uint8Array.from(records.flatMap((bytes) => [...frameReport(bytes)]));
        const reader = new ReportStreamReader();
        const received: Uint8Array[] = [];
        for (let offset = 0; offset < wire.length; offset += size)
          received.push(...reader.push(wire.subarray(offset, offset + size)));
        expect(received.map((bytes) => Buffer.from(bytes).toString("hex"))).toEqual(
          records.map((bytes) => Buffer.from(bytes).toString("hex")),
        );
      }),
      { seed: 10, numRuns: 200 },
    );
  });

  test("the writer keeps only the newest record while the transport takes none, and ends once the stream has failed", async () => {
    const reader = new ReportStreamReader();
    const received: number[] = [];
    const takes: (() => void)[] = [];
    let opened = 0;
    let broken = false;
    const writer = new ReportStreamWriter(async () => {
      opened++;
      return {
        async write(bytes) {
          if (broken) throw new Error("The stream was stopped.");
          if (bytes === REPORT_STREAM_TYPE) return;
          await new Promise<void>((resolve) => takes.push(resolve));
          received.push(...reader.push(bytes).map((record) => record[8]!));
        },
      };
    });
    const settled = () => new Promise((resolve) => setImmediate(resolve));
    const numbered = (id: number) => Uint8Array.of(...REPORT_STREAM_TYPE, id);
    expect(writer.send(numbered(1))).toBe(true);
    await settled();
    for (const id of [2, 3, 4]) writer.send(numbered(id));
    expect(writer.replaced).toBe(2);
    for (let count = 0; count < 2; count++) {
      takes.shift()!();
      await settled();
    }
    writer.send(numbered(5));
    await settled();
    takes.shift()!();
    await settled();
    expect([received, opened]).toEqual([[1, 4, 5], 1]);
    broken = true;
    writer.send(numbered(6));
    await settled();
    expect(writer.send(numbered(7))).toBe(false);
  });

  test("the reader refuses an impossible length, and bytes that form no record", () => {
    for (const bytes of [Uint8Array.of(0, 0), Uint8Array.of(0xff, 0xff), frameReport(new Uint8Array(20))])
      expect(() => new ReportStreamReader().push(bytes)).toThrow(ProtocolError);
  });
});
