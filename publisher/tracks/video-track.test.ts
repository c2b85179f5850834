import { Broadcast, type Group } from "@kixelated/moq";
import { expect, test } from "vitest";
import { fromMilliseconds, MediaError, type Microseconds, microseconds } from "../../base/index.js";
import { decodeLegacyFrame, epochOf, type Frame } from "../../container/index.js";
import type { VideoSource } from "../video/video-source.js";
import { Wake } from "../wake.js";
import { VideoTrack } from "./video-track.js";

const STEP_MS = 40;
const GROUP = 10;

interface SourceOptions {
  readonly length?: number;
  readonly bytes?: number;
  readonly group?: number;
  readonly failsAt?: number;
}

/** Frames of 40 ms whose first two bytes are their number. */
class Numbers implements VideoSource {
  readonly name = "numbers";
  readonly codec = "vp8";
  readonly width = 16;
  readonly height = 16;
  readonly framerate = 1000 / STEP_MS;
  readonly endless = true;
  closed = false;
  #next = 0;
  readonly #options: SourceOptions;

  constructor(options: SourceOptions) {
    this.#options = options;
  }

  async read(): Promise<Frame | undefined> {
    const { length = Number.POSITIVE_INFINITY, bytes = 8, group = GROUP, failsAt } = this.#options;
    const number = this.#next++;
    if (number === failsAt) throw new MediaError("IVF_INVALID", "The file is broken.");
    if (number >= length) return undefined;
    const payload = new Uint8Array(bytes);
    new DataView(payload.buffer).setUint16(0, number);
    return { timestamp: fromMilliseconds(number * STEP_MS), payload, keyframe: number % group === 0 };
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}

interface Got {
  readonly sequence: number;
  readonly number: number;
  /** Milliseconds, with what a rewind adds in microseconds. */
  readonly at: number;
}

function setUp(options: SourceOptions & { rewindBy?: "group" | "track" } = {}) {
  let now = 0;
  const source = new Numbers(options);
  const warnings: string[] = [];
  const track = new VideoTrack({
    source,
    retainMs: 5000,
    rewindBy: options.rewindBy ?? "group",
    logger: { debug: () => {}, info: () => {}, warn: (_, message) => warnings.push(message) },
    wake: new Wake(),
    clock: () => fromMilliseconds(now),
  });
  const attach = (): Broadcast.Producer => {
    const broadcast = new Broadcast.Producer();
    track.attach(broadcast);
    return broadcast;
  };
  const groups = new Map<number, Group.Consumer>();
  const got: Got[] = [];
  /** Subscribes like a relay. */
  const subscribe = (broadcast: Broadcast.Producer, name = "video") => {
    const subscriber = broadcast.subscribe(name, {});
    void (async () => {
      for (let group = await subscriber.recvGroup(); group; group = await subscriber.recvGroup()) {
        groups.set(group.sequence, group);
        void read(group).catch(() => {});
      }
    })();
    return subscriber;
  };
  const read = async (group: Group.Consumer): Promise<void> => {
    for (let each = await group.readFrame(); each; each = await group.readFrame()) {
      const { timestamp, payload } = decodeLegacyFrame(each.payload, { keyframe: false });
      const number = new DataView(payload.buffer, payload.byteOffset).getUint16(0);
      got.push({ sequence: group.sequence, number, at: timestamp / 1000 });
    }
  };
  /** Advances time in steps of 10 ms, with `leadMs` sent ahead, and lets every frame be read. */
  const play = async (ms: number, leadMs = 400): Promise<Got[]> => {
    for (const end = now + ms; now < end; now += 10) {
      track.pump(fromMilliseconds(now), fromMilliseconds(now + leadMs));
      await new Promise((resolve) => setImmediate(resolve));
    }
    return settle();
  };
  const settle = async (): Promise<Got[]> => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    // Groups are read in parallel.
    return got.splice(0).sort((a, b) => a.sequence - b.sequence);
  };
  return { source, track, attach, subscribe, play, settle, groups, warnings };
}

const ms = (value: number): Microseconds => fromMilliseconds(value);
const numbers = (got: readonly Got[]): number[] => got.map(({ number }) => number);
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, index) => from + index);

test("a keyframe begins a group, and the track sends frames as far ahead as asked", async () => {
  const { track, attach, subscribe, play, groups } = setUp();
  subscribe(attach());
  track.start(ms(0));
  const got = await play(1000);
  expect(numbers(got)).toEqual(range(0, 35));
  // The first frame is a little late, because it had to be read.
  expect(got[0]).toEqual({ sequence: 0, number: 0, at: 10 });
  for (const { number, sequence, at } of got.slice(1)) {
    expect([sequence, at]).toEqual([Math.floor(number / GROUP), number * 40]);
  }
  expect([...groups.values()].map((group) => group.isClosed)).toEqual([true, true, true, false]);
  expect(track.frontier).toBe(ms(1400));
  expect(track.counters).toEqual({ groups: 4, frames: 35, bytes: expect.any(Number), rewinds: 0, skipped: 0 });
});

