import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { connect as connectTcp, createServer, type Server } from "node:net";
import { expect, test, vi } from "vitest";
import type { Publisher, PublisherOptions } from "../publisher/index.js";
import type { Listener, ListenerOptions } from "../watch/index.js";
import { type Impairment, impair } from "./support/impairment.js";
import { endlessTone, freePort, spawnScript } from "./support/outage.js";
import { eventually, Stage, say, sleep, tone, urlOf } from "./support/stage.js";

/** A publisher of a tone without an end. */
async function publish(
  stage: Stage,
  url: string,
  { hertz = 440, ...options }: Partial<PublisherOptions> & { hertz?: number } = {},
): Promise<Publisher> {
  const publisher = stage.publish(url, { lowBitrateBps: false, ...options });
  say(publisher, await endlessTone(hertz)).done.catch(() => {});
  return publisher;
}

function listen(stage: Stage, url: string, options: Partial<ListenerOptions> = {}): Listener {
  return stage.listen(url, { timeoutMs: 60_000, ...options });
}

const isLoud = (listener: Listener): boolean => listener.stats().levelDb > -30;
async function heard(listener: Listener): Promise<void> {
  await eventually(() => expect(isLoud(listener)).toBe(true));
}

/** Waits until the audio of before is over. */
async function silent(listener: Listener): Promise<void> {
  await eventually(() => expect(isLoud(listener)).toBe(false));
}

/** Stands before a relay's port: UDP passes until it is a black hole, TCP always. */
async function holeBefore(stage: Stage, target: { readonly host: string; readonly port: number }): Promise<Impairment> {
  for (;;) {
    const hole = stage.use(await impair({ target, seed: 12 }));
    const door: Server = createServer((socket) => {
      const onward = connectTcp(target.port, "127.0.0.1");
      socket.pipe(onward).pipe(socket);
      socket.on("error", () => onward.destroy());
      onward.on("error", () => socket.destroy());
    }).listen(hole.port, "127.0.0.1");
    // The port is free for UDP, but perhaps not for TCP.
    const isOpen = await once(door, "listening").then(
      () => true,
      () => false,
    );
    if (!isOpen) continue;
    stage.use(door);
    return hole;
  }
}

/** Runs a relay in a process of its own. */
async function spawnRelay(stage: Stage, port: number): Promise<ChildProcess> {
  const child = await spawnScript("outage-relay.ts", port);
  stage.defer(() => child.kill("SIGKILL"));
  return child;
}

test.concurrent.each(["quic", "qmux"] as const)(
  "publisher and listener are back at once when a killed relay is, over %s",
  async (backend) => {
    await using stage = new Stage();
    const port = await freePort();
    const relay = await spawnRelay(stage, port);
    const url = `http://127.0.0.1:${port}`;
    const publisher = await publish(stage, url, { connect: { backends: [backend] } });
    const listener = listen(stage, url, { connect: { backends: [backend] } });
    await heard(listener);
    relay.kill("SIGKILL");
    await silent(listener);
    await spawnRelay(stage, port);
    await heard(listener);
    // The carrier's own limit is 30 s; a session that fell silent is replaced, not waited for.
    expect(publisher.stats().sessions).toBe(2);
    expect(listener.stats()).toMatchObject({ sessions: 2, staleMs: 0 });
  },
);

test.concurrent.each(["listener", "publisher"] as const)(
  "where UDP is swallowed in mid-session, the %s carries on over WebSocket",
  async (role) => {
    await using stage = new Stage();
    const relay = await stage.relay();
    const url = urlOf(relay);
    const hole = await holeBefore(stage, relay.address);
    const through = `http://127.0.0.1:${hole.port}`;
    // On a busy machine QUIC may take longer than its usual head start, and this is about losing it.
    const connect = { headStartMs: 5000 };
    const publisher = await publish(stage, role === "publisher" ? through : url, { connect });
    const listener = listen(stage, role === "listener" ? through : url, { connect });
    await heard(listener);
    hole.setUp({ blackhole: true });
    hole.setDown({ blackhole: true });
    const replaced = role === "listener" ? listener : publisher;
    await eventually(() => expect(replaced.stats().sessions).toBe(2));
    await heard(listener);
    expect(listener.stats()).toMatchObject({
      staleMs: 0,
      sessions: role === "listener" ? 2 : 1,
      backend: role === "listener" ? "qmux" : "quic",
    });
    expect(publisher.stats().sessions).toBe(role === "publisher" ? 2 : 1);
  },
);

test.concurrent("of two publishers of a name the newest is heard; the other one is notified, and heard again afterwards", async () => {
  await using stage = new Stage();
  const relay = await stage.relay();
  const url = urlOf(relay);
  const problems: Error[] = [];
  const states: string[] = [];
  const first = await publish(stage, url);
  first.on("problem", (problem) => problems.push(problem));
  first.on("state", (state) => states.push(state));
  const listener = listen(stage, url);
  await heard(listener);
  const second = await publish(stage, url, { hertz: 880 });
  await eventually(() => expect(second.stats().listeners).toBe(1));
  await eventually(() => expect(first.state).toBe("displaced"));
  expect(problems).toMatchObject([{ code: "NAME_TAKEN", retryable: false }]);
  expect(relay.stats()).toMatchObject({ broadcasts: 1, displaced: 1 });
  await heard(listener);

  await second.close();
  await eventually(() => expect(first.state).toBe("publishing"));
  await eventually(() => expect(first.stats().listeners).toBe(1));
  await heard(listener);
  expect(states).toEqual(["publishing", "displaced", "publishing"]);
  expect(listener.stats().staleMs).toBe(0);
});

