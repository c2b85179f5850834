import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import type { Link } from "../tests/support/impairment.js";
import { type Bench, percentile, percentileRows, type Row, row, seededRandom, type Target } from "./harness.js";
import { startFarEnd } from "./silence/far-end.js";
import { type Interrupt, type Interrupting, Lane, type Stage, sleep } from "./silence/lane.js";
import { startRelays } from "./silence/relays.js";
import { readSpeech } from "./silence/speech.js";
import { StallWatch } from "./silence/stalls.js";

interface Condition {
  readonly name: string;
  readonly link: Link;
  readonly silence?: { p50?: Target; p99?: Target };
  readonly replyP99?: Target;
  readonly staleBytes?: Target;
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
    staleBytes: { atMost: 6 * 1024 },
  },
];

interface Variant {
  readonly name: string;
  readonly interrupting: Interrupting;
  /** Whether the relay takes back too. */
  readonly takeBack: boolean;
  /** Broadcasts at the same time. */
  readonly lanes: number;
}

/** Ours goes first and alone, so that the others' work does not lengthen its tail. */
const OURS: Variant = { name: "take-back", interrupting: "rewind", takeBack: true, lanes: 2 };
const CONTROLS: readonly Variant[] = [
  // The new speech waits for the old, of which the relay sends two seconds in one.
  { name: "relay without", interrupting: "rewind", takeBack: false, lanes: 4 },
  { name: "fresh track", interrupting: "track", takeBack: true, lanes: 2 },
  // Nothing is disturbed by a call, so that the next one need not wait for what this one comes to.
  { name: "nothing taken back", interrupting: "nothing", takeBack: true, lanes: 1 },
];
const VARIANTS: readonly Variant[] = [OURS, ...CONTROLS];

/** How often to interrupt in each row at least. */
const INTERRUPTS = 300;
/** Longest time between two calls where nothing is taken back. */
const APART_MS = 900;
/** How long a quick run interrupts under one condition. */
const QUICK_MS = 5000;
/** A row whose lanes break this often is given up. */
const MAX_FAILURES = 8;

/** From the publisher's `interrupt()` to the last sample of the old speech at a listener's speaker. */
export const bench: Bench = {
  name: "silence",
  description: "How soon speech sent 8 s ahead falls silent after an interrupt, beside what people have today.",
  conditions: CONDITIONS.map(({ name }) => name),
  async run({ quick, seed, only, progress, log }) {
    // The protocol library logs every step to the console.
    console.debug = () => {};
    const speech = await readSpeech();
    const random = seededRandom(seed);
    const conditions = CONDITIONS.filter(({ name }) => only === undefined || name === only);
    const bar = quick
      ? progress("conditions", conditions.length)
      : progress("interrupts", conditions.length * VARIANTS.length * INTERRUPTS);
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const before = performance.eventLoopUtilization();
    const rows: Row[] = [];
    let theater = await Theater.open();
    try {
      for (const condition of conditions) {
        const onInterrupt = () => quick || bar.advance(1, condition.name);
        const figures = VARIANTS.map(
          (variant): Figures => ({ condition, variant, interrupts: [], silent: 0, failures: 0 }),
        );
        try {
          await measure(figures, { stage: theater.stage, speech, random, quick, onInterrupt, log });
        } catch (error) {
          log(`"${condition.name}" broke off: ${(error as Error).message}`);
          theater.close();
          theater = await Theater.open();
        }
        rows.push(...figures.filter((each) => !isLeftOut(each, quick)).flatMap(rowsOf));
        if (quick) bar.advance(1);
      }
    } finally {
      theater.close();
    }
    bar.stop();
    delay.disable();
    log("Sound is not denoised here. Publishers, relays, and listeners with their links have a process each.");
    log("Without stalls: less the time in which an event loop on the way stood still, busy or waiting for a core.");
    const { utilization } = performance.eventLoopUtilization(before);
    return [
      ...rows,
      row("publishers", "event loop busy %", utilization * 100),
      row("publishers", "p99 ms event loop delay", delay.percentile(99) / 1e6),
    ];
  },
};

/** The three processes. */
class Theater {
  readonly stage: Stage;
  readonly #ends: readonly (() => void)[];

  private constructor(stage: Stage, ends: readonly (() => void)[]) {
    this.stage = stage;
    this.#ends = ends;
  }

  /** Starts the relays' and the listeners'. */
  static async open(): Promise<Theater> {
    const [farEnd, relays] = await Promise.all([startFarEnd(), startRelays()]);
    const stage = { farEnd: farEnd.calls, relays: relays.calls, stalls: new StallWatch() };
    return new Theater(stage, [farEnd.end, relays.end, () => stage.stalls.stop()]);
  }

