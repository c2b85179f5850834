import { open } from "node:fs/promises";
import { basename } from "node:path";
import { z } from "zod";
import { InputError, MediaError, type Microseconds, microseconds } from "../base/index.js";
import type { Frame } from "../container/index.js";
import { type IvfHeader, type IvfStream, openIvf } from "./ivf.js";
import { codecString, isKeyframe } from "./video-codec.js";

/** Where pictures come from: encoded frames, pulled. The first is a keyframe, and their order is that of display. */
export interface VideoSource {
  /** For messages: a file name... */
  readonly name: string;
  /** As WebCodecs names it, such as `vp8` or `vp09.00.10.08`. */
  readonly codec: string;
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  /** Frames per second; undefined where the source can't tell. */
  readonly framerate: number | undefined;
  /** Whether it never ends. */
  readonly endless: boolean;
  /**
   * The next frame, stamped from the source's start at 0, never earlier than the one before; undefined at the end.
   * One call at a time. Rejects with a MediaError that names the source when it can't be read.
   */
  read(): Promise<Frame | undefined>;
  /** Lets go of files; idempotent. */
  close(): Promise<void>;
}

/** Options of {@link openVideo}. */
export const videoOptionsSchema = z.strictObject({
  /** Path of an IVF file with VP8, VP9 or AV1. */
  file: z.string().min(1),
  /** Start again at the end, for ever. Default false. */
  loop: z.boolean().default(false),
});

/** What {@link openVideo} takes. */
export type VideoOptions = z.input<typeof videoOptionsSchema>;

/** How long a picture lasts in a file that has no other. */
const STILL: Microseconds = microseconds(1_000_000);

/**
 * Opens a file of encoded video and looks at its first frames, so that a missing or broken one fails here.
 *
 * @throws InputError `INVALID_OPTION`, `FILE_NOT_FOUND` or `FILE_UNREADABLE`; MediaError `IVF_INVALID`.
 */
export async function openVideo(options: VideoOptions): Promise<VideoSource> {
  const parsed = videoOptionsSchema.safeParse(options);
  if (!parsed.success) {
    throw new InputError("INVALID_OPTION", `The video options are not valid: ${z.prettifyError(parsed.error)}`);
  }
  const { file, loop } = parsed.data;
  const reader = new IvfReader(file);
  try {
    const { header } = await reader.start();
    const frames = [await reader.read(), await reader.read()].filter((frame) => frame !== undefined);
    const first = frames[0];
    if (first === undefined) throw reader.fail("holds no frame");
    const interval = frames[1] && frames[1].timestamp - first.timestamp;
    const framerate = interval ? Math.round(1e9 / interval) / 1000 : undefined;
    const codec = codecString(header.codec, first.payload, { ...header, framerate });
    return new IvfSource({ reader, header, codec, framerate, frames, loop });
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/** The frames of one pass through a file, stamped from 0. */
class IvfReader {
  readonly name: string;
  readonly #path: string;
  #stream: IvfStream | undefined;
  #start: Microseconds | undefined;
  #last = microseconds(0);
  #index = 0;

  constructor(path: string) {
    this.#path = path;
    this.name = basename(path);
  }

  fail(what: string): MediaError {
    return new MediaError("IVF_INVALID", `The IVF file ${this.#path} ${what}.`);
  }

  /** Begins at the file's start, also when it has been there before. */
  async start(): Promise<IvfStream> {
    await this.close();
    this.#start = undefined;
    this.#last = microseconds(0);
    this.#index = 0;
    this.#stream = await openIvf(chunks(this.#path), this.#path);
    return this.#stream;
  }

  async read(): Promise<Frame | undefined> {
    const stream = this.#stream;
    const next = await stream?.frames.next();
    if (stream === undefined || next === undefined || next.done === true) return undefined;
    const { payload } = next.value;
    this.#start ??= next.value.timestamp;
    const timestamp = microseconds(next.value.timestamp - this.#start);
    const keyframe = isKeyframe(stream.header.codec, payload);
    if (this.#index === 0 && !keyframe) throw this.fail("does not start with a keyframe");
    if (timestamp < this.#last) throw this.fail(`has a timestamp that goes back in frame ${this.#index}`);
    this.#last = timestamp;
    this.#index++;
    return { timestamp, payload, keyframe };
  }

  async close(): Promise<void> {
    const stream = this.#stream;
    this.#stream = undefined;
    await stream?.frames.return();
  }
}

class IvfSource implements VideoSource {
  readonly name: string;
  readonly codec: string;
  readonly width: number;
  readonly height: number;
  readonly framerate: number | undefined;
  readonly #reader: IvfReader;
  readonly endless: boolean;
  #ahead: Frame[];
  /** Where the pass that is being read starts, and how far it has come. */
  #offset = microseconds(0);
  #last = microseconds(0);
  #interval: Microseconds;
  #closed = false;

  constructor(opened: {
    reader: IvfReader;
    header: IvfHeader;
    codec: string;
    framerate: number | undefined;
    frames: Frame[];
    loop: boolean;
  }) {
    this.name = opened.reader.name;
    this.codec = opened.codec;
    this.width = opened.header.width;
    this.height = opened.header.height;
    this.framerate = opened.framerate;
    this.#reader = opened.reader;
    this.#ahead = opened.frames;
    this.endless = opened.loop;
    this.#interval = opened.framerate === undefined ? STILL : microseconds(1e6 / opened.framerate);
  }

  async read(): Promise<Frame | undefined> {
    if (this.#closed) return undefined;
    let frame = this.#ahead.shift() ?? (await this.#reader.read());
    if (frame === undefined && this.endless && !this.#closed) {
      this.#offset = microseconds(this.#last + this.#interval);
      await this.#reader.start();
      frame = await this.#reader.read();
    }
    if (frame === undefined || this.#closed) return undefined;
    const timestamp = microseconds(this.#offset + frame.timestamp);
    if (timestamp > this.#last && frame.timestamp > 0) this.#interval = microseconds(timestamp - this.#last);
    this.#last = timestamp;
    return { ...frame, timestamp };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#ahead = [];
    await this.#reader.close();
  }
}

async function* chunks(path: string): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    const file = await open(path);
    for await (const chunk of file.createReadStream({ highWaterMark: 64 * 1024 })) yield chunk;
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === "ENOENT";
    throw new InputError(
      missing ? "FILE_NOT_FOUND" : "FILE_UNREADABLE",
      `The video file ${path} ${missing ? "does not exist" : `can't be read: ${(cause as Error).message}`}.`,
      { cause },
    );
  }
}
