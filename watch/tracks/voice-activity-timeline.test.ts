import fc from "fast-check";
import { expect, test } from "vitest";
import { microseconds, fromMilliseconds as ms } from "../../base/index.js";
import { VOICE_UNKNOWN } from "../../container/index.js";
import { VoiceActivityTimeline } from "./voice-activity-timeline.js";

const frame = (startMs: number, ...steps: number[]) => ({ timestamp: ms(startMs), steps: Uint8Array.from(steps) });
const heard = (line: VoiceActivityTimeline, atMs: number) => line.at(ms(atMs));

test("a value belongs to its moment, holds a little longer where the next is late, and then no more", () => {
  const line = new VoiceActivityTimeline();
  expect(heard(line, 0)).toBeUndefined();
  line.add(frame(100, 0, 254, VOICE_UNKNOWN), 0);
  expect([99, 100, 109.9, 110, 119, 120].map((at) => heard(line, at))).toEqual([undefined, 0, 0, 1, 1, undefined]);
  line.add(frame(130, 254), 0);
  expect([129, 130, 139, 200, 239, 240].map((at) => heard(line, at))).toEqual([undefined, 1, 1, 1, 1, undefined]);
  // Late, but not too late.
  line.add(frame(140, 0, 0), 0);
  expect([239, 250].map((at) => heard(line, at))).toEqual([0, 0]);
  expect(line.size).toBe(3);
  heard(line, 5000);
  expect(line.size).toBe(0);
});

test("a cut removes what lies behind it, only of older epochs where it names one, and counts frames that are wholly gone", () => {
  const line = new VoiceActivityTimeline();
  line.add(frame(0, ...Array(50).fill(254)), 0);
  line.cut(ms(300));
  line.add(frame(320, ...Array(50).fill(0)), 1);
  expect([299, 399, 400].map((at) => heard(line, at))).toEqual([1, 0, 0]);
  line.add(frame(600, 254), 2);
  line.cut(ms(400), 2);
  expect([399, 499, 500, 600].map((at) => heard(line, at))).toEqual([0, 0, undefined, 1]);
  expect(line.counters.stale).toBe(0);
  line.cut(ms(320));
  expect(line.counters.stale).toBe(2);
});

test("however many frames come, no bound is exceeded and the frame that covers a moment is right", () => {
  const lengths = fc.array(fc.tuple(fc.integer({ min: 1, max: 8 }), fc.nat(3)), { maxLength: 60 });
  fc.assert(
    fc.property(lengths, (pieces) => {
      const bounded = new VoiceActivityTimeline({ maximumFrames: 8 });
      const line = new VoiceActivityTimeline();
      const steps: (number | undefined)[] = [];
      for (const [index, [length, pause]] of pieces.entries()) {
        for (let silent = 0; silent < pause; silent++) steps.push(undefined);
        const added = { timestamp: ms(10 * steps.length), steps: new Uint8Array(length).fill(index) };
        for (let step = 0; step < length; step++) steps.push(index);
        bounded.add(added, 0);
        line.add(added, 0);
        expect(bounded.size).toBeLessThanOrEqual(8);
      }
      const found = steps.map((_, moment) => line.at(microseconds(moment * 10_000 + 5000)));
      const wrong = steps.filter((step, moment) => {
        const isRemembered = step !== undefined && moment > steps.length - 100;
        return isRemembered && Math.abs(step / 254 - (found[moment] ?? Number.NaN)) > 1e-6;
      });
      expect(wrong).toEqual([]);
    }),
    { seed: 7, numRuns: 500 },
  );
});