test("a pause rewinds to its moment and shows that picture; the next start continues in the same group", async () => {
  const { track, attach, subscribe, play, settle, groups } = setUp();
  subscribe(attach());
  track.start(ms(0));
  await play(900);
  // Up to 1280 ms were sent; the cut lies in the group of 800 ms, behind the picture of 920 ms.
  expect(track.rewind(ms(950))).toBe(true);
  const signal = await settle();
  expect(signal.map(({ number, at }) => [number, at])).toEqual([
    [20, 950],
    [21, 950.001],
    [22, 950.002],
    [23, 950.003],
  ]);
  expect(new Set(signal.map(({ sequence }) => sequence))).toEqual(new Set([65_536]));
  await expect(groups.get(3)!.closed).resolves.toBeInstanceOf(Error);
  expect(groups.get(2)!.closed.peek()).toBeNull();
  expect(await play(500)).toEqual([]);
  expect(track.rewind(ms(960))).toBe(false);

  track.start(ms(2000));
  const resumed = await play(300, 1200);
  expect(resumed[0]).toEqual({ sequence: 65_536, number: 24, at: 2010 });
  expect(numbers(resumed)).toEqual(range(24, 24 + resumed.length));
  for (const { number, at } of resumed) expect(at).toBe(number * 40 + 1050);
  expect(epochOf(resumed.at(-1)!.sequence)).toBe(1);

  // Beyond the last frame sent, or before the start, nothing becomes stale.
  track.delay(ms(100));
  const delayed = await play(300, 1200);
  expect(delayed[0]!.at).toBe(delayed[0]!.number * 40 + 1150);
  expect(track.rewind(ms(60_000))).toBe(false);
  expect(track.epoch).toBe(1);
});

test("a delay moves only frames that were not sent: a pause before it, in its hole or behind it shows that moment's picture", async () => {
  for (const { to, last, resumed } of [
    { to: 950, last: 23, resumed: 960 - 950 },
    // Frame 33 was due at 1320 ms, and is now at 1520 ms.
    { to: 1400, last: 32, resumed: 0.001 },
    { to: 1610, last: 35, resumed: 1640 - 1610 },
  ]) {
    const { track, attach, subscribe, play, settle } = setUp();
    subscribe(attach());
    track.start(ms(0));
    await play(900);
    track.delay(ms(200));
    const delayed = await play(300, 800);
    expect(delayed[0]).toMatchObject({ number: 33, at: 1520 });
    expect(track.rewind(ms(to))).toBe(true);
    expect((await settle()).at(-1)!.number).toBe(last);
    track.start(ms(3000));
    const [next] = (await play(300, 2400)).filter(({ at }) => at >= 3000);
    expect(next).toMatchObject({ number: last + 1 });
    expect(next!.at).toBeCloseTo(3000 + resumed, 6);
  }
});

test("a viewer that joins before a delay sees each picture at its time, before the delay and behind it", async () => {
  const { track, attach, subscribe, play } = setUp();
  const first = subscribe(attach());
  track.start(ms(0));
  await play(900);
  track.delay(ms(200));
  first.close();
  subscribe(attach());
  const joined = (await play(500)).filter(({ at }) => at > 901);
  expect(numbers(joined)).toEqual(range(23, 40));
  for (const { number, at } of joined) expect(at).toBe(number * 40 + (number < 33 ? 0 : 200));
});

test("two pauses in a row, each earlier, and one at the very start are all signalled", async () => {
  const { track, attach, subscribe, play, settle } = setUp();
  subscribe(attach());
  track.start(ms(100));
  await play(500);
  expect(track.rewind(ms(700))).toBe(true);
  track.start(ms(700));
  await play(200);
  expect(track.rewind(ms(400))).toBe(true);
  const second = (await settle()).filter(({ sequence }) => epochOf(sequence) === 2);
  expect(second[0]).toMatchObject({ at: 400, number: 0 });
  expect(second.at(-1)!.number).toBe(7);
  track.start(ms(400));
  await play(100);
  expect(track.rewind(ms(0))).toBe(true);
  const third = (await settle()).filter(({ sequence }) => epochOf(sequence) === 3);
  expect(third.map(({ number, at }) => [number, at])).toEqual([[0, 0]]);
});

