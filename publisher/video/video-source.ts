import { basename } from "node:path";
import { z } from "zod";
import { MediaError, type Microseconds, microseconds, validate } from "../../base/index.js";
import type { Frame } from "../../container/index.js";
import { type ByteInput, openPath } from "../source/byte-input.js";
import { type IvfHeader, type IvfStream, openIvf } from "./ivf.js";
import { VideoClock } from "./video-clock.js";
import { type CodedSize, codecString, codedSize, isKeyframe } from "./video-codec.js";

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
  /**
   * What is wrong with the input although its picture is shown, a sentence each, such as timestamps that step back. More
   * may come while it is read.
   */
  readonly warnings?: readonly string[];
  /** Closes files and pipes; idempotent. */
  close(): Promise<void>;
}

/** Options of {@link openVideo}. */
export const videoOptionsSchema = z.strictObject({
  /** Path of an IVF file with VP8, VP9 or AV1, or of a pipe with one. */
  file: z.string().min(1),
  /** Start again at the end, for ever; a pipe of more than 64 MiB is shown once. Default false. */
  loop: z.boolean().default(false),
});

/** What {@link openVideo} takes. */
export type VideoOptions = z.input<typeof videoOptionsSchema>;

/** How long a picture lasts in a file that has no other. */
const STILL: Microseconds = microseconds(1_000_000);
/** A picture may change its size without end. */
const MAX_WARNINGS = 16;

/**
 * Opens a file of encoded video and looks at its first frames, so that a missing or broken one fails here. What is wrong
 * behind them ends the picture with a warning.
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
  /** Whether this pass has had its first keyframe. */
  #begun = false;

  constructor(path: string, input: ByteInput) {
    this.#path = path;
    this.#input = input;
    this.name = basename(path);
  }

  get warnings(): readonly string[] {
    return [...this.#warnings, ...(this.#stream?.warnings ?? [])];
  }

  /** Whether it can begin again. */
  get repeatable(): boolean {
    return this.#input.repeatable;
  }

  /** Of the picture of the last keyframe. */
  get size(): CodedSize | undefined {
    return this.#size;
  }

  /** How long a frame lasts. */
  get interval(): Microseconds {
    return this.#clock?.interval ?? STILL;
  }

  fail(what: string): MediaError {
    return new MediaError("IVF_INVALID", this.#sentence(what));
  }

  /** Says what is wrong, once. */
  warn(what: string): void {
    this.#add(this.#sentence(what));
  }

  #add(warning: string): void {
    if (this.#warnings.size < MAX_WARNINGS) this.#warnings.add(warning);
  }

  /** Begins at the file's start, also when it has been there before. */
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
  /** Where the pass that is being read starts, and how far it has come. */
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
