import { expect, it } from "vitest";
import { AudioTrack, type AudioTrackOptions } from "./audio-track.js";
import { knobsSchema } from "./mixer.js";
import { OpusEncoder } from "./opus.js";

const audio = (samples: number) => ({ dry: new Float32Array(samples), wet: new Float32Array(samples) });

async function compose(options: Pick<AudioTrackOptions, "groupFrames" | "onFrame">): Promise<AudioTrack> {
  const audioTrack = new AudioTrack({
    channels: 1,
    frameMs: 20,
    frameSize: 960,
    capacity: 96_000,
    rewindBy: "group",
    knobs: knobsSchema.parse({}),
    lowWanted: () => false,
    onRewind: () => {},
    onTrack: () => {},
    ...options,
  });
  audioTrack.setEncoders(await OpusEncoder.create({ channels: 1, frameMs: 20 }), undefined);
  return audioTrack;
}

it("tells of a rewind where it cut, also when the audio that follows is late and a hole begins there", async () => {
  const frames: { timestamp: number; opensEpoch: boolean }[] = [];
  const audioTrack = await compose({
    groupFrames: 1,
    onFrame: ({ timestamp, opensEpoch }) => frames.push({ timestamp, opensEpoch }),
  });
  const encodeAll = (target: number) => {
    while (audioTrack.encode(target, { ended: false }));
  };
  audioTrack.write(audio(9600));
  encodeAll(4800);
  expect(frames).toHaveLength(5);

  audioTrack.cut(1920);
  audioTrack.rewind(1920);
  audioTrack.startAt(9600);
  audioTrack.write(audio(9600));
  encodeAll(11_000);
  expect(frames.slice(5)).toEqual([
    { timestamp: 40_000, opensEpoch: true },
    // What begins at 200 ms is encoded from a look-ahead earlier on.
    { timestamp: 193_500, opensEpoch: false },
    { timestamp: 213_500, opensEpoch: false },
  ]);
  audioTrack.close();
});

it("fills groups with frames, ends them where something follows later or nothing, and opens an epoch with one frame", async () => {
  const groups = new Map<number, { times: number[]; ended: boolean }>();
  const audioTrack = await compose({
    groupFrames: 3,
    onFrame: ({ sequence, timestamp, opensGroup, endsGroup }) => {
      expect(opensGroup).toBe(!groups.has(sequence));
      const group = groups.get(sequence) ?? { times: [], ended: false };
      expect(group.ended).toBe(false);
      group.times.push(timestamp / 1000);
      groups.set(sequence, { ...group, ended: endsGroup });
    },
  });
  const encodeAll = (ended = false) => {
    while (audioTrack.encode(96_000, { ended }));
  };
  audioTrack.write(audio(960 * 5));
  encodeAll(true);
  // A hole, and two frames behind it, which begin a look-ahead before they do.
  audioTrack.startAt(960 * 10);
  audioTrack.write(audio(960 * 2));
  encodeAll(true);
  // Two frames of a group of three, and then back to the second of them.
  audioTrack.startAt(960 * 20);
  audioTrack.write(audio(960 * 2 + 312));
  encodeAll();
  audioTrack.cut(960 * 21);
  audioTrack.rewind(960 * 21);
  audioTrack.write(audio(960 * 4));
  encodeAll();

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
