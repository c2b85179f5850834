import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { connect as connectTcp, createServer, type Server } from "node:net";
import { Readable } from "node:stream";
import { afterEach, expect, test, vi } from "vitest";
import { openSource, Publisher } from "../publisher/index.js";
import { Relay } from "../relay/index.js";
import type { Backend } from "../transport/index.js";
import { Listener } from "../watch/index.js";
import { impair } from "./support/impairment.js";
import { endlessTone, freePort, spawnScript } from "./support/outage.js";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  vi.useRealTimers();
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A publisher of a tone without an end. */
async function publish(url: string, options: { hertz?: number; backends?: Backend[] } = {}): Promise<Publisher> {
  const { hertz = 440, backends } = options;
  const publisher = new Publisher({
    url,
    broadcast: "demo",
    lowBitrateBps: false,
    ...(backends && { connect: { backends } }),
  });
  cleanups.push(() => publisher.close());
  publisher.play(await endlessTone(hertz)).done.catch(() => {});
  return publisher;
}

function listen(url: string, backends?: Backend[]): Listener {
  const listener = new Listener({
    url,
    broadcast: "demo",
    timeoutMs: 60_000,
    ...(backends && { connect: { backends } }),
  });
  cleanups.push(() => listener.close());
  return listener;
}

async function startRelay(): Promise<{ relay: Relay; url: string; port: number }> {
  const relay = new Relay({ port: 0 });
  const { port } = await relay.listen();
  cleanups.push(() => relay.close());
  return { relay, port, url: `http://127.0.0.1:${port}` };
}

const isLoud = (listener: Listener): boolean => listener.stats().levelDb > -30;
async function heard(listener: Listener): Promise<void> {
  await expect.poll(() => isLoud(listener), { interval: 20, timeout: 20_000 }).toBe(true);
}

/** Waits until the audio of before is over. */
async function silent(listener: Listener): Promise<void> {
  await expect.poll(() => isLoud(listener), { interval: 20, timeout: 20_000 }).toBe(false);
}

/** Runs a relay in a process of its own. */
async function spawnRelay(port: number): Promise<ChildProcess> {
  const child = await spawnScript("outage-relay.ts", port);
  cleanups.push(() => child.kill("SIGKILL"));
  return child;
}

test.each(["quic", "qmux"] as const)(
  "publisher and listener are back at once when a killed relay is, over %s",
  { timeout: 60_000 },
  async (backend) => {
    const port = await freePort();
    const relay = await spawnRelay(port);
    const url = `http://127.0.0.1:${port}`;
    const publisher = await publish(url, { backends: [backend] });
    const listener = listen(url, [backend]);
    await heard(listener);
    relay.kill("SIGKILL");
    await silent(listener);
    await spawnRelay(port);
    await heard(listener);
    // The carrier's own limit is 30 s; a session that fell silent is replaced, not waited for.
    expect(publisher.stats().sessions).toBe(2);
    expect(listener.stats()).toMatchObject({ sessions: 2, staleMs: 0 });
  },
);

