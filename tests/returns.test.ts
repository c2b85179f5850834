import { test } from "vitest";
import { Caller } from "../agent/index.js";
import { openSource, type Publisher } from "../publisher/index.js";
import type { Relay } from "../relay/index.js";
import type { Listener } from "../watch/index.js";
import { endlessTone, freePort, spawnScript } from "./support/outage.js";
import { Stage, sleep, speech, urlOf } from "./support/stage.js";

async function spawned(stage: Stage, script: string, ...args: readonly (string | number)[]) {
  const child = await spawnScript(script, ...args);
  stage.defer(() => child.kill("SIGKILL"));
  return child;
}

/** A listener, and all the samples that its speaker played. */
function listen(stage: Stage, relay: Relay): { listener: Listener; played: number[] } {
  const played: number[] = [];
  const write = ([samples]: readonly Float32Array[]) => {
    for (const sample of samples!) played.push(sample);
  };
  const sink = { write, close: async () => {} };
  return { listener: stage.listen(relay, { timeoutMs: 60_000, sink }), played };
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

test.concurrent("a listener follows a publisher that is killed and restarted with a fresh clock, and plays no sample of its old run", async ({
  expect,
}) => {
  await using stage = new Stage();
  const relay = await stage.relay();
  const { listener, played } = listen(stage, relay);
  const problems: Error[] = [];
  listener.on("problem", (problem) => problems.push(problem));
  const first = await spawned(stage, "outage-publisher.ts", urlOf(relay), 500);
  await expect.poll(() => tones(played).length).toBeGreaterThan(20);
  first.kill("SIGKILL");
  await spawned(stage, "outage-publisher.ts", urlOf(relay), 1000);
  await expect.poll(() => tones(played).filter((hertz) => hertz === 1000).length).toBeGreaterThan(20);
  const order = tones(played);
  const since = order.indexOf(1000);
  expect(order.slice(since)).not.toContain(500);
  expect(order.slice(0, since).filter((hertz) => hertz === 500).length).toBeGreaterThan(20);
  expect(listener.stats()).toMatchObject({ sessions: 1, staleMs: 0 });
  // A publisher that goes away is no fault of the listener's.
  expect(problems).toEqual([]);
});

test.concurrent("a live caller who leaves and comes back under the same name is heard again", async ({ expect }) => {
  await using stage = new Stage();
  const relay = await stage.relay();
  const caller = stage.use(new Caller({ url: urlOf(relay), broadcast: "caller" }));
  const visit = async (name: string, greeted: (publisher: Publisher) => Promise<void>) => {
    const publisher = stage.publish(relay, { broadcast: "caller", mode: "live" });
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

test.concurrent("listeners of an edge keep hearing after its upstream relay was killed and came back", async ({
  expect,
}) => {
  await using stage = new Stage();
  const port = await freePort();
  const upstream = await spawned(stage, "outage-relay.ts", port);
  const url = `http://127.0.0.1:${port}`;
  const publisher = stage.publish(url, { connect: { backends: ["quic"] } });
  publisher.say(await endlessTone(500));
  const edge = await stage.relay({ upstream: { url, backends: ["quic"] } });
  const { listener, played } = listen(stage, edge);
  await expect.poll(() => tones(played).length).toBeGreaterThan(20);
  upstream.kill("SIGKILL");
  await expect.poll(() => isSilent(played)).toBe(true);
  const before = tones(played).length;
  await spawned(stage, "outage-relay.ts", port);
  await expect.poll(() => tones(played).length).toBeGreaterThan(before + 20);
  await expect.poll(() => publisher.stats().listeners).toBe(1);
  expect(listener.stats()).toMatchObject({ sessions: 1, staleMs: 0 });
});

test.concurrent("a reply that is resumed, or a knob that changes, while the relay is away ends once and repeats nothing", async ({
  expect,
}) => {
  await using stage = new Stage();
  const relay = await stage.relay();
  const publisher = stage.publish(relay, { codec: "pcm" });
  const { listener, played } = listen(stage, relay);
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
  await stage.relay({ port: relay.address.port });
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

test.concurrent("a publisher that is interrupted when its last listener has left has nothing more to send", async ({
  expect,
}) => {
  await using stage = new Stage();
  const relay = await stage.relay();
  const publisher = stage.publish(relay);
  const { listener, played } = listen(stage, relay);
  await expect.poll(() => listener.stats().state).toBe("ready");
  const speaking = publisher.say(await speech());
  await expect.poll(() => played.filter((sample) => sample > 0.05).length).toBeGreaterThan(500);
  await listener.close();
  await expect.poll(() => publisher.stats().listeners).toBe(0);
  await speaking.interrupt();
  expect(publisher.stats().rewinds).toBe(1);
  await publisher.drained();
});
