import { mkdtemp, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { MediaError } from "../../base/index.js";
import type { Frame } from "../../container/index.js";
import { descriptorsOf } from "../../tests/support/open-files.js";
import { type IvfFrame, openIvf } from "./ivf.js";
import { codecString, isKeyframe } from "./video-codec.js";
import { openVideo } from "./video-source.js";

const fixtures = join(import.meta.dirname, "../../tests/fixtures");
const path = (name: string): string => join(fixtures, name);
let clip: Uint8Array;
let folder: string;

beforeAll(async () => {
  clip = new Uint8Array(await readFile(path("clip.ivf")));
  folder = await realpath(await mkdtemp(join(tmpdir(), "unsay-ivf-")));
});
afterAll(() => rm(folder, { recursive: true }));

async function* cut(bytes: Uint8Array, pieces: readonly number[]): AsyncGenerator<Uint8Array, void, undefined> {
  let offset = 0;
  for (let index = 0; offset < bytes.length; index++) {
    const length = pieces[index % pieces.length]!;
    yield bytes.subarray(offset, offset + length);
    offset += length;
  }
}

async function parse(bytes: Uint8Array, pieces: readonly number[] = [4096]): Promise<IvfFrame[]> {
  const { frames } = await openIvf(cut(bytes, pieces), "clip.ivf");
  const all: IvfFrame[] = [];
  for await (const frame of frames) all.push(frame);
  return all;
}

test("a file reads the same however its bytes are cut", async () => {
  const whole = await parse(clip);
  expect(whole.map(({ timestamp }) => timestamp)).toEqual(
    Array.from({ length: 72 }, (_, index) => Math.round((index * 1e6) / 12)),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 8 }), async (pieces) => {
      expect(await parse(clip, pieces)).toEqual(whole);
    }),
    { seed: 1, numRuns: 30 },
  );
});

test("a truncated or damaged file is a media error that names it, or reads as an intact one", async () => {
  const damage = fc.oneof(
    fc.integer({ min: 0, max: clip.length - 1 }).map((length) => clip.slice(0, length)),
    fc
      .tuple(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 255 }))
      .map(([at, value]) => clip.with(at, value)),
    fc.uint8Array({ maxLength: 200 }),
  );
  await fc.assert(
    fc.asyncProperty(damage, async (bytes) => {
      const outcome = await parse(bytes).then(
        () => "intact",
        (error: unknown) => (error instanceof MediaError ? error.message : error),
      );
      expect(outcome).toMatch(/^intact$|^The IVF file clip\.ivf [^\n]*\.$/);
    }),
    { seed: 2, numRuns: 400 },
  );
  for (const [bytes, message] of [
    [new Uint8Array(0), "ends before its 32-byte header"],
    [field(0, 0x52), 'does not start with "DKIF"'],
    [field(8, 0x48), "codec"],
    [field(32, 255, 255, 255, 255), "frame 0 of 4294967295 bytes"],
    [clip.subarray(0, 40), "ends inside the header of frame 0"],
    [clip.subarray(0, 60), "ends inside frame 0"],
  ] as const) {
    await expect(parse(bytes)).rejects.toThrow(message);
  }
});

/** The clip with other bytes at a place. */
function field(at: number, ...bytes: number[]): Uint8Array {
  const copy = clip.slice();
  copy.set(bytes, at);
  return copy;
}

