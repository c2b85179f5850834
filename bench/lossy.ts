import { cpus, loadavg } from "node:os";
import { type Condition, FRAME_MS, MEDIA, type Medium, type Variant } from "./flow/conditions.js";
import { type FarNotes, startFarEnd } from "./flow/far-end.js";
import { madeUpMs, type Span, silentMs, wireRateBps } from "./flow/figures.js";
import { type LaneResult, runLane } from "./flow/lane.js";
import { type Bench, type Row, row } from "./harness.js";
import { readSpeech } from "./silence/speech.js";

/** A path that loses packets, and how much audio may be lost on it. */
interface LossyCondition extends Condition {
  /** Silence and audio made up by the decoder, in milliseconds a minute. */
  readonly lostMs: number;
}

const COPIES: Variant = { name: undefined, publisher: {}, relay: {} };
const NO_COPIES: Variant = { name: "no copies", publisher: {}, relay: { repeat: false } };

/** Losses in bursts of five packets on average, which take 2 % of all. */
const BURSTS = { enter: 0.2 * (0.02 / 0.98), leave: 0.2, loss: 1 };

const CONDITIONS: readonly LossyCondition[] = [
  {
    name: "300 ms RTT, 1 % loss",
    file: "lossy-300",
    links: () => ({ up: { delayMs: 150, loss: 0.01 }, down: { delayMs: 150, loss: 0.01 } }),
    steps: [],
    variants: [COPIES, NO_COPIES],
    lostMs: 60,
  },
  {
    name: "100 ms RTT, 5 % loss",
    file: "lossy-100",
    links: () => ({ up: { delayMs: 50, loss: 0.05 }, down: { delayMs: 50, loss: 0.05 } }),
    steps: [],
    variants: [COPIES, NO_COPIES],
    lostMs: 120,
  },
  {
    name: "100 ms RTT, 2 % loss in bursts of 5",
    file: "lossy-bursts",
    links: () => ({ up: { delayMs: 50, burst: BURSTS }, down: { delayMs: 50, burst: BURSTS } }),
    steps: [],
    variants: [COPIES, NO_COPIES],
    lostMs: 500,
  },
];

/** A voice that is sent ahead, as an agent's is, and one that is sent as it is captured. */
const MODES: readonly Medium[] = [
  { ...MEDIA[0]!, name: "ahead" },
  { ...MEDIA[0]!, name: "live", options: { ...MEDIA[0]!.options, mode: "live" } },
];

/** Lanes that run at once: more of them starve each other on two cores, and that sounds like a path that loses. */
const AT_ONCE = 2;

/** From the first audio on: no copies go yet, and nothing is known of the path. It counts by itself. */
const JOINING_MS = 3000;
const FULL = { settleMs: 0, measuredMs: JOINING_MS + 60_000 };
const QUICK = { settleMs: 0, measuredMs: JOINING_MS + 30_000 };

/** How much is lost across links that lose packets by themselves, with the relay's copies and without. */
export const bench: Bench = {
  name: "lossy",
  description: "How much audio is lost across links that lose packets, with the relay's copies and without.",
  conditions: CONDITIONS.map(({ name }) => name),
  async run({ quick, seed, only, progress, log }) {
    const sound = await readSpeech();
    if (quick) log("The controls without copies run without --quick.");
    const lanes = CONDITIONS.filter(({ name }) => only === undefined || name === only).flatMap((condition) =>
      MODES.flatMap((medium) =>
        condition.variants.slice(0, quick ? 1 : undefined).map((variant) => ({ condition, medium, variant })),
      ),
    );
    const bar = progress("lanes", lanes.length);
    const listening = await startFarEnd();
    const farEnd = listening.calls;
    try {
      const results: { readonly result: LaneResult; readonly lostMs: number }[] = [];
      const run = async (each: (typeof lanes)[number], lane: number) => {
        // The same seed for a condition's variants, so that they lose the same packets at first.
        const laneSeed = seed + CONDITIONS.indexOf(each.condition);
        const timing = quick ? QUICK : FULL;
        const result = await runLane({ ...each, ...timing, lane, farEnd, rateBps: 0, seed: laneSeed, sound });
        bar.advance(1);
        return { result, lostMs: each.condition.lostMs };
      };
      for (let lane = 0; lane < lanes.length; lane += AT_ONCE) {
        const some = lanes.slice(lane, lane + AT_ONCE).map((each, index) => run(each, lane + index));
        results.push(...(await Promise.all(some)));
      }
      for (const { result } of results) for (const problem of result.far.problems) log(`${nameOf(result)}: ${problem}`);
      const { p99Ms, maxMs } = await farEnd.delay();
      return [
        ...results.flatMap(({ result, lostMs }) => figures(result, lostMs)),
        row("machine", "p99 ms event loop delay, listening", p99Ms),
        row("machine", "max ms event loop delay, listening", maxMs),
        row("machine", "load average of a core", loadavg()[0]! / cpus().length),
      ];
    } finally {
      bar.stop();
      listening.end();
    }
  },
};

function nameOf({ options: { condition, medium, variant } }: LaneResult): string {
  return [condition.name, medium.name, ...(variant.name === undefined ? [] : [variant.name])].join(", ");
}

function figures(result: LaneResult, lostMs: number): Row[] {
  const { far, span, options, lowGroups, copies } = result;
  const name = nameOf(result);
  const isControl = options.variant.name !== undefined;
  const joined = span.from + JOINING_MS * 1000;
  const joining = lostIn(far, { from: span.from, to: joined });
  const steady = lostIn(far, { from: joined, to: span.to });
  const minutes = (options.measuredMs - JOINING_MS) / 60_000;
  const low = (lowGroups / (options.measuredMs / FRAME_MS)) * 100;
  return [
    row(name, "silent + concealed ms in the first 3 s", joining.silent + joining.madeUp),
    row(
      name,
      "silent + concealed ms a minute, after those",
      (steady.silent + steady.madeUp) / minutes,
      isControl ? undefined : { atMost: lostMs },
    ),
    row(name, "of these silent", steady.silent / minutes),
    row(name, "% in the low rendition", low, isControl ? undefined : { atMost: 0 }),
    row(name, "copies a second", copies / (options.measuredMs / 1000)),
    row(name, "kbit/s on the wire", wireRateBps(far.samples, span) / 1000),
  ];
}

function lostIn(far: FarNotes, span: Span): { readonly silent: number; readonly madeUp: number } {
  return { silent: silentMs(far.runs, span), madeUp: madeUpMs(far, span, FRAME_MS) };
}
