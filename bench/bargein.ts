import { fileURLToPath } from "node:url";
import type { Link } from "../tests/support/impairment.js";
import { type BargeIn, Call } from "./bargein/call.js";
import { ESTIMATES, estimateRows } from "./bargein/estimates.js";
import { FALSE_TRIGGERS, falseTriggerRows } from "./bargein/false-triggers.js";
import { startCaller } from "./bargein/far-end.js";
import { checkProperties, PROPERTIES } from "./bargein/properties.js";
import { VOICES } from "./bargein/voices.js";
import { countWords, type Reply, readReply, readUtterances, wordsWithin } from "./bargein/words.js";
import { type Bench, type BenchContext, percentileRows, type Row, row, seededRandom, type Target } from "./harness.js";
import { startRelays } from "./silence/relays.js";

interface Condition {
  readonly name: string;
  readonly link: Link;
  /** From the decision to silence. */
  readonly silence?: { readonly p50: Target; readonly p99: Target };
  /** From the caller's voice to silence. */
  readonly speech?: { readonly p50: Target; readonly p95: Target };
}

const CONDITIONS: readonly Condition[] = [
  { name: "loopback", link: {}, speech: { p50: { atMost: 150 }, p95: { atMost: 250 } } },
  {
    name: "100 ms RTT, 2 % loss",
    link: { delayMs: 50, loss: 0.02 },
    silence: { p50: { atMost: 60 }, p99: { atMost: 85 } },
  },
];
const TIMES = { full: 200, quick: 2 };
/** Name of the condition in which the agent's process stands still for 50 to 400 ms again and again around a cut. */
const STALLS = "stalling process";
const CUTS = { full: 60, quick: 2 };
const MODEL = fileURLToPath(new URL("../models/unsay-denoise.onnx", import.meta.url));
/** A condition that fails this often in a row is given up. */
const MAX_FAILURES = 5;

/** From a caller's first word to the agent's last sample at the caller's speaker, and what the agent knows of it. */
export const bench: Bench = {
  name: "bargein",
  description: "How soon an agent falls silent when its caller speaks, and which words it knows were heard.",
  conditions: [...CONDITIONS.map(({ name }) => name), STALLS, FALSE_TRIGGERS, ESTIMATES, ...Object.keys(PROPERTIES)],
  async run(context) {
    const { quick, only, seed, progress, log } = context;
    const random = seededRandom(seed);
    const reply = await readReply();
    const conditions = CONDITIONS.filter(({ name }) => only === undefined || name === only);
    const times = quick ? TIMES.quick : TIMES.full;
    const bar = progress("barge-ins", conditions.length * times);
    const rows: Row[] = [];
    for (const condition of conditions) {
      const found = await measure(condition, reply, {
        times,
        random,
        advance: () => bar.advance(1, condition.name),
        log,
      });
      rows.push(...rowsOf(condition, reply, found));
    }
    bar.stop();
    if (only === undefined || only === STALLS) rows.push(...(await stallRows(context, reply, random)));
    if (only === undefined || only === FALSE_TRIGGERS) rows.push(...(await falseTriggerRows(context)));
    if (only === undefined || only === ESTIMATES) rows.push(...(await estimateRows(context)));
    rows.push(...(await checkProperties(context)));
    log("Control: the same answer sent whole over a WebSocket to a player that a message clears at the same decision.");
    log("Its TCP is emulated and kind: no slow start, and all that a flight loses comes with its next round trip.");
    return rows;
  },
};

interface Found {
  readonly bargeIns: readonly BargeIn[];
  readonly missed: number;
  readonly unheardShare: number;
}

interface MeasureOptions {
  readonly times: number;
  readonly random: () => number;
  readonly advance: () => void;
  readonly log: BenchContext["log"];
}

async function measure(
  condition: Condition,
  reply: Reply,
  { times, random, advance, log }: MeasureOptions,
): Promise<Found> {
  const utterances = await readUtterances(reply);
  const [relays, caller] = await Promise.all([startRelays(), startCaller()]);
  const bargeIns: BargeIn[] = [];
  let missed = 0;
  let unheardShare = 0;
  try {
    const relay = await relays.calls.open({ takeBack: true });
    const call = await Call.open({
      relay,
      farEnd: caller.calls,
      link: condition.link,
      seed: Math.floor(random() * 2 ** 31),
      random,
      reply,
      model: MODEL,
    });
    for (let failures = 0; bargeIns.length < times && failures < MAX_FAILURES; ) {
      const word = utterances[Math.floor(random() * utterances.length)]!;
      const found = await call.bargeIn(word, bargeIns.length % 2 === 0);
      if (found === undefined) {
        missed++;
        failures++;
        continue;
      }
      failures = 0;
      bargeIns.push(found);
      advance();
    }
    ({ unheardShare } = call);
    await call.close();
  } catch (error) {
    log(`"${condition.name}" broke off: ${(error as Error).message}`);
  } finally {
    relays.end();
    caller.end();
  }
  return { bargeIns, missed, unheardShare };
}

