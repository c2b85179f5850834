import { SAMPLE_BYTES, type SampleFormat } from "./pcm.js";

/** Content of the `fmt ` chunk of a WAV file. */
export interface WavFormat {
  /** Samples per second and channel. */
  readonly sampleRate: number;
  readonly channels: number;
  readonly sampleFormat: SampleFormat;
  /** Speakers of the channels, as in dwChannelMask; undefined where the file names none. */
  readonly channelMask: number | undefined;
}

/** Result of {@link parseFormat}. */
export type ParsedFormat =
  | { readonly kind: "pcm"; readonly format: WavFormat; readonly warning: string | undefined }
  /** Another decoder may support it. */
  | { readonly kind: "foreign"; readonly reason: string }
  | { readonly kind: "invalid"; readonly reason: string };

/** The shortest `fmt ` chunk: WAVEFORMAT, without bits per sample. */
export const MIN_FORMAT_BYTES = 14;
const EXTENSIBLE_BYTES = 40;
const MAX_CHANNELS = 64;
const MIN_RATE = 100;
const MAX_RATE = 768_000;

/** Format codes of RIFF/WAVE, from Microsoft's mmreg.h. */
const CODE_PCM = 1;
const CODE_FLOAT = 3;
const CODE_ALAW = 6;
const CODE_MULAW = 7;
const CODE_EXTENSIBLE = 0xfffe;
const CODE_NAMES: ReadonlyMap<number, string> = new Map([
  [0x02, "Microsoft ADPCM"],
  [0x11, "IMA ADPCM"],
  [0x31, "GSM 6.10"],
  [0x50, "MPEG audio"],
  [0x55, "MP3"],
  [0xff, "AAC"],
  [0x161, "Windows Media Audio"],
  [0x1610, "AAC"],
  [0x2000, "AC-3"],
  [0x2001, "DTS"],
  [0x674f, "Vorbis"],
  [0x704f, "Opus"],
  [0xf1ac, "FLAC"],
]);
/** The last 14 bytes of every KSDATAFORMAT_SUBTYPE GUID; the first two are the format code. */
const SUBTYPE_TAIL = "000000001000800000aa00389b71";

/** Reads the body of a `fmt ` chunk: WAVEFORMAT, WAVEFORMATEX or WAVE_FORMAT_EXTENSIBLE. */
export function parseFormat(body: Uint8Array): ParsedFormat {
  const data = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const channels = data.getUint16(2, true);
  const sampleRate = data.getUint32(4, true);
  const blockAlign = data.getUint16(12, true);
  const bits = body.length >= 16 ? data.getUint16(14, true) : (blockAlign / Math.max(1, channels)) * 8;
  const type = typeOf(data);
  if (type.code === undefined) return { kind: "foreign", reason: "has a SubFormat that is neither PCM nor float" };
  if (channels < 1 || channels > MAX_CHANNELS) {
    return { kind: "invalid", reason: `has a channel count of ${channels} (1 to ${MAX_CHANNELS} allowed)` };
  }
  if (sampleRate < MIN_RATE || sampleRate > MAX_RATE) {
    return { kind: "invalid", reason: `has a sample rate of ${sampleRate} Hz (${MIN_RATE} to ${MAX_RATE} allowed)` };
  }
  // 24 bits have two places in 32, of which only the upper one is right.
  const used = type.code === CODE_PCM && bits === 32 && type.validBits === 24 ? 24 : bits;
  const sampleFormat = sampleFormatOf(type.code, used, blockAlign / channels);
  if (sampleFormat === undefined) return { kind: "foreign", reason: describe(type.code, bits) };
  const needed = channels * SAMPLE_BYTES[sampleFormat];
  const warning =
    blockAlign === needed ? undefined : `has a block alignment of ${blockAlign}; it is read with one of ${needed}`;
  const format = { sampleRate, channels, sampleFormat, channelMask: type.mask };
  return { kind: "pcm", format, warning };
}

interface FormatType {
  readonly code: number | undefined;
  readonly mask?: number | undefined;
  readonly validBits?: number;
}

function typeOf(data: DataView): FormatType {
  const code = data.getUint16(0, true);
  if (code !== CODE_EXTENSIBLE) return { code };
  if (data.byteLength < EXTENSIBLE_BYTES) return { code: undefined };
  const tail = Buffer.from(data.buffer, data.byteOffset + 26, 14).toString("hex");
  const mask = data.getUint32(20, true);
  return {
    code: tail === SUBTYPE_TAIL ? data.getUint16(24, true) : undefined,
    mask: mask === 0 ? undefined : mask,
    validBits: data.getUint16(18, true),
  };
}

/** A sample with fewer bits lies at the upper end of its container, so the container decides. */
function sampleFormatOf(code: number, bits: number, container: number): SampleFormat | undefined {
  if (code === CODE_ALAW) return "alaw";
  if (code === CODE_MULAW) return "mulaw";
  if (code === CODE_FLOAT) return bits === 32 ? "f32le" : bits === 64 ? "f64le" : undefined;
  if (code !== CODE_PCM || bits < 1 || bits > 32) return undefined;
  if (bits > 16 && bits < 32 && container === 4) return bits === 24 ? "s24in32" : "s32le";
  return (["u8", "s16le", "s24le", "s32le"] as const)[Math.ceil(bits / 8) - 1];
}

function describe(code: number, bits: number): string {
  const name = CODE_NAMES.get(code);
  return name === undefined
    ? `has format code ${code} with ${bits} bits a sample`
    : `holds ${name} (format code ${code}) instead of PCM`;
}
