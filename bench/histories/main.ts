import "../../base/polyfills.js";
import { readFileSync } from "node:fs";
import cliProgress from "cli-progress";
import { startRemote } from "../support/remote.js";
import { historiesScript } from "../support/scripts.js";
import type { Health } from "./health.js";
import { describe, drawHistory, type History } from "./history.js";
import type { HistoryCalls, Verdict } from "./processes/history.js";
import { prove } from "./prove.js";
import { shrink } from "./shrink.js";

interface Options {
  readonly count: number;
  readonly seconds: number;
  readonly seed: number;
  readonly parallel: number;
  readonly shrink: number;
  readonly untilBroken: boolean;
  readonly prove: boolean;
  readonly replay?: string;
  readonly keep?: string;
}

async function play(history: History, folder?: string): Promise<Verdict> {
  const process = await startRemote<HistoryCalls>(new URL("./processes/history.ts", import.meta.url));
  try {
    return await process.calls.run(history, folder);
  } finally {
    process.end();
  }
}

function print(history: History, { violations, health, startedAt }: Verdict): void {
  const lines = [
    `\nSeed ${history.seed} (${history.lengthMs / 1000} s, frames of ${history.frameMs} ms) broke ${violations.length} promises:`,
    ...violations.slice(0, 12).map(({ promise, what }) => `  ${promise}: ${what}`),
    "  Events:",
    ...history.events.map((event) => `  ${describe(event)}`),
    "  Processes:",
    ...Object.entries(health).map(([role, one]) => `  ${role}: ${describeHealth(one, startedAt)}`),
    `  To play it again, keep this line in a file for --replay: ${write(history)}`,
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

function describeHealth({ counters, stalls }: Health, startedAt: number): string {
  const parts = Object.entries(counters).map(([key, value]) => `${key} ${Math.round(value)}`);
  const still = stalls.map(
    ({ at, ms }) => `stood still for ${ms.toFixed(0)} ms at ${((at - startedAt) / 1e6).toFixed(3)} s`,
  );
  return [...parts, ...still].join(", ") || "nothing to report";
}

// JSON knows no infinity, which is the pace of audio that is there at once.
function write(history: History): string {
  return JSON.stringify(history, (_, value) => (value === Infinity ? "Infinity" : value));
}

function read(file: string): History {
  return JSON.parse(readFileSync(file, "utf8"), (_, value) => (value === "Infinity" ? Infinity : value)) as History;
}

async function replay(file: string, folder?: string): Promise<number> {
  const history = read(file);
  const verdict = await play(history, folder);
  print(history, verdict);
  return verdict.violations.length === 0 ? 0 : 1;
}

async function runAll({ count, seconds, seed, parallel, shrink: tries, untilBroken, keep }: Options): Promise<number> {
  const bar = new cliProgress.SingleBar(
    { format: "histories [{bar}] {value}/{total}, {broken} broken", stream: process.stderr },
    cliProgress.Presets.legacy,
  );
  bar.start(count, 0, { broken: 0 });
  const broken: number[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count && !(untilBroken && broken.length > 0)) {
      const history = drawHistory(seed + next++, seconds * 1000);
      let verdict = await play(history, keep);
      if (verdict.violations.length > 0) {
        broken.push(history.seed);
        let shortest = history;
        if (tries > 0) {
          shortest = await shrink(history, async (one) => (await play(one)).violations.length > 0, tries);
          if (shortest !== history) verdict = await play(shortest);
        }
        print(shortest, verdict);
      }
      bar.increment(1, { broken: broken.length });
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  bar.stop();
  const verdict = { histories: Math.min(next, count), seconds, seed, broken: broken.sort((a, b) => a - b) };
  process.stdout.write(`${JSON.stringify(verdict)}\n`);
  return broken.length === 0 ? 0 : 1;
}

const program = historiesScript().action(async (options: Options) => {
  if (options.replay !== undefined) process.exitCode = await replay(options.replay, options.keep);
  else process.exitCode = await (options.prove ? prove(options) : runAll(options));
});

await program.parseAsync();
process.exit();
