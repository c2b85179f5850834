import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readAll } from "../../tests/support/signal.js";
import { openAudio } from "./open-audio.js";
import { SampleQueue } from "./sample-queue.js";
import { type AudioSource, openSource, readSource } from "./source.js";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "unsay-source-"));
});

afterAll(() => rm(folder, { recursive: true }));

function wavBytes(samples: Int16Array, rate: number): Buffer {
  const head = Buffer.alloc(44);
  head.write("RIFF", 0, "latin1");
  head.write("WAVEfmt ", 8, "latin1");
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(rate, 24);
  head.writeUInt32LE(rate * 2, 28);
  head.writeUInt16LE(2, 32);
  head.writeUInt16LE(16, 34);
  head.write("data", 36, "latin1");
  head.writeUInt32LE(samples.byteLength, 40);
  return Buffer.concat([head, Buffer.from(samples.buffer)]);
}

async function* bytes(...chunks: number[][]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) yield Uint8Array.from(chunk);
}

describe("openSource", () => {
  test("a source reads a file to its end, or over and over", async () => {
    const file = join(folder, "ramp.wav");
    await writeFile(
      file,
      wavBytes(
        Int16Array.from({ length: 1000 }, (_, i) => i),
        48_000,
      ),
    );
    const once = await readAll(await openSource({ file }));
    expect(once).toHaveLength(1000);
    expect(once[999]).toBeCloseTo(999 / 32768, 9);
    const source = await openSource({ file, loop: true });
    const looped = await readAll(source, 2500);
    expect(looped.length).toBeGreaterThanOrEqual(2500);
    expect(looped[2001]).toBe(looped[1]);
    await source.close();
    expect(await source.read()).toBeUndefined();
  });

  test("a file that loses its audio while it loops ends in a sentence", async () => {
    const file = join(folder, "emptied.wav");
    await writeFile(file, wavBytes(new Int16Array(48_000), 48_000));
    const source = await openSource({ file, loop: true });
    await source.read();
    await truncate(file, 44);
    await expect(readAll(source, 200_000)).rejects.toMatchObject({
      code: "NO_AUDIO",
      message: "The audio file emptied.wav holds no audio.",
    });
  });

  test("a source converts a 16 kHz file to 48 kHz and keeps its length", async () => {
    const file = join(folder, "narrow.wav");
    await writeFile(file, wavBytes(new Int16Array(16_000), 16_000));
    expect(await readAll(await openSource({ file }))).toHaveLength(48_000);
  });

  test("a source reads raw PCM cut anywhere and refuses input that ends inside a sample", async () => {
    const source = await openSource({ pcm: bytes([0], [64, 0], [192], [0]), inputChannels: 1 });
    expect(await source.read()).toEqual(Float32Array.of(0.5, -0.5));
    await expect(source.read()).rejects.toMatchObject({
      code: "PCM_TRUNCATED",
      message: expect.stringContaining("s16le with 1 channel(s)"),
    });
    const floats = new Uint8Array(Float32Array.of(0.25, 0.75).buffer);
    const stereo = await openSource({ pcm: bytes([...floats]), format: "f32le", inputChannels: 2 });
    expect(await stereo.read()).toEqual(Float32Array.of(0.5));
  });

  test("openSource refuses bad options, missing files and files of unknown kind by name", async () => {
    await expect(openSource({ file: "" })).rejects.toMatchObject({ code: "INVALID_OPTION" });
    await expect(openSource({ file: "/nowhere/voice.wav" })).rejects.toMatchObject({
      code: "FILE_NOT_FOUND",
      message: expect.stringContaining("/nowhere/voice.wav"),
    });
    await expect(openSource({ file: folder })).rejects.toMatchObject({ code: "FILE_UNREADABLE" });
    const empty = join(folder, "empty.wav");
    await writeFile(empty, "");
    await expect(openSource({ file: empty })).rejects.toMatchObject({ code: "WAV_INVALID" });
    const text = join(folder, "notes.txt");
    await writeFile(text, "these are just words");
    const source = openSource({ file: text }).then((opened) => opened.read());
    await expect(source).rejects.toMatchObject({ code: "UNSUPPORTED_FILE", message: expect.stringContaining(text) });
  });
});

