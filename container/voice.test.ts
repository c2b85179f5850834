import fc from "fast-check";
import { expect, test } from "vitest";
import type { Microseconds } from "../base/index.js";
import { decodeVoiceFrame, encodeVoiceFrame, MAX_VOICE_STEPS, VOICE_UNKNOWN, voiceChance, voiceStep } from "./voice.js";

test("voice frames survive a round trip, and all other bytes decode or are refused by name", () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.uint8Array({ minLength: 1, maxLength: MAX_VOICE_STEPS }), (value, steps) => {
      const timestamp = value as Microseconds;
      expect(decodeVoiceFrame(encodeVoiceFrame({ timestamp, steps }))).toEqual({ timestamp, steps });
    }),
    { seed: 1, numRuns: 500 },
  );
  const lengths = Array.from({ length: MAX_VOICE_STEPS }, (_, index) => index + 1);
  const outcomes = ["TRUNCATED_FRAME", "INVALID_TIMESTAMP", "INVALID_VOICE", ...lengths];
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
      let outcome: string | number;
      try {
        outcome = decodeVoiceFrame(bytes).steps.length;
      } catch (error) {
        outcome = (error as { code: string }).code;
      }
      expect(outcomes).toContain(outcome);
    }),
    { seed: 2, numRuns: 2000 },
  );
  for (const steps of [new Uint8Array(0), new Uint8Array(MAX_VOICE_STEPS + 1)]) {
    expect(() => encodeVoiceFrame({ timestamp: 0 as Microseconds, steps })).toThrow(/1 to 100 steps/);
  }
});

test("a probability is a byte with an error of a quarter of a percent, and an unknown one stays unknown", () => {
  for (const chance of [0, 0.1, 0.5, 0.999, 1]) expect(voiceChance(voiceStep(chance))).toBeCloseTo(chance, 2);
  expect([voiceStep(-3), voiceStep(7)]).toEqual([0, 254]);
  expect(voiceStep(undefined)).toBe(VOICE_UNKNOWN);
  expect(voiceChance(VOICE_UNKNOWN)).toBeUndefined();
});
