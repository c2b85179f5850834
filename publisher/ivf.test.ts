import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { MediaError } from "../base/index.js";
import type { Frame } from "../container/index.js";
import { type IvfFrame, openIvf } from "./ivf.js";
import { codecString, isKeyframe } from "./video-codec.js";
import { openVideo } from "./video-source.js";

const fixtures = join(import.meta.dirname, "../tests/fixtures");
const path = (name: string): string => join(fixtures, name);
let clip: Uint8Array;
let folder: string;

beforeAll(async () => {
  clip = new Uint8Array(await readFile(path("clip.ivf")));
  folder = await mkdtemp(join(tmpdir(), "unsay-ivf-"));
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

test("a file reads the same however its bytes are cut up", async () => {
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

test("a file that is cut off or damaged is a media error that names the file, or reads as one that is not", async () => {
  const damage = fc.oneof(
    fc.integer({ min: 0, max: clip.length - 1 }).map((length) => clip.slice(0, length)),
    fc
      .tuple(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 255 }))
      .map(([at, value]) => clip.with(at, value)),
    fc.uint8Array({ maxLength: 200 }),
  );
  await fc.assert(
    fc.asyncProperty(damage, async (bytes) => {
      try {
        await parse(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(MediaError);
        expect((error as MediaError).message).toMatch(/^The IVF file clip\.ivf [^\n]*\.$/);
      }
    }),
    { seed: 2, numRuns: 400 },
  );
  const field = (at: number, ...bytes: number[]): Uint8Array => {
    const copy = clip.slice();
    copy.set(bytes, at);
    return copy;
  };
  for (const [bytes, message] of [
    [new Uint8Array(0), "ends before its 32-byte header"],
    [field(0, 0x52), 'does not start with "DKIF"'],
    [field(4, 1), "version 1"],
    [field(6, 12), "header length of 12"],
    [field(8, 0x48), "codec"],
    [field(12, 0, 0), "width of 0"],
    [field(14, 255, 255), "height of 65535"],
    [field(16, 0, 0, 0, 0), "time base of 1/0"],
    [field(20, 0, 0, 0, 0), "time base of 0/12"],
    [field(32, 0, 0, 0, 0), "frame 0 of 0 bytes"],
    [field(32, 255, 255, 255, 255), "frame 0 of 4294967295 bytes"],
    [field(36, 255, 255, 255, 255, 255, 255, 255, 255), "timestamp out of range in frame 0"],
    [clip.subarray(0, 40), "ends inside the header of frame 0"],
    [clip.subarray(0, 60), "ends inside frame 0"],
  ] as const) {
    await expect(parse(bytes)).rejects.toThrow(message);
  }
});

test("a source tells its codec, finds the keyframes, and goes on in time where it loops", async () => {
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

test("a source that can not be published is refused when it is opened or where it is wrong", async () => {
  await expect(openVideo({ file: path("none.ivf") })).rejects.toThrow("does not exist");
  await expect(openVideo({ file: fixtures })).rejects.toThrow("can't be read");
  await expect(openVideo({ file: "" })).rejects.toThrow("video options");
  const first = 32 + 12 + new DataView(clip.buffer, clip.byteOffset).getUint32(32, true);
  const write = async (name: string, ...parts: Uint8Array[]): Promise<string> => {
    const file = join(folder, name);
    await writeFile(file, Buffer.concat(parts));
    return file;
  };
  const header = clip.subarray(0, 32);
  const headless = await write("headless.ivf", header, clip.subarray(first));
  await expect(openVideo({ file: headless })).rejects.toThrow("does not start with a keyframe");
  await expect(openVideo({ file: await write("empty.ivf", header) })).rejects.toThrow("holds no frame");
  const back = clip.slice();
  back.set([5], 36);
  await expect(openVideo({ file: await write("back.ivf", back) })).rejects.toThrow("goes back in frame 1");
});

test("bytes that are no frame are no keyframe, in any codec", () => {
  fc.assert(
    fc.property(fc.constantFrom("vp8", "vp09", "av01"), fc.uint8Array({ maxLength: 40 }), (codec, bytes) => {
      if (isKeyframe(codec, bytes)) return;
      expect(() => codecString(codec, bytes, { width: 1, height: 1, framerate: 1 })).toThrow("no keyframe");
    }),
    { seed: 3, numRuns: 2000 },
  );
  const vp9 = Uint8Array.from([0x82, 0x49, 0x83, 0x42, 0x00]);
  expect(codecString("vp09", vp9, { width: 1920, height: 1080, framerate: 30 })).toBe("vp09.00.40.08");
  const tenBit = Uint8Array.from([0x92, 0x49, 0x83, 0x42, 0x00]);
  expect(codecString("vp09", tenBit, { width: 3840, height: 2160, framerate: 60 })).toBe("vp09.02.51.10");
});