const given = (read: () => unknown): AudioSource =>
  ({ name: "mine", channels: 2, read, close: async () => {} }) as AudioSource;

describe("readSource", () => {
  test("a source that gives anything but Float32Arrays of whole frames is refused in a sentence with its name", async () => {
    const must = "The source mine must give";
    const cases: [unknown, string][] = [
      [new Int16Array(4), `${must} a Float32Array, or undefined at its end, but gave an Int16Array.`],
      [new Float64Array(4), `${must} a Float32Array, or undefined at its end, but gave a Float64Array.`],
      [null, `${must} a Float32Array, or undefined at its end, but gave null.`],
      ["text", `${must} a Float32Array, or undefined at its end, but gave "text".`],
      [5, `${must} a Float32Array, or undefined at its end, but gave 5.`],
      [[0, 1], `${must} a Float32Array, or undefined at its end, but gave an array.`],
      [new Float32Array(3), `${must} whole 2-channel sample frames, but gave 3 samples.`],
    ];
    for (const [chunk, message] of cases)
      for (const read of [async () => chunk, () => chunk])
        await expect(readSource(given(read))).rejects.toMatchObject({ code: "INVALID_AUDIO", message });
  });

  test("samples that a source returns without a promise count, those no filter can take are silent, and the rest are a copy", async () => {
    const samples = Float32Array.of(0.5, Number.NaN, Number.POSITIVE_INFINITY, -0.5);
    const read = await readSource(given(() => samples));
    samples.fill(1);
    expect(read).toEqual(Float32Array.of(0.5, 0, 0, -0.5));
  });

  test("a source's own error is passed on, and one that is no Error becomes one", async () => {
    const boom = new Error("boom");
    const throwing = given(() => {
      throw boom;
    });
    await expect(readSource(throwing)).rejects.toBe(boom);
    for (const reason of [undefined, null, "lost"])
      await expect(readSource(given(() => Promise.reject(reason)))).rejects.toMatchObject({
        code: "SOURCE_FAILED",
        message: `The source mine failed without an Error: ${typeof reason === "string" ? '"lost"' : reason}.`,
      });
  });
});

describe("ten seconds in one array", () => {
  const SAMPLES = 480_000;
  const kinds: Record<string, (samples: Float32Array) => AudioSource> = {
    "a stream of samples": (samples) => openAudio({ stream: once(samples) }).source(1),
    "a stream of bytes": (samples) =>
      openAudio({ stream: once(new Uint8Array(samples.buffer)), format: "f32le" }).source(1),
    "a source of the application": (samples) => ({ ...given(() => samples), channels: 1 }),
  };

  async function* once<T>(value: T): AsyncGenerator<T> {
    yield value;
  }

  // What a read does not need it must not touch yet: converting an hour at once would stop all other work.
  test.each(Object.entries(kinds))("of %s only what is read is converted", async (_, open) => {
    const samples = new Float32Array(SAMPLES).fill(0.5);
    const queue = new SampleQueue(open(samples));
    const first = new Float32Array(480);
    await queue.fill(first.length);
    queue.take(first);
    samples.fill(0.25, SAMPLES - 480);
    const rest = new Float32Array(SAMPLES - 480);
    for (let at = 0; at < rest.length; at += 480) {
      await queue.fill(480);
      queue.take(rest.subarray(at, at + 480));
    }
    await queue.close();
    expect(first).toEqual(new Float32Array(480).fill(0.5));
    expect(rest.subarray(0, -480).every((sample) => sample === 0.5)).toBe(true);
    expect(rest.subarray(-480)).toEqual(new Float32Array(480).fill(0.25));
  });
});
