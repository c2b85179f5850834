import { expect, test } from "vitest";
import { type Microseconds, microseconds } from "../base/index.js";
import type { Publisher, PublisherOptions } from "../publisher/index.js";
import type { Relay } from "../relay/index.js";
import { createCertificate } from "../transport/index.js";
import type { Listener, ListenerRewind, PlayedRun } from "../watch/index.js";
import { heardBefore, inReserve, PATIENT, Stage, say, speech, tone, until } from "./support/stage.js";

// The protocol library logs every step.
console.debug = () => {};

const AHEAD_MS = 2000;
const FRAME_US = 20_000;
const SAMPLE_RATE = 48_000;
/** A link that loses, delays and reorders packets. */
const LOSSY = { delayMs: 20, jitterMs: 10, reorder: true, loss: 0.03 };

function publish(stage: Stage, relay: Relay, options: Partial<PublisherOptions> = {}): Publisher {
  return stage.publish(relay, { aheadMs: AHEAD_MS, ...options }, PATIENT);
}

/** The rewinds that a listener applies, in order. */
function rewindsOf(listener: Listener): ListenerRewind[] {
  const rewinds: ListenerRewind[] = [];
  listener.on("rewind", (rewind) => {
    rewinds[rewind.discontinuity - 1] = rewind;
  });
  return rewinds;
}

async function wellAhead(publisher: Publisher, ...listeners: Listener[]): Promise<void> {
  await inReserve(publisher, ...listeners);
  await until("the publisher is far ahead", () => publisher.stats().leadMs > AHEAD_MS - 100);
}

const endOf = ({ timestamp, frames }: PlayedRun) => timestamp! + (frames * 1e6) / SAMPLE_RATE;

/** Samples of some epochs at or after a media time that the speaker pulled. */
function pulled(listener: Listener, isMeant: (epoch: number) => boolean, from: Microseconds): number {
  let samples = 0;
  for (const run of listener.record) {
    if (run.timestamp === undefined || !isMeant(run.epoch!)) continue;
    samples += Math.round((Math.max(0, endOf(run) - Math.max(run.timestamp, from)) * SAMPLE_RATE) / 1e6);
  }
  return samples;
}

/** Waits until the reply of an epoch was heard, all of it but `missing` samples. */
async function heardReply(listener: Listener, to: Microseconds, epoch: number, milliseconds: number, missing = 0) {
  const behind = microseconds(to + FRAME_US);
  const wanted = (milliseconds * SAMPLE_RATE) / 1000 - missing;
  await until(`epoch ${epoch} is heard`, () => pulled(listener, (each) => each === epoch, behind) >= wanted);
}

test.concurrent("a listener plays no stale sample after its flush and plays every reply, at 3 % loss", async () => {
  await using stage = new Stage();
  const relay = await stage.relay();
  const publisher = publish(stage, relay, { source: await speech() });
  const listener = await stage.listenThrough(relay, LOSSY);
  const rewinds = rewindsOf(listener);
  for (let epoch = 1; epoch <= 3; epoch++) {
    await wellAhead(publisher, listener);
    const interruption = publisher.interrupt();
    say(publisher, await tone({ ms: 400, hz: 764 }));
    const { to, perListener, rewound } = await interruption;
    expect(rewound).toBe(true);
    await until("the flush", () => rewinds.length === epoch);
    const stale = pulled(listener, (each) => each < epoch, to);
    say(publisher, await speech());
    // The decoder conceals a single lost frame of the reply, but not two in a row.
    await heardReply(listener, to, epoch, 400, 3 * 960);
    expect(pulled(listener, (each) => each < epoch, to)).toBe(stale);
    expect(perListener).toMatchObject([{ measured: true }]);
    expect(Math.abs(perListener[0]!.heardUntil - heardBefore(listener, epoch))).toBeLessThanOrEqual(1);
  }
  expect(listener.stats()).toMatchObject({ staleMs: 0, discontinuities: 3 });
});

test.concurrent("a listener plays the lead when the publisher does not take it back", async () => {
  await using stage = new Stage();
  const relay = await stage.relay();
  const source = await speech();
  let isOver = false;
  const publisher = publish(stage, relay, {
    source: {
      name: "speech",
      channels: 1,
      read: async () => (isOver ? undefined : source.read()),
      close: () => source.close(),
    },
  });
  const listener = stage.listen(relay);
  await wellAhead(publisher, listener);
  const to = microseconds(publisher.stats().playheadUs);
  isOver = true;
  await until("a second of the old speech", () => pulled(listener, (epoch) => epoch === 0, to) > SAMPLE_RATE);
  expect(listener.stats().discontinuities).toBe(0);
});

