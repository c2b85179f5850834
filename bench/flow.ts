import { mkdir, writeFile } from "node:fs/promises";
import { cpus, loadavg } from "node:os";
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import { measureBulk } from "./flow/bulk.js";
import {
  AMPLE,
  type Condition,
  DIRECT,
  FRAME_MS,
  LOSSY,
  MEDIA,
  type Medium,
  ONSET,
  STEP,
  TIGHT,
  UPWARD,
  UPWARD_QUEUE,
  type Variant,
} from "./flow/conditions.js";
import { startFarEnd } from "./flow/far-end.js";
import { lateForMs, leadBuckets, madeUpMs, playheadErrors, type Span, silentMs, wireRateBps } from "./flow/figures.js";
import { type LaneResult, runLane } from "./flow/lane.js";
import { plot } from "./flow/plot.js";
import { type Bench, median, percentile, type Row, row, type Target } from "./harness.js";
import { readSpeech } from "./silence/speech.js";

const PLOTS = new URL("../docs/flow/", import.meta.url);

const FULL = { settleMs: 10_000, measuredMs: 60_000 };
const QUICK = { settleMs: 2500, measuredMs: 8000 };

/** Conditions that are measured at the same time, after the direct link has shown each medium's rate. */
const FULL_ROUNDS: readonly (readonly Condition[])[] = [[AMPLE, LOSSY], [TIGHT], [ONSET], [UPWARD_QUEUE]];
const QUICK_ROUNDS: readonly (readonly Condition[])[] = [
  [AMPLE, TIGHT, LOSSY],
  [ONSET, UPWARD_QUEUE],
];

/** Whether sound is at the listener's before its turn, across links that are narrow, change, queue or lose. */
export const bench: Bench = {
  name: "flow",
  description: "How early sound lands across narrow, changing, queueing and lossy links, beside parts left out.",
  async run({ quick, seed, progress, log }) {
    // The protocol library logs every step to the console.
    console.debug = () => {};
    const sound = await readSpeech();
    const rounds = [[DIRECT], ...(quick ? QUICK_ROUNDS : FULL_ROUNDS)];
    const bar = progress("rounds", rounds.length + 1);
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const before = performance.eventLoopUtilization();
    const listening = await startFarEnd();
    const farEnd = listening.calls;
    const rates = new Map<Medium, number>();
    const rows: Row[] = [];
    let lane = 0;
    let farDelay = { p99Ms: 0, maxMs: 0 };
    try {
      for (const round of rounds) {
        const lanes = round.flatMap((condition) =>
          MEDIA.flatMap((medium) =>
            condition.variants
              .filter((variant) => !quick || isQuick(condition, medium, variant))
              .map((variant) => ({ condition, medium, variant })),
          ),
        );
        const results = await Promise.all(
          lanes.map((each) => {
            const rateBps = rates.get(each.medium) ?? 0;
            const timing = quick ? QUICK : FULL;
            return runLane({ ...each, ...timing, lane: ++lane, farEnd, rateBps, seed: seed + lane, sound });
          }),
        );
        for (const result of results) {
          const { condition, medium } = result.options;
          if (condition === DIRECT) rates.set(medium, wireRateBps(result.far.samples, result.span));
          for (const problem of result.far.problems) log(`${nameOf(result)}: ${problem}`);
          if (!quick) log(describeBuckets(result));
          rows.push(...rowsOf(result));
        }
        if (!quick) await draw(results);
        bar.advance(1);
      }
      farDelay = await farEnd.delay();
      bar.advance(0, "payloads");
      rows.push(...(await measureBulk({ quick, seed, sound })));
      bar.advance(1);
    } finally {
      listening.end();
    }
    bar.stop();
    delay.disable();
    log("A link's rate is a multiple of what the medium took on the direct link, IP and UDP headers included.");
    log("Sound is not denoised here: bleed is sound that the decoder made up for what did not come in time.");
    log("On a machine that is busy with other things sound comes late on any link: see the last rows.");
    log("Publishers and relays share one process, links and listeners another.");
    return [
      ...rows,
      row("machine", "publishing process busy %", performance.eventLoopUtilization(before).utilization * 100),
      row("machine", "p99 ms event loop delay, publishing", delay.percentile(99) / 1e6),
      row("machine", "max ms event loop delay, publishing", delay.max / 1e6),
      row("machine", "p99 ms event loop delay, listening", farDelay.p99Ms),
      row("machine", "max ms event loop delay, listening", farDelay.maxMs),
      row("machine", "load average of a core", loadavg()[0]! / cpus().length),
    ];
  },
};

/** In a quick run the machine would be too busy for all. */
function isQuick(condition: Condition, medium: Medium, variant: Variant): boolean {
  if (medium !== MEDIA[0]) return condition === DIRECT || condition === AMPLE;
  return condition === UPWARD_QUEUE || variant === condition.variants[0];
}

function nameOf({ options: { condition, medium, variant } }: LaneResult): string {
  return [condition.name, medium.name, ...(variant.name === undefined ? [] : [variant.name])].join(", ");
}

