import { expect, test } from "vitest";
import { Controller, Listener } from "./index.js";

// No server listens there: none gets further than connecting.
const options = { url: "https://127.0.0.1:9", broadcast: "demo", connect: { timeoutMs: 500 } };
const kinds = [
  ["listener", () => new Listener(options), (signal: AbortSignal) => new Listener({ ...options, signal })],
  ["controller", () => new Controller(options), (signal: AbortSignal) => new Controller({ ...options, signal })],
] as const;

test.each(kinds)("a %s settles its closed promise once, however often it is closed", async (_, open) => {
  const one = open();
  const states: string[] = [];
  one.on("state", (state: string) => states.push(state));
  await Promise.all([one.close(), one.close()]);
  await one.close();
  expect(await one.closed).toBeNull();
  expect(states).toEqual(["closed"]);
  expect(one.stats().state).toBe("closed");
});

test.each(kinds)("leaving the block closes a %s", async (_, open) => {
  const one = open();
  {
    await using using = one;
    expect(using.stats().state).toBe("connecting");
  }
  expect(one.stats().state).toBe("closed");
});

test.each(kinds)("a %s ends with the reason of its signal", async (_, __, openWith) => {
  const stop = new AbortController();
  const one = openWith(stop.signal);
  const reason = new Error("enough");
  stop.abort(reason);
  expect(await one.closed).toBe(reason);
  const late = openWith(stop.signal);
  expect(await late.closed).toBe(reason);
  await late.close();
});

test("a closed controller rejects new operations", async () => {
  const controller = new Controller(options);
  const pending = controller.send({ op: "resume" });
  await Promise.all([controller.close(), expect(pending).rejects.toMatchObject({ code: "CLOSED" })]);
  await expect(controller.send({ op: "resume" })).rejects.toMatchObject({ code: "CLOSED" });
});

test("a listener counts the time in which its process stands still, beyond what it makes up for", async () => {
  await using listener = new Listener(options);
  expect(listener.stats().stalledMs).toBe(0);
  const end = performance.now() + 500;
  while (performance.now() < end);
  // Of 500 ms it pulls the last 200 at once.
  await expect.poll(() => listener.stats().stalledMs).toBeGreaterThan(250);
});
