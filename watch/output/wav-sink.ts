import { closeSync, constants, fstat, fstatSync, ftruncate, openSync, statSync, write, writeSync } from "node:fs";
import { parse } from "node:path";
import { promisify } from "node:util";
import { whyUnusable } from "../../base/bytes/bounded-file.js";
import { fields, InputError, isOneOf, isString, sleep, UnsayError, validate } from "../../base/index.js";
import { SAMPLE_RATE } from "../audio/samples.js";
import { interleave } from "./raw-sink.js";
import type { AudioSink } from "./virtual-speaker.js";

/** Audio that may wait for a slow disk; any more is dropped and counted. */
const MAX_BACKLOG_BYTES = 8 * 1024 * 1024;
/** How much audio is written at a time, 100 ms of mono: a killed process loses no more than this. */
const BLOCK_BYTES = 9600;
const HEADER_BYTES = 44;
/** How often a full pipe is tried again, and how long one that stays full delays the end. */
const POLL_MS = 10;
const LAST_MS = 500;
/** The largest file whose sizes fit into the 32 bits of RIFF, less a whole number of stereo samples. */
const MAX_FILE_BYTES = 0xffff_fff0;

/** Without blocking: else a pipe that is not read holds a thread for good, and with it the end of the process. */
const WRITE = constants.O_WRONLY | constants.O_NONBLOCK;

const writeAsync = promisify(write);
const statAsync = promisify(fstat);
const truncateAsync = promisify(ftruncate);

/** Options of {@link WavSink}. */
export interface WavSinkOptions {
  readonly path: string;
  /** Default 1. */
  readonly channels?: 1 | 2;
}

const RULES = fields<WavSinkOptions>(
  { path: isString((path) => path !== "", "be the path of a file") },
  { channels: isOneOf(1, 2) },
);

/**
 * Writes a WAV file of 16-bit samples at 48 kHz.
 *
 * The file is valid at every moment: audio is appended first and the header then grows to cover it, even when the
 * process is killed or the disk fills up. Audio beyond 4 GiB continues in a second file without a gap, `heard-2.wav`
 * beside `heard.wav`, and so on.
 */
export class WavSink implements AudioSink {
  readonly path: string;
  /**
   * Resolves with an error as soon as no more can be written: `FILE_UNWRITABLE`, as on a full disk or once the file was
   * removed, or `PIPE_CLOSED`, once the reader of a pipe has left.
   */
  readonly failed: Promise<UnsayError>;
  readonly #channels: 1 | 2;
  readonly #maxDataBytes: number;
  #file: WavFile;
  #files = 1;
  #fail!: (error: UnsayError) => void;
  #failure: UnsayError | undefined;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #droppedBytes = 0;
  #writing: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  /**
   * @param maxFileBytes For tests: the maximum size of a file. Default: just below 4 GiB.
   * @throws InputError `INVALID_OPTION`, or `FILE_UNWRITABLE` when the file cannot be written.
   */
  constructor(options: WavSinkOptions, maxFileBytes = MAX_FILE_BYTES) {
    const { path, channels = 1 } = validate("WavSink", RULES, options);
    this.path = path;
    this.#channels = channels;
    this.#maxDataBytes = Math.floor((maxFileBytes - HEADER_BYTES) / (2 * channels)) * 2 * channels;
    this.failed = new Promise((resolve) => {
      this.#fail = resolve;
    });
    try {
      this.#file = new WavFile(path, channels);
    } catch (cause) {
      throw new InputError("FILE_UNWRITABLE", `The file ${path} cannot be written: ${whyUnusable(cause)}.`, { cause });
    }
  }

  /** Whether it writes into a pipe that nothing has read so far; it waits for a reader. */
  get isUnread(): boolean {
    return this.#file.isUnread;
  }

  /** Bytes dropped because the disk was too slow. */
  get droppedBytes(): number {
    return this.#droppedBytes;
  }

