import fc from "fast-check";
import { expect, test } from "vitest";
import { SpeechPlay, type SpeechStep, speechHistories } from "../support/speech-history.js";

/** The report of an interrupt is lost, and that of a later pause arrives. */
const LOST_REPORT: SpeechStep[] = [
  { do: "say", ms: 315, gapMs: 0, drop: false },
  { do: "wait", ms: 343 },
  { do: "interrupt", which: 0 },
  { do: "say", ms: 695, gapMs: 0, drop: false },
  { do: "report", on: false },
  { do: "wait", ms: 346 },
  { do: "pause", which: 1 },
  { do: "say", ms: 42, gapMs: 0, drop: false },
  { do: "wait", ms: 156 },
  { do: "resume", which: 1 },
];

test("after any history of say, interrupt, pause and resume every speech has one end, at what was heard of it", async () => {
  await fc.assert(
    fc.asyncProperty(speechHistories, async (steps) => {
      const play = new SpeechPlay();
      await play.run(steps);
      expect(play.faults).toEqual([]);
    }),
    { numRuns: Number(process.env.HISTORIES ?? 300), seed: 5, examples: [[LOST_REPORT]] },
  );
});
