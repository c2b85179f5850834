import { expect, it } from "vitest";
import { Composer } from "./composer.js";
import { knobsSchema } from "./mix.js";
import { OpusEncoder } from "./opus.js";

it("tells of a rewind where it cut, also when the sound that follows is late and a hole begins there", async () => {
  const frames: { timestamp: number; opensEpoch: boolean }[] = [];
  const composer = new Composer({
    channels: 1,
    frameMs: 20,
    frameSize: 960,
    capacity: 96_000,
    renege: "rewind",
    knobs: knobsSchema.parse({}),
    lowWanted: () => false,
    onFrame: ({ timestamp, opensEpoch }) => frames.push({ timestamp, opensEpoch }),
    onRewind: () => {},
    onTrack: () => {},
  });
  composer.setEncoders(await OpusEncoder.create({ channels: 1, frameMs: 20 }), undefined);
  const sound = (samples: number) => ({ dry: new Float32Array(samples), wet: new Float32Array(samples) });
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
    { timestamp: 200_000, opensEpoch: false },
    { timestamp: 220_000, opensEpoch: false },
  ]);
  composer.close();
});
