import { basename } from "node:path";
import { z } from "zod";
import { InputError, showValue, validate } from "../../base/index.js";
import { type AudioInput, type AudioReading, FileAudio, MemoryAudio, StreamAudio } from "./audio-input.js";
import { openStream, pauseIfEmpty } from "./byte-input.js";
import { DownMix } from "./down-mix.js";
import { audible, inPieces } from "./pcm.js";
import { Resampler, SAMPLE_RATE } from "./resample.js";

/** A source of audio: interleaved 48 kHz samples, pulled. */
export interface AudioSource {
  /** Name for messages: a file name, `stdin`... */
  readonly name: string;
  readonly channels: 1 | 2;
  /**
   * The next samples (any number of whole sample frames, in -1..1), or undefined at the end. One call at a time. The
   * array must stay as it is until the next call.
   * Rejects with a MediaError or InputError that names a source it can't read.
   */
  read(): Promise<Float32Array | undefined>;
  /**
   * Faults of an input that plays all the same, a sentence each, such as a file that ends before its header says. More
   * may follow while it is read.
   */
  readonly warnings?: readonly string[];
  /** Whether all of the audio is available already, as in a file: even a live broadcast then reads it on demand. */
  readonly stored?: boolean;
  /** Closes files, pipes and processes; idempotent. */
  close(): Promise<void>;
}

const isFunction = (value: unknown): boolean => typeof value === "function";

/** What an {@link AudioSource} of the application must have. */
export const sourceSchema = z.object({
  name: z.string(),
  channels: z.union([z.literal(1), z.literal(2)]),
  read: z.custom<AudioSource["read"]>(isFunction, "be a function"),
  close: z.custom<AudioSource["close"]>(isFunction, "be a function"),
});

/** Reads a source like {@link readSource}, but takes long arrays in pieces. One call at a time. */
export class SourceReader {
  readonly #source: AudioSource;
  #pieces: Iterator<Float32Array> | undefined;

  constructor(source: AudioSource) {
    this.#source = source;
  }