test.concurrent("a publisher that is stopped or killed gives way to the one that it displaced, until it continues", async () => {
  await using stage = new Stage();
  const relay = await stage.relay();
  const url = urlOf(relay);
  const first = await publish(stage, url);
  const listener = listen(stage, url);
  await heard(listener);
  const second = await spawnScript("outage-publisher.ts", url, 880);
  stage.defer(() => second.kill("SIGKILL"));
  await eventually(() => expect(first.state).toBe("displaced"));
  for (const signal of ["SIGSTOP", "SIGKILL"] as const) {
    second.kill(signal);
    // QUIC finds it after 30 s.
    await eventually(() => expect(first.state).toBe("publishing"));
    await eventually(() => expect(first.stats().listeners).toBe(1));
    await heard(listener);
    if (signal === "SIGKILL") continue;
    second.kill("SIGCONT");
    await eventually(() => expect(first.state).toBe("displaced"));
    await heard(listener);
  }
  expect(relay.stats()).toMatchObject({ broadcasts: 1, displaced: 1, counters: { publishersSilent: 2 } });
  expect(listener.stats()).toMatchObject({ sessions: 1, staleMs: 0 });
});

/** A relay whose successor takes its port. */
async function restartable(stage: Stage) {
  const relay = await stage.relay();
  const { port } = relay.address;
  return { url: urlOf(relay), stop: () => relay.close(), start: () => stage.relay({ port }) };
}

test.concurrent("an interrupt while the relay is away silences its speech for good, and every speech has one end", async () => {
  await using stage = new Stage();
  const { url, stop, start } = await restartable(stage);
  const publisher = stage.publish(url, { aheadMs: 500 });
  const ends: string[] = [];
  const speak = async (name: string, ms: number) => {
    say(publisher, await tone({ ms })).done.then(({ outcome }) => ends.push(`${name} ${outcome}`));
  };
  await speak("first", 60_000);
  await speak("second", 1000);
  const listener = listen(stage, url);
  await heard(listener);
  await stop();
  await silent(listener);
  // By now the publisher has some that no listener got before the interrupt, and must not get after it.
  await sleep(300);
  await publisher.interrupt();
  expect([...ends].sort()).toEqual(["first interrupted", "second interrupted"]);
  const before = listener.record.length;
  await start();
  // The listeners of the lost session count for three more seconds.
  await eventually(() => expect(publisher.stats()).toMatchObject({ sessions: 2, listeners: 1 }));
  await sleep(500);
  expect(isLoud(listener)).toBe(false);
  expect(listener.record.slice(before).every(({ epoch }) => epoch === undefined || epoch > 0)).toBe(true);
  const beforeThird = listener.record.length;
  await speak("third", 500);
  await eventually(() =>
    expect([...ends].sort()).toEqual(["first interrupted", "second interrupted", "third finished"]),
  );
  // Where no report comes in time, the publisher ends a speech by the clock, and a listener may still play.
  const spoken = () => listener.record.slice(beforeThird).filter(({ epoch }) => epoch !== undefined);
  // What is due while this process stands still is not played.
  await eventually(() => {
    const playedMs = spoken().reduce((sum, { frames }) => sum + frames, 0) / 48;
    expect(playedMs + listener.stats().stalledMs).toBeGreaterThanOrEqual(500);
  });
  expect(listener.stats().staleMs).toBe(0);
});

test.concurrent("speeches queued when the relay restarts have one end each, and continue at the current time", async () => {
  await using stage = new Stage();
  const { url, stop, start } = await restartable(stage);
  const publisher = stage.publish(url, { aheadMs: 500 });
  const listener = listen(stage, url);
  const ends: string[] = [];
  for (const name of ["first", "second", "third"])
    say(publisher, await tone({ ms: 1500 })).done.then(({ outcome }) => ends.push(`${name} ${outcome}`));
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

test("a system clock that jumps by an hour, forwards and back, disturbs no listener", async () => {
  await using stage = new Stage();
  const relay = await stage.relay();
  const url = urlOf(relay);
  const publisher = await publish(stage, url);
  const overQuic = listen(stage, url, { connect: { backends: ["quic"] } });
  const overTcp = listen(stage, url, { connect: { backends: ["qmux"] } });
  await heard(overQuic);
  await heard(overTcp);
  const before = [overQuic.stats().underruns, overTcp.stats().underruns];
  vi.useFakeTimers({ toFake: ["Date"] });
  stage.defer(() => vi.useRealTimers());
  const start = Date.now();
  for (const hours of [1, -1, 25]) {
    vi.setSystemTime(start + hours * 3_600_000);
    await sleep(700);
    expect(isLoud(overQuic) && isLoud(overTcp)).toBe(true);
  }
  for (const listener of [overQuic, overTcp]) expect(listener.stats()).toMatchObject({ sessions: 1, staleMs: 0 });
  expect(publisher.stats()).toMatchObject({ sessions: 1, listeners: 2 });
  expect([overQuic.stats().underruns, overTcp.stats().underruns]).toEqual(before);
  // One who comes now finds the catalog and the audio.
  const late = listen(stage, url);
  await heard(late);
  expect(relay.stats().sessions).toBe(4);
});
