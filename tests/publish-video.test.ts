import "../base/polyfills.js";
import { join } from "node:path";
import { Connection, Path, type Track } from "@kixelated/moq";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { fromMilliseconds, type Microseconds, monotonicClock } from "../base/index.js";
import {
  type Catalog,
  type Delivery,
  decodeLegacyFrame,
  epochOf,
  parseCatalog,
  RewindConsumer,
} from "../container/index.js";
import { openVideo, Publisher, type PublisherOptions } from "../publisher/index.js";
import { isKeyframe } from "../publisher/video/video-codec.js";
import { Relay } from "../relay/index.js";
import { connect, toWebTransport } from "../transport/index.js";
import { endlessSine } from "./support/signal.js";

const FRAME_US = 1e6 / 12;
/** How far a frame's time may be off its multiple of that: a microsecond of rounding a second, and the order's own. */
const ROUNDING_US = 1000;
/** Of the two seconds that are sent ahead. */
const AHEAD = fromMilliseconds(1500);
/** Groups come on streams of their own and may overtake each other; what is sent two seconds ahead can wait as long. */
const PATIENCE = fromMilliseconds(2000);

/** How many pictures each has. */
const CLIPS = [
  ["clip.ivf", 72],
  ["clip-vp9.ivf", 24],
  ["clip-av1.ivf", 24],
] as const;
const clip = (name = "clip.ivf"): string => join(import.meta.dirname, "fixtures", name);
const cleanups: (() => unknown)[] = [];
const relay = new Relay({ port: 0 });
let origin = "";

beforeAll(async () => {
  // The MoQ package logs every stream to the console.
  for (const method of ["debug", "warn"] as const) vi.spyOn(console, method).mockImplementation(() => {});
  const { port } = await relay.listen();
  origin = `http://127.0.0.1:${port}/`;
  for (const [name, length] of CLIPS) {
    const video = await openVideo({ file: clip(name) });
    let number = 0;
    for (let frame = await video.read(); frame; frame = await video.read())
      pictures.set(key(frame.payload), { number: number++, of: length });
    expect(number).toBe(length);
  }
  expect(pictures.size).toBe(120);
});
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
  await relay.close();
});

async function publish(options: Partial<PublisherOptions> = {}, file = "clip.ivf"): Promise<Publisher> {
  const video = await openVideo({ file: clip(file), loop: true });
  const publisher = new Publisher({
    url: origin,
    aheadMs: 2000,
    video,
    ...options,
  });
  cleanups.push(() => publisher.close());
  return publisher;
}

/** Something received, in the order the rewind consumer gives it out. */
interface Seen extends Delivery {
  /** When it was handed out. */
  readonly at: Microseconds;
}

/** A MoQ peer behind the relay that keeps what comes of one kind of track. */
class Viewer {
  readonly seen: Seen[] = [];
  /** Tracks by the order in which the catalog named them. */
  readonly tracks: string[] = [];
  /** Groups that were reset. */
  aborted: number[] = [];
  /** Microseconds between a frame's timestamp on the wire and the one in its payload, where they differ. */
  readonly wrong: number[] = [];
  catalog: Catalog | undefined;
  consumer = new RewindConsumer({ clock: monotonicClock, gap: PATIENCE });

  static async open(broadcast: string, kind: "audio" | "video" = "video"): Promise<Viewer> {
    const session = await connect(origin, { backends: ["quic"] });
    cleanups.push(() => session.close());
    const connection = await Connection.connect(new URL(origin), { transport: toWebTransport(session) });
    const announced = connection.announced();
    for (let next = await announced.next(); next?.path !== `${broadcast}.hang`; next = await announced.next());
    const viewer = new Viewer();
    const consumer = connection.consume(Path.from(`${broadcast}.hang`));
    void (async () => {
      const catalogs = consumer.track("catalog.json").subscribe();
      for (let group = await catalogs.nextGroup(); group; group = await catalogs.nextGroup()) {
        const frame = await group.readFrame();
        if (frame === undefined) continue;
        viewer.catalog = parseCatalog(frame.payload);
        const name = Object.keys(viewer.catalog[kind]?.renditions ?? {})[0];
        if (name === undefined || viewer.tracks.includes(name)) continue;
        if (viewer.tracks.push(name) > 1)
          viewer.consumer = new RewindConsumer({ clock: monotonicClock, gap: PATIENCE });
        void viewer.#watch(consumer.track(name).subscribe(), viewer.consumer).catch(() => {});
      }
    })().catch(() => {});
    return viewer;
  }

  get last(): Seen | undefined {
    return this.seen.at(-1);
  }

