import { expect, test } from "vitest";
import type { EncodedFrame } from "../send/send-queue.js";
import { AudioTrack } from "./audio-track.js";
import { knobsSchema } from "./mixer.js";
import { OpusEncoder } from "./opus.js";

const audio = (samples: number) => ({ dry: new Float32Array(samples), wet: new Float32Array(samples) });

async function openTrack(groupFrames: number, rewindBy: "group" | "track" = "group"): Promise<AudioTrack> {
  const audioTrack = new AudioTrack({
    channels: 1,
    frameMs: 20,
    frameSize: 960,
    capacity: 96_000,
    rewindBy,
    knobs: knobsSchema.parse({}),
    groupFrames,
  });
  audioTrack.setEncoders(await OpusEncoder.create({ channels: 1, frameMs: 20 }), undefined);
  return audioTrack;
}

function* encodeAll(audioTrack: AudioTrack, target: number, ended = false): Generator<EncodedFrame> {
  for (let frame = audioTrack.encode(target, { ended }); frame; frame = audioTrack.encode(target, { ended }))
    yield frame;
}

test("a rewind starts a group at the cut, even if the next audio is late and a hole begins there", async () => {
  const audioTrack = await openTrack(1);
  audioTrack.write(audio(9600));
  expect([...encodeAll(audioTrack, 4800)]).toHaveLength(5);

  audioTrack.cut(1920);
  audioTrack.rewind(1920);
  audioTrack.startAt(9600);
  audioTrack.write(audio(9600));
  expect(audioTrack.takeRewinds()).toEqual([{ to: 40_000, lastSequence: 4, track: undefined }]);
  expect(audioTrack.takeRewinds()).toEqual([]);
  const frames = [...encodeAll(audioTrack, 11_000)];
  expect(frames.map(({ timestamp, opensEpoch }) => ({ timestamp, opensEpoch }))).toEqual([
    { timestamp: 40_000, opensEpoch: true },
    // A packet due at 200 ms starts a look-ahead earlier.
    { timestamp: 193_500, opensEpoch: false },
    { timestamp: 213_500, opensEpoch: false },
  ]);
  audioTrack.close();
});

test("within a fresh track silence fills a hole of up to a second, and none that is longer", async () => {
  const audioTrack = await openTrack(1, "track");
  audioTrack.write(audio(9600));
  expect([...encodeAll(audioTrack, 4800)]).toHaveLength(5);
  for (const { hole, filled } of [
    { hole: 4800, filled: 5 },
    { hole: 24_000, filled: 25 },
    { hole: 72_000, filled: 1 },
  ]) {
    audioTrack.cut(1920);
    audioTrack.rewind(1920);
    audioTrack.startAt(1920 + hole + 312);
    audioTrack.write(audio(9600));
    const times = [...encodeAll(audioTrack, 1920 + hole + 4000)].map(({ timestamp }) => timestamp / 1000);
    const silent = Array.from({ length: filled }, (_, frame) => 40 + 20 * frame);
    const from = 40 + hole / 48;
    expect(times.slice(0, filled + 2)).toEqual([...silent, from, from + 20]);
  }
  audioTrack.close();
});

test("audio that was to begin and never came leaves no frame behind when other audio begins later", async () => {
  const audioTrack = await openTrack(1);
  const times = () => [...encodeAll(audioTrack, 96_000)].map(({ timestamp }) => timestamp / 1000);
  audioTrack.write(audio(960 + 312));
  expect(times()).toEqual([0]);
  audioTrack.startAt(24_000);
  expect(times()).toEqual([20]);
  for (const later of [24_100, 48_000]) {
    audioTrack.startAt(later);
    expect(times()).toEqual([]);
  }
  audioTrack.startAt(72_000);
  audioTrack.write(audio(1920));
  expect(times()).toEqual([1493.5, 1513.5]);
  audioTrack.close();
});

test("a track fills groups with frames, ends them before a hole and at the end, and opens an epoch with one frame", async () => {
  const groups = new Map<number, { times: number[]; ended: boolean }>();
  const audioTrack = await openTrack(3);
  const encode = (ended = false) => {
    for (const { sequence, timestamp, opensGroup, endsGroup } of encodeAll(audioTrack, 96_000, ended)) {
      expect(opensGroup).toBe(!groups.has(sequence));
      const group = groups.get(sequence) ?? { times: [], ended: false };
      expect(group.ended).toBe(false);
      group.times.push(timestamp / 1000);
      groups.set(sequence, { ...group, ended: endsGroup });
    }
  };
  audioTrack.write(audio(960 * 5));
  encode(true);
  // A hole, and two frames behind it, each starting a look-ahead early.
  audioTrack.startAt(960 * 10);
  audioTrack.write(audio(960 * 2));
  encode(true);
  // Two frames of a group of three, then a rewind to the second.
  audioTrack.startAt(960 * 20);
  audioTrack.write(audio(960 * 2 + 312));
  encode();
  audioTrack.cut(960 * 21);
  audioTrack.rewind(960 * 21);
  audioTrack.write(audio(960 * 4));
  encode();

  expect([...groups]).toEqual([
    [0, { times: [0, 20, 40], ended: true }],
    [1, { times: [60, 80], ended: true }],
    [2, { times: [193.5, 213.5, 233.5], ended: true }],
    [3, { times: [393.5, 413.5], ended: false }],
    [65_536, { times: [420], ended: true }],
    [65_537, { times: [440, 460], ended: false }],
  ]);
  expect(audioTrack.counters).toMatchObject({ groups: 6, frames: 13 });
  audioTrack.close();
});

test("the loudest 10 ms between two positions is measured as mixed, and a cut takes its level away", async () => {
  const audioTrack = await openTrack(1);
  const square = (length: number, value: number) => {
    const samples = new Float32Array(length).fill(value);
    return { dry: samples, wet: samples };
  };
  audioTrack.write(square(9600, 0.01));
  audioTrack.write(square(480, 0.5));
  audioTrack.write(square(9600, 0.1));
  expect(audioTrack.loudestDb(0, 9600)).toBeCloseTo(-40, 1);
  expect(audioTrack.loudestDb(0, 19_680)).toBeCloseTo(-6.02, 1);
  expect(audioTrack.loudestDb(10_080, 19_680)).toBeCloseTo(-20, 1);
  expect(audioTrack.loudestDb(19_680, 29_280)).toBe(-120);
  audioTrack.setKnobs(knobsSchema.parse({ gainDb: -10 }));
  for (const _ of encodeAll(audioTrack, 4800));
  expect(audioTrack.loudestDb(10_080, 19_680)).toBeCloseTo(-30, 1);
  audioTrack.cut(9600);
  expect(audioTrack.loudestDb(0, 19_680)).toBeCloseTo(-50, 1);
  audioTrack.close();
});
