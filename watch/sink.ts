import { closeSync, createWriteStream, openSync, type WriteStream } from "node:fs";
import { open } from "node:fs/promises";
import type { Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { InputError } from "../base/index.js";
import { SAMPLE_RATE } from "./samples.js";
import type { SoundSink } from "./speaker.js";

/** How samples are written. */
export type SampleFormat = "s16le" | "f32le";

/** Sound that waits for a slow disk or pipe: beyond this much it is left out and counted. */
const MAX_BACKLOG_BYTES = 8 * 1024 * 1024;
const WAV_HEADER_BYTES = 44;

/** Interleaves planar samples as bytes, mapping them to `channels` channels; what is beyond full scale is clipped. */
export function interleave(samples: readonly Float32Array[], channels: number, format: SampleFormat): Buffer {
  const frames = samples[0]?.length ?? 0;
  const width = format === "s16le" ? 2 : 4;
  const bytes = Buffer.allocUnsafe(frames * channels * width);
  let offset = 0;
  for (let frame = 0; frame < frames; frame++)
    for (let channel = 0; channel < channels; channel++) {
      const downmix = channels === 1 && samples.length > 1;
      const value = downmix
        ? samples.reduce((sum, each) => sum + each[frame]!, 0) / samples.length
        : (samples[channel] ?? samples[0]!)[frame]!;
      if (width === 4) bytes.writeFloatLE(value, offset);
      else bytes.writeInt16LE(Math.round(Math.min(1, Math.max(-1, value)) * 32_767), offset);
      offset += width;
    }
  return bytes;
}

/** Writes raw PCM to a stream such as `process.stdout`. */
export class RawSink implements SoundSink {
  readonly #stream: Writable;
  readonly #channels: number;
  readonly #format: SampleFormat;
  #droppedBytes = 0;
  #ended = false;

  /** `channels` default 1, `format` default `s16le`. The stream is not ended on close: it may be the process's own. */
  constructor(options: { readonly stream: Writable; readonly channels?: 1 | 2; readonly format?: SampleFormat }) {
    this.#stream = options.stream;
    this.#channels = options.channels ?? 1;
    this.#format = options.format ?? "s16le";
    // A reader that goes away, as `head` does, ends the output and nothing else.
    this.#stream.on("error", () => {
      this.#ended = true;
    });
  }

  /** Bytes left out because the reader was too slow. */
  get droppedBytes(): number {
    return this.#droppedBytes;
  }

  write(samples: readonly Float32Array[]): void {
    if (this.#ended) return;
    const bytes = interleave(samples, this.#channels, this.#format);
    if (this.#stream.writableLength > MAX_BACKLOG_BYTES) this.#droppedBytes += bytes.length;
    else this.#stream.write(bytes);
  }

  async close(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#stream.writableLength > 0)
      await new Promise<void>((resolve) => {
        this.#stream.write("", () => resolve());
      });
  }
}

/** Writes a WAV file of 16-bit samples at 48 kHz. */
export class WavSink implements SoundSink {
  readonly path: string;
  readonly #channels: 1 | 2;
  readonly #stream: WriteStream;
  #dataBytes = 0;
  #droppedBytes = 0;
  #closed: Promise<void> | undefined;

  /** `channels` default 1. Throws an `InputError` (`FILE_UNWRITABLE`) when the file cannot be written. */
  constructor({ path, channels = 1 }: { readonly path: string; readonly channels?: 1 | 2 }) {
    this.path = path;
    this.#channels = channels;
    try {
      closeSync(openSync(path, "w"));
    } catch (cause) {
      throw new InputError("FILE_UNWRITABLE", `The file ${path} cannot be written.`, { cause });
    }
    this.#stream = createWriteStream(path);
    // Reported by close(), which waits for the stream.
    this.#stream.on("error", () => {});
    this.#stream.write(wavHeader(0xffff_ffff - WAV_HEADER_BYTES, channels));
  }

  /** Bytes left out because the disk was too slow. */
  get droppedBytes(): number {
    return this.#droppedBytes;
  }

  write(samples: readonly Float32Array[]): void {
    if (this.#closed || this.#stream.destroyed) return;
    const bytes = interleave(samples, this.#channels, "s16le");
    if (this.#stream.writableLength > MAX_BACKLOG_BYTES) this.#droppedBytes += bytes.length;
    else {
      this.#stream.write(bytes);
      this.#dataBytes += bytes.length;
    }
  }

  /** Rejects with an `InputError` (`FILE_UNWRITABLE`) when the file could not be written to its end. */
  close(): Promise<void> {
    this.#closed ??= this.#finish();
    return this.#closed;
  }

  async #finish(): Promise<void> {
    try {
      const done = finished(this.#stream);
      this.#stream.end();
      await done;
      const file = await open(this.path, "r+");
      try {
        await file.write(wavHeader(this.#dataBytes, this.#channels), 0, WAV_HEADER_BYTES, 0);
      } finally {
        await file.close();
      }
    } catch (cause) {
      throw new InputError("FILE_UNWRITABLE", `The file ${this.path} cannot be written.`, { cause });
    }
  }
}

/** The RIFF header for 16-bit PCM; a length near 2^32 stands for one not known yet, as streaming writers have it. */
function wavHeader(dataBytes: number, channels: number): Buffer {
  const header = Buffer.alloc(WAV_HEADER_BYTES);
  header.write("RIFF", 0, "latin1");
  header.writeUInt32LE(Math.min(dataBytes + WAV_HEADER_BYTES - 8, 0xffff_ffff), 4);
  header.write("WAVEfmt ", 8, "latin1");
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(channels, 22);
  header.writeUInt32LE(SAMPLE_RATE, 24);
  header.writeUInt32LE(SAMPLE_RATE * channels * 2, 28);
  header.writeUInt16LE(channels * 2, 32);
  header.writeUInt16LE(16, 34);
  header.write("data", 36, "latin1");
  header.writeUInt32LE(dataBytes, 40);
  return header;
}
