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
  return `The benches are:\n${lines.join("\n")}\nRun one with: npm run bench -- <name> [--quick] [--seed n]`;
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
  .option("--seed <n>", "seed of everything drawn at random", parseSeed, 1)
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .action(async (name: string | undefined, options: { quick: boolean; seed: number }) => {
    try {
      if (name === undefined) throw new InputError("UNKNOWN_BENCH", "The name of a bench is missing.");
      await runBench(await loadBench(name), options);
    } catch (error) {
      const unknown = error instanceof InputError && error.code === "UNKNOWN_BENCH";
      process.stderr.write(unknown ? `${error.message}\n${await list()}\n` : `${(error as Error).stack}\n`);
      process.exitCode = unknown ? 2 : 1;
    }
  });

await program.parseAsync();
// Native handles of sessions that ended badly must not keep a finished bench alive.
process.exit();
