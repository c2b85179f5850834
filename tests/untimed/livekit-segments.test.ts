import { initializeLogger } from "@livekit/agents";
import fc from "fast-check";
import { expect, test } from "vitest";
import { SegmentPlay, type SegmentStep, segmentHistories } from "../support/livekit-segments.js";

const frame = (ms: number): SegmentStep => ({ do: "frame", ms, isTimed: true });
const step = (what: "flush" | "clear" | "pause" | "resume"): SegmentStep => ({ do: what });

/** Histories that broke the contract once. */
const FOUND: readonly SegmentStep[][] = [
  // The source is slower than the second for which a listener waits.
  [frame(250), { do: "wait", ms: 1470 }, frame(250), frame(20), { do: "wait", ms: 134 }],
  // A cleared segment has not had its report when the output is resumed.
  [
    { do: "wait", ms: 20 },
    frame(260),
    { do: "wait", ms: 3 },
    step("flush"),
    frame(40),
    { do: "wait", ms: 396 },
    ...[step("flush"), frame(150), step("flush"), frame(270)],
    ...[step("clear"), step("pause"), step("resume"), step("pause")],
  ],
];

test("an AudioOutput keeps LiveKit's contract under every order of frames, flush, clearBuffer, pause and resume", async () => {
  initializeLogger({ pretty: false, level: "silent" });
  let segments = 0;
  await fc.assert(
    fc.asyncProperty(segmentHistories, async (steps) => {
      const play = new SegmentPlay();
      await play.run(steps);
      segments += play.segments;
      expect(play.faults).toEqual([]);
    }),
    { numRuns: Number(process.env.HISTORIES ?? 40), seed: 14, examples: FOUND.map((steps) => [steps]) },
  );
  expect(segments).toBeGreaterThan(40);
});