  /** Ends them. */
  close(): void {
    for (const end of this.#ends) end();
  }
}

interface Figures {
  readonly condition: Condition;
  readonly variant: Variant;
  readonly interrupts: Interrupt[];
  /** Interrupts that do not count, because the listener was silent at the call. */
  silent: number;
  /** Lanes that broke. */
  failures: number;
}

let laneNumber = 0;

interface MeasureOptions {
  readonly stage: Stage;
  readonly speech: Float32Array;
  readonly random: () => number;
  readonly quick: boolean;
  readonly onInterrupt: () => void;
  readonly log: (sentence: string) => void;
}

/** In a quick run the old speech plays out once, under the first condition: it takes the time of everything else. */
function isLeftOut({ condition, variant }: Figures, quick: boolean): boolean {
  return quick && variant.interrupting === "nothing" && condition !== CONDITIONS[0];
}

/** All variants of a condition, ours and then the others at the same time, with one relay of each kind. */
async function measure(figures: readonly Figures[], options: MeasureOptions): Promise<void> {
  const { stage, speech, random, quick, onInterrupt, log } = options;
  const takingBack = await stage.relays.open({ takeBack: true });
  const plain = await stage.relays.open({ takeBack: false });
  const startedAt = performance.now();

  const run = async (each: Figures): Promise<void> => {
    const { condition, variant, interrupts } = each;
    const goesOn = () =>
      quick ? performance.now() - startedAt < QUICK_MS : interrupts.length < INTERRUPTS && each.failures < MAX_FAILURES;
    const note = (interrupt: Interrupt | undefined) => {
      if (interrupt === undefined) each.silent++;
      else interrupts.push(interrupt);
      onInterrupt();
    };
    const lane = await Lane.open({
      stage,
      lane: ++laneNumber,
      relay: variant.takeBack ? takingBack : plain,
      interrupting: variant.interrupting,
      link: condition.link,
      seed: Math.floor(random() * 2 ** 31),
      random,
      speech,
    });
    try {
      if (variant.interrupting === "nothing")
        await overlap(lane, { random, count: quick ? 1 : INTERRUPTS - interrupts.length, note });
      else
        while (goesOn()) {
          await lane.ready();
          note(await lane.interrupt());
        }
    } finally {
      await lane.close().catch(() => {});
    }
  };

  const persist = async (each: Figures): Promise<void> => {
    while (each.failures < MAX_FAILURES) {
      try {
        return await run(each);
      } catch (error) {
        each.failures++;
        log(`A lane of "${each.condition.name}, ${each.variant.name}" broke: ${(error as Error).message}`);
      }
    }
  };

  try {
    const start = (each: Figures) => Array.from({ length: quick ? 1 : each.variant.lanes }, () => persist(each));
    const [ours, ...controls] = figures.filter((each) => !isLeftOut(each, quick));
    if (!quick) await Promise.all(start(ours!));
    await Promise.all((quick ? [ours!, ...controls] : controls).flatMap(start));
  } finally {
    for (const { port } of [takingBack, plain]) await stage.relays.close(port);
  }
}

/** Calls a while apart, and waits for what all of them come to. */
async function overlap(
  lane: Lane,
  options: { random: () => number; count: number; note: (interrupt: Interrupt | undefined) => void },
): Promise<void> {
  const { random, count, note } = options;
  await lane.ready();
  const calls: Promise<void>[] = [];
  for (let call = 0; call < count; call++) {
    const interrupt = lane.interrupt().then(note);
    // Whether it failed is looked at in the end.
    interrupt.catch(() => {});
    calls.push(interrupt);
    await sleep(random() * APART_MS);
  }
  await Promise.all(calls);
}

function rowsOf({ condition, variant, interrupts, silent, failures }: Figures): Row[] {
  const name = `${condition.name}, ${variant.name}`;
  const own = variant === OURS;
  const at = (fraction: number, get: (interrupt: Interrupt) => number) =>
    interrupts.length === 0 ? null : percentile(interrupts.map(get), fraction);
  const silences = interrupts.map(({ silenceMs }) => silenceMs);
  const unstalled = ({ silenceMs, stalledMs }: Interrupt) => Math.max(0, silenceMs - stalledMs);
  const rows = [
    row(name, "interrupts", interrupts.length),
    row(name, "interrupts of a silent listener, left out", silent),
    row(name, "lanes that broke", failures),
    ...percentileRows(name, "ms to silence", silences, own ? condition.silence : {}),
    row(name, "p99 ms to silence without stalls", at(0.99, unstalled)),
    row(name, "% stalls of what the slowest 5 % took longer", tailStalled(interrupts)),
    row(
      name,
      "p50 ms to the new speech",
      at(0.5, ({ replyMs }) => replyMs),
    ),
    row(
      name,
      "p99 ms to the new speech",
      at(0.99, ({ replyMs }) => replyMs),
      own ? condition.replyP99 : undefined,
    ),
    row(
      name,
      "p50 ms of jitter buffer before",
      at(0.5, ({ jitterMs }) => jitterMs),
    ),
    row(
      name,
      "p50 bytes taken back that crossed",
      at(0.5, ({ staleBytes }) => staleBytes),
    ),
    row(
      name,
      "max bytes taken back that crossed",
      at(1, ({ staleBytes }) => staleBytes),
      own ? condition.staleBytes : undefined,
    ),
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
    row(
      name,
      "p99 ms off the heard position",
      errors.length === 0 ? null : percentile(errors, 0.99),
      own ? { atMost: 20 } : undefined,
    ),
    row(name, "reported beyond received", interrupts.filter((each) => each.beyondReceived).length, { atMost: 0 }),
    row(name, "not reported in time", interrupts.filter(({ measured }) => !measured).length),
  ];
}

/** Of the time by which the slowest twentieth exceed the median, the share that lies within stalls, in percent. */
function tailStalled(interrupts: readonly Interrupt[]): number | null {
  if (interrupts.length === 0) return null;
  const silences = interrupts.map(({ silenceMs }) => silenceMs);
  const [middle, slow] = [percentile(silences, 0.5), percentile(silences, 0.95)];
  let excess = 0;
  let stalled = 0;
  for (const { silenceMs, stalledMs } of interrupts) {
    if (silenceMs < slow) continue;
    excess += silenceMs - middle;
    stalled += Math.min(stalledMs, silenceMs - middle);
  }
  return excess === 0 ? null : (stalled / excess) * 100;
}
