import { readFileSync } from "node:fs";
import { readRecording } from "../../publisher/control/control-payloads.js";
import { ByteReader } from "../../publisher/source/byte-reader.js";
import { DownMix } from "../../publisher/source/down-mix.js";
import { decodeSamples, SAMPLE_BYTES, type SampleFormat } from "../../publisher/source/pcm.js";
import { openWav } from "../../publisher/source/wav.js";
import { openIvf } from "../../publisher/video/ivf.js";
import { VideoClock } from "../../publisher/video/video-clock.js";
import { codecString, codedSize, isKeyframe, type VideoCodec } from "../../publisher/video/video-codec.js";
import { patchSharedObject } from "../../transport/quic/native-patch.js";
import type { Target } from "./fuzzer.js";

const WAV = new Uint8Array(
  Buffer.from(
    "524946462c00000057415645666d7420100000000100010080bb000000770100020010006461746108000000000001000200ff7f",
    "hex",
  ),
);
/** RF64, extensible with six channels of floats, and an odd chunk without padding. */
const RF64 = new Uint8Array(
  Buffer.from(
    "52463634ffffffff57415645647336341c000000000000000000000018000000000000000600000000000000000000004c495354030000006162" +
      "63666d742028000000feff060080bb000000ca11001800200016002000" +
      "3f0000000300000000001000800000aa00389b716461746118000000" +
      "0000003f0000003f0000003f0000003f0000003f0000003f",
    "hex",
  ),
);
const IVF = new Uint8Array(
  Buffer.from(
    "444b49460000200056503830400140011e000000010000000100000000000000040000000000000000000000deadbeef",
    "hex",
  ),
);
/** The first frame of each of the clips that the tests publish. */
const KEYFRAMES: readonly Uint8Array[] = ["clip", "clip-vp9", "clip-av1"].map((name) => {
  const file = readFileSync(new URL(`../../tests/fixtures/${name}.ivf`, import.meta.url));
  return new Uint8Array(file.subarray(44, 44 + Math.min(200, file.readUInt32LE(32))));
});
const CODECS: readonly VideoCodec[] = ["vp8", "vp09", "av01"];
const FORMATS = Object.keys(SAMPLE_BYTES) as SampleFormat[];

async function* pieces(input: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < input.length; at += 61) yield input.subarray(at, at + 61);
}

function assertFinite(samples: Float32Array): void {
  if (!samples.every(Number.isFinite)) throw new RangeError("A sample is not finite.");
}

/** Files, payloads and streams that a person or a controller hands in. */
export const FILE_TARGETS: readonly Target[] = [
  {
    name: "wav",
    seeds: [WAV, RF64],
    async execute(input) {
      const wav = await openWav(new ByteReader(pieces(input)), { name: "a.wav", size: input.length });
      let bytes = 0;
      if (wav.kind === "foreign") return 0;
      const { channels, channelMask: mask } = wav.format;
      const downMix = new DownMix({ channels, mask }, 1);
      // A sample of one byte becomes a float of four, which is all that the contract allows.
      for await (const samples of wav.samples) {
        bytes += samples.byteLength;
        assertFinite(downMix.process(samples));
      }
      return bytes;
    },
  },
  {
    name: "pcm",
    seeds: FORMATS.map((_, index) => Uint8Array.of(index, 1, 0, 0, 0, 63, 255, 255, 255, 127, 0, 0, 128, 127, 1)),
    async execute(input) {
      const sampleFormat = FORMATS[(input[0] ?? 0) % FORMATS.length]!;
      const channels = 1 + ((input[1] ?? 0) % 32);
      let bytes = 0;
      for await (const samples of decodeSamples(pieces(input.subarray(2)), { sampleFormat, channels })) {
        assertFinite(samples);
        bytes += samples.byteLength;
      }
      return bytes;
    },
  },
  {
    name: "recording",
    seeds: [WAV, new Uint8Array(Float32Array.of(0.5, -0.5).buffer)],
    async execute(input) {
      assertFinite(await readRecording(input));
      // Converted to 48 kHz it is longer by as much as its rate is lower, up to 30 s; the test beside it holds that.
      return 0;
    },
  },
  {
    name: "ivf",
    seeds: [IVF],
    async execute(input) {
      let bytes = 0;
      const { header, frames } = await openIvf(pieces(input), "a.ivf");
      const clock = new VideoClock(header.ticksPerSecond);
      let last = 0;
      for await (const { payload, timestamp } of frames) {
        bytes += payload.length;
        const time = clock.next(timestamp);
        if (!(time >= last && Number.isSafeInteger(time))) throw new RangeError(`The time ${time} follows ${last}.`);
        last = time;
      }
      return bytes;
    },
  },
  {
    name: "keyframe",
    seeds: KEYFRAMES.map((frame, index) => Uint8Array.of(index, ...frame)),
    execute(input) {
      const codec = CODECS[(input[0] ?? 0) % CODECS.length]!;
      const payload = input.subarray(1);
      if (!isKeyframe(codec, payload)) return 0;
      const size = codedSize(codec, payload);
      if (size === undefined) throw new RangeError("A keyframe has no size.");
      codecString(codec, payload, { ...size, framerate: 30 });
      return 0;
    },
  },
  {
    name: "native-binding",
    seeds: [sharedObject()],
    execute: (input) => patchSharedObject(input).length,
  },
];

/** The least that the patch of the native binding takes: one symbol of GLIBC_2.38, and the tables that name it. */
function sharedObject(): Uint8Array {
  const strings = "\0libc.so.6\0GLIBC_2.2.5\0GLIBC_2.38\0__isoc23_strtol\0";
  const at = (text: string): number => strings.indexOf(text);
  const file = Buffer.alloc(64 + 5 * 64 + 24 + 2 + 48 + strings.length);
  file.writeUInt32BE(0x7f454c46, 0);
  file.writeUInt16LE(0x0102, 4);
  file.writeBigUInt64LE(64n, 0x28);
  file.writeUInt16LE(64, 0x3a);
  file.writeUInt16LE(5, 0x3c);
  let offset = 64 + 5 * 64;
  const section = (index: number, type: number, size: number, link: number, info: number): number => {
    const head = 64 + index * 64;
    file.writeUInt32LE(type, head + 4);
    file.writeBigUInt64LE(BigInt(offset), head + 24);
    file.writeBigUInt64LE(BigInt(size), head + 32);
    file.writeUInt32LE(link, head + 40);
    file.writeUInt32LE(info, head + 44);
    offset += size;
    return offset - size;
  };
  const symbols = section(1, 11, 24, 4, 0);
  file.writeUInt32LE(at("__isoc23_strtol"), symbols);
  const versions = section(2, 0x6fffffff, 2, 0, 0);
  file.writeUInt16LE(3, versions);
  const needs = section(3, 0x6ffffffe, 48, 4, 1);
  file.writeUInt16LE(2, needs + 2);
  file.writeUInt32LE(at("libc.so.6"), needs + 4);
  file.writeUInt32LE(16, needs + 8);
  for (const [index, name] of ["GLIBC_2.2.5", "GLIBC_2.38"].entries()) {
    const entry = needs + 16 + 16 * index;
    file.writeUInt16LE(2 + index, entry + 6);
    file.writeUInt32LE(at(name), entry + 8);
    file.writeUInt32LE(index === 0 ? 16 : 0, entry + 12);
  }
  file.write(strings, section(4, 3, strings.length, 0, 0), "latin1");
  return new Uint8Array(file);
}
