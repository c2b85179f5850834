import "../base/polyfills.js";
import { fileURLToPath } from "node:url";
import { Connection, Path } from "@kixelated/moq";
import { createDecoder } from "libopus-wasm";
import { expect, test } from "vitest";
import { fromMilliseconds, type Microseconds, microseconds, monotonicClock, toMilliseconds } from "../base/index.js";
import {
  type Delivery,
  decodeLegacyFrame,
  epochOf,
  type Frame,
  parseCatalog,
  RewindConsumer,
} from "../container/index.js";
import { broadcastHash, encodeAggregate } from "../flow/report/index.js";
import {
  type AudioSource,
  openSource,
  Publisher,
  type PublisherAblation,
  type PublisherOptions,
} from "../publisher/index.js";
import { createCertificate, listen, type Session, type SessionServer, toWebTransport } from "../transport/index.js";
import { aggregateOf } from "./support/reports.js";
import { endlessSine } from "./support/signal.js";
import { endOf, PATIENT, Stage, say, tone, until } from "./support/stage.js";

/** Groups come on streams of their own and may overtake each other, by far on a busy machine. */
const PATIENCE = fromMilliseconds(1000);
const TURN_MS = 10;

/** Everything one listener got: frames by group, in the order the rewind consumer gave them out. */
interface Heard extends Delivery {
  readonly at: Microseconds;
}

