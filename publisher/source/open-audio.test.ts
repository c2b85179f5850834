import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readAll } from "../../tests/support/signal.js";
import { openAudio } from "./open-audio.js";

const ramp = Float32Array.from({ length: 4800 }, (_, i) => Math.sin(i / 20) / 2);

async function* chunks<T>(...all: T[]): AsyncGenerator<T> {
  yield* all;
}

test("bytes, samples in memory and a stream of either become the same source", async () => {
  const bytes = new Uint8Array(ramp.slice().buffer);
  const opened = [
    openAudio({ samples: ramp }),
    openAudio({ stream: chunks(ramp.slice(0, 100), ramp.slice(100)) }),
    openAudio({ stream: chunks(bytes.slice(0, 101), bytes.slice(101)), format: "f32le" }),
  ];
  for (const audio of opened) expect(await readAll(audio.source(1))).toEqual(ramp);
});

test("pushed mu-law at 8 kHz becomes 48 kHz audio of the same length in the broadcast's channels", async () => {
  const audio = openAudio({ sampleRate: 8000, format: "mulaw" });
  audio.push!.write(new Uint8Array(800).fill(0x80));
  audio.push!.end();
  const samples = await readAll(audio.source(2));
  expect(samples.length).toBe(2 * 4800);
  expect(samples[4800]).toBeCloseTo(0.98, 1);
});

test("audio can be said once", () => {
  const audio = openAudio({ samples: ramp });
  audio.source(1);
  expect(() => audio.source(1)).toThrow(expect.objectContaining({ code: "SOURCE_USED" }));
});

test("openAudio refuses a missing file or a directory at once; other content fails when it is read", async () => {
  expect(() => openAudio({ file: "/nowhere/at all.wav" })).toThrow(
    "The audio file /nowhere/at all.wav does not exist.",
  );
  expect(() => openAudio({ file: tmpdir() })).toThrow(expect.objectContaining({ code: "FILE_UNREADABLE" }));
  const path = join(tmpdir(), `unsay-empty-${process.pid}.wav`);
  writeFileSync(path, "");
  await expect(openAudio({ file: path }).source(1).read()).rejects.toThrow("is empty");
});

test("a stream that mixes bytes and samples fails with a sentence", async () => {
  const mixed = async function* () {
    yield ramp;
    yield new Uint8Array(4);
  };
  const source = openAudio({ stream: mixed() as AsyncGenerator<Float32Array> }).source(1);
  await expect(readAll(source)).rejects.toMatchObject({
    code: "INVALID_AUDIO",
    message: "The stream stream must give Float32Arrays, as before, but gave bytes.",
  });
});

test("a stream whose first chunk is neither bytes nor samples fails with a sentence that says so", async () => {
  const cases: [unknown, string][] = [
    [new Int16Array(4), "an Int16Array"],
    [new Float64Array(4), "a Float64Array"],
    ["hello", '"hello"'],
    [null, "null"],
    [[1, 2], "an array"],
  ];
  for (const [first, shown] of cases) {
    const source = openAudio({ stream: chunks(first) as never, name: "tts" }).source(1);
    await expect(readAll(source)).rejects.toMatchObject({
      code: "INVALID_AUDIO",
      message: `The stream tts must give bytes or Float32Arrays, but gave ${shown}.`,
    });
  }
});

test("a stream of empty chunks alone lets other work run until it is closed", async () => {
  for (const empty of [new Uint8Array(0), new Float32Array(0)]) {
    const endless = async function* () {
      for (;;) yield empty;
    };
    const source = openAudio({ stream: endless() as AsyncGenerator<Uint8Array> }).source(1);
    const reading = source.read();
    await new Promise((resolve) => setTimeout(resolve, 10));
    await source.close();
    expect(await reading).toBeUndefined();
  }
});

test("closing a stream that never delivers ends its read", async () => {
  const silent = async function* (): AsyncGenerator<Uint8Array> {
    await new Promise(() => {});
  };
  const source = openAudio({ stream: silent() }).source(1);
  void source.read();
  await source.close();
  expect(await source.read()).toBeUndefined();
});

test("openAudio names wrong options", () => {
  const open = (options: object) => () => openAudio(options as never);
  expect(open({})).toThrow("sampleRate");
  expect(open({ sampleRate: 3 })).toThrow("sampleRate");
  expect(open({ sampleRate: 8000, format: "mp3" })).toThrow("format");
  expect(open({ stream: 5 })).toThrow("must be an async iterable");
  expect(open({ samples: [1, 2] })).toThrow("must be a Float32Array");
  expect(open({ samples: new Float32Array(3), channels: 2 })).toThrow("not 3 samples");
});
