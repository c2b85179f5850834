import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MediaError, microseconds } from "../../base/index.js";
import type { Ticket } from "../audio/audio-pipeline.js";
import { chooseRendition } from "../tracks/renditions.js";
import { openPcm } from "./pcm.js";
import { softwareDecoders } from "./software-decoders.js";
import { SwitchableDecoder } from "./switchable-decoder.js";

const ticket: Ticket = { timestamp: microseconds(0), sequence: 0, epoch: 0, generation: 0 };

const stereo = (codec: string) => ({
  codec,
  sampleRate: 48_000,
  numberOfChannels: 2,
  container: { kind: "legacy" },
});

function bytesOf(samples: readonly number[]): Uint8Array {
  const bytes = Buffer.alloc(samples.length * 2 + 1);
  for (const [index, sample] of samples.entries()) bytes.writeInt16LE(sample, 1 + index * 2);
  // Off by one byte, as payloads behind a header are.
  return bytes.subarray(1);
}

function decode(samples: readonly number[], from: number, channels: 1 | 2): readonly Float32Array[] {
  let planes: readonly Float32Array[] = [];
  const decoder = openPcm({ from, channels, sampleRate: 48_000 })({
    output: (output) => {
      planes = output;
    },
    error: () => {},
  });
  expect(decoder.framesOf(bytesOf(samples))).toBe(samples.length / from || undefined);
  decoder.decode(bytesOf(samples), ticket, true);
  return planes;
}

describe("PCM", () => {
  test("a PCM decoder decodes 16-bit samples exactly, and mixes or copies channels", () => {
    const sample = fc.integer({ min: -32_768, max: 32_767 });
    fc.assert(
      fc.property(fc.array(fc.tuple(sample, sample), { minLength: 1, maxLength: 64 }), (frames) => {
        const stereo = decode(frames.flat(), 2, 2).map((plane) => [...plane].map((value) => value * 32_768));
        expect(stereo).toEqual([frames.map(([left]) => left), frames.map(([, right]) => right)]);
        const [mixed] = decode(frames.flat(), 2, 1);
        expect([...mixed!]).toEqual(frames.map(([left, right]) => (left + right) / 2 / 32_768));
        const mono = frames.map(([left]) => left);
        const copied = decode(mono, 1, 2);
        expect(copied[0]).toEqual(copied[1]);
        expect([...copied[0]!]).toEqual(mono.map((value) => value / 32_768));
      }),
      { seed: 1 },
    );
  });

  test("a PCM decoder refuses partial frames, and renditions it can't play", async () => {
    const decoder = openPcm({ from: 2, channels: 1, sampleRate: 48_000 })({ output: () => {}, error: () => {} });
    expect(decoder.framesOf(new Uint8Array(3842))).toBeUndefined();
    expect(decoder.framesOf(new Uint8Array(0))).toBeUndefined();
    expect(() => decoder.decode(new Uint8Array(3842), ticket, true)).toThrow(MediaError);
    const decoders = softwareDecoders(1);
    await expect(decoders.load({ ...stereo("pcm-s16"), sampleRate: 44_100 })).rejects.toThrow("44100 Hz");
    await expect(decoders.load(stereo("mp4a.40.2"))).rejects.toThrow("mp4a.40.2");
  });

  test("a listener chooses a rendition only where its decoder loads, so that it plays the best one it can", async () => {
    const decoders = softwareDecoders(2);
    const playable: string[] = [];
    for (const codec of ["opus", "pcm-s16", "flac"])
      for (const sampleRate of [24_000, 44_100, 48_000])
        for (const numberOfChannels of [1, 2, 6]) {
          const rendition = { ...stereo(codec), sampleRate, numberOfChannels };
          const loads = await decoders.load(rendition).then(
            () => true,
            () => false,
          );
          expect({ rendition, can: decoders.canDecode(rendition) }).toEqual({ rendition, can: loads });
          if (loads) playable.push(`${codec} ${sampleRate} ${numberOfChannels}`);
        }
    const opus = [24_000, 44_100, 48_000].flatMap((rate) => [`opus ${rate} 1`, `opus ${rate} 2`]);
    expect(playable).toEqual([...opus, "pcm-s16 48000 1", "pcm-s16 48000 2"]);
    const renditions = {
      opus: { ...stereo("opus"), bitrate: 64_000 },
      slow: { ...stereo("pcm-s16"), sampleRate: 24_000, bitrate: 768_000 },
      wide: { ...stereo("pcm-s16"), numberOfChannels: 6, bitrate: 4_608_000 },
    };
    const chosen = await chooseRendition(renditions, (rendition) => decoders.canDecode(rendition));
    expect(chosen?.name).toBe("opus");
  });

  test("a listener switches from one codec to another", async () => {
    const lengths: number[] = [];
    const events = { output: (planes: readonly Float32Array[]) => lengths.push(planes[0]!.length), error: () => {} };
    const decoders = softwareDecoders(1);
    const decoder = new SwitchableDecoder(events);
    expect(() => decoder.decode(bytesOf([1, 2]), ticket, true)).toThrow(
      expect.objectContaining({ code: "NO_DECODER" }),
    );
    decoder.become(await decoders.load(stereo("opus")));
    expect(decoder.conceal).toBeDefined();
    decoder.become(await decoders.load(stereo("pcm-s16")));
    expect(decoder.conceal).toBeUndefined();
    decoder.decode(bytesOf([1, 2, 3, 4]), ticket, true);
    decoder.become(await decoders.load(stereo("opus")));
    // 20 ms of silence, in CELT.
    decoder.decode(Uint8Array.of(0xf8, 0xff, 0xfe), ticket, true);
    expect(lengths).toEqual([2, 960]);
    decoder.close();
  });
});
