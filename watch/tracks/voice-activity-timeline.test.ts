import fc from "fast-check";
import { expect, test } from "vitest";
import { microseconds, fromMilliseconds as ms } from "../../base/index.js";
import { EPOCH_SIZE, VOICE_UNKNOWN } from "../../container/index.js";
import { VoiceActivityTimeline } from "./voice-activity-timeline.js";

const frame = (startMs: number, ...steps: number[]) => ({ timestamp: ms(startMs), steps: Uint8Array.from(steps) });
const heard = (line: VoiceActivityTimeline, atMs: number) => line.at(ms(atMs));

test("a chance is told at the playhead to which it belongs, stands a moment where the next is late, and then no more", () => {
  const line = new VoiceActivityTimeline();
  expect(heard(line, 0)).toBeUndefined();
  line.receive(0, frame(100, 0, 254, VOICE_UNKNOWN));
  expect([99, 100, 109.9, 110, 119, 120].map((at) => heard(line, at))).toEqual([undefined, 0, 0, 1, 1, undefined]);
  line.receive(0, frame(130, 254));
  expect([129, 130, 139, 200, 239, 240].map((at) => heard(line, at))).toEqual([undefined, 1, 1, 1, 1, undefined]);
  // Late, but not too late.
  line.receive(0, frame(140, 0, 0));
  expect([239, 250].map((at) => heard(line, at))).toEqual([0, 0]);
  expect(line.size).toBe(3);
  heard(line, 5000);
  expect(line.size).toBe(0);
});

test("a newer group takes back what lies at or after its start, whichever comes first, and so does a rewind of the sound", () => {
  const line = new VoiceActivityTimeline();
  line.receive(0, frame(0, ...Array(50).fill(254)));
  line.receive(EPOCH_SIZE, frame(300, 0, 0));
  expect([290, 300, 319, 350, 419, 420, 499].map((at) => heard(line, at))).toEqual([
    1,
    0,
    0,
    0,
    0,
    undefined,
    undefined,
  ]);
  // The rest of the old group comes late; so does a group in between, which ends where the newer one begins.
  line.receive(0, frame(500, 254));
  line.receive(1, frame(280, 254, 254, 254));
  expect([299, 300, 505].map((at) => heard(line, at))).toEqual([1, 0, undefined]);

  // The audio goes back before any mark of the new epoch has come, and none of the new ones is lost by it.
  line.receive(EPOCH_SIZE, frame(320, ...Array(50).fill(254)));
  line.receive(2 * EPOCH_SIZE, frame(600, 254));
  line.takeBack(ms(400), 2);
  expect([399, 499, 500, 600].map((at) => heard(line, at))).toEqual([1, 1, undefined, 1]);
  expect(line.counters.stale).toBe(1);
});

test("a subscription that begins anew replaces what the one before told from its first mark on", () => {
  const line = new VoiceActivityTimeline();
  line.begin();
  line.receive(70_000, frame(0, ...Array(40).fill(254)));
  line.begin();
  expect(heard(line, 390)).toBe(1);
  line.receive(0, frame(200, 0));
  expect([199, 200, 309, 310].map((at) => heard(line, at))).toEqual([1, 0, 0, undefined]);
});

test("however many frames come, in any order, no bound is exceeded and the newest group that tells of a moment is right", () => {
  const step = fc.record({ group: fc.nat(5), at: fc.nat(40), length: fc.integer({ min: 1, max: 8 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const bounded = new VoiceActivityTimeline({ maximumFrames: 8 });
      const line = new VoiceActivityTimeline();
      const starts = new Map<number, number>();
      for (const { group, at, length } of steps) {
        // Each group tells of moments with its own number.
        const told = { timestamp: ms(10 * at), steps: new Uint8Array(length).fill(group + 1) };
        bounded.receive(group, told);
        line.receive(group, told);
        starts.set(group, Math.min(starts.get(group) ?? at, at));
        expect(bounded.size).toBeLessThanOrEqual(8);
      }
      for (let moment = 0; moment < 50; moment++) {
        const covers = ({ group, at, length }: (typeof steps)[number]) =>
          at <= moment &&
          moment < at + length &&
          ![...starts].some(([other, start]) => other > group && start <= moment);
        const expected = Math.max(...steps.filter(covers).map(({ group }) => group + 1));
        if (expected < 0) continue;
        expect(line.at(microseconds(moment * 10_000 + 5000))).toBeCloseTo(expected / 254, 6);
      }
    }),
    { seed: 7, numRuns: 1000 },
  );
});
