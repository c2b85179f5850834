import { fromSeconds, type Microseconds, ProtocolError } from "../base/index.js";
import type { OperationName } from "./operation.js";

/** The type byte of each operation that brings a payload on a stream of its own. */
export const BULK_TYPES = { noise_profile: 1, model: 2, write_audio: 3 } as const satisfies Partial<
  Record<OperationName, number>
>;

/** An operation that brings a payload. */
export type BulkOperation = keyof typeof BULK_TYPES;

/** Largest piece written at once, in bytes, so that other streams get their turn. */
export const BULK_PIECE_BYTES = 262_144;
/** Bulk streams at once per session. */
export const MAX_BULK_STREAMS = 4;

const MAX_HEADER_BYTES = 16_384;
const MAX_PAYLOAD_BYTES = 67_108_864;
const IDLE_TIMEOUT = fromSeconds(10);
const PREFIX_BYTES = 5;

/** A whole payload with its header. */
export interface BulkMessage {
  readonly op: BulkOperation;
  /** The operation as JSON, not validated yet. */
  readonly header: unknown;
  readonly payload: Uint8Array;
}

/**
 * Cuts a message into the pieces to write, each when the stream has taken the one before:
 * `[type u8][header length u32][JSON header][payload length u32][payload]`, lengths most significant byte first.
 * Throws a `ProtocolError` (`BULK_TOO_LARGE`) when header or payload is over its cap.
 */
export function* encodeBulk({ op, header, payload }: BulkMessage): Generator<Uint8Array, void, undefined> {
  const json = new TextEncoder().encode(JSON.stringify(header));
  checkLength("header", json.length, MAX_HEADER_BYTES);
  checkLength("payload", payload.length, MAX_PAYLOAD_BYTES);
  const head = new Uint8Array(PREFIX_BYTES + json.length + 4);
  const view = new DataView(head.buffer);
  view.setUint8(0, BULK_TYPES[op]);
  view.setUint32(1, json.length);
  head.set(json, PREFIX_BYTES);
  view.setUint32(PREFIX_BYTES + json.length, payload.length);
  yield head;
  for (let offset = 0; offset < payload.length; offset += BULK_PIECE_BYTES)
    yield payload.subarray(offset, offset + BULK_PIECE_BYTES);
}

/** Options for {@link BulkDecoder}. */
export interface BulkDecoderOptions {
  /** When the stream was accepted. */
  readonly now: Microseconds;
  /** Largest declared header, in bytes. Default 16 KiB. */
  readonly maxHeaderBytes?: number;
  /** Largest declared payload, in bytes. Default 64 MiB. */
  readonly maxPayloadBytes?: number;
  /** Longest silence of an unfinished stream. Default 10 s. */
  readonly idleTimeout?: Microseconds;
}

/**
 * Reads one bulk stream however it is cut. It holds at most twice what really arrived, so a declared length costs nothing.
 * Once it has thrown it must not be used again.
 */
export class BulkDecoder {
  readonly #maxHeaderBytes: number;
  readonly #maxPayloadBytes: number;
  readonly #idleTimeout: Microseconds;
  // The bytes of the part being read: prefix, header with the payload's length, payload.
  #buffer = new Uint8Array(PREFIX_BYTES);
  #held = 0;
  #wanted = PREFIX_BYTES;
  #part: "prefix" | "header" | "payload" | "done" = "prefix";
  #op: BulkOperation | undefined;
  #header: unknown;
  #payload: Uint8Array | undefined;
  #lastByte: Microseconds;

  constructor(options: BulkDecoderOptions) {
    const { now, maxHeaderBytes = MAX_HEADER_BYTES, maxPayloadBytes = MAX_PAYLOAD_BYTES } = options;
    this.#lastByte = now;
    this.#maxHeaderBytes = maxHeaderBytes;
    this.#maxPayloadBytes = maxPayloadBytes;
    this.#idleTimeout = options.idleTimeout ?? IDLE_TIMEOUT;
  }

  /** The operation, once its type byte arrived. */
  get op(): BulkOperation | undefined {
    return this.#op;
  }

  /** The JSON header, once it arrived; not validated. */
  get header(): unknown {
    return this.#header;
  }

