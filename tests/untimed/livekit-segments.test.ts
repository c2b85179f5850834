import { initializeLogger } from "@livekit/agents";
import fc from "fast-check";
import { expect, test } from "vitest";
import { SegmentPlay, segmentHistories } from "../support/livekit-segments.js";

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
    { numRuns: Number(process.env.HISTORIES ?? 40), seed: 14 },
  );
  expect(segments).toBeGreaterThan(40);
}, 120_000);