// The truncation position of every way to say an answer.
async function stallRows(
  { quick, progress }: BenchContext,
  reply: Reply,
  random: () => number,
): Promise<readonly Row[]> {
  const times = quick ? CUTS.quick : CUTS.full;
  const voices = Object.keys(VOICES);
  const bar = progress(STALLS, times * voices.length);
  const [relays, caller] = await Promise.all([startRelays(), startCaller()]);
  try {
    const relay = await relays.calls.open({ takeBack: true });
    const seed = Math.floor(random() * 2 ** 31);
    const call = await Call.open({ relay, farEnd: caller.calls, link: {}, seed, random, reply, model: MODEL });
    const rows: Row[] = [];
    for (const voice of voices) {
      const offs: number[] = [];
      for (let time = 0; time < times; time++) {
        const cut = await call.cut(voice);
        if (cut !== undefined) offs.push(Math.abs(cut.heardMs - cut.speakerMs));
        bar.advance(1);
      }
      rows.push(...percentileRows(`${STALLS}: ${voice}`, "ms heard off speaker", offs, { p95: { atMost: 60 } }));
      rows.push(row(`${STALLS}: ${voice}`, "cuts", offs.length, { atLeast: times }));
    }
    await call.close();
    return rows;
  } finally {
    bar.stop();
    relays.end();
    caller.end();
  }
}

function rowsOf({ name, silence, speech }: Condition, reply: Reply, { bargeIns, missed, unheardShare }: Found): Row[] {
  const of = (read: (each: BargeIn) => number) => bargeIns.map(read);
  const p50And95 = (unit: string, values: readonly number[]) => percentileRows(name, unit, values).slice(0, 2);
  return [
    ...percentileRows(
      name,
      "ms speech to silence",
      of((each) => each.detectionMs + each.silenceMs),
      speech,
    ),
    ...percentileRows(
      name,
      "ms interrupt to silence",
      of(({ silenceMs }) => silenceMs),
      silence,
    ),
    ...p50And95(
      "ms detection",
      of(({ detectionMs }) => detectionMs),
    ),
    ...p50And95(
      "ms of that until voice arrives",
      of(({ wayUpMs }) => wayUpMs),
    ),
    ...p50And95(
      "ms signalling",
      of(({ signallingMs }) => signallingMs),
    ),
    ...p50And95(
      "ms flush",
      of(({ flushMs }) => flushMs),
    ),
    ...percentileRows(
      name,
      "ms heard off speaker",
      of(({ heardMs, speakerMs }) => Math.abs(heardMs - speakerMs)),
      {
        p95: { atMost: 20 },
      },
    ),
    ...wordRows(name, reply, bargeIns),
    row(name, "stale ms", Math.max(0, ...of(({ staleMs }) => staleMs)), { atMost: 0 }),
    row(name, "barge-ins", bargeIns.length),
    row(name, "words not found, or into silence", missed),
    row(name, "% of the caller that the model was too slow for", unheardShare * 100),
    ...control(`${name}: WebSocket`, reply, bargeIns),
  ];
}

function wordRows(name: string, reply: Reply, bargeIns: readonly BargeIn[]): Row[] {
  const offs = (isTimed: boolean) =>
    bargeIns
      .filter((each) => each.isTimed === isTimed)
      .map(({ heardText, speakerMs }) => countWords(heardText) - wordsWithin(reply, speakerMs));
  const share = (values: readonly number[], within: number) =>
    values.length === 0 ? null : (values.filter((off) => Math.abs(off) <= within).length / values.length) * 100;
  const timed = offs(true);
  const untimed = offs(false);
  return [
    row(name, "% exact word, with timings", share(timed, 0), { atLeast: 99 }),
    row(name, "% within a word, without", share(untimed, 1), { atLeast: 90 }),
    row(name, "texts with an unheard word, with timings", timed.filter((off) => off > 0).length, { atMost: 0 }),
    row(name, "texts with an unheard word, without", untimed.filter((off) => off > 0).length, { atMost: 0 }),
  ];
}

// Today's stacks: the clock at the sender says how far the caller heard.
function control(name: string, reply: Reply, bargeIns: readonly BargeIn[]): Row[] {
  const off = bargeIns.map(({ control: { clockMs, speakerMs } }) => clockMs - speakerMs);
  const unheard = bargeIns.filter(
    ({ control: { clockMs, speakerMs } }) => wordsWithin(reply, clockMs) > wordsWithin(reply, speakerMs),
  );
  return [
    ...percentileRows(
      name,
      "ms interrupt to silence",
      bargeIns.map(({ control: { silenceMs } }) => silenceMs),
    ),
    ...percentileRows(name, "ms clock off speaker", off.map(Math.abs)),
    row(name, "texts with an unheard word", unheard.length),
  ];
}
