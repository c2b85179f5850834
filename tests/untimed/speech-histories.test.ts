import fc from "fast-check";
import { expect, test } from "vitest";
import { SpeechPlay, speechHistories } from "../support/speech-history.js";

test("after any history of say, interrupt, pause and resume every speech has one end, at what was heard of it", async () => {
  await fc.assert(
    fc.asyncProperty(speechHistories, async (steps) => {
      const play = new SpeechPlay();
      await play.run(steps);
      expect(play.faults).toEqual([]);
    }),
    { numRuns: Number(process.env.HISTORIES ?? 300), seed: 5 },
  );
});