test.concurrent("an interrupt never removes the reply: before the first frame, twice in a row, and again before the reply plays", async () => {
  await using stage = new Stage();
  const relay = await stage.relay();
  const publisher = publish(stage, relay);
  const listener = stage.listen(relay);
  const rewinds = rewindsOf(listener);
  expect(await publisher.interrupt()).toMatchObject({ rewound: false, heardUntil: 0 });
  say(publisher, await speech());
  await wellAhead(publisher, listener);
  const [first, second] = [publisher.interrupt(), publisher.interrupt()];
  say(publisher, await tone({ ms: 300, hz: 764 }));
  expect(await second).toEqual(await first);
  const { to } = await first;
  await heardReply(listener, to, 1, 300);
  expect(publisher.stats().epoch).toBe(1);

  say(publisher, await speech());
  await wellAhead(publisher, listener);
  const eaten = publisher.interrupt();
  const swallowed = say(publisher, await tone({ ms: 300, hz: 764 }));
  await until("the reply has begun", () => publisher.stats().groups > 0 && publisher.stats().leadMs > 100);
  const last = publisher.interrupt();
  const kept = say(publisher, await tone({ ms: 300, hz: 764 }));
  expect(await swallowed.done).toMatchObject({ outcome: "interrupted" });
  await eaten;
  const cut = await last;
  expect(await kept.done).toMatchObject({ outcome: "finished" });
  const { epoch } = publisher.stats();
  await heardReply(listener, cut.to, epoch, 300);
  // The swallowed reply does not play beside it.
  expect(pulled(listener, (each) => each === epoch, microseconds(0))).toBeLessThan(0.5 * SAMPLE_RATE);
  expect(listener.stats().staleMs).toBe(0);
  expect(rewinds.at(-1)!.from).toBeLessThanOrEqual(cut.to);
});

test.concurrent("neither a late listener nor the first one plays stale audio", async () => {
  await using stage = new Stage();
  const relay = await stage.relay();
  const publisher = publish(stage, relay, { source: await speech() });
  await until("connected", () => publisher.stats().connected);
  const alone = await publisher.interrupt();
  expect(alone.perListener).toEqual([]);
  say(publisher, await speech());
  const early = stage.listen(relay);
  await wellAhead(publisher, early);
  expect(pulled(early, (epoch) => epoch < publisher.stats().epoch, alone.to)).toBe(0);

  const { to } = await publisher.interrupt();
  const { epoch } = publisher.stats();
  say(publisher, await speech());
  const late = stage.listen(relay);
  await wellAhead(publisher, early, late);
  // What was heard before the cut is not stale: a listener that joins there may play it.
  expect(pulled(late, (each) => each < epoch, to)).toBe(0);
  expect(pulled(late, (each) => each === epoch, to)).toBeGreaterThan(0);
  expect(early.stats().staleMs + late.stats().staleMs).toBe(0);
});

test.concurrent("an interrupt while the relay is gone takes effect after the reconnect", async () => {
  await using stage = new Stage();
  const certificate = await createCertificate(["127.0.0.1"]);
  const relay = await stage.relay({ certificate });
  const publisher = publish(stage, relay, { source: await speech() });
  const listener = stage.listen(relay, { backoff: { initialMs: 50 } });
  const rewinds = rewindsOf(listener);
  await until("the listener holds a second in reserve", () => listener.stats().bufferMs > 1200);
  const { port } = relay.address;
  await relay.close();
  await until("the session is lost", () => !publisher.stats().connected);
  const interruption = publisher.interrupt();
  say(publisher, await speech());
  await stage.relay({ port, certificate });
  const { to, rewound } = await interruption;
  expect(rewound).toBe(true);
  await until("the flush", () => rewinds.length > 0);
  const stale = pulled(listener, (epoch) => epoch === 0, to);
  await until("the new speech", () => pulled(listener, (epoch) => epoch > 0, microseconds(to + FRAME_US)) > 0);
  expect(pulled(listener, (epoch) => epoch === 0, to)).toBe(stale);
  expect(listener.stats()).toMatchObject({ staleMs: 0, sessions: 2 });
});

test.concurrent("a publisher rewinds by a fresh track as well, for players that only go forward", async () => {
  await using stage = new Stage();
  const relay = await stage.relay();
  const publisher = publish(stage, relay, { source: await speech(), rewindBy: "track" });
  const listener = stage.listen(relay);
  const rewinds = rewindsOf(listener);
  for (let count = 1; count <= 2; count++) {
    await wellAhead(publisher, listener);
    const { to } = await publisher.interrupt();
    say(publisher, await speech());
    await until("the flush", () => rewinds.length === count);
    expect(rewinds[count - 1]!.from).toBe(to);
  }
  await until("it plays again", () => listener.stats().playing);
  expect(listener.stats()).toMatchObject({ staleMs: 0, discontinuities: 2 });
});
