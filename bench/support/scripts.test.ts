import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { expect, test } from "vitest";
import {
  attackScript,
  benchScript,
  fuzzScript,
  historiesScript,
  mutateScript,
  plainScript,
  releaseScript,
  soakScript,
} from "./scripts.js";

/** What a script prints on these arguments, and its exit code. */
function run(script: Command, ...argv: string[]): { out: string; error: string; exitCode: number } {
  let out = "";
  let error = "";
  let exitCode = 0;
  const exit = Symbol("exit");
  script.configureOutput({
    writeOut: (text) => {
      out += text;
    },
    writeErr: (text) => {
      error += text;
    },
  });
  const ended = (() => {
    const real = process.exit;
    process.exit = (code) => {
      exitCode = Number(code);
      throw exit;
    };
    try {
      script.action(() => {}).parse(argv, { from: "user" });
    } catch (thrown) {
      return thrown;
    } finally {
      process.exit = real;
    }
    return exit;
  })();
  expect(ended).toBe(exit);
  return { out, error, exitCode };
}

const SCRIPTS: readonly [name: string, open: () => Command, wrong: readonly (readonly [string[], RegExp])[]][] = [
  [
    "bench",
    benchScript,
    [
      [["rewind", "--seed", "-1"], /whole number from 0/],
      [["a", "b"], /too many arguments/],
    ],
  ],
  [
    "histories",
    historiesScript,
    [
      [["--count", "many"], /whole number from 0/],
      [["one"], /too many arguments/],
    ],
  ],
  [
    "attack",
    attackScript,
    [
      [["--seed", "1.5"], /whole number from 0/],
      [["--only"], /argument missing/],
    ],
  ],
  [
    "fuzz",
    fuzzScript,
    [
      [["--executions", ""], /whole number from 0/],
      [["a", "b"], /too many arguments/],
    ],
  ],
  [
    "soak",
    () => soakScript(1),
    [
      [["--seconds", "0"], /number above 0/],
      [["one"], /too many arguments/],
    ],
  ],
  [
    "mutate",
    () => mutateScript(["a.ts"]),
    [
      [["b.ts"], /choices are a\.ts/],
      [["a.ts", "a.ts"], /too many/],
    ],
  ],
  [
    "release",
    releaseScript,
    [
      [[], /missing required argument 'version'/],
      [["v1"], /must look like 0\.2\.0/],
    ],
  ],
];

test.each(SCRIPTS)(
  "npm run %s prints its usage with --help, and one sentence about a wrong argument",
  (name, open, wrong) => {
    const help = run(open(), "--help");
    expect(help).toMatchObject({ error: "", exitCode: 0 });
    expect(help.out).toMatch(new RegExp(`^Usage: npm run ${name} -- \\[options\\]`));
    for (const [argv, sentence] of [[["--quack"], /unknown option '--quack'/] as const, ...wrong]) {
      const outcome = run(open(), ...argv);
      expect(outcome, argv.join(" ")).toMatchObject({ out: "", exitCode: 2 });
      expect(outcome.error).toMatch(/^error: [^\n]+\n(\(Did you mean [^\n]+\n)?$/);
      expect(outcome.error).toMatch(sentence);
    }
  },
);

test("every program in scripts/ reads its arguments before it does anything", () => {
  const folder = join(import.meta.dirname, "../../scripts");
  const programs = readdirSync(folder).filter((file) => file.endsWith(".ts"));
  expect(programs.length).toBeGreaterThan(3);
  for (const file of programs)
    expect(readFileSync(join(folder, file), "utf8"), file).toMatch(/^(?:const .* = )?\w+Script\(.*\)\.parse\(\)/ms);
  expect(run(plainScript("some.ts", "Does something."), "--help").out).toMatch(/^Usage: npx tsx scripts\/some\.ts/);
  expect(run(plainScript("some.ts", "Does something."), "more")).toMatchObject({ exitCode: 2 });
});
