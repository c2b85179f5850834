import { constants, openSync } from "node:fs";
import { type FileHandle, open, realpath, stat } from "node:fs/promises";
import { Socket } from "node:net";
import { Readable } from "node:stream";
import { whyUnusable } from "../../base/bytes/bounded-file.js";
import { InputError, sleep } from "../../base/index.js";

/** Bytes of a file or pipe that can be read again from the start: a file always, a pipe as far as it was kept. */
export interface ByteInput {
  /** Total bytes; undefined for a pipe, whose length shows only at its end. */
  readonly size: number | undefined;
  /** A path where another process can read the same bytes; undefined for a pipe, which has a single reader. */
  readonly path: string | undefined;
  /** Whether the bytes can be read again. */
  readonly repeatable: boolean;
  /** The bytes from the start. One read at a time. */
  read(): AsyncGenerator<Uint8Array, void, undefined>;
  /** Closes the file or pipe, even while a read waits for bytes; idempotent. */
  close(): Promise<void>;
}

/** A file as messages name it. */
interface NamedFile {
  readonly kind: "audio" | "video";
  readonly path: string;
}

/** Bytes kept of a pipe to play it again: 5.8 minutes of 16-bit stereo at 48 kHz. */
const MAX_KEPT_BYTES = 64 * 1024 * 1024;
/** Bytes read at once, and decoded at once, however long a chunk of a stream is: that blocks no other work. */
const CHUNK_BYTES = 32 * 1024;
/** Paths of the process's own standard input. */
const STANDARD_INPUT = new Set(["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"]);

/**
 * Opens a file, a named pipe, or a path such as `/dev/stdin` or `/dev/fd/63`. Opening and reading a pipe blocks no
 * thread, so one without a writer delays nothing else.
 *
 * @param options `kind` is for messages; `keep`: a pipe keeps its first 64 MiB, to be read again.
 * @throws InputError `FILE_NOT_FOUND` or `FILE_UNREADABLE`.
 */
export async function openPath(
  path: string,
  { kind, keep }: Pick<NamedFile, "kind"> & { readonly keep: boolean },
): Promise<ByteInput> {
  const named: NamedFile = { kind, path };
  try {
    const stats = await stat(path);
    if (stats.isFIFO()) return new PipeInput(openPipe(path), keep);
    const file = await open(path);
    if (stats.isDirectory()) {
      await file.close();
      throw new Error("it is a directory");
    }
    if (!stats.isFile()) return new FileInput(file, named, {});
    // Another process's /dev/stdin is not ours; a deleted file has no path.
    return new FileInput(file, named, { size: stats.size, path: await realpath(path).catch(() => undefined) });
  } catch (cause) {
    const code = codeOf(cause);
    // A child process's standard input may be a socket, which opens only once, or belong to another user.
    if (STANDARD_INPUT.has(path) && (code === "ENXIO" || code === "EACCES")) return new PipeInput(process.stdin, keep);
    if (code === "ENOENT")
      throw new InputError("FILE_NOT_FOUND", `The ${kind} file ${path} does not exist.`, { cause });
    throw unreadable(named, cause);
  }
}

/** Bytes of an open stream such as `process.stdin`; `keep` as in {@link openPath}. */
export function openStream(stream: AsyncIterable<Uint8Array>, keep: boolean): ByteInput {
  return new PipeInput(stream, keep);
}

/** Pause after an empty chunk, so that a source or stream of them alone stops no other work of the process. */
const EMPTY_MS = 1;

/** Waits a moment after a chunk without any audio. */
export async function pauseIfEmpty({ length }: { readonly length: number }): Promise<void> {
  if (length === 0) await sleep(EMPTY_MS);
}

/** A regular file, or a device, which has no size and delivers its bytes once. */
class FileInput implements ByteInput {
  readonly size: number | undefined;
  readonly path: string | undefined;
  readonly #file: FileHandle;
  readonly #named: NamedFile;
  #closed = false;

  constructor(file: FileHandle, named: NamedFile, { size, path }: Partial<Pick<ByteInput, "size" | "path">>) {
    this.#file = file;
    this.#named = named;
    this.size = size;
    this.path = path;
  }

  get repeatable(): boolean {
    return this.size !== undefined;
  }

  async *read(): AsyncGenerator<Uint8Array, void, undefined> {
    for (let position = 0; !this.#closed; ) {
      const buffer = new Uint8Array(CHUNK_BYTES);
      const at = this.repeatable ? position : null;
      const { bytesRead } = await this.#file.read(buffer, 0, CHUNK_BYTES, at).catch((cause: unknown) => {
        throw unreadable(this.#named, cause);
      });
      if (bytesRead === 0) return;
      position += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#file.close();
  }
}

/** A pipe, socket or stream, read once; its kept bytes can be read again. */
class PipeInput implements ByteInput {
  readonly size = undefined;
  readonly path = undefined;
  readonly #stream: AsyncIterable<Uint8Array>;
  #kept: Uint8Array[] | undefined;
  #keptBytes = 0;
  #begun = false;
  #reading: AsyncIterator<Uint8Array> | undefined;
  #closed = false;

  constructor(stream: AsyncIterable<Uint8Array>, keep: boolean) {
    this.#stream = stream;
    this.#kept = keep ? [] : undefined;
  }

  get repeatable(): boolean {
    return this.#kept !== undefined;
  }

  async *read(): AsyncGenerator<Uint8Array, void, undefined> {
    if (this.#begun) {
      for (const chunk of this.#kept ?? []) yield* inChunks(chunk);
      return;
    }
    this.#begun = true;
    const reading = this.#stream[Symbol.asyncIterator]();
    this.#reading = reading;
    while (!this.#closed) {
      const next = await reading.next().catch((error: unknown) => {
        // Closing the stream fails a pending read.
        if (this.#closed) return { done: true, value: undefined } as const;
        throw error;
      });
      if (next.done === true) return;
      this.#keep(next.value);
      await pauseIfEmpty(next.value);
      yield* inChunks(next.value);
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#kept = undefined;
    if (this.#stream instanceof Readable) this.#stream.destroy();
    // A generator that waits for input answers return() only once that input comes: don't wait for it.
    else this.#reading?.return?.().catch(() => {});
  }

  #keep(chunk: Uint8Array): void {
    this.#keptBytes += chunk.length;
    if (this.#keptBytes > MAX_KEPT_BYTES) this.#kept = undefined;
    this.#kept?.push(chunk);
  }
}

function* inChunks(bytes: Uint8Array): Generator<Uint8Array, void, undefined> {
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) yield bytes.subarray(at, at + CHUNK_BYTES);
}

// O_NONBLOCK: a blocking open would occupy one of libuv's four threads until a writer comes. A socket polls instead.
function openPipe(path: string): Socket {
  return new Socket({ fd: openSync(path, constants.O_RDONLY | constants.O_NONBLOCK), readable: true, writable: false });
}

function unreadable({ kind, path }: NamedFile, cause: unknown): InputError {
  return new InputError("FILE_UNREADABLE", `The ${kind} file ${path} can't be read: ${whyUnusable(cause)}.`, {
    cause,
  });
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error ? String(error.code) : undefined;
}
