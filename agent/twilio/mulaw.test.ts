import fc from "fast-check";
import { expect, test } from "vitest";
import { toFloat } from "../../publisher/source/pcm.js";
import { encodeMulaw } from "./mulaw.js";

test("every mu-law code is the code of its own sample", () => {
  const codes = Uint8Array.from({ length: 256 }, (_, code) => code);
  const back = encodeMulaw(toFloat(codes, "mulaw"));
  // Minus zero is a code of its own that no sample needs.
  expect([...back].map((code, i) => (i === 0x7f ? 0x7f : code))).toEqual([...codes]);
  expect(back[0x7f]).toBe(0xff);
});

test("a sample survives a round trip within half a step of its segment, clipped at full scale", () => {
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
