/*
 * How to add a bench: create `bench/<name>.ts` that exports
 *
 *   export const bench: Bench = {
 *     name: "<name>",                      // the file's name
 *     description: "One line for the list.",
 *     async run({ quick, seed, progress, log }) {
 *       const bar = progress("schedules", 1000);
 *       bar.advance(1); bar.stop();
 *       return [row("100 ms RTT", "p99 ms", 63.2, { atMost: 70 }), row("100 ms RTT", "interrupts", 300)];
 *     },
 *   };
 *
 * `npm run bench -- <name> [--quick] [--seed n]` finds it by its file, shows progress and remarks on stderr, and prints
 * a table and, as the last line, one line of JSON on stdout. A missed target is a row with `ok: false`, not an error;
 * throw only when the run itself is void. `quick` asks for at most a minute. A bench that lists `conditions` runs the one that
 * `only` names, when it names one.
 */
import { readdirSync } from "node:fs";
import { cpus, release, type } from "node:os";
import { basename, extname } from "node:path";
import cliProgress from "cli-progress";
import { InputError } from "../base/index.js";

/** One figure of a bench. */
export interface Row {
  /** The measured condition or variant, such as `100 ms RTT, 2 % loss`. */
  readonly row: string;
  /** Which figure of it, with its unit, such as `p99 ms`. */
  readonly metric: string;
  /** The figure; null when the run could not get it (say why with `log`). */
  readonly value: number | null;
  /** The target, such as `<= 70`, or null without one. */
  readonly target: string | null;
  /** Whether it was reached; null without a target. */
  readonly ok: boolean | null;
}

/** Condition of a target on a figure. */
export type Target = { readonly atMost: number } | { readonly atLeast: number };

/** Counts up on the terminal while a bench runs. */
export interface Progress {
  /** This many more are done; `note` replaces the text behind the bar. */
  advance(count: number, note?: string): void;
  /** Ends the bar. Benches that throw need not call it. */
  stop(): void;
}

/** Settings and helpers for a run of a bench. */
export interface BenchContext {
  /** Whether to stay under a minute. */
  readonly quick: boolean;
  /** Seeds everything drawn at random. */
  readonly seed: number;
  /** The one of the bench's `conditions` to run; undefined for all. */
  readonly only?: string | undefined;
  /** Starts a progress bar. */
  progress(label: string, total: number): Progress;
  /** Says one sentence beside the figures, such as why one was missed. */
  log(sentence: string): void;
}

/** A bench module's export. */
export interface Bench {
  /** The name of its file. */
  readonly name: string;
  /** One line for the list. */
  readonly description: string;
  /** Names of conditions that can be run one by one, where a full run is long. */
  readonly conditions?: readonly string[];
  /** Measures. */
  run(context: BenchContext): Promise<Row[]>;
}

/** Makes a row, and judges it when there is a target. A value that could not be got misses every target. */
export function row(name: string, metric: string, value: number | null, target?: Target): Row {
  if (target === undefined) return { row: name, metric, value, target: null, ok: null };
  const atMost = "atMost" in target;
  const limit = atMost ? target.atMost : target.atLeast;
  const ok = value !== null && (atMost ? value <= limit : value >= limit);
  return { row: name, metric, value, target: `${atMost ? "<=" : ">="} ${limit}`, ok };
}

/**
 * The value below which a fraction of the values lies, interpolated between neighbours.
 *
 * @param fraction From 0 (the least) to 1 (the greatest).
 * @throws InputError `NO_VALUES` when there is none.
 */
export function percentile(values: readonly number[], fraction: number): number {
  if (values.length === 0) throw new InputError("NO_VALUES", "values must hold at least one number.");
  const sorted = [...values].sort((left, right) => left - right);
  const position = Math.min(Math.max(fraction, 0), 1) * (sorted.length - 1);
  const below = sorted[Math.floor(position)]!;
  const above = sorted[Math.ceil(position)]!;
  return below + (above - below) * (position - Math.floor(position));
}

/** The middle of the values. */
export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/** Half the distance between the quartiles, relative to the median: how much to trust a comparison. */
export function spread(values: readonly number[]): number {
  const middle = median(values);
  return middle === 0 ? 0 : (percentile(values, 0.75) - percentile(values, 0.25)) / 2 / Math.abs(middle);
}