test("the track sends nothing without subscribers, and a new one sees the present", async () => {
  const { track, attach, subscribe, play } = setUp();
  const broadcast = attach();
  track.start(ms(0));
  await play(1000);
  expect(track.counters.frames).toBe(0);
  const subscriber = subscribe(broadcast);
  const first = await play(200);
  expect(first[0]).toMatchObject({ number: 20, at: 1000, sequence: 0 });
  expect(first.find(({ at }) => at > 1001)).toMatchObject({ number: 26, at: 1040 });

  subscriber.close();
  await play(2000);
  const before = track.counters.frames;
  await play(100);
  expect(track.counters.frames).toBe(before);

  // A new session: frames sent ahead on the old one become stale with the rest.
  subscribe(attach());
  const again = await play(100);
  expect(again[0]!.at).toBe(3300);
  expect(again[0]!.number % GROUP).toBe(0);
  expect(again.find(({ at }) => at > 3301)).toMatchObject({ number: 83, at: 3320 });
  await track.close();
  await track.close();
});

test("a reconnect makes frames sent ahead on the old session stale", async () => {
  const { track, attach, subscribe, play } = setUp();
  const broadcast = attach();
  subscribe(broadcast);
  track.start(ms(0));
  await play(500);
  broadcast.close();
  await play(100);
  subscribe(attach());
  const again = await play(200);
  expect(again[0]).toMatchObject({ at: 600, number: 10, sequence: 65_536 });
  expect(again.find(({ at }) => at > 601)).toMatchObject({ number: 16, at: 640 });
});

test("where too many frames lead up to a moment its keyframe stands for it, and the next keyframe continues", async () => {
  const { track, attach, subscribe, play, settle } = setUp({ bytes: 300_000 });
  subscribe(attach());
  track.start(ms(0));
  await play(500);
  expect(track.rewind(ms(360))).toBe(true);
  expect((await settle()).filter(({ sequence }) => sequence >= 65_536)).toEqual([
    { sequence: 65_536, number: 0, at: 360 },
  ]);
  track.start(ms(600));
  const resumed = await play(400, 800);
  expect(resumed[0]).toMatchObject({ number: 10, at: 640 });
  expect(track.counters.skipped).toBe(0);

  const early = setUp({ bytes: 300_000 });
  early.subscribe(early.attach());
  early.track.start(ms(0));
  await early.play(500);
  early.track.rewind(ms(200));
  early.track.start(ms(600));
  expect((await early.play(400, 800)).find(({ at }) => at > 600)).toMatchObject({ number: 10, at: 800 });
  expect(early.track.counters.skipped).toBe(4);
});

test("a group larger than the buffer is still sent, and the next keyframe takes it back", async () => {
  const { track, attach, subscribe, play } = setUp({ bytes: 2_500_000, group: 20 });
  subscribe(attach());
  track.start(ms(0));
  const got = await play(700);
  expect(numbers(got)).toEqual(range(0, 28));
  expect(track.rewind(ms(720))).toBe(true);
  track.start(ms(800));
  const resumed = await play(300);
  expect(resumed.find(({ sequence }) => sequence >= 65_536)!.number % 20).toBe(0);
});

test("with a track per take the catalog names the new one, which restarts at time 0", async () => {
  const { track, attach, subscribe, play, settle } = setUp({ rewindBy: "track" });
  const broadcast = attach();
  expect(Object.keys(track.renditions)).toEqual(["video0"]);
  subscribe(broadcast, "video0");
  track.start(ms(0));
  await play(500);
  expect(track.rewind(ms(300))).toBe(true);
  expect(Object.keys(track.renditions)).toEqual(["video1"]);
  await settle();
  subscribe(broadcast, "video1");
  const standing = await play(50);
  expect(standing.map(({ number }) => number)).toEqual(range(0, 8));
  expect(standing[0]!.sequence).toBe(0);
  track.start(ms(700));
  expect((await play(300))[0]).toMatchObject({ number: 8, at: 720 });
});

test("the track ends with its source, whether that ends or breaks", async () => {
  const whole = setUp({ length: 15 });
  whole.subscribe(whole.attach());
  whole.track.start(ms(0));
  expect(numbers(await whole.play(700))).toEqual(range(0, 15));
  expect(whole.track.ended).toBe(true);
  expect(whole.groups.get(1)!.isClosed).toBe(true);
  expect(whole.track.frontier).toBe(ms(600));

  const broken = setUp({ failsAt: 12 });
  broken.subscribe(broken.attach());
  broken.track.start(ms(0));
  expect(numbers(await broken.play(700))).toEqual(range(0, 12));
  expect(broken.track.ended).toBe(true);
  expect(broken.warnings).toEqual(["The video could not be read."]);
  await broken.track.close();
  expect(broken.source.closed).toBe(true);

  const unwatched = setUp({ length: 15 });
  unwatched.attach();
  unwatched.track.start(ms(0));
  await unwatched.play(700);
  expect(unwatched.track.ended).toBe(true);
  expect(microseconds(unwatched.track.counters.frames)).toBe(0);
});
