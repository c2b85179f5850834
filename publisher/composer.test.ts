import { expect, it } from "vitest";
import { Composer, type ComposerOptions } from "./composer.js";
import { knobsSchema } from "./mix.js";
import { OpusEncoder } from "./opus.js";

const sound = (samples: number) => ({ dry: new Float32Array(samples), wet: new Float32Array(samples) });

async function compose(options: Pick<ComposerOptions, "groupFrames" | "onFrame">): Promise<Composer> {
  const composer = new Composer({
    channels: 1,
    frameMs: 20,
    frameSize: 960,
    capacity: 96_000,
    renege: "rewind",
    knobs: knobsSchema.parse({}),
    lowWanted: () => false,
    onRewind: () => {},
    onTrack: () => {},
    ...options,
  });
  composer.setEncoders(await OpusEncoder.create({ channels: 1, frameMs: 20 }), undefined);
  return composer;
}

it("tells of a rewind where it cut, also when the sound that follows is late and a hole begins there", async () => {
  const frames: { timestamp: number; opensEpoch: boolean }[] = [];
  const composer = await compose({
    groupFrames: 1,
    onFrame: ({ timestamp, opensEpoch }) => frames.push({ timestamp, opensEpoch }),
  });
  const encodeAll = (target: number) => {
    while (composer.encode(target, { ended: false }));
  };
  composer.write(sound(9600));
  encodeAll(4800);
  expect(frames).toHaveLength(5);

  composer.cut(1920);
  composer.rewind(1920);
  composer.startAt(9600);
  composer.write(sound(9600));
  encodeAll(11_000);
  expect(frames.slice(5)).toEqual([
    { timestamp: 40_000, opensEpoch: true },
    // What begins at 200 ms is encoded from a look-ahead earlier on.
    { timestamp: 193_500, opensEpoch: false },
    { timestamp: 213_500, opensEpoch: false },
  ]);
  composer.close();
});

it("fills groups with frames, ends them where something follows later or nothing, and opens an epoch with one frame", async () => {
  const groups = new Map<number, { times: number[]; ended: boolean }>();
  const composer = await compose({
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
    while (composer.encode(96_000, { ended }));
  };
  composer.write(sound(960 * 5));
  encodeAll(true);
  // A hole, and two frames behind it, which begin a look-ahead before they do.
  composer.startAt(960 * 10);
  composer.write(sound(960 * 2));
  encodeAll(true);
  // Two frames of a group of three, and then back to the second of them.
  composer.startAt(960 * 20);
  composer.write(sound(960 * 2 + 312));
  encodeAll();
  composer.cut(960 * 21);
  composer.rewind(960 * 21);
  composer.write(sound(960 * 4));
  encodeAll();

  expect([...groups]).toEqual([
    [0, { times: [0, 20, 40], ended: true }],
    [1, { times: [60, 80], ended: true }],
    [2, { times: [193.5, 213.5, 233.5], ended: true }],
    [3, { times: [393.5, 413.5], ended: false }],
    [65_536, { times: [420], ended: true }],
    [65_537, { times: [440, 460], ended: false }],
  ]);
  expect(composer.counters).toMatchObject({ groups: 6, frames: 13 });
  composer.close();
});
