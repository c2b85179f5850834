import fc from "fast-check";
import { checkSchedule, type Outcome } from "../tests/support/rewind.js";
import { expandShuffled, expandTimeline } from "../tests/support/schedule.js";
import { type Bench, row, seededRandom } from "./harness.js";

const FULL_SCHEDULES = 1_000_000;
const QUICK_SCHEDULES = 20_000;
const QUICK_MS = 50_000;
/** Choices a schedule can take; the longest takes about 600. */
const SCHEDULE_BYTES = 640;
const BATCH = 500;

/** Plays random schedules to the consumer and to the rule itself; any difference ends the run with the smallest case. */
export const bench: Bench = {
  name: "rewind",
  description: "A million random schedules: the consumer against the take-back rule, with the smallest failing case.",
  async run({ quick, seed, progress, log }) {
    const random = seededRandom(seed);
    const bytes = new Uint8Array(SCHEDULE_BYTES);
    const totals: Record<string, number> = {};
    const bar = quick ? progress("seconds", QUICK_MS / 1000) : progress("schedules", FULL_SCHEDULES);
    const start = performance.now();
    let schedules = 0;
    let seconds = 0;
    const enough = () =>
      quick ? schedules >= QUICK_SCHEDULES && performance.now() - start > QUICK_MS : schedules >= FULL_SCHEDULES;
    while (!enough()) {
      for (let index = 0; index < BATCH; index += 1) {
        for (let position = 0; position < bytes.length; position += 1) bytes[position] = random() * 256;
        let outcome: Outcome;
        try {
          outcome = checkSchedule(expansionOf(schedules)(bytes));
        } catch {
          throw new Error(
            `Schedule ${schedules + 1} of seed ${seed} differs from the rule.\n${shrink(bytes, expansionOf(schedules))}`,
          );
        }
        for (const [name, count] of Object.entries(outcome)) totals[name] = (totals[name] ?? 0) + count;
        schedules += 1;
      }
      const passed = Math.floor((performance.now() - start) / 1000) - seconds;
      seconds += passed;
      bar.advance(quick ? passed : BATCH);
      await new Promise((resolve) => setImmediate(resolve));
    }
    bar.stop();
    log(`${schedules} schedules in ${seconds} s, none differs from the rule.`);
    return [
      row("schedules", "played", schedules, { atLeast: quick ? QUICK_SCHEDULES : FULL_SCHEDULES }),
      row("schedules", "differences from the rule", 0, { atMost: 0 }),
      ...["received", "delivered", "stale", "late", "duplicate"].map((name) => row("frames", name, totals[name] ?? 0)),
      row("rewinds", "counted", totals.discontinuity ?? 0),
      row("rewinds", "lowered by a late first group", totals.lowered ?? 0),
      row("epochs", "held for a missing first group", totals.held ?? 0),
    ];
  },
};

/** Every other schedule is shuffled. */
function expansionOf(index: number): typeof expandTimeline {
  return index % 2 === 0 ? expandTimeline : expandShuffled;
}

/** The smallest schedule that fails like the one from these bytes, event by event. */
function shrink(bytes: Uint8Array, expand: typeof expandTimeline): string {
  const result = fc.check(
    fc.property(fc.uint8Array({ minLength: 0, maxLength: SCHEDULE_BYTES, size: "max" }), (candidate) => {
      checkSchedule(expand(candidate));
    }),
    { examples: [[bytes]], numRuns: 1 },
  );
  const { events, reads } = expand(result.counterexample?.[0] ?? bytes);
  const lines = events.map((event, index) => {
    const time = event.kind === "frame" ? ` at ${event.timestamp / 1000} ms` : "";
    return `${event.at / 1000} ms: ${event.kind} ${event.sequence}${time}, then read ${reads[index]}`;
  });
  return [`${result.errorInstance ?? "It could not be repeated."}`, ...lines].join("\n");
}
