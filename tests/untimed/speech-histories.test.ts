import fc from "fast-check";
import { expect, test } from "vitest";
import { lossyHistories, SpeechPlay, type SpeechStep, speechHistories } from "../support/speech-history.js";

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

/** The relay reads the reports of two stretches at once. */
const TWO_MISSED: SpeechStep[] = [
  { do: "say", ms: 200, gapMs: 0, drop: false },
  { do: "wait", ms: 700 },
  { do: "say", ms: 121, gapMs: 0, drop: false },
  { do: "lose", ms: 410 },
  { do: "say", ms: 40, gapMs: 0, drop: false },
  { do: "stop", what: "audioStopped", ms: 882 },
  { do: "wait", ms: 321 },
  { do: "say", ms: 40, gapMs: 0, drop: false },
  { do: "stop", what: "relayStopped", ms: 1887 },
  { do: "wait", ms: 10 },
  { do: "lose", ms: 10 },
  { do: "wait", ms: 10 },
];

/** Of the second speech, nothing but the first half and the last packet arrives. */
const LAST_PACKET: SpeechStep[] = [
  { do: "say", ms: 200, gapMs: 0, drop: false },
  { do: "wait", ms: 700 },
  { do: "stop", what: "audioStopped", ms: 10 },
  { do: "lose", ms: 211 },
  { do: "say", ms: 681, gapMs: 0, drop: false },
  { do: "wait", ms: 33 },
  { do: "lose", ms: 75 },
  { do: "lose", ms: 93 },
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

test("after any history of losses and stalls every speech has one end, and what was lost of it does not count as heard", async () => {
  await fc.assert(
    fc.asyncProperty(lossyHistories, async (steps) => {
      const play = new SpeechPlay({ isLossy: true });
      await play.run(steps);
      expect(play.faults).toEqual([]);
    }),
    { numRuns: Number(process.env.HISTORIES ?? 60), seed: 5, examples: [[TWO_MISSED], [LAST_PACKET]] },
  );
});
