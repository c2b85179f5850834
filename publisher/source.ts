import { spawn } from "node:child_process";
import { open } from "node:fs/promises";
import { basename } from "node:path";
import { z } from "zod";
import { InputError, MediaError } from "../base/index.js";
import { decodeSamples, mixChannels, type PcmFormat } from "./pcm.js";
import { Resampler, SAMPLE_RATE } from "./resample.js";
import { openWav } from "./wav.js";

/** Where sound comes from: interleaved 48 kHz samples, pulled. */
export interface AudioSource {
  /** For messages: a file name, `stdin`... */
  readonly name: string;
  readonly channels: 1 | 2;
  /**
   * The next samples (any number of whole sample frames, in -1..1), or undefined at the end.
   * One call at a time. Rejects with a MediaError or InputError that names the source when it can't be read.
   */
  read(): Promise<Float32Array | undefined>;
  /** Lets go of files and processes; idempotent. */
  close(): Promise<void>;
}

const rate = z.number().int().min(4000).max(384_000);
const outputChannels = z.union([z.literal(1), z.literal(2)]).default(1);

/** Options of {@link openSource}, by kind of input. */
export const sourceOptionsSchema = z.union([
  z.strictObject({
    /** Path of a WAV file; anything else is read through `ffmpeg` when that is installed. */
    file: z.string().min(1),
    /** Start again at the end, for ever. Default false. */
    loop: z.boolean().default(false),
    /** Channels to deliver. Default 1. */
    channels: outputChannels,
  }),
  z.strictObject({
    /** Raw PCM without a header, such as `process.stdin`. */
    pcm: z.custom<AsyncIterable<Uint8Array>>((value) => isIterable(value), "must be a stream of bytes"),
    format: z.enum(["s16le", "f32le"]).default("s16le"),
    rate: rate.default(SAMPLE_RATE),
    /** Channels in the input. Default 1. */
    inputChannels: z.number().int().min(1).max(32).default(1),
    channels: outputChannels,
    name: z.string().default("stdin"),
  }),
  z.strictObject({
    /** Interleaved samples in memory, such as the output of a speech synthesiser. */
    samples: z.custom<Float32Array>((value) => value instanceof Float32Array, "must be a Float32Array"),
    rate: rate.default(SAMPLE_RATE),
    inputChannels: z.number().int().min(1).max(32).default(1),
    loop: z.boolean().default(false),
    channels: outputChannels,
    name: z.string().default("samples"),
  }),
]);

/** What {@link openSource} takes. */
export type SourceOptions = z.input<typeof sourceOptionsSchema>;

/**
 * Opens a source of sound. A file is looked at right away, so that a missing or broken one fails here.
 *
 * @throws InputError `INVALID_OPTION`, `FILE_NOT_FOUND` or `UNSUPPORTED_FILE`; MediaError `WAV_INVALID`.
 */
export async function openSource(options: SourceOptions): Promise<AudioSource> {
  const parsed = sourceOptionsSchema.safeParse(options);
  if (!parsed.success) {
    throw new InputError("INVALID_OPTION", `The source options are not valid: ${z.prettifyError(parsed.error)}`);
  }
  const { data } = parsed;
  if ("file" in data) {
    const source = new StreamSource(basename(data.file), data.channels, () => openFile(data.file), data.loop);
    await source.start();
    return source;
  }
  if ("pcm" in data) {
    const format: PcmFormat = { sampleFormat: data.format, channels: data.inputChannels };
    const input = async () => ({ ...format, rate: data.rate, samples: decodeSamples(data.pcm, format) });
    return new StreamSource(data.name, data.channels, input, false);
  }
  const { samples, inputChannels: channels } = data;
  if (samples.length % channels !== 0) {
    throw new InputError(
      "INVALID_OPTION",
      `The option samples holds no whole number of ${channels}-channel sample frames.`,
    );
  }
  const input = async () => ({ rate: data.rate, channels, samples: slices(samples, channels * 4800) });
  return new StreamSource(data.name, data.channels, input, data.loop);
}

/** Decoded input before resampling. */
interface Input {
  readonly rate: number;
  readonly channels: number;
  readonly samples: AsyncGenerator<Float32Array, void, undefined>;
}

/** Mixes and resamples an input, again from its start where it loops. */
class StreamSource implements AudioSource {
  readonly name: string;
  readonly channels: 1 | 2;
  readonly #open: () => Promise<Input>;
  readonly #loop: boolean;
  #input: Input | undefined;
  #resampler: Resampler | undefined;
  #heard = false;
  #ended = false;