test.each(["listener", "publisher"] as const)(
  "where UDP is swallowed in mid-session, the %s carries on over WebSocket",
  { timeout: 60_000 },
  async (role) => {
    const { url, port } = await startRelay();
    const hole = await impair({ target: { host: "127.0.0.1", port }, seed: 12 });
    cleanups.push(() => hole.close());
    const door: Server = createServer((socket) => {
      const onward = connectTcp(port, "127.0.0.1");
      socket.pipe(onward).pipe(socket);
      socket.on("error", () => onward.destroy());
      onward.on("error", () => socket.destroy());
    }).listen(hole.port, "127.0.0.1");
    await once(door, "listening");
    cleanups.push(() => door.close());
    const through = `http://127.0.0.1:${hole.port}`;
    const publisher = new Publisher({
      url: role === "publisher" ? through : url,
      broadcast: "demo",
      // On a busy machine QUIC may take longer than its usual head start, and this is about losing it.
      connect: { headStartMs: 5000 },
    });
    cleanups.push(() => publisher.close());
    publisher.play(await endlessTone(440)).done.catch(() => {});
    const listener = new Listener({
      url: role === "listener" ? through : url,
      broadcast: "demo",
      timeoutMs: 60_000,
      connect: { headStartMs: 5000 },
    });
    cleanups.push(() => listener.close());
    await heard(listener);
    hole.setUp({ blackhole: true });
    hole.setDown({ blackhole: true });
    const replaced = role === "listener" ? listener : publisher;
    await expect.poll(() => replaced.stats().sessions, { timeout: 20_000 }).toBe(2);
    await heard(listener);
    expect(listener.stats()).toMatchObject({
      staleMs: 0,
      sessions: role === "listener" ? 2 : 1,
      backend: role === "listener" ? "qmux" : "quic",
    });
    expect(publisher.stats().sessions).toBe(role === "publisher" ? 2 : 1);
  },
);

test("of two publishers of a name the newest is heard, the other one learns so, and is heard again afterwards", async () => {
  const { relay, url } = await startRelay();
  const problems: Error[] = [];
  const states: string[] = [];
  const first = await publish(url);
  first.on("problem", (problem) => problems.push(problem));
  first.on("state", (state) => states.push(state));
  const listener = listen(url);
  await heard(listener);
  const second = await publish(url, { hertz: 880 });
  await expect.poll(() => second.stats().listeners).toBe(1);
  await expect.poll(() => first.state).toBe("displaced");
  expect(problems).toMatchObject([{ code: "NAME_TAKEN", retryable: false }]);
  expect(relay.stats()).toMatchObject({ broadcasts: 1, displaced: 1 });
  await heard(listener);

  await second.close();
  await expect.poll(() => first.state).toBe("publishing");
  await expect.poll(() => first.stats().listeners).toBe(1);
  await heard(listener);
  expect(states).toEqual(["publishing", "displaced", "publishing"]);
  expect(listener.stats().staleMs).toBe(0);
});

test("a publisher that is stopped or killed gives way to the one that it displaced, until it goes on", {
  timeout: 60_000,
}, async () => {
  const { relay, url } = await startRelay();
  const first = await publish(url);
  const listener = listen(url);
  await heard(listener);
  const second = await spawnScript("outage-publisher.ts", url, 880);
  cleanups.push(() => second.kill("SIGKILL"));
  await expect.poll(() => first.state).toBe("displaced");
  for (const signal of ["SIGSTOP", "SIGKILL"] as const) {
    second.kill(signal);
    // QUIC finds it after 30 s.
    await expect.poll(() => first.state, { timeout: 20_000 }).toBe("publishing");
    await expect.poll(() => first.stats().listeners).toBe(1);
    await heard(listener);
    if (signal === "SIGKILL") continue;
    second.kill("SIGCONT");
    await expect.poll(() => first.state).toBe("displaced");
    await heard(listener);
  }
  expect(relay.stats()).toMatchObject({ broadcasts: 1, displaced: 1, counters: { publishersSilent: 2 } });
  expect(listener.stats()).toMatchObject({ sessions: 1, staleMs: 0 });
});

/** Closes a relay and gives a function that opens another one on its port. */
async function restartable(): Promise<{ url: string; stop: () => Promise<void>; start: () => Promise<void> }> {
  let relay = new Relay({ port: 0 });
  const { port } = await relay.listen();
  cleanups.push(() => relay.close());
  return {
    url: `http://127.0.0.1:${port}`,
    stop: () => relay.close(),
    start: async () => {
      relay = new Relay({ port });
      await relay.listen();
    },
  };
}

function speech(hertz: number, seconds: number): ReturnType<typeof openSource> {
  const samples = Float32Array.from(
    { length: seconds * 48_000 },
    (_, at) => 0.25 * Math.sin((2 * Math.PI * hertz * at) / 48_000),
  );
  const pcm = Readable.from([Buffer.from(samples.buffer)]);
  return openSource({ pcm, format: "f32le", rate: 48_000, inputChannels: 1 });
}

