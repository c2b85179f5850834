import { setTimeout as delay } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import { openSource, Publisher } from "../publisher/index.js";
import { Relay } from "../relay/index.js";
import { Listener } from "../watch/index.js";

const BLOCK = 480;
/** The machine may be busy: what is waited for may take a while. */
const OFTEN = { interval: 5 };

const closers: (() => unknown)[] = [];
// The protocol library logs every step to the console.
console.debug = () => {};

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** Raw PCM as a microphone would deliver it: blocks of 10 ms at the pace of the clock. */
async function* microphone(signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const start = performance.now();
  for (let index = 0; !signal.aborted; index++) {
    const wait = start + (index + 1) * 10 - performance.now();
    if (wait > 0) await delay(wait);
    const samples = Float32Array.from({ length: BLOCK }, (_, at) => 0.3 * Math.sin((index * BLOCK + at) * 0.05));
    yield new Uint8Array(samples.buffer);
  }
}

test("a listener that joins a live broadcast a second late starts at the audio captured then", async () => {
  const relay = new Relay({ host: "127.0.0.1", port: 0 });
  closers.push(() => relay.close());
  const url = `http://127.0.0.1:${(await relay.listen()).port}`;
  const stop = new AbortController();
  const source = await openSource({ pcm: microphone(stop.signal), format: "f32le" });
  const publisher = new Publisher({ url, mode: "live", source });
  closers.push(() => publisher.close());
  closers.push(() => stop.abort());
  await expect.poll(() => publisher.stats().connected && publisher.stats().frontierUs > 1e6, OFTEN).toBe(true);

  const listener = new Listener({ url, broadcast: "demo" });
  closers.push(() => listener.close());
  await expect.poll(() => listener.stats().playing, OFTEN).toBe(true);
  expect(listener.stats().bufferMs).toBeLessThan(300);
  // Not the audio captured before there was a listener.
  expect(listener.stats().playheadUs).toBeGreaterThan(800_000);
});
