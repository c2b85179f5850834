import { EventEmitter } from "node:events";
import { expect, test } from "vitest";
import { background, type Fault, faultCounts, guard, guardHandlers, onFault } from "./guard.js";
import { attachLogger } from "./logger.js";

test("a guarded handler gets its arguments, and its errors and rejections are counted and contained", async () => {
  const faults: Fault[] = [];
  const stop = onFault((fault) => {
    faults.push(fault);
    throw new Error("the log is full");
  });
  const seen: number[] = [];
  const handler = guard("test.handler", (value: number) => {
    seen.push(value);
    if (value > 1) throw new Error(`not ${value}`);
  });
  for (const value of [1, 2, 3, 4, 5]) handler(value);
  expect(seen).toEqual([1, 2, 3, 4, 5]);
  guard("test.async", async () => {
    throw new Error("later");
  })();
  background("test.async", Promise.reject(new Error("never waited for")));
  await new Promise((resolve) => setTimeout(resolve, 0));
  expect(faultCounts()).toMatchObject({ "test.handler": 4, "test.async": 2 });
  // The first, and whenever the count has doubled.
  expect(faults.map(({ handler: name, count }) => `${name} ${count}`)).toEqual([
    "test.handler 1",
    "test.handler 2",
    "test.handler 4",
    "test.async 1",
    "test.async 2",
  ]);
  stop();
  handler(9);
  expect(faults).toHaveLength(5);
});

test("an error in one handler of an event costs neither the other handlers nor what emits", async () => {
  const emitter = new EventEmitter<{ heard: [number] }>();
  guardHandlers(emitter);
  const seen: string[] = [];
  emitter.on("heard", () => {
    throw new Error("an application's mistake");
  });
  emitter.on("heard", async () => Promise.reject(new Error("a later one")));
  emitter.once("heard", (value) => seen.push(`once ${value}`));
  emitter.on("heard", (value) => seen.push(`on ${value}`));
  const logged: unknown[] = [];
  const detach = attachLogger({
    debug() {},
    info() {},
    warn: (fields, message) => logged.push({ ...fields, message }),
  });
  expect([emitter.emit("heard", 1), emitter.emit("heard", 2)]).toEqual([true, true]);
  detach();
  expect(logged).toMatchObject([{ handler: "EventEmitter.heard", count: 1 }, { count: 2 }]);
  expect(Object.keys(emitter)).not.toContain("emit");
  await new Promise((resolve) => setTimeout(resolve, 0));
  expect(seen).toEqual(["once 1", "on 1", "on 2"]);
  expect(faultCounts()).toMatchObject({ "EventEmitter.heard": 4 });
});