/** A MoQ peer at the publisher's other end, over real QUIC: it subscribes, orders, decodes, and can report a playhead. */
class Ear {
  readonly heard: Heard[] = [];
  /** Every group as it came, in any order. */
  readonly received: { sequence: number; frame: Frame }[] = [];
  readonly tracks: string[] = [];
  /** How many frames were heard before the newest track. */
  heardBefore = 0;
  readonly datagrams: { sequence: number; timestamp: number }[] = [];
  sessions = 0;
  session: Session | undefined;
  /** Renditions by name. */
  readonly catalog = new Map<string, { codec: string; bitrate?: number | undefined }>();
  /** Of the lower rendition, by sequence; only after {@link followLow}. */
  readonly low = new Map<number, Frame>();
  #broadcast: ReturnType<Awaited<ReturnType<typeof Connection.accept>>["consume"]> | undefined;
  #server: SessionServer;
  #turns = 0;
  readonly #turning = setInterval(() => {
    this.#turns++;
    this.#deliver();
  }, TURN_MS);
  #consumer = this.#newConsumer();
  #aggregateId = 0;
  #reporting: NodeJS.Timeout | undefined;

  constructor(server: SessionServer) {
    this.#server = server;
    void this.#accept();
  }

  get port(): number {
    return this.#server.address.port;
  }

  async #accept(): Promise<void> {
    for (let request = await this.#server.accept(); request; request = await this.#server.accept()) {
      const session = await request.accept();
      this.session = session;
      this.sessions++;
      void this.#serve(session).catch(() => {});
    }
  }

  async #serve(session: Session): Promise<void> {
    const connection = await Connection.accept(toWebTransport(session), session.url);
    const announced = connection.announced();
    const { path } = (await announced.next())!;
    expect(path).toBe("demo.hang");
    const broadcast = connection.consume(Path.from(path));
    this.#broadcast = broadcast;
    const catalogs = broadcast.track("catalog.json").subscribe({});
    const open = new Set<string>();
    for (let group = await catalogs.nextGroup(); group; group = await catalogs.nextGroup()) {
      const frame = await group.readFrame();
      const catalog = parseCatalog(frame!.payload);
      for (const [name, rendition] of Object.entries(catalog.audio!.renditions)) {
        expect(rendition).toMatchObject({ sampleRate: 48_000, container: { kind: "legacy" } });
        this.catalog.set(name, rendition);
        if (open.has(name) || name.endsWith("-low")) continue;
        open.add(name);
        this.tracks.push(name);
        if (open.size > 1) this.#consumer = this.#newConsumer();
        this.heardBefore = this.heard.length;
        const track = broadcast.track(name).subscribe({});
        void this.#groups(track, this.#consumer).catch(() => {});
        void (async () => {
          for (let datagram = await track.recvDatagram(); datagram; datagram = await track.recvDatagram()) {
            this.datagrams.push({ sequence: datagram.sequence, timestamp: datagram.timestamp.asMicros() });
          }
        })().catch(() => {});
      }
    }
  }

  /** Subscribes to the lower rendition as well, until it is called off. */
  followLow(): () => void {
    const track = this.#broadcast!.track("audio-low").subscribe({});
    void (async () => {
      for (let group = await track.recvGroup(); group; group = await track.recvGroup()) {
        const frame = await group.readFrame();
        if (frame) this.low.set(group.sequence, decodeLegacyFrame(frame.payload, { keyframe: true }));
      }
    })().catch(() => {});
    return () => track.close();
  }

  async #groups(
    track: {
      recvGroup(): Promise<{ sequence: number; readFrame(): Promise<{ payload: Uint8Array } | undefined> } | undefined>;
    },
    consumer: RewindConsumer,
  ): Promise<void> {
    for (let group = await track.recvGroup(); group; group = await track.recvGroup()) {
      const { sequence } = group;
      void (async (group) => {
        for (let frame = await group.readFrame(); frame; frame = await group.readFrame()) {
          const decoded = decodeLegacyFrame(frame.payload, { keyframe: true });
          this.received.push({ sequence, frame: decoded });
          consumer.receive(sequence, decoded);
        }
        consumer.finish(sequence);
        this.#deliver();
      })(group).catch(() => {});
    }
  }

  /** Reports one or more listeners' playheads as a relay does: ten times a second, until the next call or {@link hush}. */
  report(...report: Parameters<Ear["send"]>): void {
    this.hush();
    this.send(...report);
    this.#reporting = setInterval(() => this.send(...report), 100);
  }

  hush(): void {
    clearInterval(this.#reporting);
  }

  send(
    listeners: { playhead: number; discontinuity?: number; heardUntil?: number; received?: number }[],
    { playing = true, ack }: { playing?: boolean; ack?: number } = {},
  ): void {
    const listed = listeners.map(({ playhead, discontinuity = 0, heardUntil, received }, i) => ({
      session: i + 1,
      playhead: microseconds(playhead),
      discontinuity,
      heardUntil: heardUntil === undefined ? undefined : microseconds(heardUntil),
      receivedUntil: received === undefined ? undefined : microseconds(received),
    }));
    const aggregate = aggregateOf(listed, {
      broadcast: broadcastHash("demo.hang"),
      aggregateId: ++this.#aggregateId,
      relayTimeMs: Math.floor(toMilliseconds(monotonicClock())),
      playing,
      ingestAck: ack,
    });
    this.session?.datagrams?.send(encodeAggregate(aggregate));
  }

  /** What sounds: the last frame given out for every moment, by timestamp. */
  timeline(): Map<number, Heard> {
    const frames = new Map<number, Heard>();
    let discontinuity = 0;
    for (const one of this.heard) {
      if (one.discontinuity !== discontinuity) {
        discontinuity = one.discontinuity;
        for (const timestamp of frames.keys()) if (timestamp >= (one.from ?? 0)) frames.delete(timestamp);
      }
      frames.set(one.frame.timestamp, one);
    }
    return frames;
  }

  get last(): Heard | undefined {
    return this.heard.at(-1);
  }

  // It waits by turns of this process: one that stood still has not read yet what came meanwhile.
  #newConsumer(): RewindConsumer {
    return new RewindConsumer({ clock: () => fromMilliseconds(this.#turns * TURN_MS), gap: PATIENCE });
  }

  #deliver(): void {
    for (let next = this.#consumer.read(); next; next = this.#consumer.read())
      this.heard.push({ ...next, at: monotonicClock() });
  }

  async close(): Promise<void> {
    clearInterval(this.#turning);
    this.hush();
    await this.#server.close();
  }
}

async function setUp(
  stage: Stage,
  options: Partial<PublisherOptions> = {},
  ablation: PublisherAblation = {},
): Promise<{ ear: Ear; publisher: Publisher }> {
  const certificate = await createCertificate();
  const ear = stage.use(new Ear(await listen({ backend: "quic", host: "127.0.0.1", port: 0, certificate })));
  const connect = { insecure: true, backends: ["quic" as const] };
  return { ear, publisher: stage.publish(`https://127.0.0.1:${ear.port}`, { connect, ...options }, ablation) };
}

function speech(seconds: number, hz = 440): Promise<AudioSource> {
  return tone({ ms: seconds * 1000, hz });
}

/** Holes between frames of 20 ms, in order. */
function holesOf(frames: readonly { readonly frame: Frame }[]): { readonly count: number; readonly us: number } {
  const gaps = frames.slice(1).map(({ frame }, index) => frame.timestamp - frames[index]!.frame.timestamp - 20_000);
  const holes = gaps.filter((gap) => gap > 0);
  return { count: holes.length, us: holes.reduce((sum, gap) => sum + gap, 0) };
}

/** Level of a frequency in decoded sound, 0 to 1. */
function strength(samples: Float32Array, hz: number): number {
  let re = 0;
  let im = 0;
  for (let i = 0; i < samples.length; i++) {
    re += samples[i]! * Math.cos((2 * Math.PI * hz * i) / 48_000);
    im += samples[i]! * Math.sin((2 * Math.PI * hz * i) / 48_000);
  }
  return (2 * Math.hypot(re, im)) / samples.length;
}

test.concurrent("a publisher sends a source before it is due, as Opus that decodes to its audio", async () => {
  await using stage = new Stage();
  const { ear, publisher } = await setUp(stage, { source: await speech(60), aheadMs: 2000 });
  await until("two seconds", () => ear.received.length >= 110);
  const frames = ear.received.sort((a, b) => a.sequence - b.sequence).slice(0, 90);
  for (let i = 1; i < frames.length; i++) {
    expect(frames[i]!.frame.timestamp - frames[i - 1]!.frame.timestamp).toBe(20_000);
    expect(frames[i]!.sequence).toBe(frames[i - 1]!.sequence + 1);
  }
  expect(ear.tracks).toEqual(["audio"]);
  const decoder = await createDecoder({ channels: 1 });
  const sound = frames.slice(0, 50).flatMap(({ frame }) => [...decoder.decodeFloat(frame.payload)]);
  expect(strength(Float32Array.from(sound.slice(4800, 43_200)), 440)).toBeGreaterThan(0.25);
  decoder.free();
  expect(publisher.stats()).toMatchObject({ connected: true, sessions: 1, rewinds: 0 });
});

test.concurrent("a publisher rewinds to the listeners' playhead at an interrupt, and sends silence there and then the reply", async () => {
  await using stage = new Stage();
  const { ear, publisher } = await setUp(stage, { source: await speech(60), aheadMs: 3000 }, PATIENT);
  await until("three seconds ahead", () => ear.heard.length >= 140);
  const first = ear.heard[0]!.frame.timestamp;
  const playhead = first + 500_000;
  const reportedAt = performance.now();
  ear.report([
    { playhead, received: first + 2_800_000 },
    { playhead: playhead + 200_000, received: first + 2_800_000 },
  ]);
  await until("listeners known", () => publisher.stats().listeners === 2);
  const interruption = publisher.interrupt();
  const passedUs = (performance.now() - reportedAt) * 1000;
  const reply = say(publisher, await speech(0.5, 880));
  await until("the new epoch", () => epochOf(ear.last?.sequence ?? 0) === 1);
  const isOpener = ({ sequence }: { readonly sequence: number }) => sequence === 65_536;
  await until("its first group, as a stream and as a datagram", () =>
    [ear.received, ear.datagrams].every((groups) => groups.some(isOpener)),
  );
  const opener = ear.received.find(isOpener)!;
  expect(opener.frame.payload.length).toBeLessThan(8);
  ear.report([
    { playhead: opener.frame.timestamp, discontinuity: 1, heardUntil: playhead + 40_000 },
    { playhead: opener.frame.timestamp, discontinuity: 1, heardUntil: playhead + 240_000 },
  ]);
  const { heardUntil, perListener, to, rewound } = await interruption;
  ear.hush();
  expect(rewound).toBe(true);
  expect(to).toBe(opener.frame.timestamp);
  expect(to).toBeGreaterThanOrEqual(playhead);
  expect(to).toBeLessThan(playhead + passedUs + 300_000);
  expect(heardUntil).toBe(playhead + 40_000);
  expect(perListener).toEqual([
    { session: 1, heardUntil: playhead + 40_000, measured: true },
    { session: 2, heardUntil: playhead + 240_000, measured: true },
  ]);
  expect(await reply.done).toMatchObject({ outcome: "finished" });
  await until("the reply", () => {
    const reply = [...ear.timeline().values()].filter(({ sequence }) => sequence > 65_536);
    return reply.filter(({ frame }) => frame.payload.length > 20).length >= 25;
  });
  const after = [...ear.timeline().values()].filter(({ frame }) => frame.timestamp >= to);
  expect(after.every(({ sequence }) => sequence >= 65_536)).toBe(true);
  const decoder = await createDecoder({ channels: 1 });
  // A busy machine may take some frames of silence to begin the reply.
  const loud = after.filter(({ frame }) => frame.payload.length > 20);
  const sound = loud.slice(0, 25).flatMap(({ frame }) => [...decoder.decodeFloat(frame.payload)]);
  expect(strength(Float32Array.from(sound.slice(4800, 19_200)), 880)).toBeGreaterThan(0.25);
  decoder.free();
});

test.concurrent("a publisher resumes at the very sample of the cut, but not after another speech", async () => {
  await using stage = new Stage();
  const { ear, publisher } = await setUp(stage, { aheadMs: 2000 });
  const spoken = say(publisher, await speech(4));
  await until("it is heard", () => ear.heard.length >= 20);
  const { to } = await publisher.interrupt();
  expect(await spoken.done).toMatchObject({ outcome: "interrupted" });
  await until("silence", () => ear.last?.frame.timestamp === to);
  expect(publisher.resume()).toBeDefined();
  expect(publisher.resume()).toBeUndefined();
  await publisher.drained();
  const { frontierUs } = publisher.stats();
  await until("all of it has come", () => (ear.last?.frame.timestamp ?? 0) >= frontierUs - 20_000);
  // A busy machine may take some frames of silence to continue.
  const resumed = [...ear.timeline().values()].filter(({ sequence }) => sequence > 65_536);
  const after = resumed.slice(resumed.findIndex(({ frame }) => frame.payload.length > 20));
  const before = ear.received
    .filter(({ sequence, frame }) => sequence < 65_536 && frame.timestamp < to)
    .sort((one, other) => one.frame.timestamp - other.frame.timestamp);
  // The very first group may be overtaken, and then is not given out any more.
  const first = Math.min(...ear.received.map(({ frame }) => frame.timestamp));
  // Sound before the cut and after it add up to the whole, to the frame. Each begins a look-ahead into its first packet.
  const lookaheadUs = 6500;
  // At a hole, which only a busy machine leaves, a frame is filled up and another look-ahead begins.
  const [holesBefore, holesAfter] = [holesOf(before), holesOf(after)];
  const aroundUs = 20_000 + lookaheadUs;
  const beforeUs = to - first - holesBefore.us;
  // The frame of silence that ends the utterance is not counted.
  const afterUs = after.at(-1)!.frame.timestamp - after[0]!.frame.timestamp - holesAfter.us;
  const heardUs = beforeUs + afterUs - 2 * lookaheadUs;
  const holes = holesBefore.count + holesAfter.count;
  expect(Math.abs(heardUs - 4_000_000)).toBeLessThan(20_000 + holes * aroundUs);
  // The phase of the tone goes on where it stopped: compare with the tone at that place in the source.
  const decoder = await createDecoder({ channels: 1 });
  const sound = Float32Array.from(after.slice(0, 20).flatMap(({ frame }) => [...decoder.decodeFloat(frame.payload)]));
  decoder.free();
  const offset = Math.round(((beforeUs - 2 * lookaheadUs) * 48) / 1000);
  const likeness = (earlier: number): number => {
    let match = 0;
    let power = 0;
    for (let i = 2400; i < 12_000; i++) {
      const expected = 0.3 * Math.sin((2 * Math.PI * 440 * (offset - earlier + i)) / 48_000);
      match += expected * sound[i]!;
      power += expected * expected;
    }
    return match / power;
  };
  // Without a hole, the very sample.
  const shifts = Math.round((holes * aroundUs * 48) / 1000);
  const best = Math.max(...Array.from({ length: shifts + 1 }, (_, earlier) => likeness(earlier)));
  expect(best).toBeGreaterThan(0.97);
  await publisher.interrupt();
  say(publisher, await speech(0.1));
  expect(publisher.resume()).toBeUndefined();
});

test.concurrent("a publisher resumes where the first of its listeners fell silent, and keeps speeches queued meanwhile", async () => {
  await using stage = new Stage();
  const { ear, publisher } = await setUp(stage, { aheadMs: 2000, codec: "pcm" }, PATIENT);
  // Every sample says where it is in the source.
  const length = 4 * 48_000;
  const samples = Float32Array.from({ length }, (_, i) => (0.9 * (i + 1)) / length);
  say(publisher, await openSource({ samples }));
  await until("it is heard", () => ear.heard.length >= 60);
  const first = Math.min(...ear.received.map(({ frame }) => frame.timestamp));
  const silent = [{ playhead: first + 300_000, received: first + 2_000_000 }, { playhead: first + 400_000 }];
  ear.report(silent);
  await until("listeners known", () => publisher.stats().listeners === 2);
  const interruption = publisher.interrupt();
  // Before it is known how far they heard: asked twice, interrupted again, and asked again; and a reply behind it.
  expect(publisher.resume()).toBeDefined();
  expect(publisher.resume()).toBeUndefined();
  const reply = say(publisher, await openSource({ samples: new Float32Array(4800).fill(-0.5) }));
  const again = publisher.interrupt();
  expect(publisher.resume()).toBeDefined();
  expect(await reply.done).toMatchObject({ outcome: "interrupted" });
  await until("the new epoch", () => epochOf(ear.last?.sequence ?? 0) === 1);
  const heard = ear.last!.frame.timestamp + 130_000;
  ear.report([
    { playhead: heard, discontinuity: 1, heardUntil: heard },
    { playhead: heard, discontinuity: 1, heardUntil: heard + 200_000 },
  ]);
  expect((await interruption).heardUntil).toBe(heard);
  expect(await again).toEqual(await interruption);
  ear.hush();
  await publisher.drained();
  const { frontierUs } = publisher.stats();
  await until("all of it has come", () => (ear.last?.frame.timestamp ?? 0) >= frontierUs - 20_000);
  const values = [...ear.timeline().values()]
    .filter(({ sequence }) => sequence > 65_536)
    .flatMap(({ frame: { payload } }) => {
      const bytes = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
      return Array.from({ length: payload.byteLength / 2 }, (_, i) => bytes.getInt16(2 * i, true) / 32_767);
    });
  const place = (value: number) => (value / 0.9) * length;
  // A value of 16 bits says the place to 7 samples.
  expect(Math.abs(place(values[0]!) - ((heard - first) * 48) / 1000)).toBeLessThan(8);
  expect(values.filter((value) => value > 0).length).toBe(length - Math.round(((heard - first) * 48) / 1000));
  expect(values.filter((value) => value < 0).length).toBe(4800);
});

test.concurrent("a publisher answers an interrupt before the first frame, twice in a row, without a listener and while it resumes", async () => {
  await using stage = new Stage();
  const { ear, publisher } = await setUp(stage, { aheadMs: 1500 });
  expect(await publisher.interrupt()).toMatchObject({ heardUntil: 0, perListener: [], rewound: false });
  say(publisher, await speech(5));
  await until("sound", () => ear.heard.length >= 60);
  const [one, two] = await Promise.all([publisher.interrupt(), publisher.interrupt()]);
  expect(two).toEqual(one);
  expect(one).toMatchObject({ perListener: [], rewound: true, heardUntil: one.to });
  expect(publisher.stats().rewinds).toBe(1);
  expect(publisher.resume()).toBeDefined();
  await publisher.interrupt();
  expect(publisher.resume()).toBeDefined();
  const sounding = (epoch: number) =>
    ear.heard.filter(({ sequence, frame }) => epochOf(sequence) === epoch && frame.payload.length > 20).length;
  await until("sound again", () => sounding(publisher.stats().epoch) > 5);
  const again = await publisher.interrupt();
  expect(again.rewound).toBe(true);
  expect(again.to).toBeGreaterThan(one.to);
  const { epoch } = publisher.stats();
  expect(publisher.resume()).toBeDefined();
  await until("sound once more", () => sounding(epoch) > 20);
  const kept = [...ear.timeline().values()].filter(({ sequence }) => epochOf(sequence) < epoch);
  expect(kept.every(({ frame }) => frame.timestamp < again.to)).toBe(true);
});

test.concurrent("a publisher continues after it lost its session, with an interrupt in between", async () => {
  await using stage = new Stage();
  const { ear, publisher } = await setUp(stage, { source: await speech(20), aheadMs: 2000 });
  await until("sound", () => ear.heard.length >= 80);
  ear.session!.close({ closeCode: 1, reason: "test" });
  await until("disconnected", () => !publisher.stats().connected);
  const { rewound, to } = await publisher.interrupt();
  expect(rewound).toBe(true);
  say(publisher, await speech(1, 880));
  await until("the reply on a new session", () => ear.heard.filter(({ sequence }) => sequence > 65_536).length >= 20);
  expect(ear.sessions).toBe(2);
  const after = [...ear.timeline().values()].filter(({ frame }) => frame.timestamp >= to);
  expect(after.every(({ sequence }) => sequence >= 65_536)).toBe(true);
});

test.concurrent("a publisher sends its lead again when a knob changes, from just behind the playhead", async () => {
  await using stage = new Stage();
  const { ear, publisher } = await setUp(stage, { source: await speech(20), aheadMs: 2000 });
  await until("sound", () => ear.heard.length >= 80);
  const start = ear.heard[0]!.frame.timestamp;
  await until("half a second is heard", () => publisher.stats().playheadUs > start + 500_000);
  publisher.set({ gainDb: -20 });
  await until("the new epoch", () => ear.heard.filter(({ sequence }) => epochOf(sequence) === 1).length >= 40);
  const frames = [...ear.timeline().values()];
  const opener = frames.find(({ sequence }) => sequence === 65_536)!;
  // Nothing is missing at the joint.
  const at = frames.indexOf(opener);
  for (let i = at - 5; i < at + 10; i++)
    expect(frames[i + 1]!.frame.timestamp - frames[i]!.frame.timestamp).toBeLessThanOrEqual(20_000);
  const decoder = await createDecoder({ channels: 1 });
  const loud = frames
    .filter(({ sequence }) => sequence < 65_536)
    .flatMap(({ frame }) => [...decoder.decodeFloat(frame.payload)]);
  const quiet = frames
    .filter(({ sequence }) => sequence > 65_540)
    .flatMap(({ frame }) => [...decoder.decodeFloat(frame.payload)]);
  decoder.free();
  expect(strength(Float32Array.from(loud.slice(4800, 14_400)), 440)).toBeGreaterThan(0.25);
  expect(strength(Float32Array.from(quiet.slice(4800, 14_400)), 440)).toBeLessThan(0.04);
  expect(publisher.stats().rewinds).toBe(1);
  expect(opener.frame.payload.length).toBeGreaterThan(20);
  expect(() => publisher.set({ strength: 2 })).toThrow(/strength/);
});

test.concurrent("a publisher mixes the denoised and raw audio of its lead again without running the network again", async () => {
  await using stage = new Stage();
  const model = fileURLToPath(new URL("../publisher/denoise/fixtures/tiny.onnx", import.meta.url));
  const sine = endlessSine(440);
  let hopsRead = 0;
  const read = async () => {
    hopsRead += 2;
    return sine.read();
  };
  const { ear, publisher } = await setUp(stage, { source: { ...sine, read }, aheadMs: 3000, model });
  // A machine that is too slow passes audio through, which is as loud as the raw sound: then the next stretch counts.
  let from = publisher.stats();
  await until("a second was denoised without a break", () => {
    const now = publisher.stats();
    if (now.bleedMs > from.bleedMs) from = now;
    return now.denoisedHops - from.denoisedHops >= 100;
  });
  const rendered = publisher.stats().denoisedHops + publisher.stats().bleedMs / 10;
  await until("it was sent", () => ear.heard.length >= rendered / 2);
  const decoder = await createDecoder({ channels: 1 });
  const levels = (frames: readonly Heard[]) => {
    const audio = Float32Array.from(frames.flatMap(({ frame }) => [...decoder.decodeFloat(frame.payload)]));
    const starts = Array.from({ length: Math.floor(audio.length / 9600) - 1 }, (_, i) => 4800 + 9600 * i);
    return starts.map((at) => strength(audio.subarray(at, at + 9600), 440));
  };
  const denoised = Math.min(...levels(ear.heard.slice(Math.max(0, Math.round(rendered / 2) - 60))));
  publisher.set({ strength: 0 });
  const again = () => ear.heard.filter(({ sequence }) => epochOf(sequence) === 1);
  await until("the raw sound", () => again().length >= 25);
  const raw = levels(again())[0]!;
  expect(raw).toBeGreaterThan(0.27);
  expect(denoised).toBeLessThan(raw * 0.95);
  // Whatever was rendered since, each hop that was read ran through the network once at most.
  const { denoisedHops, bleedMs } = publisher.stats();
  expect(denoisedHops + bleedMs / 10).toBeLessThanOrEqual(hopsRead);
  decoder.free();
});

test.concurrent("a publisher keeps the requested floor under denoised silence", async () => {
  await using stage = new Stage();
  const model = fileURLToPath(new URL("../publisher/denoise/fixtures/tiny.onnx", import.meta.url));
  const source = await openSource({ samples: new Float32Array(96_000) });
  const { ear } = await setUp(stage, { source, model, aheadMs: 2000, comfortNoiseDb: -50 });
  await until("a second and a half", () => ear.heard.length >= 75);
  const decoder = await createDecoder({ channels: 1 });
  const audio = ear.heard.flatMap(({ frame }) => [...decoder.decodeFloat(frame.payload)]).slice(24_000, 72_000);
  const levelDb = 10 * Math.log10(audio.reduce((sum, sample) => sum + sample * sample, 0) / audio.length);
  expect(Math.abs(levelDb + 50)).toBeLessThan(3);
  decoder.free();
});

test.concurrent("a publisher sends a live source as it comes, and is silent after an interrupt until it resumes", async () => {
  await using stage = new Stage();
  const { ear, publisher } = await setUp(stage, { source: await speech(30), mode: "live" });
  await until("a second", () => ear.heard.length >= 50);
  const { frontierUs, playheadUs } = publisher.stats();
  expect(frontierUs - playheadUs).toBeLessThan(60_000);
  await publisher.interrupt();
  const groups = publisher.stats().groups;
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(publisher.stats().groups).toBeLessThanOrEqual(groups + 1);
  expect(publisher.resume()).toBeDefined();
  await until("sound again", () => publisher.stats().groups > groups + 20);
});

test.concurrent("a publisher rewinds by a fresh track in the catalog for players that only go forward", async () => {
  await using stage = new Stage();
  const { ear, publisher } = await setUp(stage, { source: await speech(20), aheadMs: 2000, rewindBy: "track" });
  await until("sound", () => ear.heard.length >= 60);
  await publisher.interrupt();
  say(publisher, await speech(1, 880));
  await until("the second track", () => ear.tracks.length === 2);
  expect(ear.tracks).toEqual(["audio0", "audio1"]);
  await until("sound on it", () => ear.heard.length > ear.heardBefore + 30);
  expect(ear.heard.slice(ear.heardBefore).every(({ sequence }) => sequence < 1000)).toBe(true);
});

test.concurrent("a publisher encodes a lower rendition with the same groups while a peer subscribes to it, or sends plain samples", async () => {
  await using stage = new Stage();
  const { ear, publisher } = await setUp(stage, { source: await speech(30), mode: "live" });
  await until("sound", () => ear.received.length >= 20);
  expect(ear.catalog.get("audio-low")).toMatchObject({ codec: "opus", bitrate: 12_000 });
  const stop = ear.followLow();
  await until("the lower rendition", () => ear.low.size >= 50);
  const full = new Map(ear.received.map(({ sequence, frame }) => [sequence, frame]));
  const pairs = [...ear.low].flatMap(([sequence, low]) => {
    const frame = full.get(sequence);
    return frame === undefined ? [] : [{ low, frame }];
  });
  expect(pairs.length).toBeGreaterThan(30);
  for (const { low, frame } of pairs) expect(low.timestamp).toBe(frame.timestamp);
  const bytes = (frames: readonly Frame[]) => frames.reduce((sum, { payload }) => sum + payload.length, 0);
  expect(bytes(pairs.map(({ low }) => low))).toBeLessThan(bytes(pairs.map(({ frame }) => frame)) / 3);
  const decoder = await createDecoder({ channels: 1 });
  const sound = pairs.slice(10, 30).flatMap(({ low }) => [...decoder.decodeFloat(low.payload)]);
  decoder.free();
  expect(strength(Float32Array.from(sound.slice(960, 10_560)), 440)).toBeGreaterThan(0.1);
  stop();
  expect(publisher.stats().skips).toMatchObject({ window: 0 });

  const pcm = await setUp(stage, { source: await speech(3), codec: "pcm", aheadMs: 500 });
  await until("samples", () => pcm.ear.received.length >= 30);
  expect([...pcm.ear.catalog]).toMatchObject([["audio", { codec: "pcm-s16", bitrate: 768_000 }]]);
  const [first] = pcm.ear.received.sort((a, b) => a.sequence - b.sequence);
  const samples = new Int16Array(first!.frame.payload.slice().buffer);
  expect(samples).toHaveLength(960);
  expect(
    strength(
      Float32Array.from(samples, (value) => value / 32_768),
      450,
    ),
  ).toBeGreaterThan(0.1);
});

test.concurrent("a publisher refuses bad options by name, and use after close", async () => {
  await using stage = new Stage();
  expect(() => new Publisher({ url: "ftp://x" })).toThrow(/url/);
  expect(() => new Publisher({ url: "https://localhost", aheadMs: 1 })).toThrow(/aheadMs/);
  const { publisher } = await setUp(stage);
  await until("a session", () => publisher.stats().connected);
  const stereo = await openSource({ samples: new Float32Array(4), inputChannels: 2, channels: 2 });
  expect(() => say(publisher, stereo)).toThrow(/2 channel/);
  await publisher.close();
  await publisher.close();
  expect(await publisher.closed).toBeNull();
  await expect(publisher.interrupt()).rejects.toThrow(/after close/);
  const broken = new Publisher({ url: "https://127.0.0.1:9", model: "/nowhere/model.onnx" });
  expect(await endOf(broken)).toMatchObject({ code: "MODEL_NOT_FOUND" });
});
