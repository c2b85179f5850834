import fc from "fast-check";
import { expect, test } from "vitest";
import { broadcastPath, broadcastPaths, isBroadcastName, normalizePath } from "./broadcast-name.js";

test.each([
  ["demo", "demo.hang", ["demo.hang", "demo"]],
  ["stage.hang", "stage.hang", ["stage.hang", "stage"]],
  ["c//d", "c/d.hang", ["c/d.hang", "c/d"]],
  ["/c/d/", "c/d.hang", ["c/d.hang", "c/d"]],
  ["c/d.hang//", "c/d.hang", ["c/d.hang", "c/d"]],
  ["stage.hang.hang", "stage.hang.hang", ["stage.hang.hang", "stage.hang"]],
  [".hang", ".hang.hang", [".hang.hang", ".hang"]],
  ["a/.hang", "a/.hang.hang", ["a/.hang.hang", "a/.hang"]],
  ["room.hang/stage", "room.hang/stage.hang", ["room.hang/stage.hang", "room.hang/stage"]],
  ["pipecat.hanging", "pipecat.hanging.hang", ["pipecat.hanging.hang", "pipecat.hanging"]],
  ["stage.HANG", "stage.HANG.hang", ["stage.HANG.hang", "stage.HANG"]],
  ["ünï cödé 🎙", "ünï cödé 🎙.hang", ["ünï cödé 🎙.hang", "ünï cödé 🎙"]],
])("a broadcast named %j is published at %j and looked for at %j", (name, path, paths) => {
  expect(broadcastPath(name)).toBe(path);
  expect(broadcastPaths(name)).toEqual(paths);
});

const part = fc.oneof(
  fc.constantFrom("a", "b.hang", ".hang", "hang", ".", "..", ".feedback", "c.control", " ", "%2f", "ü", "\u{1f399}"),
  fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 }).filter((text) => !text.includes("/")),
);
const slashes = fc.constantFrom("/", "//", "///");
const anyName = fc
  .tuple(fc.constantFrom("", "/", "//"), fc.array(fc.tuple(part, slashes), { minLength: 1, maxLength: 5 }))
  .map(([start, parts]) => start + parts.map(([text, slash]) => text + slash).join(""))
  .chain((name) => fc.constantFrom(name, name.replace(/\/+$/, ""), name.replace(/\/+$/, ".hang")))
  .filter(isBroadcastName);

test("both ends meet whichever spelling of a name each has, and a stranger's path is found by itself", () => {
  fc.assert(
    fc.property(anyName, (name) => {
      const path = broadcastPath(name);
      for (const spelling of [name, `/${name}/`, name.replaceAll("/", "//"), path]) {
        expect(broadcastPath(spelling)).toBe(path);
        expect(broadcastPaths(spelling)[0]).toBe(path);
      }
      expect(normalizePath(path)).toBe(path);
      expect(broadcastPaths(name)).toContain(normalizePath(name));
    }),
    { seed: 20_261_126, numRuns: 2000 },
  );
});

test.each(["", "/", "///", "x".repeat(513), "é".repeat(257), Array(31).fill("a").join("/")])(
  "the name %j is refused in one sentence",
  (name) => {
    expect(isBroadcastName(name)).toBe(false);
    expect(() => broadcastPath(name)).toThrow(
      expect.objectContaining({
        code: "INVALID_OPTION",
        message: "broadcast must have 1 to 30 parts between slashes and at most 512 bytes.",
      }),
    );
  },
);

test("names of 512 bytes and of 30 parts are valid", () => {
  expect(isBroadcastName("x".repeat(512))).toBe(true);
  expect(isBroadcastName(`/${Array(30).fill("a").join("//")}/`)).toBe(true);
});
