import { type Microseconds, microseconds } from "../../base/index.js";
import {
  distance,
  Flag,
  flagged,
  header,
  Kind,
  limited,
  MAX_ID,
  MAX_NUMBER,
  open,
  type ReportErrorCode,
  readLead,
  saturated,
  within,
  word,
  writeLead,
} from "./record.js";
import type { RecordWriter } from "./record-bytes.js";

/** Maximum bytes of a listener's report, including the MoQ datagram header. */
export const MAX_REPORT_BYTES = 64;
const MAX_BUFFERED = 2 ** 20;

/**
 * One listener's reception, playback and measurements; sent as a datagram ten times a second, and more often while a
 * path that loses delivers nothing.
 */
export interface Report {
  /** {@link broadcastHash} of the broadcast's path, so that a session with several broadcasts is unambiguous. */
  readonly broadcast: number;
  /** Random unsigned 32-bit id of this run of the player. */
  readonly session: number;
  /** Rises by one with every report of the session, under 2^30. */
  readonly reportId: number;
  /** The sender's monotonic clock at send, in whole milliseconds, under 2^35; 0 for a past moment, see {@link isPast}. */
  readonly clientTimeMs: number;
  /** Media time that is audible at `clientTimeMs`. */
  readonly playhead: Microseconds;
  /** False while paused or waiting, which freezes the playhead. */
  readonly playing: boolean;
  /** Number of rewinds the player has applied, saturating at 2^21 - 1. */
  readonly discontinuity: number;
  /** Media time from which the last rewind flushed; undefined before any rewind. */
  readonly from: Microseconds | undefined;
  /** How far the old timeline was really heard when the last rewind was applied. */
  readonly heardUntil: Microseconds | undefined;
  /** Bytes of media received since the session's start, saturating at 2^42 - 1. */
  readonly receivedBytes: number;
  /** Every group up to this one is received or lost; undefined before the first. */
  readonly receivedGroup: number | undefined;
  /** Smallest landing lead in the last 250 ms, at apply time; whole milliseconds on the wire, rounded towards late. */
  readonly worstLead: Microseconds | undefined;
  /** The group that had `worstLead`. */
  readonly worstLeadGroup: number | undefined;
  /**
   * Milliseconds ready to play. Negative where nothing is: the audio heard last ended that long before the playhead.
   * Whole ones on the wire, rounded up, saturating at -2^20 and 2^20 - 1.
   */
  readonly bufferedMs: number;
  /** Milliseconds of undenoised audio heard since the start, saturating at 16383. */
  readonly bleedMs: number;
  /** Milliseconds of stale audio heard since the start, saturating at 16383. */
  readonly staleMs: number;
}

/**
 * Whether a report is of the moment when audio began again: behind its playhead lies a stretch, as long as its
 * `bufferedMs` is negative, that the listener had no audio for. A relay that knows no such reports takes it as overtaken.
 */
export function isPast({ clientTimeMs, bufferedMs }: Pick<Report, "clientTimeMs" | "bufferedMs">): boolean {
  return clientTimeMs === 0 && bufferedMs < 0;
}

/** Result of {@link decodeReport}. */
export type DecodedReport =
  | { readonly ok: true; readonly report: Report }
  | { readonly ok: false; readonly code: ReportErrorCode };

/**
 * Encodes a report as a whole MoQ datagram body of at most {@link MAX_REPORT_BYTES}. Where large numbers would not fit,
 * it omits `from` and `heardUntil` first (they matter just after a rewind, when they are short), then the worst lead.
 * It clamps numbers out of range, so it never throws.
 */
export function encodeReport(report: Report): Uint8Array {
  const whole = encodeReportWith(report, true, true);
  if (whole.length <= MAX_REPORT_BYTES) return whole;
  const withoutRewind = encodeReportWith(report, false, true);
  if (withoutRewind.length <= MAX_REPORT_BYTES) return withoutRewind;
  return encodeReportWith(report, false, false);
}

