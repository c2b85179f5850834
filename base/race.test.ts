import { queryObjects, setFlagsFromString } from "node:v8";
import { expect, test } from "vitest";
import { race } from "./race.js";

setFlagsFromString("--expose-gc");

class Outcome {}

test("a race settles like the first of its promises", async () => {
  const never = new Promise<never>(() => {});
  expect(await race([never, Promise.resolve(1)])).toBe(1);
  await expect(race([never, Promise.reject(new Error("lost"))])).rejects.toThrow("lost");
  const later = Promise.withResolvers<string>();
  const waiting = race([never, later.promise]);
  later.resolve("done");
  expect(await waiting).toBe("done");
  expect(await race([later.promise, never])).toBe("done");
  expect(await race([Promise.resolve("first"), Promise.resolve("second")])).toBe("first");
});

test("a promise that settles ends every race that waits for it, and no other", async () => {
  const shared = Promise.withResolvers<string>();
  const other = Promise.withResolvers<string>();
  const races = [race([shared.promise, other.promise]), race([other.promise, shared.promise])];
  const apart = race([other.promise]);
  shared.resolve("shared");
  expect(await Promise.all(races)).toEqual(["shared", "shared"]);
  other.resolve("other");
  expect(await apart).toBe("other");
});

test("a promise that lost ten thousand races holds none of them", async () => {
  const closed = new Promise<never>(() => {});
  for (let turn = 0; turn < 10_000; turn++) await race([closed, Promise.resolve(new Outcome())]);
  expect(queryObjects(Outcome, { format: "count" })).toBeLessThan(10);
  await race([closed, Promise.resolve()]);
});
