import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import { Relay } from "../relay/index.js";
import type { Link } from "../tests/support/impairment.js";
import { type Bench, percentile, percentileRows, type Row, row, seededRandom, type Target } from "./harness.js";
import { type FarEnd, startFarEnd } from "./silence/far-end.js";
import { type Interrupt, type Interrupting, Lane } from "./silence/lane.js";
import { readSpeech } from "./silence/speech.js";

interface Condition {
  readonly name: string;
  readonly link: Link;
  readonly silence?: { p50?: Target; p99?: Target };
  readonly replyP99?: Target;
  readonly renegedBytes?: Target;
}

/** A round trip of 40 ms and 150 ms more, for the row of the slow link. */
const SLOW_REPLY_MS = 40 + 150;

const CONDITIONS: readonly Condition[] = [
  { name: "loopback", link: {} },
  { name: "100 ms RTT", link: { delayMs: 50 }, silence: { p50: { atMost: 60 }, p99: { atMost: 70 } } },
  {
    name: "100 ms RTT, 2 % loss",
    link: { delayMs: 50, loss: 0.02 },
    silence: { p50: { atMost: 60 }, p99: { atMost: 85 } },
  },
  { name: "100 ms RTT, burst loss", link: { delayMs: 50, burst: { enter: 0.01, leave: 0.25, loss: 0.6 } } },
  {
    name: "200 kbit/s, 40 ms RTT",
    link: { delayMs: 20, rateBps: 200_000, queueBytes: Number.POSITIVE_INFINITY },
    silence: { p99: { atMost: 200 } },
    replyP99: { atMost: SLOW_REPLY_MS },
    renegedBytes: { atMost: 6 * 1024 },
  },
];

interface Variant {
  readonly name: string;
  readonly interrupting: Interrupting;
  readonly takeBack: boolean;
  /** Broadcasts at the same time. */
  readonly lanes: number;
  /** How often to interrupt at least; undefined where it goes on as long as the others do. */
  readonly interrupts: number | undefined;
}

const VARIANTS: readonly Variant[] = [
  { name: "take-back", interrupting: "rewind", takeBack: true, lanes: 2, interrupts: 300 },
  { name: "relay without", interrupting: "rewind", takeBack: false, lanes: 1, interrupts: 100 },
  { name: "fresh track", interrupting: "track", takeBack: true, lanes: 1, interrupts: 100 },
  // One interrupt takes as long as what was sent ahead.
  { name: "nothing taken back", interrupting: "nothing", takeBack: true, lanes: 1, interrupts: undefined },
];
const TOTAL = CONDITIONS.length * VARIANTS.reduce((sum, { interrupts = 0 }) => sum + interrupts, 0);

/** How long a quick run interrupts under one condition. */
const QUICK_MS = 5000;

/** From the publisher's `interrupt()` to the last sample of the old speech at a listener's speaker. */
export const bench: Bench = {
  name: "silence",
  description: "How soon speech sent 8 s ahead falls silent after an interrupt, beside what people have today.",
  async run({ quick, seed, progress, log }) {
    // The protocol library tells every step of its own.
    console.debug = () => {};
    const speech = await readSpeech();
    const random = seededRandom(seed);
    const bar = quick ? progress("conditions", CONDITIONS.length) : progress("interrupts", TOTAL);
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const before = performance.eventLoopUtilization();
    const rows: Row[] = [];
    const farEnd = await startFarEnd();
    try {
      for (const condition of CONDITIONS) {
        const onInterrupt = () => quick || bar.advance(1);
        const figures = await measure(condition, { farEnd, speech, random, quick, onInterrupt });
        for (const each of figures) if (each.interrupts.length > 0) rows.push(...tell(each));
        if (quick) bar.advance(1);
      }
    } finally {
      farEnd.end();
    }
    bar.stop();
    delay.disable();
    log("Sound is not denoised here. Publishers and relays share one process, links and listeners another.");
    log("Of the variants to compare with there are fewer interrupts, least where the old speech has to play out.");
    const { utilization } = performance.eventLoopUtilization(before);
    return [
      ...rows,
      row("machine", "event loop busy %", utilization * 100),
      row("machine", "p99 ms event loop delay", delay.percentile(99) / 1e6),
    ];
  },
};

interface Figures {
  readonly condition: Condition;
  readonly variant: Variant;
  readonly interrupts: Interrupt[];
  /** Interrupts that do not count, because the listener was silent at the call. */
  silent: number;
}

