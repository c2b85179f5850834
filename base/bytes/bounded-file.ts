import { closeSync, openSync, readSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";

const CHUNK_BYTES = 64 * 1024;

/**
 * Reads a whole file, or throws once it has more than that many bytes: a device such as /dev/zero has no end, and a
 * program that reads one says nothing until memory runs out.
 */
export function readBoundedFile(path: string, maxBytes: number): Buffer {
  const file = openSync(path, "r");
  try {
    const pieces: Buffer[] = [];
    for (let total = 0; ; ) {
      const piece = Buffer.allocUnsafe(CHUNK_BYTES);
      const bytes = readSync(file, piece);
      if (bytes === 0) return Buffer.concat(pieces);
      total += bytes;
      if (total > maxBytes) throw tooLong(maxBytes);
      pieces.push(piece.subarray(0, bytes));
    }
  } finally {
    closeSync(file);
  }
}

/** The same for an open file, without blocking the process. */
export async function readBounded(file: FileHandle, maxBytes: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let total = 0;
  for await (const piece of file.createReadStream({ autoClose: false, end: maxBytes })) {
    pieces.push(piece);
    total += piece.length;
  }
  if (total > maxBytes) throw tooLong(maxBytes);
  return Buffer.concat(pieces);
}

function tooLong(maxBytes: number): Error {
  return new Error(`it has more than ${maxBytes} bytes`);
}
