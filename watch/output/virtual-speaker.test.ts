import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { createEncoder } from "libopus-wasm";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fromMilliseconds, type Microseconds, microseconds } from "../../base/index.js";
import type { Ticket } from "../audio/audio-pipeline.js";
import { Playout } from "../audio/playout.js";
import { loadOpus, opusFrames } from "../decoders/opus.js";
import { interleave, RawSink } from "./raw-sink.js";
import { VirtualSpeaker } from "./virtual-speaker.js";
import { WavSink } from "./wav-sink.js";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "unsay-watch-"));
});
afterAll(() => rm(directory, { recursive: true }));

function tone(frames: number, start = 0) {
  return Float32Array.from({ length: frames }, (_, index) => 0.5 * Math.sin((start + index) * 0.05));
}

test("a speaker pulls at the pace of its clock, records the origin of every sample and measures the level", async () => {
  let now = microseconds(0);
  const playout = new Playout({ channels: 1, jitterMs: 0 });
  const path = join(directory, "played.wav");
  const sink = new WavSink({ path });
  const speaker = new VirtualSpeaker({ playout, sink, clock: () => now });
  playout.arrive(microseconds(0));
  for (let index = 0; index < 25; index++)
    playout.write(fromMilliseconds(index * 20), [tone(960, index * 960)], { epoch: 0, generation: 0 });
  const run = (milliseconds: number) => {
    for (let step = 0; step < milliseconds; step += 10) {
      now = microseconds(now + 10_000);
      speaker.turn();
    }
  };
  run(300);
  expect(speaker.levelDb).toBeGreaterThan(-10);
  playout.rewind({ discontinuity: 1, from: fromMilliseconds(400), generation: 1 });
  playout.write(fromMilliseconds(400), [tone(4800)], { epoch: 1, generation: 1 });
  run(300);
  expect(speaker.record.map(({ epoch, timestamp, frames }) => [epoch, timestamp, frames])).toEqual([
    [0, 0, 19_200],
    [1, 400_000, 4800],
    [undefined, undefined, 4800],
  ]);
  expect(speaker.record[1]!.pulledAt).toBe(410_000);
  run(1000);
  expect(speaker.levelDb).toBeLessThan(-40);
  // The process stalls for five seconds: the speaker pulls 200 ms at once, and the rest is lost.
  now = microseconds(now + 5_000_000);
  speaker.turn();
  expect(speaker.lostMs).toBeCloseTo(4800, -2);
  await speaker.close();
  await speaker.close();

  const file = await readFile(path);
  const frames = speaker.record.reduce((sum, each) => sum + each.frames, 0);
  expect(file.length).toBe(44 + frames * 2);
  expect(file.readUInt32LE(40)).toBe(frames * 2);
  expect(file.readUInt32LE(4)).toBe(file.length - 8);
  expect(file.subarray(0, 4).toString()).toBe("RIFF");
  expect(file.readInt16LE(44 + 2000 * 2) / 32_767).toBeCloseTo(0.5 * Math.sin(2000 * 0.05), 3);
});

test("sinks map channels, clip, refuse unwritable paths and survive a reader that leaves", async () => {
  const stereo = [Float32Array.of(1, -2), Float32Array.of(0, 0)];
  expect([...new Int16Array(new Uint8Array(interleave(stereo, 1, "s16le")).buffer)]).toEqual([16_384, -32_767]);
  expect(interleave([Float32Array.of(0.25)], 2, "f32le").readFloatLE(4)).toBe(0.25);
  expect(() => new WavSink({ path: join(directory, "no", "such.wav") })).toThrow(
    "cannot be written: no such file or directory.",
  );
  const stream = new PassThrough();
  const sink = new RawSink({ stream });
  sink.write(stereo);
  expect(stream.read()).toHaveLength(4);
  stream.destroy(new Error("EPIPE"));
  await new Promise((resolve) => setImmediate(resolve));
  sink.write(stereo);
  await sink.close();
});

test("an Opus decoder decodes, conceals lost packets, and starts afresh after a reset", async () => {
  const encoder = await createEncoder({ channels: 1, sampleRate: 48_000, frameSize: 960, bitrate: 64_000 });
  const packets = Array.from({ length: 20 }, (_, index) => encoder.encodeFloat(tone(960, index * 960)).slice());
  const outputs: { samples: Float32Array; timestamp: Microseconds }[] = [];
  const open = await loadOpus({ channels: 1 });
  const decoder = open({
    output: ([samples], { timestamp }) => outputs.push({ samples: samples!, timestamp }),
    error: (error) => {
      throw error;
    },
  });
  const ticket = (index: number): Ticket => ({
    timestamp: fromMilliseconds(index * 20),
    sequence: index,
    epoch: 0,
    generation: 0,
  });
  expect(packets.map(opusFrames)).toEqual(packets.map(() => 960));
  expect(opusFrames(new Uint8Array())).toBeUndefined();
  expect(opusFrames(Uint8Array.of(3, 63))).toBeUndefined();
  for (const index of [0, 1, 2, 3, 4, 5]) decoder.decode(packets[index]!, ticket(index), true);
  // Packets 6 to 8 are lost.
  decoder.conceal?.(2880, packets[9]!, ticket(6));
  decoder.decode(packets[9]!, ticket(9), true);
  expect(outputs.map(({ timestamp }) => timestamp / 1000)).toEqual([0, 20, 40, 60, 80, 100, 120, 140, 160, 180]);
  const power = (samples: Float32Array) => samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
  expect(power(outputs[5]!.samples)).toBeCloseTo(0.125, 2);
  expect(power(outputs[6]!.samples)).toBeGreaterThan(0.05);
  for (let round = 0; round < 10; round++) {
    decoder.reset();
    decoder.decode(packets[0]!, ticket(0), true);
    await new Promise((resolve) => setImmediate(resolve));
    expect(outputs.at(-1)!.samples).toEqual(outputs[0]!.samples);
  }
  expect(() => decoder.decode(new Uint8Array([255, 255, 255]), ticket(0), true)).toThrow();
  decoder.close();
  decoder.close();
  encoder.free();
});