let laneNumber = 0;

interface MeasureOptions {
  readonly farEnd: FarEnd;
  readonly speech: Float32Array;
  readonly random: () => number;
  readonly quick: boolean;
  readonly onInterrupt: () => void;
}

/** All variants of a condition at the same time, with one relay of each kind. */
async function measure(condition: Condition, options: MeasureOptions): Promise<Figures[]> {
  const { farEnd, speech, random, quick, onInterrupt } = options;
  const plain = new Relay({ port: 0, takeBack: false });
  const takingBack = new Relay({ port: 0 });
  // In a quick run the old speech plays out once, under the first condition: it takes the time of everything else.
  const isMeasured = ({ interrupting }: Variant) => !quick || interrupting !== "nothing" || condition === CONDITIONS[0];
  const figures = VARIANTS.filter(isMeasured).map(
    (variant): Figures => ({ condition, variant, interrupts: [], silent: 0 }),
  );
  const lanes: Lane[] = [];
  const startedAt = performance.now();
  const isShort = ({ variant, interrupts }: Figures) => interrupts.length < (variant.interrupts ?? 0);

  async function run(each: Figures): Promise<void> {
    const { variant, interrupts } = each;
    const relay = variant.takeBack ? takingBack : plain;
    const lane = await Lane.open({
      lane: ++laneNumber,
      farEnd,
      relay: { port: relay.address.port, certificateHash: relay.fingerprint },
      interrupting: variant.interrupting,
      link: condition.link,
      seed: Math.floor(random() * 2 ** 31),
      random,
      speech,
    });
    lanes.push(lane);
    const goesOn = () => {
      if (quick) return performance.now() - startedAt < QUICK_MS;
      return variant.interrupts === undefined ? figures.some(isShort) : isShort(each);
    };
    while (goesOn()) {
      const interrupt = await lane.interrupt();
      if (interrupt === undefined) each.silent++;
      else interrupts.push(interrupt);
      onInterrupt();
    }
  }

  try {
    await Promise.all([plain.listen(), takingBack.listen()]);
    const jobs = figures.flatMap((each) => Array.from({ length: quick ? 1 : each.variant.lanes }, () => each));
    await Promise.all(jobs.map(run));
    return figures;
  } finally {
    await Promise.all(lanes.map((lane) => lane.close()));
    await Promise.all([plain.close(), takingBack.close()]);
  }
}

function tell({ condition, variant, interrupts, silent }: Figures): Row[] {
  const name = `${condition.name}, ${variant.name}`;
  const own = variant.name === "take-back";
  const at = (fraction: number, values: number[]) => (values.length === 0 ? null : percentile(values, fraction));
  const replies = interrupts.map(({ replyMs }) => replyMs);
  const bytes = interrupts.map(({ renegedBytes }) => renegedBytes);
  const silences = interrupts.map(({ silenceMs }) => silenceMs);
  const rows = [
    row(name, "interrupts", interrupts.length),
    row(name, "interrupts of a silent listener, left out", silent),
    ...percentileRows(name, "ms to silence", silences, own ? condition.silence : {}),
    row(name, "p50 ms to the new speech", at(0.5, replies)),
    row(name, "p99 ms to the new speech", at(0.99, replies), own ? condition.replyP99 : undefined),
    row(
      name,
      "p50 ms of jitter buffer",
      at(
        0.5,
        interrupts.map(({ jitterMs }) => jitterMs),
      ),
    ),
    row(name, "p50 bytes taken back that crossed", at(0.5, bytes)),
    row(name, "max bytes taken back that crossed", at(1, bytes), own ? condition.renegedBytes : undefined),
  ];
  if (variant.interrupting === "nothing") return rows;
  const errors = interrupts.flatMap(({ heardErrorMs }) => heardErrorMs ?? []);
  return [
    ...rows,
    row(
      name,
      "stale ms after the flush",
      interrupts.reduce((sum, { staleMs }) => sum + staleMs, 0),
      { atMost: 0 },
    ),
    row(name, "p99 ms off the heard position", at(0.99, errors), own ? { atMost: 20 } : undefined),
    row(name, "told beyond received", interrupts.filter((each) => each.beyondReceived).length, { atMost: 0 }),
    row(name, "not reported in time", interrupts.filter(({ measured }) => !measured).length),
  ];
}
