import type { CongestionLevel } from "../congestion/delay-based-estimator.js";
import type { SkipCounters } from "../congestion/skip-policy.js";
import { flagged, header, Kind, MAX_ID, open, type ReportErrorCode, saturated, word } from "./record.js";
import { MAX_REPORT_BYTES } from "./report.js";

const LEVELS: readonly CongestionLevel[] = ["full", "reduced", "low"];

/**
 * A relay's answer to a listener's report, or to an edge's aggregate, once a second. It shows that reports are read,
 * and carries numbers of a listener's delivery that only the relay has.
 */
export interface Receipt {
  /** {@link broadcastHash} of the broadcast's path. */
  readonly broadcast: number;
  /** The player's random session id; 0 in an answer to an edge's aggregate. */
  readonly session: number;
  /** The answered report or aggregate. */
  readonly reportId: number;
  /** The listener's current service. */
  readonly level: CongestionLevel;
  /** How much longer than the quickest recent one the report took, in milliseconds, saturating at 2^21 - 1. */
  readonly stalenessMs: number;
  /** Queueing delay on the way to the listener, in milliseconds, saturating at 2^21 - 1. */
  readonly queueingMs: number;
  /** Bytes in flight to the listener, saturating at 2^28 - 1. */
  readonly inFlightBytes: number;
  /** Maximum bytes in flight, saturating at 2^28 - 1. */
  readonly windowBytes: number;
  /** Groups that the relay did not send to it, saturating at 2^28 - 1 each. */
  readonly skips: SkipCounters;
}

/** Result of {@link decodeReceipt}. */
export type DecodedReceipt =
  | { readonly ok: true; readonly receipt: Receipt }
  | { readonly ok: false; readonly code: ReportErrorCode };

/** Encodes a receipt; clamps numbers out of range, so it never throws. */
export function encodeReceipt(receipt: Receipt): Uint8Array {
  const writer = header(receipt.reportId, 0, Kind.RECEIPT);
  writer.byte(flagged(Math.max(0, LEVELS.indexOf(receipt.level))));
  writer.uint32(word(receipt.broadcast));
  writer.uint32(word(receipt.session));
  writer.compact(saturated(receipt.stalenessMs, 21));
  writer.compact(saturated(receipt.queueingMs, 21));
  writer.compact(saturated(receipt.inFlightBytes, 28));
  writer.compact(saturated(receipt.windowBytes, 28));
  const { window, age, passed, stale, overflow } = receipt.skips;
  for (const skips of [window, age, passed, stale, overflow]) writer.compact(saturated(skips, 28));
  return writer.finish();
}

/** Decodes a receipt; never throws, whatever the bytes. */
export function decodeReceipt(bytes: Uint8Array): DecodedReceipt {
  const opened = open(bytes, Kind.RECEIPT, MAX_REPORT_BYTES);
  if (typeof opened === "string") return { ok: false, code: opened };
  const { reader, id, flags } = opened;
  const broadcast = reader.uint32();
  const session = reader.uint32();
  const [stalenessMs, queueingMs] = [reader.compact(), reader.compact()];
  const [inFlightBytes, windowBytes] = [reader.compact(), reader.compact()];
  const [window, age, passed] = [reader.compact(), reader.compact(), reader.compact()];
  const [stale, overflow] = [reader.compact(), reader.compact()];
  if (reader.failed) return { ok: false, code: "TRUNCATED" };
  const level = LEVELS[flags];
  const counters = [inFlightBytes, windowBytes, window, age, passed, stale, overflow];
  const valid =
    reader.remaining === 0 &&
    level !== undefined &&
    id < MAX_ID &&
    stalenessMs < 2 ** 21 &&
    queueingMs < 2 ** 21 &&
    counters.every((count) => count < 2 ** 28);
  if (!valid) return { ok: false, code: "OUT_OF_RANGE" };
  const skips = Object.freeze({ window, age, passed, stale, overflow });
  return {
    ok: true,
    receipt: Object.freeze({
      broadcast,
      session,
      reportId: id,
      level,
      stalenessMs,
      queueingMs,
      inFlightBytes,
      windowBytes,
      skips,
    }),
  };
}
