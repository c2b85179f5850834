import { MediaError, type Microseconds, microseconds } from "../base/index.js";

/** One encoded audio or video frame within a group. */
export interface Frame {
  /** Presentation time in microseconds since the broadcast's start. */
  readonly timestamp: Microseconds;
  /** The codec's bytes. */
  readonly payload: Uint8Array;
  /**
   * Whether the frame can be decoded without an earlier one: every Opus packet, but only a group's first video frame.
   */
  readonly keyframe: boolean;
}

/**
 * Encodes a frame for the hang `legacy` container: the timestamp as a QUIC variable-length integer (RFC 9000,
 * section 16), then the codec's bytes.
 *
 * @throws MediaError `INVALID_TIMESTAMP` when the timestamp is not a whole number from 0 to 2^53 - 1.
 */
export function encodeLegacyFrame(frame: Pick<Frame, "timestamp" | "payload">): Uint8Array {
  const { timestamp, payload } = frame;
  if (!Number.isSafeInteger(timestamp) || timestamp < 0) {
    throw new MediaError("INVALID_TIMESTAMP", `frame.timestamp must be a whole number from 0 on, not ${timestamp}.`);
  }
  const lengthClass = timestamp < 2 ** 6 ? 0 : timestamp < 2 ** 14 ? 1 : timestamp < 2 ** 30 ? 2 : 3;
  const headerBytes = 1 << lengthClass;
  const bytes = new Uint8Array(headerBytes + payload.byteLength);
  let rest: number = timestamp;
  for (let index = headerBytes - 1; index >= 0; index -= 1) {
    bytes[index] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  bytes[0] = bytes[0]! | (lengthClass << 6);
  bytes.set(payload, headerBytes);
  return bytes;
}

/**
 * Decodes a frame of the hang `legacy` container. The payload is a view into `bytes`, not a copy.
 *
 * @throws MediaError `TRUNCATED_FRAME` when the bytes end inside the timestamp, `INVALID_TIMESTAMP` when the timestamp
 *   is above 2^53 - 1.
 */
export function decodeLegacyFrame(bytes: Uint8Array, options: Pick<Frame, "keyframe">): Frame {
  const first = bytes[0];
  const headerBytes = first === undefined ? 1 : 1 << (first >> 6);
  if (first === undefined || bytes.byteLength < headerBytes) {
    throw new MediaError("TRUNCATED_FRAME", `A frame of ${bytes.byteLength} bytes ends inside its timestamp.`);
  }
  let timestamp = first & 0x3f;
  for (let index = 1; index < headerBytes; index += 1) timestamp = timestamp * 256 + bytes[index]!;
  if (!Number.isSafeInteger(timestamp)) {
    throw new MediaError("INVALID_TIMESTAMP", "The timestamp of a frame must not be above 2^53 - 1 microseconds.");
  }
  return { timestamp: microseconds(timestamp), payload: bytes.subarray(headerBytes), keyframe: options.keyframe };
}
