import fc from "fast-check";
import { expect, test } from "vitest";
import { toFloat } from "../../publisher/source/pcm.js";
import { encodeAlaw, encodeMulaw } from "./g711.js";

test("every mu-law code is the code of its own sample", () => {
  const codes = Uint8Array.from({ length: 256 }, (_, code) => code);
  const back = encodeMulaw(toFloat(codes, "mulaw"));
  // Minus zero is a code of its own that no sample needs.
  expect([...back].map((code, i) => (i === 0x7f ? 0x7f : code))).toEqual([...codes]);
  expect(back[0x7f]).toBe(0xff);
});

test("every A-law code is the code of its own sample, and each sample gets the nearest one", () => {
  const codes = Uint8Array.from({ length: 256 }, (_, code) => code);
  const levels = toFloat(codes, "alaw");
  expect(encodeAlaw(levels)).toEqual(codes);
  fc.assert(
    fc.property(fc.float({ min: -2, max: 2, noNaN: true }), (sample) => {
      const [back] = toFloat(encodeAlaw(Float32Array.of(sample)), "alaw");
      const nearest = Math.min(...levels.map((level) => Math.abs(level - sample)));
      expect(Math.abs(back! - sample)).toBeLessThanOrEqual(nearest + 1 / 32_768);
    }),
    { seed: 14 },
  );
});

test("a sample survives mu-law within half a step of its segment, clipped at full scale", () => {
  fc.assert(
    fc.property(fc.float({ min: -2, max: 2, noNaN: true }), (sample) => {
      const [back] = toFloat(encodeMulaw(Float32Array.of(sample)), "mulaw");
      const wanted = Math.max(-32124 / 32768, Math.min(32124 / 32768, sample));
      const step = 2 ** (Math.floor(Math.log2(Math.abs(wanted) * 32768 + 132)) - 4);
      expect(Math.abs(back! - wanted) * 32768).toBeLessThanOrEqual(step / 2 + 1);
    }),
    { seed: 14 },
  );
});
