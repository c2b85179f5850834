import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
const FAULTS = join(import.meta.dirname, "faults");

interface Hunk {
  readonly file: string;
  /** What it expects to find, line by line. */
  readonly before: string;
}

function hunksOf(patch: string): Hunk[] {
  return patch
    .split(/^--- a\//m)
    .slice(1)
    .flatMap((part) => {
      const [file = "", ...rest] = part.split("\n");
      const hunks = rest
        .join("\n")
        .split(/^@@.*$/m)
        .slice(1);
      return hunks.map((hunk) => ({ file, before: linesBefore(hunk) }));
    });
}

function linesBefore(hunk: string): string {
  const lines = hunk.split("\n").slice(1);
  return lines
    .filter((line) => /^[ -]/.test(line))
    .map((line) => line.slice(1))
    .join("\n");
}

test("every known fault can be put back into the code", () => {
  const patches = readdirSync(FAULTS).map((name) => ({
    name,
    hunks: hunksOf(readFileSync(join(FAULTS, name), "utf8")),
  }));
  const failing = patches.flatMap(({ name, hunks }) =>
    hunks.filter(({ file, before }) => !readFileSync(join(ROOT, file), "utf8").includes(before)).map(() => name),
  );
  expect(patches.filter(({ hunks }) => hunks.length === 0)).toEqual([]);
  expect(patches).toHaveLength(5);
  expect(failing).toEqual([]);
});
