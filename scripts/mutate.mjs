// Proves that the tests guard the take-back decisions: changes every comparison and every && and || in them, one at a
// time, in a copy of the sources, and runs the tests on it. A mutant that no test notices ends the run with exit code 1.
//
//   npm run mutate [-- <file>]
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { constants, setPriority, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import ts from "typescript";
import { mutateScript } from "../bench/support/scripts.js";

const root = join(import.meta.dirname, "..");
const files = ["classifier", "consumer", "epoch", "epoch-holds", "handed-out"].map((name) => `container/${name}.ts`);
const copied = [
  "base",
  "container",
  "tests/support/rewind.ts",
  "tests/support/schedule.ts",
  "tests/vectors",
  "vitest.config.ts",
  "tsconfig.json",
  "package.json",
];
/** Fast ones first: most mutants never meet the long property. */
const suites = [["container/classifier.test.ts", "container/consumer.test.ts"], ["container/rewind.test.ts"]];
/** A mutant that takes this many times as long as the unchanged sources loops forever; it counts as killed. */
const PATIENCE = 4;

const replacements = {
  "<": ["<=", ">="],
  "<=": ["<", ">"],
  ">": [">=", "<="],
  ">=": [">", "<"],
  "===": ["!=="],
  "!==": ["==="],
  "&&": ["||"],
  "||": ["&&"],
};

/** Mutants that change nothing anyone can observe: the whole expression, its mutation, and why. */
const equivalent = [
  {
    expression: "sequence < this.#newestRewind",
    mutated: "sequence <= this.#newestRewind",
    reason: "the newest rewind's own sequence is known, or forgotten, and observing it again returns before this line.",
  },
  {
    expression: "target.reached >= timestamp",
    mutated: "target.reached > timestamp",
    reason: "it only walks on over newer groups, which all reached at least as far, and sets what is there already.",
  },
  {
    expression: "one.sequence > other.sequence",
    mutated: "one.sequence >= other.sequence",
    reason: "only a group compared with itself has the same sequence.",
  },
];

const [chosen] = mutateScript(files).parse().args;
const mutants = files.filter((file) => chosen === undefined || chosen === file).flatMap(findMutants);
const place = mkdtempSync(join(tmpdir(), "unsay-mutate-"));
process.on("exit", () => rmSync(place, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(130));
setPriority(constants.priority.PRIORITY_LOW);
for (const path of copied) {
  mkdirSync(join(place, path, ".."), { recursive: true });
  cpSync(join(root, path), join(place, path), { recursive: true });
}
symlinkSync(join(root, "node_modules"), join(place, "node_modules"));

let timeoutMs = 600_000;
const start = performance.now();
if ((await judge()) !== "survived") {
  process.stderr.write("The tests fail on the unchanged sources; there is nothing to prove with them.\n");
  process.exit(1);
}
timeoutMs = PATIENCE * (performance.now() - start);
const counts = { killed: 0, "timed out": 0, equivalent: 0, survived: 0 };
for (const [index, mutant] of mutants.entries()) {
  const reason = equivalent.find(
    ({ expression, mutated }) => expression === mutant.expression && mutated === mutant.mutated,
  )?.reason;
  const path = join(place, mutant.file);
  const original = readFileSync(path, "utf8");
  writeFileSync(path, mutant.text);
  const judged = await judge();
  writeFileSync(path, original);
  const verdict = judged === "survived" && reason !== undefined ? "equivalent" : judged;
  counts[verdict] += 1;
  const where = `${mutant.file}:${mutant.row}`;
  process.stdout.write(
    `${`${index + 1}/${mutants.length}`.padEnd(8)} ${verdict.padEnd(10)} ${where.padEnd(28)} ${mutant.mutated}\n`,
  );
  if (verdict === "equivalent") process.stdout.write(`${"".padEnd(20)}because ${reason}\n`);
  if (verdict !== "equivalent" && reason !== undefined) {
    process.stderr.write(`Listed as equivalent, but a test notices it: ${mutant.mutated}\n`);
    process.exitCode = 1;
  }
}
process.stdout.write(
  `\n${mutants.length} mutants: ${counts.killed} killed, ${counts["timed out"]} timed out, ${counts.equivalent} equivalent, ${counts.survived} survived.\n`,
);
if (counts.survived > 0) process.exitCode = 1;

function findMutants(file) {
  const text = readFileSync(join(root, file), "utf8");
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.ES2023, true);
  const found = [];
  const visit = (node) => {
    if (ts.isBinaryExpression(node)) {
      const operator = node.operatorToken;
      for (const replacement of replacements[operator.getText()] ?? []) {
        const mutatedText = text.slice(0, operator.getStart()) + replacement + text.slice(operator.getEnd());
        const flat = (from, to) => text.slice(from, to).replace(/\s+/g, " ");
        const row = source.getLineAndCharacterOfPosition(operator.getStart()).line;
        found.push({
          file,
          row: row + 1,
          expression: flat(node.getStart(), node.getEnd()),
          mutated: `${flat(node.getStart(), operator.getStart())}${replacement}${flat(operator.getEnd(), node.getEnd())}`,
          text: mutatedText,
        });
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

async function judge() {
  for (const tests of suites) {
    const verdict = await runTests(tests);
    if (verdict !== "survived") return verdict;
  }
  return "survived";
}

function runTests(tests) {
  return new Promise((resolve) => {
    const child = spawn(
      process.execPath,
      [
        join(root, "node_modules/vitest/vitest.mjs"),
        "run",
        "--root",
        place,
        "--bail",
        "1",
        "--reporter",
        "dot",
        ...tests,
      ],
      { cwd: place, stdio: "ignore", detached: true, env: { ...process.env, UNSAY_MUTATION: "1" } },
    );
    // The group, since a worker that loops forever outlives its parent.
    const stop = () => {
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch {
        // It ended by itself.
      }
    };
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      stop();
    }, timeoutMs);
    process.once("exit", stop);
    child.on("close", (code) => {
      clearTimeout(timer);
      process.removeListener("exit", stop);
      resolve(code === 0 ? "survived" : timedOut ? "timed out" : "killed");
    });
  });
}
