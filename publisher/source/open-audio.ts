import { statSync } from "node:fs";
import { basename } from "node:path";
import { z } from "zod";
import { InputError, StateError, validate } from "../../base/index.js";
import { type AudioInput, type AudioReading, FileAudio, MemoryAudio, StreamAudio } from "./audio-input.js";
import { openStream, pauseIfEmpty } from "./byte-input.js";
import { audible, inPieces } from "./pcm.js";
import { PushAudio, type PushFormat } from "./push-audio.js";
import { SAMPLE_RATE } from "./resample.js";
import { type AudioSource, invalidAudio, StreamSource } from "./source.js";

/** Audio that the application pushes with `speech.write`. */
export interface PushedAudioOptions {
  /** Samples per second and channel, 4,000 to 384,000. */
  readonly sampleRate: number;
  /** Sample format. Default `s16le`. */
  readonly format?: PushFormat;
  /** Interleaved channels of the audio, 1 to 32, mixed to those of the broadcast. Default 1. */
  readonly channels?: number;
  /** Name for messages. Default `speech`. */
  readonly name?: string;
}

/** Audio that is pulled from a stream, such as the response of a text-to-speech service. */
export interface StreamedAudioOptions {
  /**
   * Chunks of any size. Bytes are raw PCM unless they begin with the header of a WAV file, or of another format that
   * ffmpeg may know; `Float32Array`s are interleaved samples from -1 to 1.
   */
  readonly stream: AsyncIterable<Uint8Array> | AsyncIterable<Float32Array>;
  /** See {@link PushedAudioOptions}. Default 48,000. */
  readonly sampleRate?: number;
  readonly format?: PushFormat;
  readonly channels?: number;
  readonly name?: string;
}

/** Audio in a file. */
export interface FileAudioOptions {
  /** Path of a WAV file or a pipe; other formats go through `ffmpeg` where it is installed. */
  readonly file: string;
  /** Restarts at the end, for ever; a pipe of more than 64 MiB plays once. Default false. */
  readonly loop?: boolean;
}

/** Audio in memory. */
export interface MemoryAudioOptions {
  /** Interleaved samples from -1 to 1. */
  readonly samples: Float32Array;
  /** Default 48,000. */
  readonly sampleRate?: number;
  readonly channels?: number;
  readonly loop?: boolean;
  readonly name?: string;
}

/** Options of {@link openAudio}. */
export type OpenAudioOptions = PushedAudioOptions | StreamedAudioOptions | FileAudioOptions | MemoryAudioOptions;

const rate = z.number().int().min(4000).max(384_000);
const channels = z.number().int().min(1).max(32).default(1);
const pcm = { format: z.enum(["s16le", "f32le", "mulaw", "alaw"]).default("s16le"), channels };
const loop = z.boolean().default(false);
const isStream = (value: unknown): boolean =>
  typeof value === "object" && value !== null && Symbol.asyncIterator in value;

const pushSchema = z.strictObject({ sampleRate: rate, ...pcm, name: z.string().default("speech") });
const streamSchema = z.strictObject({
  stream: z.custom<AsyncIterable<Uint8Array | Float32Array>>(isStream, "be an async iterable"),
  sampleRate: rate.default(SAMPLE_RATE),
  ...pcm,
  name: z.string().default("stream"),
});
const fileSchema = z.strictObject({ file: z.string().min(1), loop });
const memorySchema = z.strictObject({
  samples: z.instanceof(Float32Array, { error: "be a Float32Array" }),
  sampleRate: rate.default(SAMPLE_RATE),
  channels,
  loop,
  name: z.string().default("samples"),
});

/** Audio that can be said once: opened by {@link openAudio}, said by `publisher.say`. */
export class OpenedAudio {
  readonly name: string;
  /** Receives `speech.write`; undefined for pulled audio. */
  readonly push: PushAudio | undefined;
  readonly #input: AudioInput;
  readonly #options: { readonly loop: boolean; readonly stored: boolean };
  #isUsed = false;

  /** @internal Use {@link openAudio}. */
  constructor(name: string, input: AudioInput, options: { readonly loop: boolean; readonly stored: boolean }) {
    this.name = name;
    this.push = input instanceof PushAudio ? input : undefined;
    this.#input = input;
    this.#options = options;
  }