  /** The next samples, or undefined at the end. Rejects like {@link readSource}. */
  async read(): Promise<Float32Array | undefined> {
    const piece = this.#pieces?.next();
    if (piece !== undefined && piece.done !== true) return piece.value.map(audible);
    this.#pieces = undefined;
    const samples = await checkedRead(this.#source);
    if (samples === undefined || samples.length === 0) return samples;
    this.#pieces = inPieces(samples, this.#source.channels);
    return this.read();
  }
}

/**
 * Reads a source that the application may have written: the samples are a copy, and fit for filters and the denoiser.
 *
 * @throws InputError `INVALID_AUDIO` for anything but samples, `SOURCE_FAILED` where it rejects without an Error; else
 *   the source's own error.
 */
export async function readSource(source: AudioSource): Promise<Float32Array | undefined> {
  return (await checkedRead(source))?.map(audible);
}

async function checkedRead(source: AudioSource): Promise<Float32Array | undefined> {
  const samples: unknown = await callRead(source);
  if (samples === undefined) return undefined;
  if (!(samples instanceof Float32Array)) {
    throw invalidAudio(`The source ${source.name} must give a Float32Array, or undefined at its end`, samples);
  }
  if (samples.length % source.channels !== 0) {
    const what = `whole ${source.channels}-channel sample frames, but gave ${samples.length} samples`;
    throw new InputError("INVALID_AUDIO", `The source ${source.name} must give ${what}.`);
  }
  await pauseIfEmpty(samples);
  return samples;
}

async function callRead(source: AudioSource): Promise<Float32Array | undefined> {
  try {
    return await source.read();
  } catch (error) {
    if (error instanceof Error) throw error;
    const how = `failed without an Error: ${showValue(error)}`;
    throw new InputError("SOURCE_FAILED", `The source ${source.name} ${how}.`, { cause: error });
  }
}

/** `must` begins the sentence; `given` came instead. */
export function invalidAudio(must: string, given: unknown): InputError {
  return new InputError("INVALID_AUDIO", `${must}, but gave ${showValue(given)}.`);
}

const rate = z.number().int().min(4000).max(384_000);
const outputChannels = z.union([z.literal(1), z.literal(2)]).default(1);

/** Options of {@link openSource}, by kind of input. */
const fileSchema = z.strictObject({
  /** Path of a WAV file or a pipe; other formats go through `ffmpeg` where it is installed. */
  file: z.string().min(1),
  /** Restart at the end, for ever; a pipe of more than 64 MiB plays once. Default false. */
  loop: z.boolean().default(false),
  /** Channels to deliver. Default 1. */
  channels: outputChannels,
});

const pcmSchema = z.strictObject({
  /**
   * A stream of raw PCM, such as `process.stdin`. A stream that begins with a WAV header, or with that of another
   * format that ffmpeg may support, is read as such; `format`, `rate` and `inputChannels` then do not apply.
   */
  pcm: z.custom<AsyncIterable<Uint8Array>>((value) => isIterable(value), "be a stream of bytes"),
  format: z.enum(["s16le", "f32le"]).default("s16le"),
  rate: rate.default(SAMPLE_RATE),
  /** Channels in the input. Default 1. */
  inputChannels: z.number().int().min(1).max(32).default(1),
  /** Restart at the end, for ever; a stream of more than 64 MiB plays once. Default false. */
  loop: z.boolean().default(false),
  channels: outputChannels,
  name: z.string().default("stdin"),
});

const samplesSchema = z.strictObject({
  /** Interleaved samples in memory, such as the output of a speech synthesiser. */
  samples: z.custom<Float32Array>((value) => value instanceof Float32Array, "be a Float32Array"),
  rate: rate.default(SAMPLE_RATE),
  inputChannels: z.number().int().min(1).max(32).default(1),
  loop: z.boolean().default(false),
  channels: outputChannels,
  name: z.string().default("samples"),
});

/** Options of {@link openSource}. */
export type SourceOptions = z.input<typeof fileSchema> | z.input<typeof pcmSchema> | z.input<typeof samplesSchema>;

/**
 * Opens a source of audio. A missing or broken file fails here. A pipe or stream is examined at the first read, which
 * rejects with the same errors. Audio in the input plays, whatever its header says.
 *
 * @throws InputError `INVALID_OPTION`, `FILE_NOT_FOUND`, `FILE_UNREADABLE` or `UNSUPPORTED_FILE`; MediaError
 * `WAV_INVALID` or `UNSUPPORTED_FILE`.
 */
export async function openSource(options: SourceOptions): Promise<AudioSource> {
  const isObject = typeof options === "object" && options !== null;
  if (isObject && "file" in options) {
    const data = validate("openSource", fileSchema, options);
    const input = await FileAudio.open(data.file, data.loop);
    const source = new StreamSource(basename(data.file), data.channels, input, { ...data, stored: input.isFile });
    // A pipe is examined when it is read: its writer may take its time.
    if (input.isFile) await source.start();
    return source;
  }
  if (isObject && "pcm" in options) {
    const data = validate("openSource", pcmSchema, options);
    const { name, rate, inputChannels: channels, format: sampleFormat } = data;
    const input = new StreamAudio(openStream(data.pcm, data.loop), { name, rate, channels, sampleFormat });
    return new StreamSource(name, data.channels, input, { ...data, stored: false });
  }
  const data = validate("openSource", samplesSchema, options);
  const { samples, inputChannels: channels } = data;
  if (samples.length % channels !== 0) {
    throw new InputError(
      "INVALID_OPTION",
      `openSource.samples must hold a whole number of ${channels}-channel sample frames, but holds ${samples.length} samples.`,
    );
  }
  const input = new MemoryAudio(samples, data.rate, channels);
  return new StreamSource(data.name, data.channels, input, { ...data, stored: true });
}

/** Mixes and resamples an input; restarts it where it loops. */
export class StreamSource implements AudioSource {
  readonly name: string;
  readonly channels: 1 | 2;
  readonly stored: boolean;
  readonly #input: AudioInput;
  readonly #loop: boolean;
  #reading: AudioReading | undefined;
  #resampler: Resampler | undefined;
  #downMix: DownMix | undefined;
  #pieces: Float32Array[] = [];
  readonly #warnings = new Set<string>();
  /** Whether there was audio since the input was opened, the last time where it loops. */
  #heard = false;
  #ended = false;