/** The rows people read first: p50, p95, p99 and the greatest, in the metric's unit. */
export function percentileRows(
  name: string,
  unit: string,
  values: readonly number[],
  targets: { p50?: Target; p95?: Target; p99?: Target; max?: Target } = {},
): Row[] {
  const at = (fraction: number) => (values.length === 0 ? null : percentile(values, fraction));
  return [
    row(name, `p50 ${unit}`, at(0.5), targets.p50),
    row(name, `p95 ${unit}`, at(0.95), targets.p95),
    row(name, `p99 ${unit}`, at(0.99), targets.p99),
    row(name, `max ${unit}`, at(1), targets.max),
  ];
}

/** A generator of numbers from 0 up to but not 1, the same for the same seed (sfc32, from PractRand). */
export function seededRandom(seed: number): () => number {
  let [a, b, c, counter] = [seed | 0, (seed / 2 ** 32) | 0, 0x9e3779b9 | 0, 1];
  const next = () => {
    const result = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + result) | 0;
    return (result >>> 0) / 2 ** 32;
  };
  for (let round = 0; round < 12; round += 1) next();
  return next;
}

/** The machine and versions behind the figures. */
export function machine(): { cpu: string; cores: number; node: string; kernel: string } {
  const cores = cpus();
  return {
    cpu: cores[0]?.model.trim() ?? "unknown",
    cores: cores.length,
    node: process.version,
    kernel: `${type()} ${release()}`,
  };
}

/** The modules of this folder: sources, or what they were compiled to. */
const EXTENSION = extname(import.meta.filename);

/** The names of all benches: the modules beside this one. */
export function benchNames(): string[] {
  return readdirSync(import.meta.dirname)
    .filter((file) => file.endsWith(EXTENSION))
    .map((file) => basename(file, EXTENSION))
    .filter((name) => name !== "harness" && name !== "main" && !name.endsWith(".test"))
    .sort();
}

/**
 * Loads a bench by name.
 *
 * @throws InputError `UNKNOWN_BENCH` when there is none of that name, or its module does not export one.
 */
export async function loadBench(name: string): Promise<Bench> {
  if (!benchNames().includes(name)) {
    throw new InputError("UNKNOWN_BENCH", `There is no bench named "${name}".`);
  }
  const module = (await import(new URL(`./${name}${EXTENSION}`, import.meta.url).href)) as { bench?: Bench };
  if (module.bench === undefined) throw new InputError("UNKNOWN_BENCH", `bench/${name}.ts does not export "bench".`);
  return module.bench;
}

/** Runs a bench and prints its figures: remarks and progress on stderr, the table and the line of JSON on stdout. */
export async function runBench(
  bench: Bench,
  options: { quick: boolean; seed: number; only?: string | undefined },
): Promise<Row[]> {
  const { only } = options;
  if (only !== undefined && !bench.conditions?.includes(only)) {
    const names = bench.conditions?.map((name) => `"${name}"`).join(", ");
    throw new InputError(
      "UNKNOWN_CONDITION",
      names === undefined ? `${bench.name} has no conditions for --only.` : `--only must be one of ${names}.`,
    );
  }
  const bars = new Set<cliProgress.SingleBar>();
  const context: BenchContext = {
    ...options,
    progress(label, total) {
      const bar = new cliProgress.SingleBar({
        format: `${label} [{bar}] {percentage}% {value}/{total}, {eta_formatted} left {note}`,
        hideCursor: true,
        noTTYOutput: true,
        notTTYSchedule: 10_000,
      });
      bars.add(bar);
      bar.start(total, 0, { note: "" });
      return {
        advance: (count, note) => bar.increment(count, note === undefined ? {} : { note }),
        stop: () => bar.stop(),
      };
    },
    log: (sentence) => process.stderr.write(`${sentence}\n`),
  };
  try {
    const rows = await bench.run(context);
    for (const bar of bars) bar.stop();
    process.stdout.write(`\n${formatTable(rows)}\n`);
    process.stdout.write(`${JSON.stringify({ bench: bench.name, seed: options.seed, machine: machine(), rows })}\n`);
    return rows;
  } finally {
    for (const bar of bars) bar.stop();
  }
}

/** Lines the rows up in columns. */
export function formatTable(rows: readonly Row[]): string {
  const cells = rows.map(({ row: name, metric, value, target, ok }) => [
    name,
    metric,
    value === null ? "no result" : Number.isInteger(value) ? value.toLocaleString("en") : value.toPrecision(4),
    target ?? "",
    ok === null ? "" : ok ? "reached" : "missed",
  ]);
  const table = [["row", "metric", "value", "target", ""], ...cells];
  const widths = table[0]!.map((_, column) => Math.max(...table.map((line) => line[column]!.length)));
  return table
    .map((line) =>
      line
        .map((cell, column) => (column === 2 ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
