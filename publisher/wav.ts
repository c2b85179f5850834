import { MediaError } from "../base/index.js";
import { ByteReader, fourCharacters, view } from "./byte-reader.js";
import { decodeSamples, type SampleFormat } from "./pcm.js";

/** What the `fmt ` chunk of a WAV file says. */
export interface WavFormat {
  /** Samples per second and channel. */
  readonly sampleRate: number;
  readonly channels: number;
  /** How one sample is stored. */
  readonly sampleFormat: SampleFormat;
}

/** A WAV file opened for reading: its format and its sound, decoded as it is read. */
export interface WavStream {
  readonly format: WavFormat;
  /** Interleaved samples in -1..1; at most as many at a time as one chunk of input holds. */
  readonly samples: AsyncGenerator<Float32Array, void, undefined>;
}

/** Chunks before the sound (LIST, bext, id3...) are skipped, but not without end. */
const MAX_HEADER_BYTES = 4 * 1024 * 1024;
const MAX_FORMAT_BYTES = 1024;
const MAX_CHANNELS = 32;
/** What streaming writers that don't know the length put in the size field. */
const UNKNOWN_LENGTH = 0xffffffff;
/** Format codes of RIFF/WAVE, from Microsoft's mmreg.h. */
const CODE_PCM = 1;
const CODE_FLOAT = 3;
const CODE_EXTENSIBLE = 0xfffe;
/** The last 14 bytes of every KSDATAFORMAT_SUBTYPE GUID; the first two are the format code. */
const SUBTYPE_TAIL = "000000001000800000aa00389b71";

/**
 * Reads a RIFF/WAVE file from a stream of bytes: PCM of 8, 16, 24 or 32 bits and 32-bit float, plain or extensible.
 * Never holds more than one chunk of input.
 *
 * @param name used in error messages.
 * @throws MediaError `WAV_INVALID` that names the file and the field at fault, also while the samples are read.
 */
export async function openWav(input: AsyncIterable<Uint8Array>, name: string): Promise<WavStream> {
  const reader = new ByteReader(input);
  const fail = (what: string): MediaError => new MediaError("WAV_INVALID", `The WAV file ${name} ${what}.`);
  try {
    const riff = await reader.take(12);
    if (riff === undefined) throw fail("ends before its 12-byte RIFF header is complete");
    if (fourCharacters(riff, 0) !== "RIFF") throw fail(`does not start with "RIFF"`);
    if (fourCharacters(riff, 8) !== "WAVE")
      throw fail(`has the form type "${fourCharacters(riff, 8)}" where "WAVE" is needed`);

    let format: WavFormat | undefined;
    let header = 12;
    for (;;) {
      const head = await reader.take(8);
      if (head === undefined) throw fail(format ? `has no "data" chunk` : `has no "fmt " chunk`);
      const id = fourCharacters(head, 0);
      const size = view(head).getUint32(4, true);
      header += 8;
      if (id === "data") {
        if (format === undefined) throw fail(`has its "data" chunk before its "fmt " chunk`);
        return { format, samples: samples(reader, format, size, fail) };
      }
      header += size + (size % 2);
      if (header > MAX_HEADER_BYTES) throw fail(`has more than ${MAX_HEADER_BYTES} bytes before its "data" chunk`);
      if (id === "fmt ") {
        if (size < 16 || size > MAX_FORMAT_BYTES)
          throw fail(`has a "fmt " chunk of ${size} bytes (16 to 1024 allowed)`);
        const body = await reader.take(size);
        if (body === undefined) throw fail(`ends inside its "fmt " chunk`);
        format = parseFormat(body, fail);
        if (size % 2 === 1) await reader.skip(1);
      } else if (!(await reader.skip(size + (size % 2)))) {
        throw fail(`ends inside its "${id}" chunk`);
      }
    }
  } catch (error) {
    await reader.close();
    throw error;
  }
}

function parseFormat(body: Uint8Array, fail: (what: string) => MediaError): WavFormat {
  const data = view(body);
  let code = data.getUint16(0, true);
  const channels = data.getUint16(2, true);
  const sampleRate = data.getUint32(4, true);
  const blockAlign = data.getUint16(12, true);
  const bits = data.getUint16(14, true);
  if (code === CODE_EXTENSIBLE) {
    if (body.length < 40) throw fail(`has an extensible "fmt " chunk of ${body.length} bytes where 40 are needed`);
    if (Buffer.from(body.subarray(26, 40)).toString("hex") !== SUBTYPE_TAIL) {
      throw fail(`has a SubFormat that is neither PCM nor float`);
    }
    code = data.getUint16(24, true);
  }
  if (channels < 1 || channels > MAX_CHANNELS) throw fail(`has a channel count of ${channels} (1 to 32 allowed)`);
  if (sampleRate < 1000 || sampleRate > 768_000) {
    throw fail(`has a sample rate of ${sampleRate} Hz (1000 to 768000 allowed)`);
  }
  const sampleFormat = sampleFormatOf(code, bits);
  if (sampleFormat === undefined) {
    throw fail(
      `has format code ${code} with ${bits} bits a sample; PCM of 8, 16, 24 or 32 bits or 32-bit float is needed`,
    );
  }
  if (blockAlign !== (channels * bits) / 8) {
    throw fail(`has a block alignment of ${blockAlign} where ${(channels * bits) / 8} is needed`);
  }
  return { sampleRate, channels, sampleFormat };
}

function sampleFormatOf(code: number, bits: number): SampleFormat | undefined {
  if (code === CODE_FLOAT) return bits === 32 ? "f32le" : undefined;
  if (code !== CODE_PCM) return undefined;
  if (bits === 8) return "u8";
  if (bits === 16) return "s16le";
  if (bits === 24) return "s24le";
  return bits === 32 ? "s32le" : undefined;
}

async function* samples(
  reader: ByteReader,
  format: WavFormat,
  size: number,
  fail: (what: string) => MediaError,
): AsyncGenerator<Float32Array, void, undefined> {
  const open = size === UNKNOWN_LENGTH || size === 0;
  let left = open ? Number.POSITIVE_INFINITY : size;
  try {
    yield* decodeSamples(
      (async function* () {
        while (left > 0) {
          const chunk = await reader.some(left);
          if (chunk === undefined) {
            if (open) return;
            throw fail(`ends ${left} bytes before the end of its "data" chunk`);
          }
          left -= chunk.length;
          yield chunk;
        }
      })(),
      { sampleFormat: format.sampleFormat, channels: format.channels },
      (rest) => fail(`ends in the middle of a sample (${rest} bytes left over in its "data" chunk)`),
    );
  } finally {
    await reader.close();
  }
}