test("what is interrupted while the relay is away is never heard afterwards, and every speech has one end", {
  timeout: 60_000,
}, async () => {
  const { url, stop, start } = await restartable();
  const publisher = new Publisher({ url, broadcast: "demo" });
  cleanups.push(() => publisher.close());
  const ends: string[] = [];
  const say = async (name: string, seconds: number) => {
    const { done } = publisher.play(await speech(440, seconds));
    done.then(
      (outcome) => ends.push(`${name} ${outcome}`),
      (error: Error) => ends.push(`${name} ${error.message}`),
    );
  };
  await say("first", 60);
  await say("second", 1);
  const listener = listen(url);
  await heard(listener);
  await stop();
  await silent(listener);
  await publisher.interrupt();
  expect(ends).toEqual(["first interrupted", "second interrupted"]);
  const before = listener.record.length;
  await start();
  await expect.poll(() => publisher.stats().listeners, { timeout: 20_000 }).toBe(1);
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(isLoud(listener)).toBe(false);
  expect(listener.record.slice(before).every(({ epoch }) => epoch === undefined || epoch > 0)).toBe(true);
  const beforeThird = listener.record.length;
  await say("third", 1);
  await expect.poll(() => ends).toEqual(["first interrupted", "second interrupted", "third finished"]);
  const spoken = listener.record.slice(beforeThird).filter(({ epoch }) => epoch !== undefined);
  expect(spoken.reduce((sum, { frames }) => sum + frames, 0)).toBeGreaterThanOrEqual(48_000);
  expect(listener.stats().staleMs).toBe(0);
});

test("speeches that were queued when the relay restarted have one end each, and go on where the clock is", {
  timeout: 60_000,
}, async () => {
  const { url, stop, start } = await restartable();
  const publisher = new Publisher({ url, broadcast: "demo" });
  cleanups.push(() => publisher.close());
  const listener = listen(url);
  const ends: string[] = [];
  for (const name of ["first", "second", "third"])
    publisher.play(await speech(440, 3)).done.then(
      (outcome) => ends.push(`${name} ${outcome}`),
      (error: Error) => ends.push(`${name} ${error.message}`),
    );
  await heard(listener);
  await stop();
  await silent(listener);
  await start();
  await heard(listener);
  await publisher.drained();
  await silent(listener);
  expect(ends).toEqual(["first finished", "second finished", "third finished"]);
  // Nothing is heard twice: the record only climbs.
  const starts = listener.record.flatMap(({ timestamp }) => timestamp ?? []);
  expect(starts).toEqual([...starts].sort((a, b) => a - b));
  expect(listener.stats().staleMs).toBe(0);
});

test("a system clock that jumps by an hour, forwards and back, is heard by nobody", async () => {
  const { relay, url } = await startRelay();
  const publisher = await publish(url);
  const overQuic = listen(url, ["quic"]);
  const overTcp = listen(url, ["qmux"]);
  await heard(overQuic);
  await heard(overTcp);
  const before = [overQuic.stats().underruns, overTcp.stats().underruns];
  vi.useFakeTimers({ toFake: ["Date"] });
  const start = Date.now();
  for (const hours of [1, -1, 25]) {
    vi.setSystemTime(start + hours * 3_600_000);
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect(isLoud(overQuic) && isLoud(overTcp)).toBe(true);
  }
  for (const listener of [overQuic, overTcp]) expect(listener.stats()).toMatchObject({ sessions: 1, staleMs: 0 });
  expect(publisher.stats()).toMatchObject({ sessions: 1, listeners: 2 });
  expect([overQuic.stats().underruns, overTcp.stats().underruns]).toEqual(before);
  // One who comes now finds the catalog and the audio.
  const late = listen(url);
  await heard(late);
  expect(relay.stats().sessions).toBe(4);
});
