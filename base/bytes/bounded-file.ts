import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from "node:fs";
import { open } from "node:fs/promises";
import { getSystemErrorMap } from "node:util";

const CHUNK_BYTES = 64 * 1024;
/** How long a pipe may take until something is written into it, and until its writer has ended. */
const FIRST_BYTE_MS = 2000;
const LAST_BYTE_MS = 30_000;
const POLL_MS = 10;
/** A plain open of a pipe blocks its thread until a writer comes. */
const READ = constants.O_RDONLY | constants.O_NONBLOCK;

/**
 * Reads a whole file. Throws once it has more than that many bytes, or is a pipe that delivers nothing: a program that
 * reads a device without an end, or waits for a writer that never comes, reports nothing.
 */
export function readBoundedFile(path: string, maxBytes: number): Buffer {
  const file = openSync(path, READ);
  try {
    const reading = new BoundedReading(maxBytes, fstatSync(file));
    for (;;) {
      const piece = Buffer.allocUnsafe(CHUNK_BYTES);
      const next = reading.take(piece, readAvailable(file, piece));
      if (next === "end") return reading.bytes();
      if (next === "wait") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, POLL_MS);
    }
  } finally {
    closeSync(file);
  }
}

/**
 * The same without blocking the process.
 *
 * @param check examines the open file, whatever the path leads to by now.
 */
export async function readBounded(path: string, maxBytes: number, check?: (stats: Stats) => void): Promise<Buffer> {
  const file = await open(path, READ);
  try {
    const stats = await file.stat();
    check?.(stats);
    const reading = new BoundedReading(maxBytes, stats);
    for (;;) {
      const piece = Buffer.allocUnsafe(CHUNK_BYTES);
      const read = await file.read(piece).catch((error: unknown) => {
        if (codeOf(error) === "EAGAIN") return undefined;
        throw error;
      });
      const next = reading.take(piece, read?.bytesRead);
      if (next === "end") return reading.bytes();
      if (next === "wait") await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  } finally {
    await file.close();
  }
}

/** Why a file or a port can't be used, as the end of a sentence that names it. */
export function whyUnusable(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const code = codeOf(cause);
  if (code === "EISDIR") return "it is a directory";
  if (code === "ENXIO") return "it is a socket, or a device that is not there";
  if (code === "ERR_INVALID_ARG_VALUE") return "its name has a null byte";
  // Node's message has the system's code before these words, and the call, the path or the address behind.
  const errno = "errno" in cause ? Number(cause.errno) : Number.NaN;
  return getSystemErrorMap().get(errno)?.[1] ?? cause.message;
}

/** The bytes of a file as they come, and what its reader does next. */
class BoundedReading {
  readonly #maxBytes: number;
  readonly #isPipe: boolean;
  readonly #startedAt = performance.now();
  readonly #pieces: Buffer[] = [];
  #total = 0;

  constructor(maxBytes: number, stats: Stats) {
    this.#maxBytes = maxBytes;
    this.#isPipe = stats.isFIFO();
  }

  /** Takes one read's bytes: 0 at the end or without a writer, undefined where a writer has nothing yet. */
  take(piece: Buffer, bytes: number | undefined): "more" | "wait" | "end" {
    if (bytes !== undefined && bytes > 0) {
      this.#total += bytes;
      if (this.#total > this.#maxBytes) throw new Error(`it has more than ${this.#maxBytes} bytes`);
      this.#pieces.push(piece.subarray(0, bytes));
      return "more";
    }
    if (bytes === 0 && (!this.#isPipe || this.#total > 0)) return "end";
    const waitedMs = performance.now() - this.#startedAt;
    if (bytes === 0 && waitedMs > FIRST_BYTE_MS) throw new Error("it is a pipe that nothing is written into");
    if (waitedMs > LAST_BYTE_MS) throw new Error("it is a pipe whose writer does not end");
    return "wait";
  }

  bytes(): Buffer {
    return Buffer.concat(this.#pieces);
  }
}

/** The bytes of a read; undefined where it would have to wait. */
function readAvailable(file: number, piece: Buffer): number | undefined {
  try {
    return readSync(file, piece);
  } catch (error) {
    if (codeOf(error) === "EAGAIN") return undefined;
    throw error;
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}
