import { initializeLogger } from "@livekit/agents";
import fc from "fast-check";
import { SegmentPlay, segmentHistories } from "../../tests/support/livekit-segments.js";
import { MarkPlay, markHistories } from "../../tests/support/mark-history.js";
import { lossyHistories, SpeechPlay, speechHistories } from "../../tests/support/speech-history.js";
import { type BenchContext, type Row, row } from "../harness.js";

/** Plays one random history, and finds what is wrong with it. */
interface Property {
  /** How many histories, or what they hold, are to be played. */
  readonly full: number;
  readonly quick: number;
  /** Plays a history; returns how much of the number it was, and what is wrong with it. */
  play(seed: number): Promise<{ readonly count: number; readonly faults: readonly string[] }>;
}

function drawn<T>(histories: fc.Arbitrary<T>, seed: number): T {
  return fc.sample(histories, { numRuns: 1, seed })[0]!;
}

/** Random histories on a virtual clock, by the name of their row. */
export const PROPERTIES: Readonly<Record<string, Property>> = {
  "histories of speeches": {
    full: 2000,
    quick: 60,
    async play(seed) {
      const { faults } = await playOut(new SpeechPlay(), drawn(speechHistories, seed));
      return { count: 1, faults };
    },
  },
  "histories of losses": {
    full: 2000,
    quick: 60,
    async play(seed) {
      const { faults } = await playOut(new SpeechPlay({ isLossy: true }), drawn(lossyHistories, seed));
      return { count: 1, faults };
    },
  },
  "histories of calls": {
    full: 2000,
    quick: 60,
    async play(seed) {
      const { faults } = await playOut(new MarkPlay(seed % 2 === 0 ? "first" : "all"), drawn(markHistories, seed));
      return { count: 1, faults };
    },
  },
  "LiveKit segments": {
    full: 1000,
    quick: 100,
    async play(seed) {
      const { faults, segments } = await playOut(new SegmentPlay(), drawn(segmentHistories, seed));
      return { count: segments, faults };
    },
  },
};

async function playOut<S, P extends { run(steps: readonly S[]): Promise<void> }>(
  play: P,
  steps: readonly S[],
): Promise<P> {
  await play.run(steps);
  return play;
}

/** Plays random histories; each that breaks its property is counted, and the first one's fault and seed are said. */
export async function checkProperties({ quick, only, seed, progress, log }: BenchContext): Promise<Row[]> {
  initializeLogger({ pretty: false, level: "silent" });
  const rows: Row[] = [];
  for (const [name, property] of Object.entries(PROPERTIES)) {
    if (only !== undefined && only !== name) continue;
    const target = quick ? property.quick : property.full;
    const bar = progress(name, target);
    let [played, wrong] = [0, 0];
    for (let run = 0; played < target; run++) {
      const { count, faults } = await property.play(seed * 1_000_000 + run);
      played += count;
      bar.advance(count);
      if (faults.length > 0 && wrong++ === 0) log(`${name}, history ${run} of seed ${seed}: ${faults[0]}.`);
    }
    bar.stop();
    rows.push(row(name, "played", played), row(name, "with a fault", wrong, { atMost: 0 }));
  }
  return rows;
}
