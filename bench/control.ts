import { openSource } from "../publisher/index.js";
import { Relay } from "../relay/index.js";
import { AHEAD_MS, type Kind, Lane, type Outcome, PREPARATION_MS } from "./control/lane.js";
import { type Bench, type BenchContext, median, percentile, type Row, row, seededRandom } from "./harness.js";
import { readSpeech } from "./silence/speech.js";

interface Variant {
  readonly name: string;
  readonly takeBack: boolean;
}

const VARIANTS: readonly Variant[] = [
  { name: "take-back", takeBack: true },
  { name: "without", takeBack: false },
];
const KINDS: readonly Kind[] = ["knob", "model", "source"];
const NAMES: Record<Kind, string> = {
  knob: "knob turned",
  model: `model swapped after ${PREPARATION_MS} ms`,
  source: "source swapped",
};
/** Changes of each kind. */
const COUNTS: Record<Kind, number> = { knob: 60, model: 20, source: 20 };
const QUICK: Record<Kind, number> = { knob: 10, model: 4, source: 4 };
/** Requests at once, for the count of their ends. */
const BURST = 16;

async function run({ quick, seed, progress, log }: BenchContext): Promise<Row[]> {
  // The protocol library logs every step to the console.
  console.debug = () => {};
  const counts = quick ? QUICK : COUNTS;
  const random = seededRandom(seed);
  const speech = await readSpeech();
  const total = KINDS.reduce((sum, kind) => sum + counts[kind], 0) * VARIANTS.length;
  const bar = progress("changes", total);
  const relay = new Relay({ port: 0 });
  const { port } = await relay.listen();
  const certificateHash = Buffer.from(relay.fingerprint, "hex");
  const outcomes = new Map<string, Outcome[]>();
  const lanes: { readonly variant: Variant; readonly lane: Lane }[] = [];
  try {
    for (const variant of VARIANTS) {
      const source = await openSource({ samples: speech, loop: true, name: "speech" });
      const broadcast = `control-${variant.takeBack ? "on" : "off"}`;
      const lane = new Lane({
        broadcast,
        relay: { port, certificateHash },
        takeBack: variant.takeBack,
        source,
        speech,
      });
      lanes.push({ variant, lane });
    }
    for (const kind of shuffled(counts, random)) {
      for (const { variant, lane } of random() < 0.5 ? lanes : [...lanes].reverse()) {
        await new Promise((resolve) => setTimeout(resolve, random() * 40));
        const key = `${kind}, ${variant.name}`;
        outcomes.set(key, [...(outcomes.get(key) ?? []), await lane.change(kind)]);
        bar.advance(1, key);
      }
    }
    for (const { lane } of lanes) await lane.burst(BURST);
    return rowsOf(outcomes, lanes);
  } finally {
    bar.stop();
    for (const { lane } of lanes) await lane.close();
    await relay.close();
    log(`Publishers, relay and listeners share one process and a loopback link; ${AHEAD_MS} ms are sent ahead.`);
    log("Of a model's preparation all but its loading is a wait, as for a file that has to be fetched.");
  }
}

function rowsOf(
  outcomes: ReadonlyMap<string, readonly Outcome[]>,
  lanes: readonly { readonly variant: Variant; readonly lane: Lane }[],
): Row[] {
  const rows: Row[] = [];
  const firsts = new Map<string, number>();
  for (const kind of KINDS) {
    for (const { name, takeBack } of VARIANTS) {
      const all = outcomes.get(`${kind}, ${name}`) ?? [];
      const label = `${NAMES[kind]}, ${name}`;
      const first = all.flatMap(({ firstMs }) => (firstMs === undefined ? [] : [firstMs]));
      const full = all.flatMap(({ fullMs }) => (fullMs === undefined ? [] : [fullMs]));
      if (first.length === 0) continue;
      firsts.set(`${kind}, ${name}`, median(first));
      const target = kind === "knob" && takeBack ? { atMost: 58 } : undefined;
      rows.push(row(label, "audible first, median ms", median(first), target));
      rows.push(row(label, "audible first, p95 ms", percentile(first, 0.95)));
      rows.push(row(label, "audible full, median ms", median(full)));
      rows.push(row(label, "ms until it is applied, median", median(all.map(({ preparedMs }) => preparedMs))));
    }
  }
  const [on, off] = [firsts.get("knob, take-back"), firsts.get("knob, without")];
  rows.push(row("knob turned", "times sooner with take-back", on && off ? off / on : null, { atLeast: 4 }));
  const usual = median(lanes.flatMap(({ lane }) => lane.gapsMs));
  const gaps = VARIANTS.flatMap(({ name }) => (outcomes.get(`model, ${name}`) ?? []).flatMap(({ gapsMs }) => gapsMs));
  const during = `during a preparation of ${PREPARATION_MS} ms`;
  rows.push(row(during, "tick gap, median ms", usual));
  rows.push(row(during, "tick gap, p99 over the median", percentile(gaps, 0.99) / usual));
  rows.push(row(during, "tick gap, longest over the median", Math.max(...gaps) / usual, { atMost: 1.5 }));
  const counted = lanes.map(({ lane }) => lane.counted);
  const requests = counted.reduce((sum, each) => sum + each.requests, 0);
  const ends = counted.reduce((sum, each) => sum + each.ends, 0);
  rows.push(row("all requests", "events per request", ends / requests));
  rows.push(row("all requests", "events too many or too few", Math.abs(ends - requests), { atMost: 0 }));
  for (const { variant, lane } of lanes) rows.push(row(variant.name, "underrun ms in all", lane.underrunMs));
  return rows;
}

function shuffled(counts: Record<Kind, number>, random: () => number): Kind[] {
  const kinds = KINDS.flatMap((kind) => Array.from({ length: counts[kind] }, () => kind));
  for (let index = kinds.length - 1; index > 0; index--) {
    const other = Math.floor(random() * (index + 1));
    [kinds[index], kinds[other]] = [kinds[other]!, kinds[index]!];
  }
  return kinds;
}

/** How soon a change is heard while a second is sent ahead, and whether its preparation delays anything. */
export const bench: Bench = {
  name: "control",
  description: "How soon a knob, a model or a source that is changed is heard, with 1 s sent ahead.",
  run,
};
