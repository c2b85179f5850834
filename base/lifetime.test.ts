import { expect, test } from "vitest";
import { Ending } from "./lifetime.js";

test("a part ends once, for the first reason, and every caller waits for the same clean-up", async () => {
  let runs = 0;
  const ending = new Ending(async () => {
    runs++;
    void ending.end(null);
    await Promise.resolve();
  });
  const first = new Error("the first");
  await Promise.all([ending.end(first), ending.end(new Error("the second"))]);
  expect([runs, await ending.closed]).toEqual([1, first]);
});

test("a part whose clean-up fails rejects its callers and resolves closed with the reason, or else with the fault", async () => {
  const fault = new Error("the disk is full");
  const reason = new Error("the relay refused it");
  for (const [given, expected] of [
    [null, fault],
    [reason, reason],
  ] as const) {
    const ending = new Ending(async () => {
      throw fault;
    });
    await expect(ending.end(given)).rejects.toBe(fault);
    expect(await ending.closed).toBe(expected);
  }
});

test("a part with a signal that has aborted ends with the signal's reason", async () => {
  const reason = new Error("not needed any more");
  const ending = new Ending(async () => {});
  ending.endWith(AbortSignal.abort(reason));
  expect(await ending.closed).toBe(reason);
});