  async #watch(track: Track.Subscriber, into: RewindConsumer): Promise<void> {
    for (let group = await track.recvGroup(); group; group = await track.recvGroup()) {
      const { sequence } = group;
      const current = group;
      void (async () => {
        try {
          let first = true;
          for (let frame = await current.readFrame(); frame; frame = await current.readFrame()) {
            const received = decodeLegacyFrame(frame.payload, { keyframe: first });
            const { timestamp } = received;
            if (frame.timestamp.asMicros() !== timestamp) this.wrong.push(frame.timestamp.asMicros() - timestamp);
            into.receive(sequence, received);
            first = false;
            this.#drain(into);
          }
          into.finish(sequence);
        } catch {
          this.aborted.push(sequence);
          into.abort(sequence);
        }
        this.#drain(into);
      })();
    }
  }

  #drain(consumer: RewindConsumer): void {
    for (let next = consumer.read(); next; next = consumer.read()) this.seen.push({ ...next, at: monotonicClock() });
  }
}

/** What a listener received beyond the playhead: a rewind takes back no more than that, and is none without it. */
function aheadAt({ last }: Viewer, publisher: Publisher): number {
  return (last?.frame.timestamp ?? 0) - publisher.stats().playheadUs;
}

/** The frames of an epoch that are not sent again to show the picture of the rewind. */
function paced(seen: readonly Seen[]): Seen[] {
  return seen.filter(({ frame }, index) => {
    const next = seen[index + 1];
    return next === undefined || next.frame.timestamp - frame.timestamp > ROUNDING_US;
  });
}

/** Which picture of its clip each frame is. */
const pictures = new Map<string, { readonly number: number; readonly of: number }>();
const key = (payload: Uint8Array): string => Buffer.from(payload).toString("base64");

function numberOf({ frame }: Seen): number | undefined {
  return pictures.get(key(frame.payload))?.number;
}

/** Every picture of the clip in its turn, and at its time but where the publisher knows that it was late. */
function expectSteady(seen: readonly Seen[], publisher: Publisher): void {
  const { number, of } = pictures.get(key(seen[0]!.frame.payload))!;
  expect(seen.map(numberOf)).toEqual(seen.map((_, index) => (number + index) % of));
  const steps = seen.slice(1).map(({ frame }, index) => frame.timestamp - seen[index]!.frame.timestamp);
  const late = steps.filter((step) => Math.abs(step - FRAME_US) >= ROUNDING_US);
  expect(late.length, `${late}`).toBeLessThanOrEqual(publisher.stats().underruns);
  expect(Math.min(...steps)).toBeGreaterThan(FRAME_US - ROUNDING_US);
}

