import { expect, onTestFinished, test } from "vitest";
import { Caller } from "../agent/index.js";
import { sleep } from "../base/index.js";
import { openSource, Publisher } from "../publisher/index.js";
import { Relay } from "../relay/index.js";
import { Listener } from "../watch/index.js";
import { endlessTone, freePort, spawnScript } from "./support/outage.js";
import { startRelay } from "./support/relay.js";
import { speech } from "./support/stage.js";

async function spawned(script: string, ...args: readonly (string | number)[]) {
  const child = await spawnScript(script, ...args);
  onTestFinished(() => void child.kill("SIGKILL"));
  return child;
}

/** A listener, and all the samples that its speaker played. */
function listen(url: string): { listener: Listener; played: number[] } {
  const played: number[] = [];
  const write = ([samples]: readonly Float32Array[]) => {
    for (const sample of samples!) played.push(sample);
  };
  const sink = { write, close: async () => {} };
  const listener = new Listener({ url, broadcast: "demo", timeoutMs: 60_000, sink });
  onTestFinished(() => listener.close());
  return { listener, played };
}

/** The tone of each 20 ms that are loud throughout, in hertz, to the nearest 50. */
function tones(played: readonly number[]): number[] {
  const found: number[] = [];
  for (let from = 0; from + 960 <= played.length; from += 960) {
    const part = played.slice(from, from + 960);
    // With the sample before: a crossing between two parts counts too.
    const crossings = part.filter((sample, at) => sample >= 0 && played[from + at - 1]! < 0).length;
    const loud = [0, 240, 480, 720].every((at) => Math.max(...part.slice(at, at + 240)) > 0.1);
    if (loud) found.push(50 * crossings);
  }
  return found;
}

const isSilent = (played: readonly number[]) => played.length > 9600 && Math.max(...played.slice(-9600)) < 0.01;

test("a listener follows a publisher that is killed and restarted with a fresh clock, and plays no sample of its old run", async () => {
  const { url } = await startRelay();
  const { listener, played } = listen(url);
  const problems: Error[] = [];
  listener.on("problem", (problem) => problems.push(problem));
  const first = await spawned("outage-publisher.ts", url, 500);
  await expect.poll(() => tones(played).length).toBeGreaterThan(20);
  first.kill("SIGKILL");
  await spawned("outage-publisher.ts", url, 1000);
  await expect.poll(() => tones(played).filter((hertz) => hertz === 1000).length).toBeGreaterThan(20);
  const order = tones(played);
  const since = order.indexOf(1000);
  expect(order.slice(since)).not.toContain(500);
  expect(order.slice(0, since).filter((hertz) => hertz === 500).length).toBeGreaterThan(20);
  expect(listener.stats()).toMatchObject({ sessions: 1, staleMs: 0 });
  // A publisher that goes away is no fault of the listener's.
  expect(problems).toEqual([]);
});

test("a live caller who leaves and comes back under the same name is heard again", async () => {
  const { url } = await startRelay();
  const caller = new Caller({ url, broadcast: "caller" });
  onTestFinished(() => caller.close());
  const visit = async (name: string, greeted: (publisher: Publisher) => Promise<void>) => {
    const publisher = new Publisher({ url, broadcast: "caller", mode: "live" });
    await greeted(publisher);
    publisher.say(await speech());
    await expect.poll(() => caller.stats().levelDb, { message: name }).toBeGreaterThan(-40);
    // Longer than the publisher's first second, so that the playhead of this visit is ahead of the next one's audio.
    await sleep(1500);
    await publisher.close();
    await expect.poll(() => caller.stats().levelDb).toBeLessThan(-80);
  };
  await visit("first", async () => {});
  // Before it says anything it hears from its listener, which speaks of the visit before.
  await visit("second", (publisher) => expect.poll(() => publisher.stats().listeners).toBe(1));
});