  constructor(name: string, channels: 1 | 2, open: () => Promise<Input>, loop: boolean) {
    this.name = name;
    this.channels = channels;
    this.#open = open;
    this.#loop = loop;
  }

  /** Opens the input, so that what is wrong with it is known before the first read. */
  async start(): Promise<void> {
    this.#input = await this.#open();
    // Without a break at the loop point the filter runs on over it, and so leaves no click.
    this.#resampler ??= new Resampler({ from: this.#input.rate, channels: this.channels });
  }

  async read(): Promise<Float32Array | undefined> {
    while (!this.#ended) {
      if (this.#input === undefined) await this.start();
      const input = this.#input;
      if (input === undefined || this.#resampler === undefined) break;
      const next = await input.samples.next();
      if (this.#ended) break;
      if (next.done !== true) {
        this.#heard ||= next.value.length > 0;
        const resampled = this.#resampler.process(mixChannels(next.value, input.channels, this.channels));
        if (resampled.length > 0) return resampled;
      } else if (this.#loop && this.#heard) {
        this.#input = undefined;
      } else {
        this.#ended = true;
        const rest = this.#resampler.flush();
        if (rest.length > 0) return rest;
      }
    }
    return undefined;
  }

  async close(): Promise<void> {
    this.#ended = true;
    // A generator that waits for its input answers return() only after that input came: don't wait for it.
    this.#input?.samples.return().catch(() => {});
    this.#input = undefined;
  }
}

async function* slices(samples: Float32Array, length: number): AsyncGenerator<Float32Array, void, undefined> {
  for (let start = 0; start < samples.length; start += length) yield samples.subarray(start, start + length);
}

async function openFile(path: string): Promise<Input> {
  let magic: string;
  try {
    const file = await open(path);
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0);
      magic = buffer.subarray(0, bytesRead).toString("latin1");
    } finally {
      await file.close();
    }
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === "ENOENT";
    throw new InputError(
      missing ? "FILE_NOT_FOUND" : "FILE_UNREADABLE",
      `The audio file ${path} ${missing ? "does not exist" : `can't be read: ${(cause as Error).message}`}.`,
      { cause },
    );
  }
  if (magic !== "RIFF" && magic !== "") {
    const converted = await openWithFfmpeg(path);
    if (converted === undefined) {
      throw new InputError(
        "UNSUPPORTED_FILE",
        `The audio file ${path} is no WAV file, and ffmpeg, which reads other formats, is not installed.`,
      );
    }
    return converted;
  }
  const wav = await openWav(readChunks(path), path);
  return { rate: wav.format.sampleRate, channels: wav.format.channels, samples: wav.samples };
}

async function* readChunks(path: string): AsyncGenerator<Uint8Array, void, undefined> {
  const file = await open(path);
  try {
    for await (const chunk of file.createReadStream({ highWaterMark: 32 * 1024, autoClose: false })) yield chunk;
  } finally {
    await file.close();
  }
}

/** Any format `ffmpeg` knows, as stereo floats at 48 kHz; undefined where it isn't installed. */
async function openWithFfmpeg(path: string): Promise<Input | undefined> {
  const args = [
    "-v",
    "error",
    "-nostdin",
    "-i",
    `file:${path}`,
    "-vn",
    "-f",
    "f32le",
    "-ar",
    "48000",
    "-ac",
    "2",
    "pipe:1",
  ];
  const child = spawn("ffmpeg", args, { stdio: ["ignore", "pipe", "pipe"] });
  const started = await new Promise<boolean>((resolve) => {
    child.once("spawn", () => resolve(true));
    child.once("error", () => resolve(false));
  });
  if (!started) return undefined;
  let complaint = "";
  child.stderr.on("data", (chunk: Buffer) => {
    if (complaint.length < 500) complaint += chunk.toString("utf8");
  });
  const exit = new Promise<number | null>((resolve) => child.once("close", resolve));
  async function* samples(): AsyncGenerator<Float32Array, void, undefined> {
    try {
      yield* decodeSamples(child.stdout, { sampleFormat: "f32le", channels: 2 });
      const code = await exit;
      if (code !== 0) {
        const reason = complaint.trim().split("\n").at(-1) ?? `exit code ${code}`;
        throw new MediaError("UNSUPPORTED_FILE", `The audio file ${path} can't be decoded by ffmpeg: ${reason}`);
      }
    } finally {
      child.kill();
    }
  }
  return { rate: SAMPLE_RATE, channels: 2, samples: samples() };
}

function isIterable(value: unknown): boolean {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}
