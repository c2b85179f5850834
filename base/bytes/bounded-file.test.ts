import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { readBounded, readBoundedFile, whyUnusable } from "./bounded-file.js";

const folder = mkdtempSync(join(tmpdir(), "unsay-bounded-"));
afterAll(() => rmSync(folder, { recursive: true }));

function pipe(name: string): string {
  const path = join(folder, name);
  execFileSync("mkfifo", [path]);
  return path;
}

test.concurrent("a pipe without a writer is refused, whether its reader may wait or not", async () => {
  const path = pipe("alone");
  const waiting = readBounded(path, 1000).catch(whyUnusable);
  expect(() => readBoundedFile(path, 1000)).toThrow(/^it is a pipe that nothing is written into$/);
  expect(await waiting).toBe("it is a pipe that nothing is written into");
});

test.concurrent("a pipe is read whole, however late its writer comes and however slowly it writes", async () => {
  const path = pipe("late");
  const writing = spawn("sh", ["-c", `sleep 0.3; exec > "$0"; printf slow; sleep 0.3; printf ly`, path]);
  const ended = once(writing, "exit");
  expect(String(await readBounded(path, 1000))).toBe("slowly");
  await ended;
});

test.concurrent("a program that reads settings at its start waits for the writer of a pipe", () => {
  const path = pipe("settings");
  spawn("sh", ["-c", `sleep 0.1; exec > "$0"; sleep 0.1; printf '{}'`, path]);
  expect(String(readBoundedFile(path, 1000))).toBe("{}");
});

test.concurrent("a file with too many bytes, a folder and no file are refused for what they are", async () => {
  const path = join(folder, "file");
  writeFileSync(path, "1234");
  expect(String(await readBounded(path, 4))).toBe("1234");
  expect(String(readBoundedFile(path, 4))).toBe("1234");
  await expect(readBounded(path, 3)).rejects.toThrow(/^it has more than 3 bytes$/);
  expect(await readBounded(folder, 10).catch(whyUnusable)).toBe("it is a directory");
  expect(await readBounded("a\0b", 10).catch(whyUnusable)).toBe("its name has a null byte");
  expect(await readBounded(join(folder, "none, or two"), 10).catch(whyUnusable)).toBe("no such file or directory");
});
