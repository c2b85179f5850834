import { InputError, MediaError } from "../../base/index.js";
import { type ByteInput, openPath } from "./byte-input.js";
import { ByteReader, fourCharacters } from "./byte-reader.js";
import type { ChannelLayout } from "./down-mix.js";
import { openWithFfmpeg } from "./ffmpeg.js";
import { decodeSamples, type PcmFormat } from "./pcm.js";
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
  /** What it means that it ends without any audio; by default nothing. */
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
    return openBytes(this.#input, this.#raw.name, (head) => (hasHeader(head) ? undefined : this.#raw));
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
    const samples = slices(this.#samples, this.#channels * 4800);
    return { rate: this.#rate, channels: this.#channels, samples, warnings: [], close: () => {} };
  }

  async close(): Promise<void> {}
}

async function* slices(samples: Float32Array, length: number): AsyncGenerator<Float32Array, void, undefined> {
  for (let start = 0; start < samples.length; start += length) yield samples.subarray(start, start + length);
}

async function openBytes(
  input: ByteInput,
  name: string,
  rawOf: (head: Uint8Array) => RawFormat | undefined,
): Promise<AudioReading> {
  const reader = new ByteReader(input.read());
  reader.keep(MAX_HEAD_BYTES);
  const head = await reader.peek(HEAD_BYTES);
  const raw = rawOf(head);
  if (raw !== undefined) return openRaw(reader, raw);
  if (head.length === 0) throw new MediaError("WAV_INVALID", `The audio file ${name} is empty.`);
  const isRiff = isWave(head) || fourCharacters(head, 0) === "RIFF";
  const wav = isRiff ? await openWav(reader, { name, size: input.size }) : undefined;
  if (wav?.kind === "pcm") {
    reader.keep(0);
    const { format, samples, warnings } = wav;
    return { ...layoutOf(format), samples, warnings, close: () => {} };
  }
  const reason = wav?.reason ?? "is not a WAV file";
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

/** Signatures at offset 0, 4 or 8. A stream of samples begins with one only by a chance of 1 in 2^32. */
const HEADERS: readonly (readonly [offset: number, text: string])[] = [
  [0, "RIFF"],
  [0, "RIFX"],
  [0, "fLaC"],
  [0, "OggS"],
  [0, "ID3\x03"],
  [0, "ID3\x04"],
  [0, ".snd"],
  [0, "caff"],
  [0, "riff\x2e\x91\xcf\x11"],
  [0, "\x1a\x45\xdf\xa3"],
  [0, "\x30\x26\xb2\x75"],
  [4, "ftyp"],
  [8, "AIFF"],
  [8, "AIFC"],
];

function hasHeader(head: Uint8Array): boolean {
  const text = Buffer.from(head).toString("latin1");
  return isWave(head) || HEADERS.some(([offset, header]) => text.startsWith(header, offset));
}