  /** When to give up if no byte arrives. */
  get deadline(): Microseconds {
    return (this.#lastByte + this.#idleTimeout) as Microseconds;
  }

  /**
   * Takes bytes as they come; answers the message once it is whole. Throws a `ProtocolError`: `BULK_TYPE`,
   * `BULK_TOO_LARGE`, `BULK_HEADER`, or `BULK_TRAILING` for bytes after the end.
   */
  push(bytes: Uint8Array, now: Microseconds): BulkMessage | undefined {
    if (bytes.length > 0) this.#lastByte = now;
    let rest = bytes;
    while (this.#part !== "done") {
      const piece = rest.subarray(0, this.#wanted - this.#held);
      this.#append(piece);
      rest = rest.subarray(piece.length);
      if (this.#held < this.#wanted) return undefined;
      this.#finishPart();
    }
    if (rest.length > 0) throw new ProtocolError("BULK_TRAILING", "The bulk stream goes on after its payload.");
    return { op: this.#op!, header: this.#header, payload: this.#payload! };
  }

  /** Call when the stream ended: throws a `ProtocolError` (`BULK_TRUNCATED`) unless the message is whole. */
  finish(): void {
    if (this.#part !== "done")
      throw new ProtocolError("BULK_TRUNCATED", `The bulk stream ended within its ${this.#part}.`);
  }

  /** Call at the deadline: throws a `ProtocolError` (`BULK_IDLE`) when nothing has arrived for too long. */
  checkIdle(now: Microseconds): void {
    if (this.#part !== "done" && now >= this.deadline)
      throw new ProtocolError("BULK_IDLE", `The bulk stream was silent for ${this.#idleTimeout / 1e6} s.`);
  }

  #append(piece: Uint8Array): void {
    const needed = this.#held + piece.length;
    if (needed > this.#buffer.length) {
      const grown = new Uint8Array(Math.min(Math.max(needed, this.#buffer.length * 2), this.#wanted));
      grown.set(this.#buffer.subarray(0, this.#held));
      this.#buffer = grown;
    }
    this.#buffer.set(piece, this.#held);
    this.#held = needed;
  }

  #finishPart(): void {
    const part = this.#buffer.subarray(0, this.#held);
    const view = new DataView(part.buffer, part.byteOffset, part.length);
    this.#buffer = new Uint8Array(0);
    this.#held = 0;
    if (this.#part === "prefix") {
      const type = view.getUint8(0);
      const found = Object.entries(BULK_TYPES).find(([, value]) => value === type);
      if (found === undefined) throw new ProtocolError("BULK_TYPE", `The bulk stream has the unknown type ${type}.`);
      this.#op = found[0] as BulkOperation;
      const headerBytes = view.getUint32(1);
      checkLength("header", headerBytes, this.#maxHeaderBytes);
      this.#wanted = headerBytes + 4;
      this.#part = "header";
    } else if (this.#part === "header") {
      const payloadBytes = view.getUint32(part.length - 4);
      checkLength("payload", payloadBytes, this.#maxPayloadBytes);
      this.#header = parseHeader(part.subarray(0, -4));
      this.#wanted = payloadBytes;
      this.#part = "payload";
    } else {
      this.#payload = part;
      this.#part = "done";
    }
  }
}

/** Counts the bulk streams of one session, so that a peer cannot open more than it may. */
export class BulkSlots {
  readonly #max: number;
  #used = 0;
  #refused = 0;

  constructor(max: number = MAX_BULK_STREAMS) {
    this.#max = max;
  }

  /** Streams refused so far. */
  get refused(): number {
    return this.#refused;
  }

  /** Takes a slot; false, and counted, when all are taken. */
  take(): boolean {
    if (this.#used < this.#max) {
      this.#used++;
      return true;
    }
    this.#refused++;
    return false;
  }

  /** Gives a slot back. */
  release(): void {
    this.#used = Math.max(0, this.#used - 1);
  }
}

function checkLength(part: "header" | "payload", bytes: number, max: number): void {
  if (bytes > max)
    throw new ProtocolError("BULK_TOO_LARGE", `The bulk ${part} may have ${max} bytes at most, but declares ${bytes}.`);
}

function parseHeader(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new ProtocolError("BULK_HEADER", "The bulk header is not valid JSON.", { cause: error });
  }
}
