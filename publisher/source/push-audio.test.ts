import fc from "fast-check";
import { expect, test } from "vitest";
import { toFloat } from "./pcm.js";
import { PushAudio } from "./push-audio.js";

const options = { name: "push", sampleRate: 24_000, format: "s16le", channels: 1 } as const;

async function readAll(audio: PushAudio): Promise<number[]> {
  const all: number[] = [];
  for await (const piece of (await audio.open()).samples) all.push(...piece);
  return all;
}

test("pushed bytes become the same samples however they are cut, in every format", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom("s16le" as const, "f32le" as const, "mulaw" as const, "alaw" as const),
      fc.constantFrom(8000, 24_000, 44_100, 48_000),
      fc.integer({ min: 1, max: 2 }),
      fc.array(fc.uint8Array({ maxLength: 9000 }), { maxLength: 12 }),
      fc.boolean(),
      async (format, sampleRate, channels, portions, isAhead) => {
        const audio = new PushAudio({ name: "push", sampleRate, format, channels });
        const push = async () => {
          for (const portion of portions) {
            const mine = portion.slice();
            audio.write(mine);
            mine.fill(7);
            if (!isAhead) await new Promise((resolve) => setImmediate(resolve));
          }
          audio.end();
        };
        const pushed = push();
        const heard = await readAll(audio);
        await pushed;
        const bytes = Buffer.concat(portions);
        const frame = { s16le: 2, f32le: 4, mulaw: 1, alaw: 1 }[format] * channels;
        expect(heard).toEqual([...toFloat(bytes.subarray(0, bytes.length - (bytes.length % frame)), format)]);
        expect((await audio.open()).warnings.length).toBe(bytes.length % frame === 0 ? 0 : 1);
      },
    ),
    { numRuns: 120, seed: 3 },
  );
});

test("a writer has to wait while more than ten seconds are buffered, and may continue once they are read", async () => {
  const audio = new PushAudio(options);
  expect(audio.write(new Int16Array(9 * 24_000))).toBe(true);
  await audio.ready;
  expect(audio.write(new Int16Array(24_000))).toBe(false);
  let isReady = false;
  const ready = audio.ready.then(() => {
    isReady = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  expect(isReady).toBe(false);
  const { samples } = await audio.open();
  await samples.next();
  await ready;
  expect(audio.bufferedMs).toBe(9900);
});

test("one error stops a writer that never waits at 64 MiB", () => {
  const audio = new PushAudio(options);
  audio.write(new Uint8Array(64 * 1024 * 1024));
  expect(() => audio.write(new Uint8Array(2))).toThrow(expect.objectContaining({ code: "BUFFER_FULL" }));
});

test("a writer with all its audio in memory blocks nothing after an interrupt, and 64 MiB of it wait for resume", async () => {
  const audio = new PushAudio({ ...options, format: "f32le", sampleRate: 384_000 });
  const chunkSamples = 1024 * 1024;
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  const written: number[] = [];
  const write = async (value: number) => {
    const hasRoom = audio.write(new Float32Array(chunkSamples).fill(value));
    if (!hasRoom) await audio.ready;
    if (audio.bufferedMs * 384 === written.length * chunkSamples) return;
    written.push(value);
  };
  for (let value = 0; value < 3; value++) await write(value);
  audio.release();
  turns = 0;
  for (let value = 3; value < 20; value++) await write(value);
  expect(turns).toBeGreaterThan(10);
  expect(written).toEqual(Array.from({ length: 16 }, (_, index) => index));

  audio.hold();
  await audio.close();
  turns = 0;
  for (let value = 0; value < 20; value++) await write(value);
  clearInterval(timer);
  expect(turns).toBeGreaterThan(10);
});

test("a write after close throws nothing, holds nothing and frees the writer", async () => {
  const audio = new PushAudio(options);
  audio.write(new Uint8Array(24_000 * 2 * 20));
  const { ready } = audio;
  await audio.close();
  await ready;
  expect(audio.write(new Uint8Array(100))).toBe(false);
  expect(audio.bufferedMs).toBe(0);
  audio.end();
  expect(await readAll(audio)).toEqual([]);
});

test("a write after end, and samples of another format, are refused with a sentence", () => {
  const audio = new PushAudio(options);
  expect(() => audio.write(new Float32Array(4))).toThrow(
    "Speech.write takes a Uint8Array or an Int16Array, not Float32Array.",
  );
  audio.end();
  expect(() => audio.write(new Uint8Array(2))).toThrow(expect.objectContaining({ code: "SPEECH_ENDED" }));
});

test("a million writes of one sample cost hardly more memory than the samples", async () => {
  const audio = new PushAudio({ ...options, format: "mulaw", sampleRate: 8000 });
  const byte = Uint8Array.of(255);
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 1_000_000; i++) audio.write(byte);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(3_000_000);
  audio.end();
  expect((await readAll(audio)).length).toBe(1_000_000);
});
