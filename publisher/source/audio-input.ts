import { InputError, MediaError } from "../../base/index.js";
import { type ByteInput, openPath } from "./byte-input.js";
import { ByteReader, fourCharacters } from "./byte-reader.js";
import type { ChannelLayout } from "./down-mix.js";
import { openWithFfmpeg } from "./ffmpeg.js";
import { decodeSamples, inPieces, type PcmFormat } from "./pcm.js";
import { isWave, openWav, type WavFormat } from "./wav.js";

/** Decoded audio before it is mixed and resampled. */
export interface AudioReading extends ChannelLayout {
  /** Samples per second and channel. */
  readonly rate: number;
  readonly samples: AsyncGenerator<Float32Array, void, undefined>;
  /** Faults of audio that plays all the same; more may follow. */
  readonly warnings: readonly string[];
  /** Ends processes, even during a read; idempotent. */
  close(): void;
}

/** Audio that can be opened, and opened again where it is `repeatable`. */
export interface AudioInput {
  readonly repeatable: boolean;
  /** Whether an end without any audio is an error or a warning; neither by default. */
  readonly withoutAudio?: "error" | "warning";
  /** Reads it from the start. */
  open(): Promise<AudioReading>;
  /** Closes files and pipes; idempotent. */
  close(): Promise<void>;
}

/** Formats of raw PCM in a stream. */
export interface RawFormat extends PcmFormat {
  readonly name: string;
  readonly rate: number;
}

/** Bytes read of a pipe before its format is known, kept for ffmpeg. */
const MAX_HEAD_BYTES = 1024 * 1024;
const HEAD_BYTES = 12;

/** A file or a named pipe: WAV, or any format that ffmpeg decodes. */
export class FileAudio implements AudioInput {
  readonly withoutAudio = "error";
  readonly #path: string;
  readonly #input: ByteInput;

  private constructor(path: string, input: ByteInput) {
    this.#path = path;
    this.#input = input;
  }

  /** @throws InputError `FILE_NOT_FOUND` or `FILE_UNREADABLE`. */
  static async open(path: string, keep: boolean): Promise<FileAudio> {
    return new FileAudio(path, await openPath(path, { kind: "audio", keep }));
  }

  /** Whether it is a file, whose bytes are ready, rather than a pipe. */
  get isFile(): boolean {
    return this.#input.size !== undefined;
  }

  get repeatable(): boolean {
    return this.#input.repeatable;
  }

  async open(): Promise<AudioReading> {
    return openBytes(this.#input, this.#path, () => undefined);
  }

  close(): Promise<void> {
    return this.#input.close();
  }
}

/** A stream such as standard input: raw PCM unless it begins with a header. */
export class StreamAudio implements AudioInput {
  readonly withoutAudio = "warning";
  readonly #input: ByteInput;
  readonly #raw: RawFormat;

  constructor(input: ByteInput, raw: RawFormat) {
    this.#input = input;
    this.#raw = raw;
  }

  get repeatable(): boolean {
    return this.#input.repeatable;
  }

  open(): Promise<AudioReading> {
    return openBytes(this.#input, this.#raw.name, () => this.#raw);
  }

  close(): Promise<void> {
    return this.#input.close();
  }
}

/** Samples in memory. */
export class MemoryAudio implements AudioInput {
  readonly repeatable = true;
  readonly #samples: Float32Array;
  readonly #rate: number;
  readonly #channels: number;

  constructor(samples: Float32Array, rate: number, channels: number) {
    this.#samples = samples;
    this.#rate = rate;
    this.#channels = channels;
  }