test("listeners of an edge keep hearing after its upstream relay was killed and came back", async () => {
  const port = await freePort();
  const upstream = await spawned("outage-relay.ts", port);
  const url = `http://127.0.0.1:${port}`;
  const publisher = new Publisher({ url, broadcast: "demo", connect: { backends: ["quic"] } });
  onTestFinished(() => publisher.close());
  publisher.say(await endlessTone(500));
  const { listener, played } = listen((await startRelay({ upstream: { url, backends: ["quic"] } })).url);
  await expect.poll(() => tones(played).length).toBeGreaterThan(20);
  upstream.kill("SIGKILL");
  await expect.poll(() => isSilent(played)).toBe(true);
  const before = tones(played).length;
  await spawned("outage-relay.ts", port);
  await expect.poll(() => tones(played).length).toBeGreaterThan(before + 20);
  await expect.poll(() => publisher.stats().listeners).toBe(1);
  expect(listener.stats()).toMatchObject({ sessions: 1, staleMs: 0 });
});

test("a reply that is resumed, or a knob that changes, while the relay is away ends once and repeats nothing", async () => {
  const relay = new Relay({ port: 0 });
  onTestFinished(() => relay.close());
  const { port } = await relay.listen();
  const url = `http://127.0.0.1:${port}`;
  const publisher = new Publisher({ url, broadcast: "demo", codec: "pcm" });
  onTestFinished(() => publisher.close());
  const { listener, played } = listen(url);
  await expect.poll(() => listener.stats().state).toBe("ready");
  const length = 4 * 48_000;
  // Every sample says where it is.
  const samples = Float32Array.from({ length }, (_, at) => 0.1 + (0.8 * at) / length);
  const ends: string[] = [];
  publisher.say(await openSource({ samples })).done.then(({ outcome }) => ends.push(outcome));
  await expect.poll(() => played.at(-1) ?? 0, { interval: 5 }).toBeGreaterThan(0.2);
  await relay.close();
  // What the listener still held is heard too, and no report says so: an interrupt behind it repeats nothing.
  await expect.poll(() => isSilent(played)).toBe(true);
  await publisher.interrupt();
  expect(ends).toEqual(["interrupted"]);
  expect(publisher.resume()).toBeDefined();
  publisher.set({ bypass: true });
  const before = played.length;
  const again = new Relay({ port });
  onTestFinished(() => again.close());
  await again.listen();
  await expect.poll(() => played.findLast((sample) => sample > 0.1) ?? 0).toBeGreaterThan(0.88);
  await publisher.drained();
  const placeMs = (sample: number) => ((sample - 0.1) / 0.8) * (length / 48);
  const heardMs = placeMs(played.slice(0, before).reduce((most, sample) => Math.max(most, sample)));
  // Behind the fade, where each sample is what it was.
  const start = played.findIndex((sample, at) => at >= before && sample > 0.05);
  const resumedMs = placeMs(played[start + 960]!) - 20;
  // The clock runs on while the relay is away: nothing is heard twice, and all that follows is heard.
  expect(resumedMs).toBeGreaterThan(heardMs - 20);
  const heardAgainMs = played.slice(start).filter((sample) => sample > 0.05).length / 48;
  expect(Math.abs(length / 48 - resumedMs - heardAgainMs)).toBeLessThan(40);
  expect(ends).toEqual(["interrupted"]);
  expect(listener.stats().staleMs).toBe(0);
});

test("a publisher that is interrupted when its last listener has left has nothing more to send", async () => {
  const { url } = await startRelay();
  const publisher = new Publisher({ url, broadcast: "demo" });
  onTestFinished(() => publisher.close());
  const { listener, played } = listen(url);
  await expect.poll(() => listener.stats().state).toBe("ready");
  const speaking = publisher.say(await speech());
  await expect.poll(() => played.filter((sample) => sample > 0.05).length).toBeGreaterThan(500);
  await listener.close();
  await expect.poll(() => publisher.stats().listeners).toBe(0);
  await speaking.interrupt();
  expect(publisher.stats().rewinds).toBe(1);
  await publisher.drained();
});
