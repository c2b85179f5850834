import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { promisify } from "node:util";

const ROOT = join(import.meta.dirname, "../..");
const FAULTS = join(import.meta.dirname, "faults");
const run = promisify(execFile);

/**
 * Shows that histories find faults: puts each fault of `faults/` back into a copy of the code and plays histories until
 * one breaks a promise. Prints a row for each. Returns an exit code: 1 when a fault stays hidden or no longer applies.
 */
export async function prove({
  count,
  seconds,
  seed,
}: {
  count: number;
  seconds: number;
  seed: number;
}): Promise<number> {
  let hidden = 0;
  for (const patch of (await readdir(FAULTS)).filter((name) => name.endsWith(".patch")).sort()) {
    const copy = await copyWith(join(FAULTS, patch));
    try {
      const { found, histories, promise } = await play(copy, ["--count", count, "--seconds", seconds, "--seed", seed]);
      if (!found) hidden++;
      const verdict = found ? `found in history ${histories}: ${promise}` : `NOT found in ${histories} histories`;
      process.stdout.write(`${basename(patch, ".patch").padEnd(24)} ${verdict}\n`);
    } finally {
      await rm(copy, { recursive: true, force: true });
    }
  }
  return hidden === 0 ? 0 : 1;
}

async function copyWith(patch: string): Promise<string> {
  const copy = await mkdtemp(join(tmpdir(), "unsay-fault-"));
  const skipped = new Set(["node_modules", ".git", "dist", "docs", "train"].map((name) => join(ROOT, name)));
  await cp(ROOT, copy, { recursive: true, filter: (source) => !skipped.has(source) });
  await symlink(join(ROOT, "node_modules"), join(copy, "node_modules"));
  // Outside a repository, so that git takes the copy for what it is.
  await run("git", ["apply", patch], { cwd: copy, env: { ...process.env, GIT_CEILING_DIRECTORIES: tmpdir() } });
  return copy;
}

async function play(
  copy: string,
  options: readonly (string | number)[],
): Promise<{ found: boolean; histories: number; promise: string }> {
  const child = spawn(
    process.execPath,
    ["--import", "tsx", "bench/histories/main.ts", "--until-broken", ...options.map(String)],
    { cwd: copy, stdio: ["ignore", "pipe", "inherit"] },
  );
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  await once(child, "close");
  const verdict = JSON.parse(output.trim().split("\n").at(-1) ?? "{}") as { histories: number; broken: number[] };
  const promise = /^ {2}(\w+: .*)$/m.exec(output)?.[1] ?? "";
  return { found: verdict.broken.length > 0, histories: verdict.histories, promise };
}