  constructor(
    name: string,
    channels: 1 | 2,
    input: AudioInput,
    { loop, stored }: { readonly loop: boolean; readonly stored: boolean },
  ) {
    this.name = name;
    this.channels = channels;
    this.stored = stored;
    this.#input = input;
    this.#loop = loop;
  }

  get warnings(): readonly string[] {
    for (const warning of this.#reading?.warnings ?? []) this.#warnings.add(warning);
    return [...this.#warnings];
  }

  /** Opens the input, so that its faults show before the first read. */
  async start(): Promise<void> {
    this.#heard = false;
    try {
      const reading = await this.#input.open();
      this.#reading = reading;
      // At the loop point the filter runs on, so there is no click.
      this.#resampler ??= new Resampler({ from: reading.rate, channels: this.channels });
      this.#downMix ??= new DownMix(reading, this.channels);
    } catch (error) {
      // Closing fails a pending start.
      const wasClosed = this.#ended;
      await this.close();
      if (!wasClosed) throw error;
    }
    if (this.#ended) await this.close();
  }

  async read(): Promise<Float32Array | undefined> {
    while (!this.#ended) {
      const piece = this.#pieces.shift();
      if (piece !== undefined) {
        const resampled = this.#resample(piece);
        if (resampled.length > 0) return resampled;
        continue;
      }
      if (this.#reading === undefined) await this.start();
      if (this.#ended || this.#reading === undefined) break;
      const next = await this.#reading.samples.next();
      if (this.#ended) break;
      if (next.done !== true) this.#take(next.value, this.#reading);
      else if (!this.#goesOn()) return this.#finish();
    }
    return undefined;
  }

  async close(): Promise<void> {
    this.#ended = true;
    this.#pieces = [];
    void this.warnings;
    this.#reading?.close();
    // A generator that waits for input answers return() only once that input comes: don't wait for it.
    this.#reading?.samples.return().catch(() => {});
    await this.#input.close();
  }

  // A tenth of a second at a time, so that low rates, whose output outgrows the input, do not block the loop.
  #take(samples: Float32Array, { rate, channels }: AudioReading): void {
    this.#heard ||= samples.length > 0;
    const length = Math.ceil(rate / 10) * channels;
    for (let at = 0; at < samples.length; at += length) this.#pieces.push(samples.subarray(at, at + length));
  }

  #resample(samples: Float32Array): Float32Array {
    const mixed = this.#downMix?.process(samples) ?? samples;
    return this.#resampler?.process(mixed) ?? mixed;
  }

  // Whether the source restarts at the end.
  #goesOn(): boolean {
    if (!this.#loop || !this.#heard) return false;
    if (!this.#input.repeatable) {
      this.#warnings.add(`${this.name} is a pipe with too much audio to be kept, and was played once.`);
      return false;
    }
    void this.warnings;
    this.#reading = undefined;
    return true;
  }

  async #finish(): Promise<Float32Array | undefined> {
    const rest = this.#resampler?.flush();
    await this.close();
    if (!this.#heard) this.#judgeEmpty();
    return rest !== undefined && rest.length > 0 ? rest : undefined;
  }

  #judgeEmpty(): void {
    const { withoutAudio } = this.#input;
    if (withoutAudio === "error") throw new InputError("NO_AUDIO", `The audio file ${this.name} holds no audio.`);
    if (withoutAudio === "warning") this.#warnings.add(`The audio of ${this.name} ended before its first sample.`);
  }
}

function isIterable(value: unknown): boolean {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}
