import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { makeFolder } from "../index.js";

test("a folder is made with those around it, again without harm, and not where it cannot be", () => {
  const root = mkdtempSync(join(tmpdir(), "unsay-folder-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (let time = 0; time < 2; time++) makeFolder(join(root, "a/b/c"), 0o700);
  expect(statSync(join(root, "a/b/c")).mode & 0o777).toBe(0o700);
  writeFileSync(join(root, "file"), "");
  expect(() => makeFolder(join(root, "file"))).toThrow("EEXIST");
  expect(() => makeFolder(join(root, "file/below"))).toThrow("ENOTDIR");
});

test("a folder below one that takes none is refused instead of tried for ever", () => {
  for (const path of ["/proc/none", "/proc/none/a", "/proc/none/a/b"]) expect(() => makeFolder(path)).toThrow();
});
