import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
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

test.runIf(supported)("an old C library gets a verified private copy, a new one the published file", () => {
  const notices: string[] = [];
  const cacheDirectory = join(folder, "cache");
  const options = { cacheDirectory, log: (notice: string) => notices.push(notice) };

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

  // Any other file there is not loaded but replaced.
  writeFileSync(copy, "something else");
  expect(readFileSync(prepareNative({ ...options, glibc: "2.36" })).equals(bytes)).toBe(true);

  // Any other build than the pinned one is refused, even with a single different bit.
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

/** Another user, which every Linux has. */
const OTHER_USER = 65_534;

test.runIf(supported)(
  "an adapted binding is never kept where another user could put something else in its place",
  () => {
    const prepare = (cacheDirectory: string) => prepareNative({ cacheDirectory, glibc: "2.36", log: () => {} });
    const open = join(folder, "open");
    mkdirSync(open);
    chmodSync(open, 0o777);
    const within = join(open, "cache", "unsay");
    expect(prepare(within).startsWith(open)).toBe(false);
    // Neither behind a link, nor when the folder itself is private and the one around it is not.
    symlinkSync(open, join(folder, "link"));
    expect(prepare(join(folder, "link", "unsay")).startsWith(folder)).toBe(false);
    mkdirSync(join(open, "mine"), { mode: 0o700 });
    expect(prepare(join(open, "mine")).startsWith(open)).toBe(false);
    expect(readdirSync(open)).toEqual(["mine"]);

    // In a sticky folder such as /tmp others cannot replace our files.
    chmodSync(open, 0o1777);
    expect(prepare(within).startsWith(within)).toBe(true);

    // Where a folder can't be created, such as below a file, the copy is stored elsewhere too.
    writeFileSync(join(folder, "file"), "");
    expect(prepare(join(folder, "file", "unsay")).startsWith(folder)).toBe(false);
  },
);

test.runIf(supported && process.getuid?.() === 0)("an adapted binding is never stored in another user's folder", () => {
  const foreign = join(folder, "foreign");
  mkdirSync(foreign, { mode: 0o755 });
  chownSync(foreign, OTHER_USER, OTHER_USER);
  const copy = prepareNative({ cacheDirectory: join(foreign, "unsay"), glibc: "2.36", log: () => {} });
  expect(copy.startsWith(foreign)).toBe(false);
});

test("a file that is not a shared object of the expected shape cannot be patched", () => {
  expect(() => patchSharedObject(new Uint8Array(10))).toThrow("not a little-endian ELF64 object");
  expect(() => patchSharedObject(Buffer.alloc(4096, "\x7fELF\x02\x01"))).toThrow("sections are damaged");
});
