import { pathToFileURL } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { startRemote } from "../bench/support/remote.js";
import { compiledPath } from "./support/compile.js";
import type { MemoryCalls } from "./support/memory-stage.js";

const GROUPS = 150;

async function start() {
  const child = await startRemote<MemoryCalls>(pathToFileURL(compiledPath("tests/support/memory-stage.ts")));
  onTestFinished(() => child.end());
  return child.calls;
}

/** The kind of object of which there are most more than before. What a busy machine is late to drop, it drops in the end. */
const mostGrown = (calls: Awaited<ReturnType<typeof start>>) =>
  expect.poll(async () => Math.max(...Object.values(await calls.grown())));

test("publisher, relay and listener hold on to no group over QUIC or WebSocket", async () => {
  const calls = await start();
  await calls.groups(GROUPS);
  await mostGrown(calls).toBeLessThan(GROUPS / 4);
});

test("publisher and listener hold on to no frame of a long group over QUIC or WebSocket", async () => {
  const calls = await start();
  await calls.frames(400);
  await mostGrown(calls).toBeLessThan(50);
});
