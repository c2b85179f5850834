import { basename } from "node:path";
import { z } from "zod";
import { MediaError, type Microseconds, microseconds, validate } from "../../base/index.js";
import type { Frame } from "../../container/index.js";
import { type ByteInput, openPath } from "../source/byte-input.js";
import { type IvfHeader, type IvfStream, openIvf } from "./ivf.js";
import { VideoClock } from "./video-clock.js";
import { type CodedSize, codecString, codedSize, isKeyframe } from "./video-codec.js";

/** A source of video: encoded frames, pulled, in display order. The first is a keyframe. */
export interface VideoSource {
  /** Name for messages: a file name... */
  readonly name: string;
  /** Codec string of WebCodecs, such as `vp8` or `vp09.00.10.08`. */
  readonly codec: string;
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  /** Frames per second; undefined where the source has no constant rate. */
  readonly framerate: number | undefined;
  /** Whether it never ends. */
  readonly endless: boolean;
  /**
   * The next frame, stamped from the source's start at 0, never earlier than the one before; undefined at the end. One
   * call at a time. Rejects with a MediaError that names a source it can't read.
   */
  read(): Promise<Frame | undefined>;
  /**
   * Faults of an input that shows a picture all the same, a sentence each, such as timestamps that step back. More may
   * follow while it is read.
   */
  readonly warnings?: readonly string[];
  /** Closes files and pipes, as its end does; idempotent. */
  close(): Promise<void>;
}

/** Options of {@link openVideo}. */
const videoOptionsSchema = z.strictObject({
  /** Path of an IVF file with VP8, VP9 or AV1, or of a pipe with one. */
  file: z.string().min(1),
  /** Restart at the end, for ever; a pipe of more than 64 MiB plays once. Default false. */
  loop: z.boolean().default(false),
});

/** Options of {@link openVideo}. */
export type VideoOptions = z.input<typeof videoOptionsSchema>;

/** Duration of the picture in a file with a single one. */
const STILL: Microseconds = microseconds(1_000_000);
/** Maximum warnings: a picture may change its size over and over. */
const MAX_WARNINGS = 16;

/**
 * Opens a file of encoded video and examines its first frames, so that a missing or broken one fails here. A later
 * fault ends the video with a warning.
 *
 * @throws InputError `INVALID_OPTION`, `FILE_NOT_FOUND` or `FILE_UNREADABLE`; MediaError `IVF_INVALID`.
 */