  /**
   * The audio as a source with this many channels.
   *
   * @throws StateError `SOURCE_USED` the second time.
   */
  source(channels: 1 | 2): AudioSource {
    if (this.#isUsed) {
      throw new StateError("SOURCE_USED", `The audio ${this.name} was said already; open it once for each speech.`);
    }
    this.#isUsed = true;
    return new StreamSource(this.name, channels, this.#input, this.#options);
  }
}

/**
 * Opens audio for `publisher.say`: pushed by the application, pulled from a stream, from a file or from memory.
 * Synchronous; a fault in a stream or a file's content fails the speech (`outcome: "failed"`).
 *
 * @throws InputError `INVALID_OPTION`; `FILE_NOT_FOUND` or `FILE_UNREADABLE` for a file.
 */
export function openAudio(options: OpenAudioOptions): OpenedAudio {
  const kind = typeof options === "object" && options !== null ? options : {};
  if ("file" in kind) return openFile(validate("openAudio", fileSchema, options));
  if ("stream" in kind) return openChunks(validate("openAudio", streamSchema, options));
  if ("samples" in kind) return openSamples(validate("openAudio", memorySchema, options));
  const pushed = validate("openAudio", pushSchema, options);
  return new OpenedAudio(pushed.name, new PushAudio(pushed), { loop: false, stored: false });
}

function openFile({ file, loop }: z.output<typeof fileSchema>): OpenedAudio {
  try {
    const stats = statSync(file);
    if (stats.isDirectory()) throw new Error("it is a directory");
    return new OpenedAudio(basename(file), new LaterFile(file, loop), { loop, stored: stats.isFile() });
  } catch (cause) {
    const isMissing = cause instanceof Error && "code" in cause && cause.code === "ENOENT";
    const reason = isMissing ? "does not exist" : `can't be read: ${cause instanceof Error ? cause.message : cause}`;
    const code = isMissing ? "FILE_NOT_FOUND" : "FILE_UNREADABLE";
    throw new InputError(code, `The audio file ${file} ${reason}.`, { cause });
  }
}

function openChunks({ stream, name, sampleRate, format, channels }: z.output<typeof streamSchema>): OpenedAudio {
  const input = new ChunkAudio(stream, { name, rate: sampleRate, channels, sampleFormat: format });
  return new OpenedAudio(name, input, { loop: false, stored: false });
}

function openSamples({ samples, name, sampleRate, channels, loop }: z.output<typeof memorySchema>): OpenedAudio {
  if (samples.length % channels !== 0) {
    const frames = `whole number of ${channels}-channel sample frames`;
    throw new InputError("INVALID_OPTION", `openAudio.samples must hold a ${frames}, not ${samples.length} samples.`);
  }
  return new OpenedAudio(name, new MemoryAudio(samples, sampleRate, channels), { loop, stored: true });
}

/** A file that opens at the first read. */
class LaterFile implements AudioInput {
  readonly withoutAudio = "error";
  readonly #path: string;
  readonly #loop: boolean;
  #file: FileAudio | undefined;
  #isClosed = false;

  constructor(path: string, loop: boolean) {
    this.#path = path;
    this.#loop = loop;
  }

  get repeatable(): boolean {
    return this.#file?.repeatable ?? true;
  }

  async open(): Promise<AudioReading> {
    this.#file ??= await FileAudio.open(this.#path, this.#loop);
    if (this.#isClosed) await this.#file.close();
    return this.#file.open();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#file?.close();
  }
}

/** A stream whose first chunk shows its content: bytes or samples. */
class ChunkAudio implements AudioInput {
  readonly withoutAudio = "warning";
  readonly repeatable = false;
  readonly #stream: AsyncIterable<Uint8Array | Float32Array>;
  readonly #raw: ConstructorParameters<typeof StreamAudio>[1];
  #chunks: AsyncIterator<Uint8Array | Float32Array> | undefined;
  #bytes: StreamAudio | undefined;

  constructor(stream: AsyncIterable<Uint8Array | Float32Array>, raw: ConstructorParameters<typeof StreamAudio>[1]) {
    this.#stream = stream;
    this.#raw = raw;
  }

  async open(): Promise<AudioReading> {
    const chunks = this.#stream[Symbol.asyncIterator]();
    this.#chunks = chunks;
    const first = await chunks.next();
    const { name, rate, channels } = this.#raw;
    if (first.done !== true && first.value instanceof Float32Array) {
      return { rate, channels, samples: samplesOf(first, chunks, this.#raw), warnings: [], close: () => {} };
    }
    this.#bytes = new StreamAudio(openStream(bytesOf(first, chunks, name), false), this.#raw);
    return this.#bytes.open();
  }

  async close(): Promise<void> {
    await this.#bytes?.close();
    // A generator that waits for input answers return() only once that input comes: don't wait for it.
    this.#chunks?.return?.().catch(() => {});
  }
}

type Chunk = IteratorResult<Uint8Array | Float32Array>;

async function* bytesOf(
  first: Chunk,
  chunks: AsyncIterator<Uint8Array | Float32Array>,
  name: string,
): AsyncGenerator<Uint8Array> {
  let wanted = "bytes or Float32Arrays";
  for (let next = first; next.done !== true; next = await chunks.next()) {
    if (!(next.value instanceof Uint8Array)) throw invalidAudio(`The stream ${name} must give ${wanted}`, next.value);
    wanted = "bytes, as before";
    yield next.value;
  }
}

async function* samplesOf(
  first: Chunk,
  chunks: AsyncIterator<Uint8Array | Float32Array>,
  { name, channels }: { readonly name: string; readonly channels: number },
): AsyncGenerator<Float32Array, void, undefined> {
  for (let next = first; next.done !== true; next = await chunks.next()) {
    if (!(next.value instanceof Float32Array)) {
      throw invalidAudio(`The stream ${name} must give Float32Arrays, as before`, next.value);
    }
    await pauseIfEmpty(next.value);
    for (const piece of inPieces(next.value, channels)) yield piece.map(audible);
  }
}
