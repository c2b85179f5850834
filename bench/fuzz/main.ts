import "../../base/polyfills.js";
import cliProgress from "cli-progress";
import { fuzzScript } from "../support/scripts.js";
import { readCorpus, saveToCorpus } from "./corpus.js";
import { fuzz, type Target } from "./fuzzer.js";
import { TARGETS } from "./targets.js";

interface Options {
  readonly executions: number;
  readonly seed: number;
  readonly save?: true;
}

interface Outcome {
  readonly target: string;
  readonly seed: number;
  readonly executions: number;
  readonly perSecond: number;
  readonly findings: readonly { readonly what: string; readonly input: string }[];
}

async function runOne(target: Target, { executions, seed, save }: Options): Promise<Outcome> {
  const { name } = target;
  const format = `${name} [{bar}] {percentage}% {value}/{total}, {eta_formatted} left`;
  const bar = new cliProgress.SingleBar({ format, hideCursor: true, noTTYOutput: true, notTTYSchedule: 10_000 });
  bar.start(executions, 0);
  const startedAt = performance.now();
  const corpus = readCorpus(name);
  const result = await fuzz(target, { executions, seed, corpus, onProgress: (done) => bar.update(done) });
  const seconds = (performance.now() - startedAt) / 1000;
  bar.update(result.executions);
  bar.stop();
  const { finding } = result;
  if (finding !== undefined && save) saveToCorpus(name, finding.input);
  const findings = finding ? [{ what: finding.what, input: Buffer.from(finding.input).toString("hex") }] : [];
  const perSecond = Math.round(result.executions / seconds);
  return { target: name, seed, executions: result.executions, perSecond, findings };
}

async function main(name: string | undefined, options: Options): Promise<void> {
  const chosen = TARGETS.filter((target) => name === undefined || target.name === name);
  if (chosen.length === 0) {
    process.stderr.write(`There is no target ${name}; there are ${TARGETS.map((target) => target.name).join(", ")}.\n`);
    process.exitCode = 2;
    return;
  }
  const outcomes: Outcome[] = [];
  for (const target of chosen) outcomes.push(await runOne(target, options));
  console.log("| target | executions | per second | findings |\n|---|---|---|---|");
  for (const { target, executions, perSecond, findings } of outcomes)
    console.log(`| ${target} | ${executions} | ${perSecond} | ${findings.length} |`);
  for (const { target, seed, findings } of outcomes)
    for (const { what, input } of findings) console.log(`${target}, seed ${seed}: it ${what}: ${input}`);
  for (const outcome of outcomes) console.log(JSON.stringify(outcome));
  process.exitCode = outcomes.some(({ findings }) => findings.length > 0) ? 1 : 0;
}

await fuzzScript().action(main).parseAsync();