test("a file whose header is wrong about anything but its codec shows its picture, with a warning", async () => {
  const whole = await parse(clip);
  const counted = whole.map(({ index }) => Math.round((index * 1e6) / 30));
  for (const [bytes, warning] of [
    [field(4, 1), "has the version 1; it is read as version 0"],
    [field(6, 12), "has a header length of 12 bytes; it is read with one of 32"],
    [field(6, 0, 0), "has a header length of 0 bytes; it is read with one of 32"],
    [field(6, 255, 255), "has a header length of 65535 bytes; it is read with one of 32"],
    [field(12, 255, 255, 255, 255), undefined],
    [field(16, 0, 0, 0, 0), "has a time base of 1/0 seconds, which makes no sense; 30 frames a second are shown"],
    [field(20, 0, 0, 0, 0), "has a time base of 0/12 seconds, which makes no sense; 30 frames a second are shown"],
    [
      field(16, 255, 255, 255, 255),
      "has a time base of 1/4294967295 seconds, which makes no sense; 30 frames a second",
    ],
  ] as const) {
    const { frames, warnings } = await openIvf(cut(bytes, [4096]), "clip.ivf");
    const times: number[] = [];
    for await (const { timestamp } of frames) times.push(timestamp);
    expect(times, warning).toEqual(warning?.includes("time base") ? counted : whole.map(({ timestamp }) => timestamp));
    expect(warnings).toEqual(warning === undefined ? [] : [expect.stringContaining(warning)]);
    await writeFile(join(folder, "odd.ivf"), bytes);
    const source = await openVideo({ file: join(folder, "odd.ivf") });
    expect(source).toMatchObject({ codec: "vp8", width: 160, height: 120 });
    await source.close();
  }
});

test("a source names its codec, finds the keyframes, and keeps its time across a loop", async () => {
  for (const [name, codec] of [
    ["clip.ivf", "vp8"],
    ["clip-vp9.ivf", "vp09.00.10.08"],
    ["clip-av1.ivf", "av01.0.00M.08"],
  ] as const) {
    const source = await openVideo({ file: path(name), loop: true });
    expect(source).toMatchObject({ codec, width: 160, height: 120, framerate: 12, name });
    const frames: Frame[] = [];
    while (frames.length < 100) frames.push((await source.read())!);
    expect(frames.flatMap(({ keyframe }, index) => (keyframe ? [index] : []))).toEqual(
      Array.from({ length: 9 }, (_, index) => index * 12),
    );
    frames.forEach(({ timestamp }, index) => {
      expect(Math.abs(timestamp - (index * 1e6) / 12)).toBeLessThan(10);
    });
    await source.close();
    expect(await source.read()).toBeUndefined();
  }
  const once = await openVideo({ file: path("clip-vp9.ivf") });
  for (let index = 0; index < 24; index++) expect(await once.read()).toBeDefined();
  expect(await once.read()).toBeUndefined();
  await once.close();
});

test("a source that cannot be published is refused when it is opened or where its fault lies", async () => {
  await expect(openVideo({ file: path("none.ivf") })).rejects.toThrow("does not exist");
  await expect(openVideo({ file: fixtures })).rejects.toThrow("can't be read");
  await expect(openVideo({ file: "" })).rejects.toThrow("openVideo");
  const first = 32 + 12 + new DataView(clip.buffer, clip.byteOffset).getUint32(32, true);
  const write = async (name: string, ...parts: Uint8Array[]): Promise<string> => {
    const file = join(folder, name);
    await writeFile(file, Buffer.concat(parts));
    return file;
  };
  const header = clip.subarray(0, 32);
  const headless = await write("headless.ivf", header, clip.subarray(first));
  const late = await openVideo({ file: headless });
  expect(await late.read()).toMatchObject({ timestamp: 0, keyframe: true });
  expect(late.warnings).toEqual([expect.stringContaining("its first 11 frames are left out")]);
  await late.close();
  await expect(openVideo({ file: await write("empty.ivf", header) })).rejects.toThrow("holds no keyframe");
});

test("bytes that form no frame are not a keyframe, in any codec", () => {
  fc.assert(
    fc.property(fc.constantFrom("vp8", "vp09", "av01"), fc.uint8Array({ maxLength: 40 }), (codec, bytes) => {
      if (isKeyframe(codec, bytes)) return;
      expect(() => codecString(codec, bytes, { width: 1, height: 1, framerate: 1 })).toThrow("is not a keyframe");
    }),
    { seed: 3, numRuns: 2000 },
  );
  const vp9 = Uint8Array.from([0x82, 0x49, 0x83, 0x42, 0x00]);
  expect(codecString("vp09", vp9, { width: 1920, height: 1080, framerate: 30 })).toBe("vp09.00.40.08");
  const tenBit = Uint8Array.from([0x92, 0x49, 0x83, 0x42, 0x00]);
  expect(codecString("vp09", tenBit, { width: 3840, height: 2160, framerate: 60 })).toBe("vp09.02.51.10");
});

