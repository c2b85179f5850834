import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { compiledPath } from "../tests/support/compile.js";
import { benchNames, formatTable, median, percentile, percentileRows, row, seededRandom, spread } from "./harness.js";

async function run(...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [compiledPath("bench/main.ts"), ...args]);
  const [stdout, stderr, [status]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
  return { status, stdout, stderr };
}

test("an unknown bench, or none, is answered with a sentence, the list and exit code 2", async () => {
  const [unknown, missing, seed, flag, condition] = await Promise.all([
    run("nonesuch"),
    run(),
    run("rewind", "--seed", "-1"),
    run("rewind", "--quack"),
    run("silence", "--only", "the moon"),
  ]);
  expect(unknown.status).toBe(2);
  expect(unknown.stdout).toBe("");
  expect(unknown.stderr).toMatch(/^There is no bench named "nonesuch"\.\nThe benches are:\n/m);
  for (const name of benchNames()) expect(unknown.stderr).toContain(`  ${name} `);
  expect([missing.status, missing.stderr]).toEqual([2, expect.stringContaining("The name of a bench is missing.")]);
  expect([seed.status, seed.stderr]).toEqual([
    2,
    expect.stringContaining("It must be a whole number from 0 to 4294967295."),
  ]);
  expect(flag.status).toBe(2);
  expect([condition.status, condition.stderr]).toEqual([
    2,
    expect.stringContaining('--only must be one of "loopback", '),
  ]);
});

test("figures are summed up and judged as the rows say", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(percentile([0, 10], 0.25)).toBe(2.5);
  expect([percentile([4, 9], -1), percentile([4, 9], 2)]).toEqual([4, 9]);
  expect(spread([90, 100, 110])).toBeCloseTo(0.05);
  expect(() => median([])).toThrow(expect.objectContaining({ code: "NO_VALUES" }));
  expect(row("r", "m", 70, { atMost: 70 })).toEqual({ row: "r", metric: "m", value: 70, target: "<= 70", ok: true });
  expect(row("r", "m", 69, { atLeast: 70 })).toMatchObject({ target: ">= 70", ok: false });
  expect(row("r", "m", null, { atMost: 1 }).ok).toBe(false);
  expect(row("r", "m", 1)).toMatchObject({ target: null, ok: null });
  expect(
    percentileRows("r", "ms", [1, 2, 3], { max: { atMost: 2 } }).map((entry) => [entry.metric, entry.value, entry.ok]),
  ).toEqual([
    ["p50 ms", 2, null],
    ["p95 ms", expect.closeTo(2.9), null],
    ["p99 ms", expect.closeTo(2.98), null],
    ["max ms", 3, false],
  ]);
  expect(percentileRows("r", "ms", [])[0]?.value).toBe(null);
  expect(formatTable([row("a", "p99 ms", 1234, { atMost: 2 })])).toBe(
    "row  metric  value  target\na    p99 ms  1,234  <= 2    missed",
  );
});

test("a generator gives the same numbers for the same seed alone", () => {
  const [one, same, other] = [seededRandom(5), seededRandom(5), seededRandom(6)];
  const draws = [one(), one(), one()];
  expect([same(), same(), same()]).toEqual(draws);
  expect([other(), other(), other()]).not.toEqual(draws);
});
