import fc from "fast-check";
import { expect, test } from "vitest";
import { fromMilliseconds, type Microseconds, microseconds } from "../base/index.js";
import { decodeLegacyFrame, encodeLegacyFrame } from "./frame.js";

const bytesOf = (hex: string) => Uint8Array.from(Buffer.from(hex, "hex"));

test("a legacy frame is a QUIC varint of microseconds and the codec's bytes", () => {
  const payload = Uint8Array.of(0xf8, 0xff, 0xfe);
  expect(encodeLegacyFrame({ timestamp: fromMilliseconds(20), payload })).toEqual(bytesOf("80004e20f8fffe"));
  // The examples of RFC 9000, appendix A.1.
  for (const [hex, value] of [
    ["9d7f3e7d", 494_878_333],
    ["7bbd", 15_293],
    ["25", 37],
  ] as const) {
    expect(decodeLegacyFrame(bytesOf(hex), { keyframe: true })).toEqual({
      timestamp: value,
      payload: new Uint8Array(),
      keyframe: true,
    });
    expect(encodeLegacyFrame({ timestamp: microseconds(value), payload: new Uint8Array() })).toEqual(bytesOf(hex));
  }
  expect(() => decodeLegacyFrame(bytesOf("c2197c5eff14e88c"), { keyframe: true })).toThrow(/must not be above 2\^53/);
  // The wire allows a longer form than needed.
  expect(decodeLegacyFrame(bytesOf("4025"), { keyframe: false }).timestamp).toBe(37);
});

test("every timestamp and payload survives a round trip, in the shortest form", () => {
  const edges = [0, 63, 64, 16_383, 16_384, 2 ** 30 - 1, 2 ** 30, Number.MAX_SAFE_INTEGER];
  fc.assert(
    fc.property(
      fc.oneof(fc.constantFrom(...edges), fc.maxSafeNat()),
      fc.uint8Array({ maxLength: 40 }),
      fc.boolean(),
      (value, payload, keyframe) => {
        const frame = { timestamp: value as Microseconds, payload, keyframe };
        const bytes = encodeLegacyFrame(frame);
        expect(decodeLegacyFrame(bytes, { keyframe })).toEqual(frame);
        const shortest = value < 64 ? 1 : value < 16_384 ? 2 : value < 2 ** 30 ? 4 : 8;
        expect(bytes.byteLength).toBe(shortest + payload.byteLength);
      },
    ),
    { seed: 1, numRuns: 1000 },
  );
});

test("bytes that end inside the timestamp, and timestamps out of range, are refused by name", () => {
  for (const hex of ["", "40", "800000", "c0000000000000"]) {
    expect(() => decodeLegacyFrame(bytesOf(hex), { keyframe: true })).toThrow(
      expect.objectContaining({ code: "TRUNCATED_FRAME" }),
    );
  }
  for (const timestamp of [-1, 0.5, Number.NaN, 2 ** 53]) {
    expect(() => encodeLegacyFrame({ timestamp: timestamp as Microseconds, payload: new Uint8Array() })).toThrow(
      expect.objectContaining({ code: "INVALID_TIMESTAMP" }),
    );
  }
});
