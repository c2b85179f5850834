import { InputError, StateError, sleep } from "../../base/index.js";
import type { AudioInput, AudioReading } from "./audio-input.js";
import { SAMPLE_BYTES, toFloat } from "./pcm.js";

/** Samples of pushed audio: 16-bit and 32-bit float PCM, little-endian, or G.711 at 8 bits. */
export type PushFormat = "s16le" | "f32le" | "mulaw" | "alaw";

/** Options of {@link PushAudio}. */
export interface PushAudioOptions {
  readonly name: string;
  /** In Hz. */
  readonly sampleRate: number;
  readonly format: PushFormat;
  readonly channels: number;
}

/** Pushed audio is read in pieces this long, so that a whole answer pushed at once does not block the loop. */
const PIECE_MS = 100;
/** Beyond this, `write` asks the caller to wait. */
const HIGH_WATER_MS = 10_000;
/** 23 minutes of 16-bit mono at 24 kHz: enough for an answer that comes at once, not for a writer that never waits. */
const MAX_BYTES = 64 * 1024 * 1024;
/** Small writes share blocks of this size: a write of one sample then allocates no object. */
const BLOCK_BYTES = 16 * 1024;

interface Block {
  readonly bytes: Uint8Array;
  used: number;
}

/** PCM that the application pushes, in portions of any size and speed, until it is read. */
export class PushAudio implements AudioInput {
  readonly repeatable = false;
  readonly #options: PushAudioOptions;
  readonly #frameBytes: number;
  readonly #bytesPerMs: number;
  readonly #warnings: string[] = [];
  #blocks: Block[] = [];
  /** Bytes read of the first block. */
  #read = 0;
  #bytes = 0;
  #isEnded = false;
  #isClosed = false;
  /** Whether `ready` waits for room. */
  #holds = true;
  #stir = Promise.withResolvers<void>();
  #room: PromiseWithResolvers<void> | undefined;

  constructor(options: PushAudioOptions) {
    this.#options = options;
    this.#frameBytes = SAMPLE_BYTES[options.format] * options.channels;
    this.#bytesPerMs = (this.#frameBytes * options.sampleRate) / 1000;
  }

  /** Milliseconds of audio pushed and not read yet. */
  get bufferedMs(): number {
    return this.#bytes / this.#bytesPerMs;
  }

  /**
   * Resolves when there is room for more, or when no more is wanted: then not at once, as a caller that has all its
   * audio in memory would keep timers and sockets waiting until it has written it all.
   */
  get ready(): Promise<void> {
    if (this.#isClosed || (this.#isFull && !this.#holds)) return sleep(0);
    if (!this.#isFull) return Promise.resolve();
    this.#room ??= Promise.withResolvers();
    return this.#room.promise;
  }

  /** Whether `write` takes this many bytes without an error. */
  accepts(bytes: number): boolean {
    return this.#isClosed || (!this.#isEnded && this.#bytes + bytes <= MAX_BYTES);
  }

  /**
   * Takes samples, cut anywhere; they are copied. Returns whether there is room for more: after `false` a caller that
   * can wait waits for `ready`. After `close`, and between `release` and `hold` with 64 MiB waiting already, it does
   * nothing and returns false.
   *
   * @throws InputError `INVALID_OPTION` for anything but bytes, or samples of the source's own format; StateError
   *   `SPEECH_ENDED` after `end`, `BUFFER_FULL` with 64 MiB waiting already.
   */
  write(samples: ArrayBufferView): boolean {
    if (this.#isClosed) return false;
    if (this.#isEnded) throw new StateError("SPEECH_ENDED", "Speech.write was called after end().");
    const bytes = this.#bytesOf(samples);
    if (this.#bytes + bytes.length > MAX_BYTES) {
      if (!this.#holds) return false;
      throw new StateError("BUFFER_FULL", `Speech.write holds ${MAX_BYTES} bytes at most; wait for ready.`);
    }
    this.#append(bytes);
    this.#bytes += bytes.length;
    this.#wake();
    return !this.#isFull;
  }

  /** Its speech was interrupted: nothing is read for now, so `ready` waits for no room. */
  release(): void {
    this.#holds = false;
    this.#makeRoom();
  }

  /** Its speech was resumed: `ready` waits for room again. */
  hold(): void {
    this.#holds = true;
  }

  /** Ends the audio; idempotent. */
  end(): void {
    this.#isEnded = true;
    this.#wake();
  }

  async open(): Promise<AudioReading> {
    const { sampleRate: rate, channels } = this.#options;
    return { rate, channels, samples: this.#samples(), warnings: this.#warnings, close: () => {} };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#blocks = [];
    this.#bytes = 0;
    this.#wake();
    this.#makeRoom();
  }

  get #isFull(): boolean {
    return this.bufferedMs >= HIGH_WATER_MS;
  }

  async *#samples(): AsyncGenerator<Float32Array, void, undefined> {
    while (!this.#isClosed) {
      const bytes = this.#take();
      if (bytes.length > 0) yield toFloat(bytes, this.#options.format);
      else if (this.#isEnded) break;
      else await this.#stir.promise;
    }
    if (this.#bytes > 0) {
      this.#warnings.push(`${this.#options.name} ended in the middle of a sample: ${this.#bytes} bytes are left over.`);
    }
  }

  #take(): Uint8Array {
    const most = Math.floor((PIECE_MS * this.#options.sampleRate) / 1000) * this.#frameBytes;
    const length = Math.min(most, this.#bytes - (this.#bytes % this.#frameBytes));
    const taken = new Uint8Array(length);
    for (let filled = 0; filled < length; ) {
      const first = this.#blocks[0]!;
      const part = first.bytes.subarray(this.#read, Math.min(first.used, this.#read + length - filled));
      taken.set(part, filled);
      filled += part.length;
      this.#read += part.length;
      if (this.#read < first.used) continue;
      this.#blocks.shift();
      this.#read = 0;
    }
    this.#bytes -= length;
    if (!this.#isFull) this.#makeRoom();
    return taken;
  }

  #append(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      let last = this.#blocks.at(-1);
      if (last === undefined || last.used === last.bytes.length) {
        last = { bytes: new Uint8Array(Math.max(BLOCK_BYTES, bytes.length - done)), used: 0 };
        this.#blocks.push(last);
      }
      const part = bytes.subarray(done, done + last.bytes.length - last.used);
      last.bytes.set(part, last.used);
      last.used += part.length;
      done += part.length;
    }
  }

  #bytesOf(samples: ArrayBufferView): Uint8Array {
    const { format } = this.#options;
    const isBytes = samples instanceof Uint8Array;
    const isSamples =
      (format === "s16le" && samples instanceof Int16Array) || (format === "f32le" && samples instanceof Float32Array);
    if (!isBytes && !isSamples) {
      const given = ArrayBuffer.isView(samples) ? samples.constructor.name : typeof samples;
      const also = format === "s16le" ? " or an Int16Array" : format === "f32le" ? " or a Float32Array" : "";
      throw new InputError("INVALID_OPTION", `Speech.write takes a Uint8Array${also}, not ${given}.`);
    }
    return new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  }

  #wake(): void {
    this.#stir.resolve();
    this.#stir = Promise.withResolvers();
  }

  #makeRoom(): void {
    this.#room?.resolve();
    this.#room = undefined;
  }
}
