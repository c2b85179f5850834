import type { Writable } from "node:stream";
import type { AudioSink } from "./virtual-speaker.js";

export type SampleFormat = "s16le" | "f32le";

/** Audio that may wait for a slow disk or pipe; any more is dropped and counted. */
const MAX_BACKLOG_BYTES = 8 * 1024 * 1024;

/** Interleaves planar samples as bytes, mapped to `channels` channels; clips values beyond full scale. */
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
export class RawSink implements AudioSink {
  readonly #stream: Writable;
  readonly #channels: number;
  readonly #format: SampleFormat;
  #droppedBytes = 0;
  #ended = false;

  /** `channels` default 1, `format` default `s16le`. Close does not end the stream: it may be the process's own. */
  constructor(options: { readonly stream: Writable; readonly channels?: 1 | 2; readonly format?: SampleFormat }) {
    this.#stream = options.stream;
    this.#channels = options.channels ?? 1;
    this.#format = options.format ?? "s16le";
    // A reader that goes away, as `head` does, ends only the output.
    this.#stream.on("error", () => {
      this.#ended = true;
    });
  }

  /** Bytes dropped because the reader was too slow. */
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
