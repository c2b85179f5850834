import { InputError } from "../../base/index.js";

/**
 * Storage format of one sample. `u8` is unsigned as in WAV; `alaw` and `mulaw` follow ITU-T G.711; all others are
 * little-endian. `s24in32` is 24 bits in four bytes, at their lower or upper end: both exist in files, and only the
 * samples show which.
 */
export type SampleFormat = "u8" | "s16le" | "s24le" | "s24in32" | "s32le" | "f32le" | "f64le" | "alaw" | "mulaw";

/** Raw PCM without any header. */
export interface PcmFormat {
  readonly sampleFormat: SampleFormat;
  readonly channels: number;
}

/** Bytes of one sample. */
export const SAMPLE_BYTES: Readonly<Record<SampleFormat, number>> = {
  u8: 1,
  s16le: 2,
  s24le: 3,
  s24in32: 4,
  s32le: 4,
  f32le: 4,
  f64le: 8,
  alaw: 1,
  mulaw: 1,
};

/** 48 dB above full scale. A float beyond that is damaged and would overflow filters. */
const LOUDEST = 256;

/**
 * Turns chunks of raw PCM, cut anywhere, into interleaved samples in -1..1. Infinities and not-a-numbers become
 * silence, because a single one would stay in the denoiser's recurrent state for good. A trailing part of a sample
 * frame is dropped.
 *
 * @throws InputError `PCM_TRUNCATED` for such a rest, if the input has to be whole.
 */
export async function* decodeSamples(
  input: AsyncIterable<Uint8Array>,
  format: PcmFormat,
  { isWhole = false }: { readonly isWhole?: boolean } = {},
): AsyncGenerator<Float32Array, void, undefined> {
  const frameBytes = SAMPLE_BYTES[format.sampleFormat] * format.channels;
  const place24In32 = new Place24In32();
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
    if (whole > 0) yield toFloat(bytes.subarray(0, whole), format.sampleFormat, place24In32);
  }
  if (isWhole && rest.length > 0) throw truncatedPcm(rest.length, format);
}

function truncatedPcm(restBytes: number, { sampleFormat, channels }: PcmFormat): InputError {
  return new InputError(
    "PCM_TRUNCATED",
    `The PCM input ended in the middle of a sample: ${restBytes} bytes are left over, but ${sampleFormat} with ` +
      `${channels} channel(s) needs a multiple of ${SAMPLE_BYTES[sampleFormat] * channels} bytes.`,
  );
}

/**
 * Converts whole samples to floats in -1..1; drops a trailing part of a sample. `place24In32` is what earlier bytes of
 * the same audio showed.
 */
export function toFloat(bytes: Uint8Array, format: SampleFormat, place24In32 = new Place24In32()): Float32Array {
  const samples = new Float32Array(Math.floor(bytes.length / SAMPLE_BYTES[format]));
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (format === "s24in32") return place24In32.decode(data, samples);
  const read = READERS[format];
  for (let i = 0; i < samples.length; i++) samples[i] = read(data, i);
  return samples;
}

type Reader = (data: DataView, index: number) => number;

const READERS: Readonly<Record<Exclude<SampleFormat, "s24in32">, Reader>> = {
  u8: (data, i) => (data.getUint8(i) - 128) / 128,
  s16le: (data, i) => data.getInt16(i * 2, true) / 2 ** 15,
  s24le: (data, i) => (data.getUint16(i * 3, true) + data.getInt8(i * 3 + 2) * 65536) / 2 ** 23,
  s32le: (data, i) => data.getInt32(i * 4, true) / 2 ** 31,
  f32le: (data, i) => audible(data.getFloat32(i * 4, true)),
  f64le: (data, i) => audible(data.getFloat64(i * 8, true)),
  alaw: (data, i) => fromAlaw(data.getUint8(i)),
  mulaw: (data, i) => fromMulaw(data.getUint8(i)),
};

/** A sample that filters and the denoiser can take. */
export function audible(value: number): number {
  return Number.isFinite(value) ? Math.min(LOUDEST, Math.max(-LOUDEST, value)) : 0;
}

/** Samples per channel converted at once: a second at 48 kHz, which blocks no other work. */
const PIECE = 48_000;

/** Samples of any length in pieces short enough to be converted at once. */
export function* inPieces(samples: Float32Array, channels: number): Generator<Float32Array, void, undefined> {
  const length = PIECE * channels;
  for (let at = 0; at < samples.length; at += length) yield samples.subarray(at, at + length);
}

/**
 * Where in their four bytes 24 bits lie. Microsoft puts them at the upper end, so the lowest byte is 0; ALSA puts them at
 * the lower end, so the highest byte is the sign or 0. What a loud sample has shown holds for the rest.
 */
class Place24In32 {
  #isUpper = false;
  #isLower = false;

  decode(data: DataView, samples: Float32Array): Float32Array {
    for (let i = 0; i < samples.length; i++) {
      const value = data.getInt32(i * 4, true);
      this.#isUpper ||= value < -(2 ** 23) || value >= 2 ** 24;
      this.#isLower ||= (value & 0xff) !== 0;
    }
    const shift = this.#isLower && !this.#isUpper ? 8 : 0;
    for (let i = 0; i < samples.length; i++) samples[i] = (data.getInt32(i * 4, true) << shift) / 2 ** 31;
    return samples;
  }
}

// G.711, table 1: 13 bits, sent as sign, 3 bits of segment and 4 within it, every second bit inverted.
function fromAlaw(byte: number): number {
  const code = byte ^ 0x55;
  const segment = (code >> 4) & 7;
  const step = ((code & 15) << 4) + 8;
  const magnitude = segment === 0 ? step : (step + 256) << (segment - 1);
  return ((code & 128) !== 0 ? magnitude : -magnitude) / 2 ** 15;
}

// G.711, table 2: 14 bits with a bias of 33, all bits inverted.
function fromMulaw(byte: number): number {
  const code = ~byte & 255;
  const magnitude = ((((code & 15) << 3) + 0x84) << ((code >> 4) & 7)) - 0x84;
  return ((code & 128) !== 0 ? -magnitude : magnitude) / 2 ** 15;
}