export async function openVideo(options: VideoOptions): Promise<VideoSource> {
  const { file, loop } = validate("openVideo", videoOptionsSchema, options);
  const reader = new IvfReader(file, await openPath(file, { kind: "video", keep: loop }));
  try {
    const { header } = await reader.start();
    const frames = [await reader.read(), await reader.read()].filter((frame) => frame !== undefined);
    const first = frames[0];
    if (first === undefined) throw reader.fail("holds no keyframe");
    const { size } = reader;
    if (size === undefined || size.width * size.height === 0) throw reader.fail("does not say the size of its picture");
    const interval = frames[1] && (frames[1].timestamp || reader.interval);
    const framerate = interval ? Math.round(1e9 / interval) / 1000 : undefined;
    const codec = codecString(header.codec, first.payload, { ...size, framerate });
    return new IvfSource({ reader, size, codec, framerate, frames, loop });
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/** The frames of a file from its first keyframe on, stamped from 0. */
class IvfReader {
  readonly name: string;
  readonly #path: string;
  readonly #input: ByteInput;
  readonly #warnings = new Set<string>();
  #stream: IvfStream | undefined;
  #clock: VideoClock | undefined;
  #size: CodedSize | undefined;
  /** Whether this pass has reached its first keyframe. */
  #begun = false;

  constructor(path: string, input: ByteInput) {
    this.#path = path;
    this.#input = input;
    this.name = basename(path);
  }

  get warnings(): readonly string[] {
    return [...this.#warnings, ...(this.#stream?.warnings ?? [])];
  }

  /** Whether it can restart. */
  get repeatable(): boolean {
    return this.#input.repeatable;
  }

  /** Size in the last keyframe. */
  get size(): CodedSize | undefined {
    return this.#size;
  }

  /** Duration of a frame. */
  get interval(): Microseconds {
    return this.#clock?.interval ?? STILL;
  }

  fail(what: string): MediaError {
    return new MediaError("IVF_INVALID", this.#sentence(what));
  }

  /** Records a warning, once. */
  warn(what: string): void {
    this.#add(this.#sentence(what));
  }

  #add(warning: string): void {
    if (this.#warnings.size < MAX_WARNINGS) this.#warnings.add(warning);
  }

  /** Starts at the beginning of the file, repeatedly if need be. */
  async start(): Promise<IvfStream> {
    await this.#end();
    const stream = await openIvf(this.#input.read(), this.#path);
    this.#stream = stream;
    this.#clock = new VideoClock(stream.header.ticksPerSecond);
    this.#begun = false;
    return stream;
  }

  async read(): Promise<Frame | undefined> {
    const stream = this.#stream;
    const clock = this.#clock;
    if (stream === undefined || clock === undefined) return undefined;
    let skipped = 0;
    for (;;) {
      const next = await stream.frames.next();
      if (next.done === true) return undefined;
      const { payload, index, timestamp } = next.value;
      const keyframe = isKeyframe(stream.header.codec, payload);
      if (!keyframe && !this.#begun) {
        skipped++;
        continue;
      }
      if (skipped > 0) this.warn(`does not start with a keyframe; its first ${skipped} frames are left out`);
      if (keyframe) this.#measure(stream.header, payload, index);
      this.#begun = true;
      const { mended } = clock;
      const time = clock.next(timestamp);
      if (clock.mended === 1 && mended === 0) {
        this.warn(
          `has timestamps that stand still, step back or jump, first in frame ${index}; frames follow at their interval`,
        );
      }
      return { timestamp: time, payload, keyframe };
    }
  }

  async close(): Promise<void> {
    await this.#input.close();
    await this.#end();
  }

  async #end(): Promise<void> {
    const stream = this.#stream;
    this.#stream = undefined;
    await stream?.frames.return();
    for (const warning of stream?.warnings ?? []) this.#add(warning);
  }

  // Decoders follow the keyframes, whatever the file's header says; so do the players of this package.
  #measure({ codec, width, height }: IvfHeader, payload: Uint8Array, index: number): void {
    const own = codedSize(codec, payload);
    const size = own === undefined || own.width * own.height === 0 ? { width, height } : own;
    const before = this.#size;
    this.#size = size;
    if (!this.#begun || before === undefined) return;
    if (before.width === size.width && before.height === size.height) return;
    const sizes = `from ${before.width}x${before.height} to ${size.width}x${size.height}`;
    this.warn(`changes the size of its picture ${sizes} in frame ${index}`);
  }

  #sentence(what: string): string {
    return `The IVF file ${this.#path} ${what}.`;
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
  /** Start of the current pass, and how far it has got. */
  #offset = microseconds(0);
  #last = microseconds(0);
  #interval: Microseconds;
  #closed = false;

  constructor(opened: {
    reader: IvfReader;
    size: CodedSize;
    codec: string;
    framerate: number | undefined;
    frames: Frame[];
    loop: boolean;
  }) {
    this.name = opened.reader.name;
    this.codec = opened.codec;
    this.width = opened.size.width;
    this.height = opened.size.height;
    this.framerate = opened.framerate;
    this.#reader = opened.reader;
    this.#ahead = opened.frames;
    this.endless = opened.loop;
    this.#interval = opened.framerate === undefined ? STILL : microseconds(1e6 / opened.framerate);
  }

  get warnings(): readonly string[] {
    return this.#reader.warnings;
  }

  async read(): Promise<Frame | undefined> {
    if (this.#closed) return undefined;
    let frame = this.#ahead.shift() ?? (await this.#reader.read());
    if (frame === undefined && this.endless && !this.#closed && this.#goesOn()) {
      this.#offset = microseconds(this.#last + this.#interval);
      await this.#reader.start();
      frame = await this.#reader.read();
    }
    if (frame === undefined) await this.close();
    if (frame === undefined || this.#closed) return undefined;
    const timestamp = microseconds(this.#offset + frame.timestamp);
    if (timestamp > this.#last && frame.timestamp > 0) this.#interval = microseconds(timestamp - this.#last);
    this.#last = timestamp;
    return { ...frame, timestamp };
  }

  #goesOn(): boolean {
    if (!this.#reader.repeatable) this.#reader.warn("is a pipe with more than is kept, and is shown once");
    return this.#reader.repeatable;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#ahead = [];
    await this.#reader.close();
  }
}