function part({ from, to }: Span, shares: { readonly from: number; readonly to: number }): Span {
  return { from: from + (to - from) * shares.from, to: from + (to - from) * shares.to };
}

function rowsOf(result: LaneResult): Row[] {
  const { far, near, span, options } = result;
  const { condition, variant } = options;
  const name = nameOf(result);
  // A variant of the design is there for comparison, and has no target.
  const target = (only: readonly Condition[], wanted: Target) =>
    variant.name === undefined && only.includes(condition) ? wanted : undefined;

  const buckets = leadBuckets(far.landings, span);
  const leads = far.landings.filter(({ at }) => at >= span.from && at < span.to).map(({ lead }) => lead / 1000);
  const late = leads.filter((lead) => lead < 0);
  const silent = silentMs(far.runs, span);
  const madeUp = madeUpMs(far, span, FRAME_MS);
  const errors = playheadErrors(near, far.samples, span).map(({ errorMs }) => Math.abs(errorMs));
  const staleness = near.filter(({ at }) => at >= span.from).map(({ stalenessMs }) => stalenessMs ?? 0);
  const queued = far.samples.filter(({ at }) => at >= span.from).map(({ downQueuedBytes }) => downQueuedBytes);
  const share = leads.length === 0 ? null : (late.length / leads.length) * 100;
  return [
    row(name, "groups landed", leads.length),
    row(
      name,
      "least ms of lead",
      leads.length === 0 ? null : Math.min(...leads),
      target([DIRECT, AMPLE], { atLeast: 0 }),
    ),
    row(name, "median ms of lead", leads.length === 0 ? null : median(leads)),
    row(name, "% landed late", share, target([TIGHT], { atMost: 1 })),
    row(name, "5 s buckets with one late", buckets.filter(({ negative }) => negative > 0).length),
    row(name, "bleed ms", madeUp),
    row(name, "underrun ms", silent),
    ...(condition === ONSET ? tellOnset(result, name) : []),
    ...(condition === UPWARD_QUEUE ? tellUpward(result, name) : []),
    row(name, "p50 ms off the playhead", errors.length === 0 ? null : median(errors)),
    row(name, "max ms off the playhead", errors.length === 0 ? null : Math.max(...errors)),
    row(name, "max ms of staleness", staleness.length === 0 ? null : Math.max(...staleness)),
    row(name, "max bytes in flight", queued.length === 0 ? null : Math.max(...queued)),
    row(name, "groups of the lower rendition", result.lowGroups),
    row(name, "kbit/s on the wire", wireRateBps(far.samples, span) / 1000),
  ];
}

/** From the step on. */
function tellOnset({ far, span, options: { variant } }: LaneResult, name: string): Row[] {
  const after = part(span, { from: STEP.from, to: 1 });
  const lost = silentMs(far.runs, after) + madeUpMs(far, after, FRAME_MS);
  const own = variant.name === undefined;
  return [
    row(name, "bleed + underrun ms from the onset on", lost, own ? { atMost: 250 } : undefined),
    row(name, "ms until leads are positive again", lateForMs(far.landings, after), own ? { atMost: 1000 } : undefined),
  ];
}

/** While there is a queue on the way up: how far it moves the estimate. */
function tellUpward({ far, near, span, options: { variant } }: LaneResult, name: string): Row[] {
  const usual = playheadErrors(near, far.samples, part(span, { from: 0, to: UPWARD.from })).map((each) => each.errorMs);
  const during = playheadErrors(near, far.samples, part(span, { from: UPWARD.from, to: UPWARD.to }));
  if (usual.length === 0 || during.length === 0) return [row(name, "p99 ms the queue moves the playhead", null)];
  const middle = median(usual);
  const moved = during.map(({ errorMs }) => Math.abs(errorMs - middle));
  const own = variant.name === undefined;
  return [
    row(name, "p99 ms the queue moves the playhead", percentile(moved, 0.99), own ? { atMost: 50 } : undefined),
    row(name, "max ms the queue moves the playhead", Math.max(...moved)),
  ];
}

function describeBuckets(result: LaneResult): string {
  const buckets = leadBuckets(result.far.landings, result.span);
  const cells = buckets.map(
    ({ count, min, median: middle, negative }) =>
      `${count}/${Math.round(min / 1000)}/${Math.round(middle / 1000)}/${Math.round(negative * 100)}`,
  );
  return `${nameOf(result)}, leads by 5 s (n/min ms/median ms/% late): ${cells.join(" ")}`;
}

/** One plot for each condition and medium. */
async function draw(results: readonly LaneResult[]): Promise<void> {
  await mkdir(PLOTS, { recursive: true });
  const groups = new Map<string, LaneResult[]>();
  for (const result of results) {
    const { condition, medium } = result.options;
    const file = `${condition.file}-${medium.name}.svg`;
    groups.set(file, [...(groups.get(file) ?? []), result]);
  }
  for (const [file, [first, ...others]] of groups) {
    const { condition, medium } = first!.options;
    await writeFile(new URL(file, PLOTS), plot(`${condition.name}, ${medium.name}`, [first!, ...others]));
  }
}
