import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fromSeconds, ProtocolError } from "../base/index.js";
import { BULK_PIECE_BYTES, BulkDecoder, type BulkMessage, BulkSlots, encodeBulk } from "./bulk.js";

const now = fromSeconds(100);

function join(pieces: Iterable<Uint8Array>): Uint8Array {
  return Uint8Array.from(Buffer.concat([...pieces]));
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
  return "none";
}

describe("a bulk message", () => {
  it("comes back whole however the stream is cut", () => {
    const message: BulkMessage = { op: "model", header: { requestId: "a", ü: [1] }, payload: Uint8Array.of(1, 2, 3) };
    fc.assert(
      fc.property(
        fc.record({
          op: fc.constantFrom("noise_profile", "model", "write_audio"),
          header: fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value)) as unknown),
          payload: fc.uint8Array({ maxLength: 2000 }),
        }),
        fc.array(fc.nat({ max: 300 }), { minLength: 1, maxLength: 20 }),
        (sent, cuts) => {
          const wire = join(encodeBulk(sent as BulkMessage));
          const decoder = new BulkDecoder({ now });
          let offset = 0;
          let received: BulkMessage | undefined;
          for (let turn = 0; received === undefined; turn++) {
            const size = cuts[turn % cuts.length]! + (turn >= cuts.length ? 1 : 0);
            received = decoder.push(wire.subarray(offset, offset + size), now);
            offset += size;
          }
          expect(received).toEqual(sent);
          decoder.finish();
        },
      ),
      { seed: 8, numRuns: 500, examples: [[message as never, [1]]] },
    );
  });

  it("is written in pieces of 256 KiB at most", () => {
    const payload = new Uint8Array(BULK_PIECE_BYTES * 2 + 5).fill(7);
    const pieces = [...encodeBulk({ op: "write_audio", header: {}, payload })];
    expect(pieces.slice(1).map(({ length }) => length)).toEqual([BULK_PIECE_BYTES, BULK_PIECE_BYTES, 5]);
    const received = new BulkDecoder({ now }).push(join(pieces), now)!.payload;
    expect(Buffer.compare(received, payload)).toBe(0);
  });

  it("is refused for its type, its lengths, its header, its end and its silence, each with its own code", () => {
    const wire = join(encodeBulk({ op: "model", header: {}, payload: Uint8Array.of(9) }));
    const push = (bytes: Uint8Array) => () => new BulkDecoder({ now }).push(bytes, now);
    expect(codeOf(push(Uint8Array.of(77, 0, 0, 0, 2)))).toBe("BULK_TYPE");
    expect(codeOf(push(Uint8Array.of(2, 0xff, 0, 0, 0)))).toBe("BULK_TOO_LARGE");
    expect(codeOf(push(Uint8Array.of(2, 0, 0, 0, 2, 0x7b, 0x7d, 0xff, 0xff, 0xff, 0xff)))).toBe("BULK_TOO_LARGE");
    expect(codeOf(push(Uint8Array.of(2, 0, 0, 0, 1, 0x7b, 0, 0, 0, 0)))).toBe("BULK_HEADER");
    expect(codeOf(push(Uint8Array.of(...wire, 0)))).toBe("BULK_TRAILING");
    const header = { long: "x".repeat(20_000) };
    expect(codeOf(() => [...encodeBulk({ op: "model", header, payload: wire })])).toBe("BULK_TOO_LARGE");

    const decoder = new BulkDecoder({ now });
    decoder.push(wire.subarray(0, wire.length - 1), fromSeconds(105));
    expect(decoder.op).toBe("model");
    expect(decoder.header).toEqual({});
    expect(codeOf(() => decoder.finish())).toBe("BULK_TRUNCATED");
    decoder.push(new Uint8Array(0), fromSeconds(114));
    expect(decoder.deadline).toBe(fromSeconds(115));
    decoder.checkIdle(fromSeconds(114.9));
    expect(codeOf(() => decoder.checkIdle(fromSeconds(115)))).toBe("BULK_IDLE");
  });

  it("only ever fails with a typed error, whatever arrives", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.constantFrom(0, 1, 2, 3), (bytes, type) => {
        codeOf(() => new BulkDecoder({ now }).push(bytes, now));
        codeOf(() => new BulkDecoder({ now }).push(Uint8Array.of(type, 0, 0, 0, 2, ...bytes), now));
      }),
      { seed: 9, numRuns: 3000 },
    );
  });
});

describe("BulkSlots", () => {
  it("lets four streams in at once and counts the rest", () => {
    const slots = new BulkSlots();
    expect([1, 2, 3, 4, 5].map(() => slots.take())).toEqual([true, true, true, true, false]);
    slots.release();
    expect([slots.take(), slots.refused]).toEqual([true, 1]);
  });
});
