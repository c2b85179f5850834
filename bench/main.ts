import "../base/polyfills.js";
import { Command, InvalidArgumentError } from "commander";
import { InputError } from "../base/index.js";
import { benchNames, loadBench, runBench } from "./harness.js";

async function list(): Promise<string> {
  const lines = await Promise.all(
    benchNames().map(async (name) => {
      const description = await loadBench(name).then(
        (bench) => bench.description,
        (error: Error) => `cannot be loaded: ${error.message}`,
      );
      return `  ${name.padEnd(12)} ${description}`;
    }),
  );
  return `The benches are:\n${lines.join("\n")}\nRun one with: npm run bench -- <name> [--quick] [--seed n] [--only condition]`;
}

function parseSeed(text: string): number {
  const seed = Number(text);
  if (!/^\d+$/.test(text) || seed > 0xffff_ffff) {
    throw new InvalidArgumentError("It must be a whole number from 0 to 4294967295.");
  }
  return seed;
}

// `@moq/net` talks to the console, which would end up in the table.
console.debug = () => {};
console.warn = () => {};

const program = new Command("npm run bench --")
  .description("Measures, and prints a table and one line of JSON.")
  .argument("[name]", "which bench to run")
  .option("--quick", "stay under a minute", false)
  .option("--only <condition>", "one condition of a long bench")
  .option("--seed <n>", "seed of everything drawn at random", parseSeed, 1)
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .action(async (name: string | undefined, options: { quick: boolean; seed: number; only?: string }) => {
    try {
      if (name === undefined) throw new InputError("UNKNOWN_BENCH", "The name of a bench is missing.");
      await runBench(await loadBench(name), options);
    } catch (error) {
      const code = error instanceof InputError ? error.code : undefined;
      const misused = code === "UNKNOWN_BENCH" || code === "UNKNOWN_CONDITION";
      const help = code === "UNKNOWN_BENCH" ? `${await list()}\n` : "";
      process.stderr.write(`${misused ? (error as Error).message : (error as Error).stack}\n${help}`);
      process.exitCode = misused ? 2 : 1;
    }
  });

await program.parseAsync();
// Native handles of sessions that ended badly must not keep a finished bench alive.
process.exit();