  write(samples: readonly Float32Array[]): void {
    if (this.#closed || this.#failure) return;
    const bytes = interleave(samples, this.#channels, "s16le");
    if (this.#waitingBytes > MAX_BACKLOG_BYTES) {
      this.#droppedBytes += bytes.length;
      return;
    }
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (this.#waitingBytes >= BLOCK_BYTES) void this.#flush();
  }

  /**
   * Rejects with an `UnsayError` (`FILE_UNWRITABLE`, `PIPE_CLOSED`) when the file could not be written to its end, or is a
   * pipe that nothing has read.
   */
  close(): Promise<void> {
    this.#closed ??= this.#finish();
    return this.#closed;
  }

  #flush(): Promise<void> {
    this.#writing ??= this.#drain()
      .catch((cause: unknown) => this.#failed(cause))
      .finally(() => {
        this.#writing = undefined;
      });
    return this.#writing;
  }

  #failed(cause: unknown): void {
    this.#failure = failureOf(this.#file.path, cause);
    this.#fail(this.#failure);
  }

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      const block = Buffer.concat(this.#waiting.splice(0));
      for (let rest = block; rest.length > 0; ) {
        if (this.#file.seekable && this.#file.dataBytes >= this.#maxDataBytes) await this.#next();
        const room = this.#file.seekable ? this.#maxDataBytes - this.#file.dataBytes : rest.length;
        const written = await this.#file.append(rest.subarray(0, room));
        if (written < Math.min(room, rest.length)) {
          this.#droppedBytes += rest.length - written;
          break;
        }
        rest = rest.subarray(room);
      }
      this.#waitingBytes -= block.length;
    }
  }

  async #next(): Promise<void> {
    const { dir, name, ext } = parse(this.path);
    const next = new WavFile(`${dir && `${dir}/`}${name}-${++this.#files}${ext}`, this.#channels);
    await this.#file.close();
    this.#file = next;
  }

  async #finish(): Promise<void> {
    this.#file.finish();
    await this.#writing;
    if (!this.#failure) await this.#flush();
    if (!this.#failure) await this.#file.assertThere().catch((cause) => this.#failed(cause));
    if (this.#file.isUnread)
      this.#failure ??= new UnsayError("FILE_UNWRITABLE", `Nothing reads the pipe ${this.path}: nothing was written.`);
    await this.#file.close();
    if (this.#failure) throw this.#failure;
  }
}

function failureOf(path: string, cause: unknown): UnsayError {
  if ((cause as NodeJS.ErrnoException).code === "EPIPE")
    return new UnsayError("PIPE_CLOSED", `The reader of the pipe ${path} has left.`, { cause });
  return new UnsayError("FILE_UNWRITABLE", `The file ${path} takes no more: ${whyUnusable(cause)}.`, { cause });
}

/** One WAV file that is valid after every {@link append}. */
class WavFile {
  readonly path: string;
  /** False for a pipe or a device, whose header is written once and for all. */
  readonly seekable: boolean;
  readonly #channels: number;
  /** Undefined for a pipe that has no reader yet. */
  #descriptor: number | undefined;
  #dataBytes = 0;
  /** Whether the file has a name, which some file systems do not count. */
  readonly #isNamed: boolean;
  #isOurs = true;
  #giveUpAt = Number.POSITIVE_INFINITY;

  constructor(path: string, channels: number) {
    this.path = path;
    this.#channels = channels;
    const stats = statSync(path, { throwIfNoEntry: false });
    this.seekable = stats?.isFile() ?? true;
    if (stats?.isFIFO()) this.#openPipe();
    // A device may block as a pipe does.
    else this.#descriptor = openWith(path, this.seekable ? "w" : WRITE, this.#header(0));
    this.#isNamed = this.#descriptor !== undefined && fstatSync(this.#descriptor).nlink > 0;
  }

  get dataBytes(): number {
    return this.#dataBytes;
  }

  /** Whether it is a pipe that has had no reader so far. */
  get isUnread(): boolean {
    return this.#descriptor === undefined;
  }

  /** Appends bytes, and returns how many of them: all, but for a pipe that is full at the end. */
  async append(bytes: Uint8Array): Promise<number> {
    await this.assertThere();
    const written = await this.#put(bytes, this.seekable ? HEADER_BYTES + this.#dataBytes : undefined);
    this.#dataBytes += written;
    if (this.seekable) await this.#put(this.#header(this.#dataBytes), 0);
    return written;
  }

  /** Throws once the file was removed or replaced, which loses all of it, or overwritten by another program. */
  async assertThere(): Promise<void> {
    if (!this.seekable || this.#descriptor === undefined) return;
    const { nlink, size } = await statAsync(this.#descriptor);
    if (this.#isNamed && nlink === 0) throw new Error("it was removed or replaced");
    this.#isOurs = size >= HEADER_BYTES + this.#dataBytes;
    if (!this.#isOurs) throw new Error("another program has shortened it");
  }

  /** Waits for the reader of a full pipe no longer than {@link LAST_MS} from now on. */
  finish(): void {
    this.#giveUpAt = performance.now() + LAST_MS;
  }

  async close(): Promise<void> {
    if (this.#descriptor === undefined) return;
    // A full disk may have taken a part of the last block.
    if (this.seekable && this.#isOurs)
      await truncateAsync(this.#descriptor, HEADER_BYTES + this.#dataBytes).catch(() => {});
    closeSync(this.#descriptor);
  }

  async #put(bytes: Uint8Array, position: number | undefined): Promise<number> {
    for (let done = 0; done < bytes.length; ) {
      const written = await this.#write(bytes.subarray(done), position === undefined ? null : position + done);
      done += written;
      if (written > 0) continue;
      if (performance.now() > this.#giveUpAt) return done;
      await sleep(POLL_MS);
    }
    return bytes.length;
  }

  /** Writes what fits: nothing into a pipe that is full or has no reader yet. */
  async #write(bytes: Uint8Array, position: number | null): Promise<number> {
    if (this.#descriptor === undefined) this.#openPipe();
    if (this.#descriptor === undefined) return 0;
    try {
      return (await writeAsync(this.#descriptor, bytes, 0, bytes.length, position)).bytesWritten;
    } catch (error) {
      if (codeOf(error) === "EAGAIN") return 0;
      throw error;
    }
  }

  /** A pipe opens for writing once it has a reader; that of another writer may be full. */
  #openPipe(): void {
    try {
      this.#descriptor = openWith(this.path, WRITE, this.#header(0));
    } catch (error) {
      if (codeOf(error) !== "ENXIO" && codeOf(error) !== "EAGAIN") throw error;
    }
  }

  #header(dataBytes: number): Buffer {
    return wavHeader(this.seekable ? dataBytes : 0xffff_ffff - HEADER_BYTES, this.#channels);
  }
}

/** Opens a file and writes its header, or leaves it closed. */
function openWith(path: string, mode: number | string, header: Buffer): number {
  const descriptor = openSync(path, mode);
  try {
    writeSync(descriptor, header);
    return descriptor;
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

/** The RIFF header for 16-bit PCM; a length near 2^32 means unknown, as streaming writers do it. */
function wavHeader(dataBytes: number, channels: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.write("RIFF", 0, "latin1");
  header.writeUInt32LE(Math.min(dataBytes + HEADER_BYTES - 8, 0xffff_ffff), 4);
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
