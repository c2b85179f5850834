import { afterEach, describe, expect, it } from "vitest";
import { type AudioSource, openSource, Publisher, type PublisherOptions } from "../publisher/index.js";
import { Relay } from "../relay/index.js";
import { Listener, type ListenerOptions } from "../watch/index.js";

const closers: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function openRelay(): Promise<{ relay: Relay; url: string }> {
  const relay = new Relay({ host: "127.0.0.1", port: 0 });
  closers.push(() => relay.close());
  await relay.listen();
  return { relay, url: `http://127.0.0.1:${relay.address.port}` };
}

async function relayUrl(): Promise<string> {
  return (await openRelay()).url;
}

function publish(url: string, options: Partial<PublisherOptions>): Publisher {
  const publisher = new Publisher({ url, ...options });
  closers.push(() => publisher.close());
  return publisher;
}

function listen(url: string, options: Partial<ListenerOptions> = {}): Listener {
  const listener = new Listener({ url, broadcast: "demo", ...options });
  listener.closed.catch(() => {});
  closers.push(async () => listener.close());
  return listener;
}

async function until(what: string, condition: () => boolean, limitMs = 25_000): Promise<void> {
  const end = Date.now() + limitMs;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`Still waiting: ${what}.`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Media time at which the last sample of an epoch left the virtual speaker. */
function lastHeard(listener: Listener, epoch: number): number {
  const ends = listener.record
    .filter((run) => run.epoch === epoch && run.timestamp !== undefined)
    .map((run) => run.timestamp! + (run.frames * 1e6) / 48_000);
  return Math.max(...ends);
}

function speech(seconds: number, hz = 440): Promise<AudioSource> {
  const samples = Float32Array.from(
    { length: seconds * 48_000 },
    (_, i) => 0.3 * Math.sin((2 * Math.PI * hz * i) / 48_000),
  );
  return openSource({ samples, name: `${hz} Hz` });
}

describe("Publisher, relay and listeners", () => {
  it("tells after an interrupt how far each listener heard, never beyond what its speaker played", async () => {
    const url = await relayUrl();
    const publisher = publish(url, { source: await speech(60), aheadMs: 8000 });
    const listeners = [listen(url), listen(url)];
    await until("both play with a second in reserve", () =>
      listeners.every((listener) => listener.stats().playing && listener.stats().bufferMs > 1000),
    );
    await until("both report", () => publisher.stats().listeners === 2);
    const interruption = publisher.interrupt();
    const reply = publisher.play(await speech(1, 880));
    const { heardUntil, perListener, to, reneged } = await interruption;
    expect(reneged).toBe(true);
    expect(perListener).toHaveLength(2);
    expect(perListener.every(({ measured }) => measured)).toBe(true);
    const told = perListener.map((one) => one.heardUntil as number).sort((a, b) => a - b);
    expect(heardUntil).toBe(told[0]);
    // What is kept up to the cut may still have to be played.
    await until("both hear what is new", () => listeners.every(({ record }) => record.some((run) => run.epoch === 1)));
    const spoken = listeners.map((listener) => lastHeard(listener, 0)).sort((a, b) => a - b);
    spoken.forEach((end, i) => {
      expect(told[i]! - end).toBeLessThanOrEqual(1);
      expect(told[i]! - end).toBeGreaterThan(-20_000);
    });
    expect(await reply.done).toBe("finished");
    await until("both heard the reply", () =>
      listeners.every((listener) => (listener.stats().playheadUs ?? 0) > to + 1_000_000),
    );
    for (const listener of listeners) {
      const { staleMs, discontinuities } = listener.stats();
      expect(staleMs).toBe(0);
      expect(discontinuities).toBe(1);
    }
  });

  it("sends several frames in a group without a hole, a delay or a stale sample, with datagrams or without", async () => {
    const { relay, url } = await openRelay();
    const publisher = publish(url, { source: await speech(60), aheadMs: 4000, groupFrames: 5 });
    const listeners = (["quic", "qmux"] as const).map((backend) => listen(url, { connect: { backends: [backend] } }));
    await until("both play with a second in reserve", () =>
      listeners.every((listener) => listener.stats().playing && listener.stats().bufferMs > 1000),
    );
    await until("both report", () => publisher.stats().listeners === 2);
    const before = publisher.stats();
    expect(before.frontierUs / 20_000 / before.groups).toBeGreaterThan(4);
    const interruption = publisher.interrupt();
    // Thirteen frames: groups of one, five, five and two.
    const reply = publisher.play(await speech(0.26, 880));
    const { heardUntil, perListener, to } = await interruption;
    expect(perListener).toHaveLength(2);
    expect(await reply.done).toBe("finished");
    expect(publisher.stats().epoch).toBe(1);
    await until("both heard the reply", () =>
      listeners.every((listener) => (listener.stats().playheadUs ?? 0) > to + 400_000),
    );
    const spoken = listeners.map((listener) => lastHeard(listener, 0));
    expect(Math.abs(heardUntil - Math.min(...spoken))).toBeLessThan(20_000);
    for (const listener of listeners) {
      expect(listener.stats()).toMatchObject({ staleMs: 0, discontinuities: 1 });
      const heard = listener.record.filter((run) => run.epoch === 1 && run.timestamp !== undefined);
      expect(heard.reduce((sum, run) => sum + run.frames, 0)).toBeGreaterThanOrEqual(0.26 * 48_000);
    }
    // The news of the rewind, twice; all else goes in groups.
    expect(relay.stats().counters.datagramsOut).toBe(2);
    // A group that stood open does not keep what comes later.
    publisher.play(await speech(2, 660));
    await until("both hear what comes after a pause", () =>
      listeners.every((listener) => listener.stats().playing && (listener.stats().playheadUs ?? 0) > to + 1_500_000),
    );
  });

  it("keeps playing after resume, and starts a late joiner where the others are", async () => {
    const url = await relayUrl();
    const publisher = publish(url, { source: await speech(60), aheadMs: 4000 });
    const first = listen(url);
    await until("it plays", () => first.stats().playing && first.stats().bufferMs > 800);
    await publisher.interrupt();
    expect(publisher.resume()).toBe(true);
    await until("it plays on", () => first.stats().discontinuities === 1 && first.stats().playing);
    const late = listen(url);
    await until("the late one plays", () => late.stats().playing && late.stats().playedMs > 300);
    const distance = (late.stats().playheadUs ?? 0) - (first.stats().playheadUs ?? 0);
    expect(Math.abs(distance)).toBeLessThan(1_000_000);
    expect(first.stats().staleMs + late.stats().staleMs).toBe(0);
  });

  it("starts a listener that comes when nobody was there at what is to be heard now", async () => {
    const url = await relayUrl();
    const publisher = publish(url, { source: await speech(60), aheadMs: 8000 });
    await until("connected", () => publisher.stats().connected);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const listener = listen(url);
    await until("it plays", () => listener.stats().playing);
    const { playheadUs } = listener.stats();
    expect(Math.abs((playheadUs ?? 0) - publisher.stats().playheadUs)).toBeLessThan(1_500_000);
  });
});
