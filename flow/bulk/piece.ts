import { z } from "zod";
import { type Microseconds, ProtocolError } from "../../base/index.js";
import type { OperationName } from "../control/operation.js";

/** Operations that may carry a payload. */
export const BULK_OPERATIONS: readonly OperationName[] = ["noise_profile", "model", "write_audio"];
/** Payloads in transfer to one publisher at once. */
export const MAX_BULK_TRANSFERS = 4;
/** Largest payload, in bytes. */
export const MAX_PAYLOAD_BYTES = 67_108_864;
/** Payloads are cut at multiples of this, in bytes: a millisecond and a half of a link of 5 Mbit/s. */
export const BULK_UNIT_BYTES = 1024;
/** Maximum units in one piece: 16 KiB. */
export const MAX_PIECE_UNITS = 16;
/** How far beyond the first missing unit pieces may lie, in units: 4 MiB. */
export const BULK_HORIZON_UNITS = 4096;
/** Maximum ranges in one acknowledgement. */
export const MAX_ACK_RANGES = 32;

// First unit u32, time of sending f64; most significant byte first.
const HEAD_BYTES = 12;

/** Consecutive units of a payload on the wire: one group of one frame. */
export interface BulkPiece {
  readonly firstUnit: number;
  /** When it was sent, on the sender's clock. */
  readonly sentAt: Microseconds;
  readonly bytes: Uint8Array;
}

/** A receiver's acknowledgement: it lists everything received, so that a lost one does no harm. */
export interface BulkAck {
  /** Every unit below has arrived. */
  readonly next: number;
  /** Later units that have arrived: start inclusive, end exclusive. */
  readonly ranges: readonly (readonly [number, number])[];
  /** `sentAt` of the last piece received. */
  readonly sentAt: number;
  /** Its age, in microseconds. */
  readonly held: number;
  /**
   * Smallest difference of arrival and `sentAt` since the last acknowledgement; between two clocks, so only its changes
   * mean anything.
   */
  readonly delay: number;
}

/** Encodes a piece. */
export function encodePiece({ firstUnit, sentAt, bytes }: BulkPiece): Uint8Array {
  const piece = new Uint8Array(HEAD_BYTES + bytes.length);
  const view = new DataView(piece.buffer);
  view.setUint32(0, firstUnit);
  view.setFloat64(4, sentAt);
  piece.set(bytes, HEAD_BYTES);
  return piece;
}

/**
 * Decodes a piece.
 *
 * @throws ProtocolError `BULK_PIECE` on one that no sender makes.
 */
export function decodePiece(piece: Uint8Array): BulkPiece {
  if (piece.length <= HEAD_BYTES || piece.length > HEAD_BYTES + MAX_PIECE_UNITS * BULK_UNIT_BYTES)
    throw new ProtocolError("BULK_PIECE", `A piece of a payload may not have ${piece.length} bytes.`);
  const view = new DataView(piece.buffer, piece.byteOffset, piece.length);
  const sentAt = view.getFloat64(4);
  if (!Number.isSafeInteger(sentAt)) throw new ProtocolError("BULK_PIECE", "The sentAt of a piece is not valid.");
  return { firstUnit: view.getUint32(0), sentAt: sentAt as Microseconds, bytes: piece.subarray(HEAD_BYTES) };
}

// Built in functions marked pure, so that a browser bundle without a controller omits zod.
function buildPayloadSchema() {
  return z.strictObject({
    bytes: z
      .number()
      .int()
      .min(1)
      .max(2 ** 40),
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
  });
}

function buildAckSchema() {
  const unit = z
    .number()
    .int()
    .min(0)
    .max(2 ** 32);
  const time = z.number().int();
  return z.object({
    next: unit,
    ranges: z.array(z.tuple([unit, unit])).max(MAX_ACK_RANGES),
    sentAt: time,
    held: time.min(0),
    delay: time,
  });
}

/** Validates the payload's head in an operation; the receiver limits its length. */
export const payloadSchema = /* @__PURE__ */ buildPayloadSchema();
/** Validates an acknowledgement. */
export const bulkAckSchema = /* @__PURE__ */ buildAckSchema();
/** The payload's head in an operation: its length, and its SHA-256 in lower-case hex. */
export type PayloadHead = Readonly<z.infer<typeof payloadSchema>>;
