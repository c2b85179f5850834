import { InputError } from "../base/index.js";

/** How one sample is stored. `u8` is unsigned as in WAV; all others are little-endian. */
export type SampleFormat = "u8" | "s16le" | "s24le" | "s32le" | "f32le";

/** Raw PCM without any header. */
export interface PcmFormat {
  readonly sampleFormat: SampleFormat;
  readonly channels: number;
}

/** Bytes of one sample. */
export const SAMPLE_BYTES: Readonly<Record<SampleFormat, number>> = { u8: 1, s16le: 2, s24le: 3, s32le: 4, f32le: 4 };

/**
 * Turns chunks of raw PCM, cut anywhere, into interleaved samples in -1..1. Infinities and not-a-numbers become silence,
 * because one of them would stay in the denoiser's recurrent state for good.
 *
 * @param truncated makes the error for a stream that ends in the middle of a sample frame; everything before was yielded.
 * @throws InputError `PCM_TRUNCATED` by default in that case.
 */
export async function* decodeSamples(
  input: AsyncIterable<Uint8Array>,
  format: PcmFormat,
  truncated: (restBytes: number) => Error = (rest) =>
    new InputError(
      "PCM_TRUNCATED",
      `The PCM input ended in the middle of a sample: ${rest} bytes are left over, but ${format.sampleFormat} with ` +
        `${format.channels} channel(s) needs a multiple of ${SAMPLE_BYTES[format.sampleFormat] * format.channels} bytes.`,
    ),
): AsyncGenerator<Float32Array, void, undefined> {
  const frameBytes = SAMPLE_BYTES[format.sampleFormat] * format.channels;
  let rest = new Uint8Array(0);
  for await (const chunk of input) {
    let bytes = chunk;
    if (rest.length > 0) {
      bytes = new Uint8Array(rest.length + chunk.length);
      bytes.set(rest);
      bytes.set(chunk, rest.length);
    }
    const whole = bytes.length - (bytes.length % frameBytes);
    rest = bytes.slice(whole);
    if (whole > 0) yield toFloat(bytes.subarray(0, whole), format.sampleFormat);
  }
  if (rest.length > 0) throw truncated(rest.length);
}

/** Converts whole samples to floats in -1..1. */
export function toFloat(bytes: Uint8Array, format: SampleFormat): Float32Array {
  const size = SAMPLE_BYTES[format];
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const samples = new Float32Array(Math.floor(bytes.length / size));
  switch (format) {
    case "u8":
      for (let i = 0; i < samples.length; i++) samples[i] = (data.getUint8(i) - 128) / 128;
      break;
    case "s16le":
      for (let i = 0; i < samples.length; i++) samples[i] = data.getInt16(i * 2, true) / 32768;
      break;
    case "s24le":
      for (let i = 0; i < samples.length; i++) {
        samples[i] = (data.getUint16(i * 3, true) + data.getInt8(i * 3 + 2) * 65536) / 8388608;
      }
      break;
    case "s32le":
      for (let i = 0; i < samples.length; i++) samples[i] = data.getInt32(i * 4, true) / 2147483648;
      break;
    case "f32le":
      for (let i = 0; i < samples.length; i++) {
        const value = data.getFloat32(i * 4, true);
        samples[i] = Number.isFinite(value) ? value : 0;
      }
      break;
  }
  return samples;
}

/** Mixes interleaved samples down (mean of all channels) or up (copied) to one or two channels. */
export function mixChannels(samples: Float32Array, from: number, to: 1 | 2): Float32Array {
  if (from === to) return samples;
  const frames = Math.floor(samples.length / from);
  const mixed = new Float32Array(frames * to);
  for (let i = 0; i < frames; i++) {
    if (from === 1) {
      mixed[i * 2] = samples[i]!;
      mixed[i * 2 + 1] = samples[i]!;
    } else if (to === 1) {
      let sum = 0;
      for (let c = 0; c < from; c++) sum += samples[i * from + c]!;
      mixed[i] = sum / from;
    } else {
      // More than two channels: front left and right lead every common layout.
      mixed[i * 2] = samples[i * from]!;
      mixed[i * 2 + 1] = samples[i * from + 1]!;
    }
  }
  return mixed;
}
