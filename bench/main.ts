import "../base/polyfills.js";
import { InputError } from "../base/index.js";
import { benchNames, loadBench, runBench } from "./harness.js";
import { benchScript } from "./support/scripts.js";

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

// `@moq/net` talks to the console, which would end up in the table.
console.debug = () => {};
console.warn = () => {};

const program = benchScript().action(
  async (name: string | undefined, options: { quick: boolean; seed: number; only?: string }) => {
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
  },
);

await program.parseAsync();
// Native handles of sessions that ended badly must not keep a finished bench alive.
process.exit();