interface Piece {
  readonly timestamp: bigint;
  readonly payload: Uint8Array;
}

/** The frames of the clip with their timestamps, 12 a second, in ticks. */
function pieces(): Piece[] {
  const view = new DataView(clip.buffer, clip.byteOffset);
  const found: Piece[] = [];
  for (let at = 32; at < clip.length; ) {
    const size = view.getUint32(at, true);
    found.push({ timestamp: view.getBigInt64(at + 4, true), payload: clip.subarray(at + 12, at + 12 + size) });
    at += 12 + size;
  }
  return found;
}

async function film(name: string, frames: readonly Piece[], change: (header: Uint8Array) => void = () => {}) {
  const header = clip.slice(0, 32);
  change(header);
  const parts = frames.map(({ timestamp, payload }) => {
    const head = Buffer.alloc(12);
    head.writeUInt32LE(payload.length, 0);
    head.writeBigInt64LE(BigInt.asIntN(64, timestamp), 4);
    return Buffer.concat([head, payload]);
  });
  const file = join(folder, name);
  await writeFile(file, Buffer.concat([header, ...parts]));
  return file;
}

async function watch(file: string): Promise<{ times: number[]; frames: Frame[]; warnings: readonly string[] }> {
  const source = await openVideo({ file });
  const frames: Frame[] = [];
  for (let frame = await source.read(); frame !== undefined; frame = await source.read()) frames.push(frame);
  await source.close();
  return { frames, times: frames.map(({ timestamp }) => timestamp), warnings: source.warnings ?? [] };
}

test("video keeps its pace where timestamps repeat, step back, wrap, jump or begin below 0", async () => {
  const all = pieces();
  const stamped = (stamp: (index: number) => number) =>
    all.map(({ payload }, index) => ({ payload, timestamp: BigInt(stamp(index)) }));
  const even = all.map((_, index) => Math.round((index * 1e6) / 12));
  for (const [name, frames, isMended] of [
    ["begins below 0", stamped((index) => index - 5), false],
    ["begins late", stamped((index) => index + 1_000_000), false],
    ["wraps at 16 bits", stamped((index) => (65_500 + index) % 65_536), true],
    ["wraps at 32 bits", stamped((index) => (2 ** 32 - 30 + index) % 2 ** 32), true],
    ["begins again", stamped((index) => index % 40), true],
    ["jumps ahead by a day", stamped((index) => (index < 40 ? index : index + 12 * 86_400)), true],
    ["jumps without end", stamped((index) => (index % 2) * 1e15), true],
  ] as const) {
    const { times, warnings } = await watch(await film("times.ivf", frames));
    expect(times, name).toHaveLength(72);
    for (const [index, time] of times.entries()) expect(Math.abs(time - even[index]!), name).toBeLessThan(150);
    expect(warnings.length, name).toBe(isMended ? 1 : 0);
  }
  const still = await watch(
    await film(
      "still.ivf",
      stamped(() => 0),
    ),
  );
  expect(still.times.slice(0, 2)).toEqual([0, 0]);
  expect(still.times.at(-1)).toBe(70 * Math.round(1e6 / 12));
  // A single frame out of order leaves its neighbours in place.
  const swapped = await watch(
    await film(
      "swapped.ivf",
      stamped((index) => (index === 9 ? 6 : index)),
    ),
  );
  expect(swapped.times[9]).toBe(swapped.times[8]);
  expect(swapped.times.slice(10)).toEqual(even.slice(10));
});

