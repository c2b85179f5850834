import fc from "fast-check";
import { expect, test } from "vitest";
import { SpeechTimeline } from "./speech-timeline.js";

test("a playhead within a speech is at its sample there, and in a hole at the last sample before", () => {
  const timeline = new SpeechTimeline();
  expect(timeline.sourceAt(5000)).toBe(0);
  timeline.write(1000, 480);
  timeline.write(1480, 480);
  timeline.write(5000, 480);
  expect([timeline.start, timeline.end, timeline.position]).toEqual([1000, 5480, 1440]);
  expect([0, 1000, 1500, 1960, 3000, 5000, 5100, 9000].map((at) => timeline.sourceAt(at))).toEqual([
    0, 0, 500, 960, 960, 960, 1060, 1440,
  ]);
  expect([0, 500, 960, 1439, 1440].map((source) => timeline.broadcastAt(source))).toEqual([
    1000,
    1500,
    5000,
    5479,
    undefined,
  ]);
});

test("a delay moves only the audio behind it, even in the middle of a piece", () => {
  const timeline = new SpeechTimeline();
  timeline.write(0, 1000);
  timeline.move(400, 250);
  expect([399, 400, 500, 650, 700, 1250].map((at) => timeline.sourceAt(at))).toEqual([399, 400, 400, 400, 450, 1000]);
  expect(timeline.end).toBe(1250);
});

test("a speech that was cut and resumed continues with the sample heard last, wherever it lies then", () => {
  const timeline = new SpeechTimeline();
  timeline.write(0, 2000);
  const before = timeline.copy();
  timeline.cut(800);
  expect([timeline.position, timeline.end]).toEqual([800, 800]);
  // The listener played 50 samples more before it applied the cut.
  const heard = before.sourceAt(850);
  expect(heard).toBe(850);
  timeline.seek(heard);
  timeline.write(3000, 1150);
  expect([800, 2999, 3000, 3100, 4150].map((at) => timeline.sourceAt(at))).toEqual([800, 800, 850, 950, 2000]);
});

test("the repeats of a loop do not count as samples of the source", () => {
  const timeline = new SpeechTimeline();
  timeline.write(0, 900);
  timeline.loop(1000);
  timeline.write(900, 400);
  timeline.write(1300, 400);
  expect([timeline.position, timeline.sourceAt(1600)]).toEqual([1000, 1000]);
  timeline.unloop(1800);
  timeline.write(1700, 200);
  expect([timeline.position, timeline.sourceAt(1850)]).toEqual([1100, 1050]);
});

test("a speech that only repeats after a cut does not start again", () => {
  const timeline = new SpeechTimeline();
  timeline.loop(0);
  timeline.write(0, 500);
  expect([timeline.position, timeline.sourceAt(400)]).toEqual([0, 0]);
});

type Step =
  | { readonly kind: "write"; readonly gap: number; readonly frames: number }
  | { readonly kind: "cut" | "move" | "resume"; readonly share: number; readonly by: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant("write" as const), gap: fc.nat(40), frames: fc.integer({ min: 1, max: 60 }) }),
  fc.record({
    kind: fc.constantFrom("cut" as const, "move" as const, "resume" as const),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
    by: fc.nat(50),
  }),
);

test("a timeline agrees with a list of every single sample after any history of writes, delays, cuts and resumes", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const timeline = new SpeechTimeline();
      // Which sample of the source lies at each position of the broadcast.
      const model = new Map<number, number>();
      let position = 0;
      let end = 0;
      const cutAt = (at: number) => {
        position = at >= end ? position : Math.min(position, ...[...model].filter(([b]) => b >= at).map(([, s]) => s));
        for (const b of [...model.keys()]) if (b >= at) model.delete(b);
        end = Math.min(end, Math.max(at, 0));
      };
      for (const one of steps) {
        if (one.kind === "write") {
          const at = end + one.gap;
          timeline.write(at, one.frames);
          for (let i = 0; i < one.frames; i++) model.set(at + i, position++);
          end = at + one.frames;
          continue;
        }
        const at = Math.round(one.share * end);
        if (one.kind === "move") {
          timeline.move(at, one.by);
          const moved = [...model].map(([b, s]) => [b >= at ? b + one.by : b, s] as const);
          model.clear();
          for (const [b, s] of moved) model.set(b, s);
          end += one.by;
          continue;
        }
        timeline.cut(at);
        cutAt(at);
        if (one.kind === "cut") continue;
        timeline.seek(timeline.position + one.by);
        position += one.by;
      }
      expect(timeline.position).toBe(position);
      const sources: number[] = [];
      let expected = model.size > 0 ? model.get(Math.min(...model.keys()))! : position;
      for (let at = 0; at <= end + 5; at++) {
        const here = model.get(at);
        sources.push(here ?? expected);
        if (here !== undefined) expected = here + 1;
      }
      expect(sources.map((_, at) => timeline.sourceAt(at))).toEqual(sources);
      const places = [...model.values()].map((source) => timeline.broadcastAt(source));
      expect(places).toEqual([...model.keys()]);
    }),
    { numRuns: 400, seed: 13 },
  );
});
