import { afterEach, describe, expect, it } from "vitest";
import { type Microseconds, microseconds } from "../base/index.js";
import { type AudioSource, openSource, Publisher, type PublisherOptions } from "../publisher/index.js";
import { Relay } from "../relay/index.js";
import { byMediaTime, HeardRecorder } from "../src/heard.js";
import { findLag } from "../src/score.js";
import { type Certificate, createCertificate } from "../transport/index.js";
import { Listener, type ListenerOptions, type ListenerRewind, type PlayedRun } from "../watch/index.js";
import { impair, type Link } from "./support/impairment.js";

// The protocol library tells every step of its own.
console.debug = () => {};

const AHEAD_MS = 3000;
const FRAME_US = 20_000;
const SAMPLE_RATE = 48_000;
const speechFile = new URL("../examples/audio/clean-speech.wav", import.meta.url).pathname;
const closers: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function until(what: string, condition: () => boolean, limitMs = 20_000): Promise<void> {
  const end = Date.now() + limitMs;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`Still waiting: ${what}.`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Two seconds and more of something to say; a source is used up, so each utterance needs its own. */
function speech(): Promise<AudioSource> {
  return openSource({ file: speechFile, loop: true });
}

/** A reply as long as it says, to the sample. */
function reply(milliseconds: number): Promise<AudioSource> {
  const length = (milliseconds * SAMPLE_RATE) / 1000;
  return openSource({ samples: Float32Array.from({ length }, (_, i) => 0.3 * Math.sin(i * 0.1)) });
}

async function openRelay(options: { port?: number; certificate?: Certificate } = {}): Promise<Relay> {
  const relay = new Relay({ port: 0, ...options });
  closers.push(() => relay.close());
  await relay.listen();
  return relay;
}

function publish(relay: Relay, options: Partial<PublisherOptions> = {}): Publisher {
  const url = `http://127.0.0.1:${relay.address.port}`;
  const publisher = new Publisher({ url, aheadMs: AHEAD_MS, ...options });
  publisher.closed.catch(() => {});
  closers.push(() => publisher.close());
  return publisher;
}

/** A listener of the relay over QUIC, behind a link with the given faults, and all the rewinds it applied. */
async function listen(relay: Relay, { link, ...options }: Partial<ListenerOptions> & { link?: Link } = {}) {
  let { port } = relay.address;
  if (link) {
    const proxy = await impair({ target: { host: "127.0.0.1", port }, up: link, down: link, seed: 7 });
    closers.push(() => proxy.close());
    port = proxy.port;
  }
  const listener = new Listener({
    url: `https://127.0.0.1:${port}`,
    broadcast: "demo",
    connect: { backends: ["quic"], certificateHashes: [Buffer.from(relay.fingerprint, "hex")] },
    backoff: { initialMs: 50 },
    ...options,
  });
  listener.closed.catch(() => {});
  closers.push(() => listener.close());
  const rewinds: ListenerRewind[] = [];
  listener.on("rewind", (rewind) => {
    rewinds[rewind.discontinuity - 1] = rewind;
  });
  return { listener, rewinds };
}

async function wellAhead(publisher: Publisher, ...listeners: Listener[]): Promise<void> {
  await until("everybody plays, with a second in reserve", () =>
    listeners.every((listener) => listener.stats().playing && listener.stats().bufferMs > 1000),
  );
  await until("all is sent ahead", () => {
    const { listeners: count, leadMs } = publisher.stats();
    return count === listeners.length && leadMs > AHEAD_MS - 100;
  });
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

/** Media time behind the last sample of older epochs. */
function heardBefore(listener: Listener, epoch: number): number {
  return endOf(listener.record.findLast((run) => run.timestamp !== undefined && run.epoch! < epoch)!);
}

/** Waits until the reply of an epoch was heard, all of it but `missing` samples. */
async function heardReply(listener: Listener, to: Microseconds, epoch: number, milliseconds: number, missing = 0) {
  const behind = microseconds(to + FRAME_US);
  const wanted = (milliseconds * SAMPLE_RATE) / 1000 - missing;
  await until(`epoch ${epoch} is heard`, () => pulled(listener, (each) => each === epoch, behind) >= wanted);
}

describe("What was sent ahead and taken back", () => {
  it("leaves no hole in a reply, however often was interrupted before", async () => {
    const relay = await openRelay();
    const publisher = publish(relay, { source: await speech() });
    const { listener } = await listen(relay, { jitterMs: 300, adaptive: false });
    await wellAhead(publisher, listener);
    // Each interrupt sets the listener back to the cut, so that the clock gains on the playhead, by seconds in the end.
    for (let round = 0; round < 12; round++) {
      const interruption = publisher.interrupt();
      publisher.play(await speech());
      const { to } = await interruption;
      await heardReply(listener, to, publisher.stats().epoch, 100);
    }
    const interruption = publisher.interrupt();
    publisher.play(await reply(2000));
    const { to } = await interruption;
    const { epoch } = publisher.stats();
    await heardReply(listener, to, epoch, 2000);
    const heard = listener.record.filter((run) => run.epoch === epoch && run.timestamp !== undefined);
    expect(endOf(heard.at(-1)!) - to).toBeLessThan(2_600_000);
  });

  it("is never heard after the flush, whatever the link loses, and the replies are", async () => {
    const relay = await openRelay();
    const publisher = publish(relay, { source: await speech() });
    const link = { delayMs: 20, jitterMs: 10, reorder: true, loss: 0.03 };
    const { listener, rewinds } = await listen(relay, { link });
    for (let epoch = 1; epoch <= 3; epoch++) {
      await wellAhead(publisher, listener);
      const interruption = publisher.interrupt();
      publisher.play(await reply(400));
      const { to, perListener, reneged } = await interruption;
      expect(reneged).toBe(true);
      await until("the flush", () => rewinds.length === epoch);
      const stale = pulled(listener, (each) => each < epoch, to);
      const end = heardBefore(listener, epoch);
      publisher.play(await speech());
      // A lost frame of the reply is made up for, but not where two were lost on end.
      await heardReply(listener, to, epoch, 400, 3 * 960);
      expect(pulled(listener, (each) => each < epoch, to)).toBe(stale);
      if (perListener[0]?.measured) expect(Math.abs(perListener[0].heardUntil - end)).toBeLessThanOrEqual(1);
    }
    expect(listener.stats()).toMatchObject({ staleMs: 0, discontinuities: 3 });
  });

  it("is really heard when the publisher does not take it back", async () => {
    const relay = await openRelay();
    const source = await speech();
    let isOver = false;
    const publisher = publish(relay, {
      source: {
        ...source,
        name: "speech",
        channels: 1,
        read: async () => (isOver ? undefined : source.read()),
        close: () => source.close(),
      },
    });
    const { listener } = await listen(relay);
    await wellAhead(publisher, listener);
    const to = microseconds(publisher.stats().playheadUs);
    isOver = true;
    const second = SAMPLE_RATE;
    await until("a second of the old speech", () => pulled(listener, (epoch) => epoch === 0, to) > 2 * second);
    expect(listener.stats().discontinuities).toBe(0);
  });

  it("never takes the reply along: interrupted before the first frame, twice in a row, and again before it is heard", async () => {
    const relay = await openRelay();
    const publisher = publish(relay);
    const { listener, rewinds } = await listen(relay);
    expect(await publisher.interrupt()).toMatchObject({ reneged: false, heardUntil: 0 });
    publisher.play(await speech());
    await wellAhead(publisher, listener);
    const [first, second] = [publisher.interrupt(), publisher.interrupt()];
    publisher.play(await reply(300));
    expect(await second).toEqual(await first);
    const { to } = await first;
    await heardReply(listener, to, 1, 300);
    expect(publisher.stats().epoch).toBe(1);

    publisher.play(await speech());
    await wellAhead(publisher, listener);
    const eaten = publisher.interrupt();
    const swallowed = publisher.play(await reply(300));
    await until("the reply is begun", () => publisher.stats().groups > 0 && publisher.stats().leadMs > 100);
    const last = publisher.interrupt();
    const kept = publisher.play(await reply(300));
    expect(await swallowed.done).toBe("interrupted");
    await eaten;
    const cut = await last;
    expect(await kept.done).toBe("finished");
    const { epoch } = publisher.stats();
    await heardReply(listener, cut.to, epoch, 300);
    // What was swallowed is not there beside it.
    expect(pulled(listener, (each) => each === epoch, microseconds(0))).toBeLessThan(0.5 * SAMPLE_RATE);
    expect(listener.stats().staleMs).toBe(0);
    expect(rewinds.at(-1)!.from).toBeLessThanOrEqual(cut.to);
  });

  it("is not heard by who comes late, nor by the first to come", async () => {
    const relay = await openRelay();
    const publisher = publish(relay, { source: await speech() });
    await until("connected", () => publisher.stats().connected);
    const alone = await publisher.interrupt();
    expect(alone.perListener).toEqual([]);
    publisher.play(await speech());
    const { listener: early } = await listen(relay);
    await wellAhead(publisher, early);
    expect(pulled(early, (epoch) => epoch < publisher.stats().epoch, alone.to)).toBe(0);

    const { to } = await publisher.interrupt();
    const { epoch } = publisher.stats();
    publisher.play(await speech());
    const { listener: late } = await listen(relay);
    await wellAhead(publisher, early, late);
    expect(late.record.some((run) => run.epoch !== undefined && run.epoch < epoch)).toBe(false);
    expect(pulled(late, (each) => each === epoch, to)).toBeGreaterThan(0);
    expect(early.stats().staleMs + late.stats().staleMs).toBe(0);
  });

  it("is taken back after a reconnect when it was interrupted while the relay was gone", async () => {
    const certificate = await createCertificate(["127.0.0.1"]);
    const relay = await openRelay({ certificate });
    const publisher = publish(relay, { source: await speech() });
    const { listener, rewinds } = await listen(relay);
    await until("the listener has two seconds in reserve", () => listener.stats().bufferMs > 2000);
    const { port } = relay.address;
    await relay.close();
    await until("the session is lost", () => !publisher.stats().connected);
    const interruption = publisher.interrupt();
    publisher.play(await speech());
    await openRelay({ port, certificate });
    const { to, reneged } = await interruption;
    expect(reneged).toBe(true);
    await until("the flush", () => rewinds.length > 0);
    const stale = pulled(listener, (epoch) => epoch === 0, to);
    await until("the new speech", () => pulled(listener, (epoch) => epoch === 1, microseconds(to + FRAME_US)) > 0);
    expect(pulled(listener, (epoch) => epoch === 0, to)).toBe(stale);
    expect(listener.stats()).toMatchObject({ staleMs: 0, sessions: 2 });
  });

  it("is heard after all, from where it was cut, when it is resumed", async () => {
    const relay = await openRelay();
    // Noise looks like itself at one place only, to the sample, also after a lossy codec.
    let state = 1;
    const recording = Float32Array.from({ length: 20 * SAMPLE_RATE }, () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return 0.3 * (state / 2 ** 31 - 1);
    });
    const publisher = publish(relay);
    const recorder = new HeardRecorder({ maximumSeconds: 30 });
    // Over TCP nothing is lost, and so nothing concealed, even on a machine too busy to read its UDP socket in time.
    const { listener } = await listen(relay, {
      url: `http://127.0.0.1:${relay.address.port}`,
      connect: { backends: ["qmux"] },
      sink: recorder,
      jitterMs: 400,
      adaptive: false,
    });
    await until("it is subscribed", () => listener.stats().state === "ready");
    publisher.play(await openSource({ samples: recording }));
    await wellAhead(publisher, listener);
    await until("a second is heard", () => pulled(listener, () => true, microseconds(0)) > SAMPLE_RATE);
    const { to } = await publisher.interrupt();
    expect(publisher.resume()).toBe(true);
    await until(
      "it goes on",
      () => pulled(listener, (epoch) => epoch === 1, microseconds(to + FRAME_US)) > SAMPLE_RATE,
    );
    const heard = byMediaTime(listener.record, recorder.samples);
    const origin = listener.record.find((run) => run.timestamp !== undefined)!.timestamp!;
    const resumed = listener.record.find((run) => run.epoch === 1 && endOf(run) > to + FRAME_US + 1)!;
    const position = (time: number) => Math.round((time * SAMPLE_RATE) / 1e6);
    const cut = position(to - origin);
    // The first frame that came may not have been the very first.
    const late = findLag(heard.subarray(cut - 24_000, cut - 2400), recording.subarray(cut - 24_000, cut - 2400), 1920);
    // What follows the cut in the recording is found some frames behind the cut in what was heard, on the frames' grid.
    const expected = recording.subarray(cut + late, cut + late + SAMPLE_RATE / 2);
    const at = position(resumed.timestamp! - origin);
    const start = at + findLag(expected, heard.subarray(at, at + SAMPLE_RATE / 2), 9600);
    // A frame of silence stands between them, and the look-ahead of 312 samples begins within it.
    expect(start).toBeGreaterThanOrEqual(cut + 960 - 312);
    // To the sample it is held in the publisher's own tests; what the codec leaves of noise is alike, and nothing else is.
    const again = heard.subarray(start, start + expected.length);
    const product = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
    const likeness = product(expected, again) / Math.sqrt(product(expected, expected) * product(again, again));
    expect(likeness).toBeGreaterThan(0.3);
  });

  it("is taken back by a fresh track as well, for players that only go forward", async () => {
    const relay = await openRelay();
    const publisher = publish(relay, { source: await speech(), renege: "track" });
    const { listener, rewinds } = await listen(relay);
    for (let count = 1; count <= 2; count++) {
      await wellAhead(publisher, listener);
      const { to } = await publisher.interrupt();
      publisher.play(await speech());
      await until("the flush", () => rewinds.length === count);
      expect(rewinds[count - 1]!.from).toBe(to);
    }
    await wellAhead(publisher, listener);
    expect(listener.stats()).toMatchObject({ staleMs: 0, discontinuities: 2 });
  });
});