// They wait for pictures to come, each at a broadcast of its own.
describe.concurrent("published video", () => {
  test.for([
    ["clip.ivf", "vp8", "vp8"],
    ["clip-vp9.ivf", "vp09.00.10.08", "vp09"],
    ["clip-av1.ivf", "av01.0.00M.08", "av01"],
  ] as const)(
    "of %s comes through the relay in groups that begin with a keyframe",
    async ([file, codec, kind], { expect }) => {
      const publisher = await publish({ source: endlessSine(440), broadcast: kind }, file);
      const viewer = await Viewer.open(kind);
      await expect.poll(() => viewer.seen.length).toBeGreaterThan(40);
      expect(viewer.catalog).toMatchObject({
        audio: { renditions: { audio: { codec: "opus" } } },
        video: { renditions: { video: { codec, codedWidth: 160, codedHeight: 120, framerate: 12 } } },
      });
      const { seen } = viewer;
      expect(seen.filter(({ frame }) => isKeyframe(kind, frame.payload) !== frame.keyframe)).toEqual([]);
      expect(viewer.wrong).toEqual([]);
      expect(new Set(seen.map(({ epoch }) => epoch))).toEqual(new Set([0]));
      // The first is the picture of the moment at which the first viewer came.
      expectSteady(paced(seen).slice(1), publisher);
      const sizes = new Map<number, number>();
      for (const { sequence } of seen) sizes.set(sequence, (sizes.get(sequence) ?? 0) + 1);
      expect([...sizes.values()].slice(1, -1)).toEqual(Array(sizes.size - 2).fill(12));
    },
  );

  test("published video rewinds together with the audio, holds its picture, and continues at the cut", async ({
    expect,
  }) => {
    const publisher = await publish({ source: endlessSine(440), broadcast: "cut" });
    const [viewer, listener] = await Promise.all([Viewer.open("cut"), Viewer.open("cut", "audio")]);
    await expect.poll(() => viewer.seen.length).toBeGreaterThan(36);
    await expect.poll(() => aheadAt(listener, publisher)).toBeGreaterThan(AHEAD);
    const { to, rewound } = await publisher.interrupt();
    expect(rewound).toBe(true);
    await expect.poll(() => [viewer.consumer.discontinuity, listener.consumer.discontinuity]).toEqual([1, 1]);
    expect([viewer.consumer.from, listener.consumer.from]).toEqual([to, to]);
    await expect.poll(() => publisher.stats().video?.rewinds).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 700));

    // All of the new epoch lies within a millisecond of the cut: the picture that stood there.
    const still = viewer.seen.filter(({ epoch }) => epoch === 1);
    expect(still[0]).toMatchObject({ sequence: 65_536, frame: { timestamp: to, keyframe: true } });
    expect(still.at(-1)!.frame.timestamp - to).toBeLessThan(ROUNDING_US);
    const old = paced(viewer.seen.filter(({ epoch, frame }) => epoch === 0 && frame.timestamp <= to));
    expect(numberOf(still.at(-1)!)).toBe(numberOf(old.at(-1)!));

    expect(publisher.resume()).toBeDefined();
    const later = () => viewer.seen.filter(({ epoch, frame }) => epoch > 0 && frame.timestamp > to + ROUNDING_US);
    await expect.poll(() => later().length).toBeGreaterThan(24);
    const resumed = paced(later());
    // The first picture after the pause is the one that followed the last one then, in the same group or the next one's first.
    const next = viewer.seen.find(({ epoch, frame }) => epoch === 0 && frame.timestamp > to)!;
    expect([numberOf(resumed[0]!), resumed[0]!.sequence]).toEqual([
      numberOf(next),
      next.frame.keyframe ? 65_537 : 65_536,
    ]);
    expectSteady(resumed, publisher);
    // And it is as far from the sound as before.
    const start = resumed[0]!.frame.timestamp - next.frame.timestamp;
    const sound = listener.seen.find(({ epoch, frame }) => epoch === 1 && frame.timestamp > to)!;
    expect(Math.abs(sound.frame.timestamp - to - start)).toBeLessThan(fromMilliseconds(25));
  });

  test("published video runs without audio, and rewinds without it", async ({ expect }) => {
    const publisher = await publish({ audio: false, broadcast: "mute" });
    const viewer = await Viewer.open("mute");
    await expect.poll(() => viewer.seen.length).toBeGreaterThan(36);
    expect(viewer.catalog?.audio).toBeUndefined();
    for (let round = 1; round <= 3; round++) {
      const { to, rewound, perListener } = await publisher.interrupt();
      expect({ rewound, perListener }).toEqual({ rewound: true, perListener: [] });
      await expect.poll(() => viewer.consumer.discontinuity).toBe(round);
      expect(viewer.consumer.from).toBe(to);
      publisher.resume();
      const count = viewer.seen.length;
      await expect.poll(() => viewer.seen.length).toBeGreaterThan(count + 40);
      expect(viewer.last!.epoch).toBe(viewer.seen.at(-30)!.epoch);
    }
    expect(() => publisher.say(endlessSine(440))).toThrow("audio is false");
    expect(() => new Publisher({ url: origin, audio: false })).toThrow("must be a video");
  });

  test("published video stays as it is when a knob rewinds only audio", async ({ expect }) => {
    const publisher = await publish({ source: endlessSine(440), broadcast: "knob" });
    const [viewer, listener] = await Promise.all([Viewer.open("knob"), Viewer.open("knob", "audio")]);
    await expect.poll(() => viewer.seen.length).toBeGreaterThan(30);
    await expect.poll(() => aheadAt(listener, publisher)).toBeGreaterThan(AHEAD);
    publisher.set({ gainDb: -6 });
    await expect.poll(() => listener.consumer.discontinuity).toBe(1);
    await expect.poll(() => viewer.seen.length).toBeGreaterThan(60);
    expect(viewer.consumer.discontinuity).toBe(0);
    expect(epochOf(viewer.last!.sequence)).toBe(0);
    expectSteady(paced(viewer.seen).slice(1), publisher);
  });

  test("published video continues in a fresh track where players cannot rewind", async ({ expect }) => {
    const publisher = await publish({ source: endlessSine(440), broadcast: "fresh", rewindBy: "track" });
    const viewer = await Viewer.open("fresh");
    await expect.poll(() => viewer.seen.length).toBeGreaterThan(30);
    const { to } = await publisher.interrupt();
    publisher.resume();
    await expect.poll(() => viewer.tracks).toEqual(["video0", "video1"]);
    const before = viewer.seen.length;
    await expect.poll(() => viewer.seen.length).toBeGreaterThan(before + 30);
    expect(viewer.seen.at(-20)!.frame.timestamp).toBeGreaterThan(to);
    expect(viewer.consumer.discontinuity).toBe(0);
  });

  test("published video ends after its last picture, and a late listener still sees the rest", async ({ expect }) => {
    const video = await openVideo({ file: clip("clip-av1.ivf") });
    const publisher = new Publisher({ url: origin, broadcast: "end", audio: false, aheadMs: 500, video });
    cleanups.push(() => publisher.close());
    const viewer = await Viewer.open("end");
    await publisher.drained();
    await expect.poll(() => viewer.seen.length).toBeGreaterThanOrEqual(12);
    expect(publisher.stats().video?.frames).toBeGreaterThanOrEqual(12);
    const late = await Viewer.open("end");
    await expect.poll(() => late.seen.length).toBe(12);
  });
});
