import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { prepareNative } from "./native.js";
import { patchSharedObject } from "./native-patch.js";

const supported = process.platform === "linux" && process.arch === "x64";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "unsay-native-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

test.runIf(supported)("a C library that is too old gets a verified private copy, a new one the published file", () => {
  const notices: string[] = [];
  const cacheDirectory = join(folder, "cache");
  const options = { cacheDirectory, onNotice: (notice: string) => notices.push(notice) };

  const published = prepareNative({ ...options, glibc: "2.38" });
  expect(published).toMatch(/linux-x64-gnu\.node$/);
  expect(notices).toEqual([]);

  const copy = prepareNative({ ...options, glibc: "2.36" });
  expect(copy.startsWith(cacheDirectory)).toBe(true);
  expect(notices).toHaveLength(1);
  expect(notices[0]).toContain("2.36");
  expect(statSync(cacheDirectory).mode & 0o777).toBe(0o700);
  expect(readdirSync(cacheDirectory)).toHaveLength(1);
  const bytes = readFileSync(copy);
  expect(Buffer.from(patchSharedObject(readFileSync(published))).equals(bytes)).toBe(true);

  // Whatever else lies there is not loaded but made again.
  writeFileSync(copy, "something else");
  expect(readFileSync(prepareNative({ ...options, glibc: "2.36" })).equals(bytes)).toBe(true);

  // A build that is not the pinned one is refused, also with a single bit changed.
  rmSync(copy);
  const changed = readFileSync(published);
  changed[5_000_000]! ^= 1;
  const file = join(folder, "changed.node");
  writeFileSync(file, changed);
  expect(() => prepareNative({ ...options, glibc: "2.35", file })).toThrow(
    expect.objectContaining({ code: "NATIVE_REFUSED" }),
  );

  chmodSync(cacheDirectory, 0o755);
  expect(() => prepareNative({ ...options, glibc: "2.36" })).toThrow(
    expect.objectContaining({ code: "NATIVE_REFUSED" }),
  );
});

test("a file that is no shared object of the expected shape can not be patched", () => {
  expect(() => patchSharedObject(new Uint8Array(10))).toThrow(RangeError);
  expect(() => patchSharedObject(Buffer.alloc(4096, "\x7fELF\x02\x01"))).toThrow(RangeError);
});