test("whatever the timestamps, time starts at 0 and never steps back", async () => {
  const payload = pieces()[0]!.payload;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), { minLength: 1, maxLength: 40 }),
      async (ticks) => {
        const { times } = await watch(
          await film(
            "any.ivf",
            ticks.map((timestamp) => ({ timestamp, payload })),
          ),
        );
        expect(times).toHaveLength(ticks.length);
        expect(times[0]).toBe(0);
        for (const [index, time] of times.entries()) {
          expect(Number.isSafeInteger(time)).toBe(true);
          expect(time).toBeGreaterThanOrEqual(times[index - 1] ?? 0);
        }
      },
    ),
    { seed: 4, numRuns: 100 },
  );
});

test("frames without bytes are skipped, and a damaged file plays up to the damage", async () => {
  const all = pieces();
  const empty = { payload: new Uint8Array(0) };
  const holed = all.map((frame, index) => (index % 3 === 1 ? { ...frame, ...empty } : frame));
  const { times, warnings } = await watch(await film("holes.ivf", holed));
  expect(times).toHaveLength(48);
  expect(times[1]).toBe(Math.round(2e6 / 12));
  expect(warnings).toEqual([expect.stringContaining("24 frames without bytes")]);
  const first = await watch(await film("first.ivf", [{ timestamp: 0n, ...empty }, ...all]));
  expect(first.frames).toHaveLength(72);

  const write = async (name: string, bytes: Uint8Array) => {
    await writeFile(join(folder, name), bytes);
    return join(folder, name);
  };
  const cutOff = await watch(await write("cut.ivf", clip.subarray(0, clip.length - 5)));
  expect(cutOff.frames).toHaveLength(71);
  expect(cutOff.warnings).toEqual([expect.stringContaining("ends inside frame 71; its picture ends there")]);
  const huge = clip.slice();
  huge.set([255, 255, 255, 255], 32 + 12 + all[0]!.payload.length);
  expect(await watch(await write("huge.ivf", huge))).toMatchObject({
    times: [0],
    warnings: [expect.stringContaining("has a frame 1 of 4294967295 bytes")],
  });
});

test("video has the size of its keyframes, and a change of size gives a warning", async () => {
  const all = pieces();
  const smaller = all.map(({ timestamp, payload }, index) => {
    const changed = payload.slice();
    if (index === 36) new DataView(changed.buffer).setUint16(6, 80, true);
    return { timestamp, payload: changed };
  });
  const file = await film("sizes.ivf", smaller, (header) => header.fill(0, 12, 16));
  const source = await openVideo({ file });
  expect(source).toMatchObject({ width: 160, height: 120 });
  await source.close();
  const { frames, warnings } = await watch(file);
  expect(frames).toHaveLength(72);
  expect(warnings).toEqual([
    expect.stringContaining("from 160x120 to 80x120 in frame 36"),
    expect.stringContaining("from 80x120 to 160x120 in frame 48"),
  ]);
  for (const name of ["clip.ivf", "clip-vp9.ivf", "clip-av1.ivf"]) {
    const bytes = new Uint8Array(await readFile(path(name)));
    bytes.fill(0, 12, 16);
    await writeFile(join(folder, "sizeless.ivf"), bytes);
    const sizeless = await openVideo({ file: join(folder, "sizeless.ivf") });
    expect(sizeless, name).toMatchObject({ width: 160, height: 120 });
    await sizeless.close();
  }
});

test("a video closes its file at its end, when it is closed or refused, and keeps it open while it loops", async () => {
  const file = join(folder, "closing.ivf");
  await writeFile(file, clip);
  const ended = await openVideo({ file });
  expect(descriptorsOf(file)).toBe(1);
  while ((await ended.read()) !== undefined);
  expect(descriptorsOf(file)).toBe(0);
  const looping = await openVideo({ file, loop: true });
  for (let frame = 0; frame < 100; frame++) expect(await looping.read()).toBeDefined();
  expect(descriptorsOf(file)).toBe(1);
  await looping.close();
  expect(descriptorsOf(file)).toBe(0);
  await writeFile(file, clip.subarray(0, 32));
  await expect(openVideo({ file })).rejects.toThrow("holds no keyframe");
  expect(descriptorsOf(file)).toBe(0);
});