function encodeReportWith(report: Report, withRewind: boolean, withLead: boolean): Uint8Array {
  const { from, heardUntil, worstLead, worstLeadGroup } = report;
  const group = report.receivedGroup === undefined ? undefined : limited(report.receivedGroup, MAX_NUMBER);
  const playhead = limited(report.playhead, MAX_NUMBER);
  const rewind = withRewind && from !== undefined && heardUntil !== undefined;
  const lead = withLead && worstLead !== undefined && worstLeadGroup !== undefined;
  const writer = header(report.reportId, playhead, Kind.REPORT);
  writer.byte(
    flagged(
      (report.playing ? Flag.PLAYING : 0) |
        (group === undefined ? 0 : Flag.RECEIVED) |
        (lead ? Flag.LEAD : 0) |
        (rewind ? Flag.REWIND : 0),
    ),
  );
  writer.uint32(word(report.broadcast));
  writer.uint32(word(report.session));
  writer.compact(saturated(report.clientTimeMs, 35));
  if (group !== undefined) writer.compact(group);
  writer.compact(saturated(report.receivedBytes, 42));
  writeBuffered(writer, report.bufferedMs);
  writer.compact(saturated(report.bleedMs, 14));
  writer.compact(saturated(report.staleMs, 14));
  writer.compact(saturated(report.discontinuity, 21));
  if (lead) writeLead(writer, worstLead, worstLeadGroup, group);
  if (rewind) {
    const start = distance(limited(from, MAX_NUMBER), playhead);
    writer.signed(start);
    writer.signed(distance(limited(heardUntil, MAX_NUMBER), playhead + start));
  }
  return writer.finish();
}

// In 21 bits, negative ones as their complement: a relay that knows no sign reads that half an hour is ready.
function writeBuffered(writer: RecordWriter, bufferedMs: number): void {
  const limit = Math.min(Math.max(Math.ceil(bufferedMs) || 0, -MAX_BUFFERED), MAX_BUFFERED - 1);
  writer.compact(limit < 0 ? limit + 2 * MAX_BUFFERED : limit);
}

/** Decodes a report; never throws, whatever the bytes. */
export function decodeReport(bytes: Uint8Array): DecodedReport {
  const opened = open(bytes, Kind.REPORT, MAX_REPORT_BYTES);
  if (typeof opened === "string") return { ok: false, code: opened };
  const { reader, id, timestamp: playhead, flags } = opened;
  const broadcast = reader.uint32();
  const session = reader.uint32();
  const clientTimeMs = reader.compact();
  const receivedGroup = flags & Flag.RECEIVED ? reader.compact() : undefined;
  const receivedBytes = reader.compact();
  const buffered = reader.compact();
  const bleedMs = reader.compact();
  const staleMs = reader.compact();
  const discontinuity = reader.compact();
  const lead = flags & Flag.LEAD ? readLead(reader, receivedGroup) : undefined;
  const from = flags & Flag.REWIND ? playhead + reader.signed() : undefined;
  const heardUntil = from === undefined ? undefined : from + reader.signed();
  if (reader.failed) return { ok: false, code: "TRUNCATED" };
  const valid =
    reader.remaining === 0 &&
    id < MAX_ID &&
    clientTimeMs < 2 ** 35 &&
    within(receivedGroup, MAX_NUMBER) &&
    receivedBytes < 2 ** 42 &&
    buffered < 2 * MAX_BUFFERED &&
    bleedMs < 2 ** 14 &&
    staleMs < 2 ** 14 &&
    discontinuity < 2 ** 21 &&
    within(lead?.group, MAX_NUMBER) &&
    within(from, MAX_NUMBER) &&
    within(heardUntil, MAX_NUMBER);
  if (!valid) return { ok: false, code: "OUT_OF_RANGE" };
  return {
    ok: true,
    report: Object.freeze({
      broadcast,
      session,
      reportId: id,
      clientTimeMs,
      playhead: microseconds(playhead),
      playing: (flags & Flag.PLAYING) !== 0,
      discontinuity,
      from: from === undefined ? undefined : microseconds(from),
      heardUntil: heardUntil === undefined ? undefined : microseconds(heardUntil),
      receivedBytes,
      receivedGroup,
      worstLead: lead?.lead,
      worstLeadGroup: lead?.group,
      bufferedMs: buffered < MAX_BUFFERED ? buffered : buffered - 2 * MAX_BUFFERED,
      bleedMs,
      staleMs,
    }),
  };
}