  async open(): Promise<AudioReading> {
    return {
      rate: this.#rate,
      channels: this.#channels,
      samples: memory(this.#samples, this.#channels),
      warnings: [],
      close: () => {},
    };
  }

  async close(): Promise<void> {}
}

async function* memory(samples: Float32Array, channels: number): AsyncGenerator<Float32Array, void, undefined> {
  yield* inPieces(samples, channels);
}

async function openBytes(input: ByteInput, name: string, rawOf: () => RawFormat | undefined): Promise<AudioReading> {
  const reader = new ByteReader(input.read());
  reader.keep(MAX_HEAD_BYTES);
  const head = await reader.peek(HEAD_BYTES);
  const format = isRiff(head) ? undefined : await formatOf(reader);
  const raw = isRiff(head) || format !== undefined ? undefined : rawOf();
  if (raw !== undefined) return openRaw(reader, raw);
  if (head.length === 0) throw new MediaError("WAV_INVALID", `The audio file ${name} is empty.`);
  // A pipe's tag is skipped only where ffmpeg can still have it.
  const tag = tagBytes(head);
  if (tag <= MAX_HEAD_BYTES / 2 || input.path !== undefined) await reader.skip(tag);
  const wav = isRiff(await reader.peek(HEAD_BYTES)) ? await openWav(reader, { name, size: input.size }) : undefined;
  if (wav?.kind === "pcm") {
    reader.keep(0);
    const { format, samples, warnings } = wav;
    return { ...layoutOf(format), samples, warnings, close: () => {} };
  }
  const reason = wav?.reason ?? `is not a WAV file${format === undefined ? "" : ` but ${format}`}`;
  const source = input.path ?? reader.all();
  if (source === undefined) {
    const where = `behind more than ${MAX_HEAD_BYTES} bytes of other data, which is too much for a pipe`;
    throw new InputError("UNSUPPORTED_FILE", `The audio file ${name} ${reason}, ${where}.`);
  }
  const foreign = await openWithFfmpeg(source, name);
  if (foreign === undefined) {
    const missing = "and ffmpeg, which reads other formats, is not installed";
    throw new InputError("UNSUPPORTED_FILE", `The audio file ${name} ${reason}, ${missing}.`);
  }
  return {
    ...layoutOf(foreign.format),
    samples: foreign.samples,
    close: () => foreign.close(),
    get warnings() {
      return foreign.warnings;
    },
  };
}

function layoutOf({ sampleRate, channels, channelMask }: WavFormat): ChannelLayout & { readonly rate: number } {
  return { rate: sampleRate, channels, mask: channelMask };
}

function openRaw(reader: ByteReader, raw: RawFormat): AudioReading {
  const bytes = reader.rest();
  const samples = decodeSamples(bytes, raw, { isWhole: true });
  return { rate: raw.rate, channels: raw.channels, samples, warnings: [], close: () => {} };
}

/** Signatures by offset. A stream of samples begins with one only by a chance of 1 in 2^32. */
const FORMATS: readonly (readonly [offset: number, text: string, format: string])[] = [
  [0, "RIFX", "RIFX"],
  [0, "fLaC", "FLAC"],
  [0, "OggS", "Ogg"],
  [0, "ID3\x02", "MP3"],
  [0, "ID3\x03", "MP3"],
  [0, "ID3\x04", "MP3"],
  [0, ".snd", "AU"],
  [0, "caff", "CAF"],
  [0, "riff\x2e\x91\xcf\x11", "Wave64"],
  [0, "\x1a\x45\xdf\xa3", "Matroska or WebM"],
  [0, "\x30\x26\xb2\x75", "Windows Media"],
  [0, "wvpk", "WavPack"],
  [0, "MAC ", "Monkey's Audio"],
  [0, "TTA1", "True Audio"],
  [0, "#!AM", "AMR"],
  [0, "ADIF", "AAC"],
  [0, "Crea", "VOC"],
  [0, "NIST", "SPHERE"],
  [0, "FLV\x01", "Flash Video"],
  [0, "DKIF", "IVF"],
  [0, "MThd", "MIDI"],
  [4, "ftyp", "MP4"],
  [8, "AIFF", "AIFF"],
  [8, "AIFC", "AIFF"],
];

/** The format of audio that begins with a header other than RIFF; undefined where it has none. */
async function formatOf(reader: ByteReader): Promise<string | undefined> {
  const head = await reader.peek(HEAD_BYTES);
  const text = Buffer.from(head).toString("latin1");
  const known = FORMATS.find(([offset, signature]) => text.startsWith(signature, offset));
  if (known !== undefined) return known[2];
  // MPEG audio has no header: a second frame stands where the first one says that it ends.
  const first = mpegFrame(head);
  if (first === undefined) return undefined;
  const second = mpegFrame((await reader.peek(first.length + HEAD_BYTES)).subarray(first.length));
  return second?.kind === first.kind ? first.format : undefined;
}

interface MpegFrame {
  readonly format: "MP3" | "AAC";
  /** Properties that all frames of a file share: version, layer and sample rate. */
  readonly kind: number;
  readonly length: number;
}

/** ISO 11172-3, section 2.4.2.3, and its extension to lower rates: kbit/s by index, for version 1 and for the others. */
const LAYER3_KBPS = [
  [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
  [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
] as const;
const MPEG_RATES = [44_100, 48_000, 32_000] as const;

/** The frame of MPEG layer III, or of AAC in ADTS, that some bytes begin with. */
function mpegFrame(bytes: Uint8Array): MpegFrame | undefined {
  const [sync = 0, second = 0, third = 0, fourth = 0, fifth = 0, sixth = 0] = bytes;
  if (bytes.length < 6 || sync !== 0xff || second < 0xe0) return undefined;
  const kind = second * 4 + ((third >> 2) & 3);
  // ISO 13818-7, section 6.2: layer 0 and the frame's length in 13 bits.
  if ((second & 0xf6) === 0xf0)
    return { format: "AAC", kind, length: ((fourth & 3) << 11) | (fifth << 3) | (sixth >> 5) };
  const version = (second >> 3) & 3;
  const kbps = LAYER3_KBPS[version === 3 ? 0 : 1][third >> 4];
  const rate = MPEG_RATES[(third >> 2) & 3];
  if ((second & 6) !== 2 || version === 1 || !kbps || rate === undefined) return undefined;
  const [slots, slower] = version === 3 ? [144, 1] : [72, version === 2 ? 2 : 4];
  return { format: "MP3", kind, length: Math.floor((slots * 1000 * kbps * slower) / rate) + ((third >> 1) & 1) };
}

/** Bytes of a tag before the audio (id3.org, ID3v2.4, section 3.1): its size has seven bits in each byte. */
function tagBytes(head: Uint8Array): number {
  const [a = 0, b = 0, c = 0, d = 0] = head.subarray(6, 10);
  return fourCharacters(head, 0).startsWith("ID3") ? 10 + ((a << 21) | (b << 14) | (c << 7) | d) : 0;
}

function isRiff(head: Uint8Array): boolean {
  return isWave(head) || fourCharacters(head, 0) === "RIFF";
}
