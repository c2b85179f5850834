import { InputError, type Microseconds, microseconds, normalizePath } from "../base/index.js";
import type { DeliveryLevel } from "./delay-rate.js";
import type { SkipCounters } from "./skip.js";
import { ByteReader, ByteWriter, MAX_TIMESTAMP } from "./wire.js";

/** Most bytes of a listener's report, MoQ datagram header included. */
export const MAX_REPORT_BYTES = 64;
/** Most bytes of a relay's aggregate, MoQ datagram header included: what every path is known to carry. */
export const MAX_AGGREGATE_BYTES = 1200;
/** Most listeners that one aggregate names. */
export const MAX_LISTED = 24;

/** Bytes of Subscribe ID 2^62 - 1, which no subscription gets; a peer that doesn't know it drops the datagram. */
const RESERVED_ID_BYTES = 8;
const VERSION = 1;
const KIND_REPORT = 1;
const KIND_AGGREGATE = 2;
const KIND_RECEIPT = 3;
const LEVELS: readonly DeliveryLevel[] = ["full", "reduced", "low"];

const FLAG_PLAYING = 1;
const FLAG_RECEIVED = 2;
const FLAG_LEAD = 4;
const FLAG_REWIND = 8;

/** What one listener received, hears and measured; sent ten times a second as a datagram. */
export interface Report {
  /** {@link broadcastHash} of the broadcast's path, so that a session with several broadcasts is unambiguous. */
  readonly broadcast: number;
  /** Random unsigned 32-bit id of this run of the player. */
  readonly session: number;
  /** Climbs by one with every report of the session, under 2^30. */
  readonly reportId: number;
  /** The sender's monotonic clock at send, in whole milliseconds, under 2^35. */
  readonly clientTimeMs: number;
  /** Media time being heard at `clientTimeMs`. */
  readonly playhead: Microseconds;
  /** False while paused or waiting, which freezes the playhead. */
  readonly playing: boolean;
  /** Number of rewinds the player has applied, saturating at 2^21 - 1. */
  readonly discontinuity: number;
  /** Media time from which the last rewind flushed; undefined before any rewind. */
  readonly from: Microseconds | undefined;
  /** Media time up to which the old timeline was really heard when the last rewind was applied. */
  readonly heardUntil: Microseconds | undefined;
  /** Bytes of media received since the session's start, saturating at 2^42 - 1. */
  readonly receivedBytes: number;
  /** Every group at or below is received or given up; undefined before the first. Under 2^49. */
  readonly receivedGroup: number | undefined;
  /** Smallest landing lead in the last 250 ms, at apply time; whole milliseconds on the wire, rounded towards late. */
  readonly worstLead: Microseconds | undefined;
  /** The group that had `worstLead`. */
  readonly worstLeadGroup: number | undefined;
  /** Milliseconds ready to play, saturating at 2^21 - 1. */
  readonly bufferedMs: number;
  /** Milliseconds of raw audio heard since the start, saturating at 16383. */
  readonly bleedMs: number;
  /** Milliseconds of taken-back audio heard since the start, saturating at 16383. */
  readonly staleMs: number;
}

/** One listener as an aggregate names it. */
export interface ListedListener {
  /** The player's random session id. */
  readonly session: number;
  /** Its playhead, projected to the aggregate's `relayTimeMs`. */
  readonly playhead: Microseconds;
  /** Rewinds it has applied. */
  readonly discontinuity: number;
  /** How far it heard the old timeline at its last rewind. */
  readonly heardUntil: Microseconds | undefined;
  /** Media time up to which it had audio ready when it last reported. */
  readonly receivedUntil: Microseconds | undefined;
}

/** What a relay tells the publisher about all the listeners of one broadcast. */
export interface Aggregate {
  /** {@link broadcastHash} of the broadcast's path. */
  readonly broadcast: number;
  /** Climbs by one with every aggregate, under 2^30. */
  readonly aggregateId: number;
  /** The relay's monotonic clock at send, in whole milliseconds, under 2^35. */
  readonly relayTimeMs: number;
  /** Listeners that report. */
  readonly listeners: number;
  /** Listeners refused because the relay's table was full, since its start. */
  readonly overflow: number;
  /** Whether any listener plays. */
  readonly playing: boolean;
  /** Earliest playhead of the playing listeners (of all when none plays) at `relayTimeMs`; 0 with no listeners. */
  readonly earliest: Microseconds;
  /** Latest playhead of the playing listeners (of all when none plays) at `relayTimeMs`; 0 with no listeners. */
  readonly latest: Microseconds;
  /** Smallest landing lead since the last aggregate. */
  readonly worstLead: Microseconds | undefined;
  /** The group that had `worstLead`. */
  readonly worstLeadGroup: number | undefined;
  /** Every group at or below has reached the relay or was given up by it. */
  readonly ingestAck: number | undefined;
  /** Bytes of media that reached the relay, saturating at 2^42 - 1. */
  readonly ingestBytes: number;
  /** Most rewinds any listener has applied. */
  readonly discontinuity: number;
  /** Largest `bleedMs` of any listener. */
  readonly bleedMs: number;
  /** Largest `staleMs` of any listener. */
  readonly staleMs: number;
  /** Some listeners by name, at most {@link MAX_LISTED}. */
  readonly listed: readonly ListedListener[];
}

/**
 * What a relay answers a listener's report, or an edge's aggregate, with, once a second: that somebody reads them, and the
 * numbers of a listener's delivery that only the relay knows.
 */
export interface Receipt {
  /** {@link broadcastHash} of the broadcast's path. */
  readonly broadcast: number;
  /** The player's random session id; 0 where an edge's aggregate is answered. */
  readonly session: number;
  /** The report that is answered, or the aggregate. */
  readonly reportId: number;
  /** What the listener gets now. */
  readonly level: DeliveryLevel;
  /** How much longer than the quickest one lately the report took, in milliseconds, saturating at 2^21 - 1. */
  readonly stalenessMs: number;
  /** Queueing delay on the way to the listener, in milliseconds, saturating at 2^21 - 1. */
  readonly queueingMs: number;
  /** Bytes on the way to the listener, saturating at 2^28 - 1. */
  readonly inFlightBytes: number;
  /** Bytes that may be, saturating at 2^28 - 1. */
  readonly windowBytes: number;
  /** Groups the relay did not send to it, saturating at 2^28 - 1 each. */
  readonly skips: SkipCounters;
}

/** What {@link decodeReceipt} found. */
export type DecodedReceipt =
  | { readonly ok: true; readonly receipt: Receipt }
  | { readonly ok: false; readonly code: ReportErrorCode };

/** Why a datagram is no valid record. */
export type ReportErrorCode =
  | "NOT_A_REPORT"
  | "TOO_LONG"
  | "WRONG_KIND"
  | "WRONG_VERSION"
  | "TRUNCATED"
  | "OUT_OF_RANGE";

/** What {@link decodeReport} found. */
export type DecodedReport =
  | { readonly ok: true; readonly report: Report }
  | { readonly ok: false; readonly code: ReportErrorCode };

/** What {@link decodeAggregate} found. */
export type DecodedAggregate =
  | { readonly ok: true; readonly aggregate: Aggregate }
  | { readonly ok: false; readonly code: ReportErrorCode };

/** Names a broadcast in 32 bits: FNV-1a over the UTF-8 bytes of its normalized path. */
export function broadcastHash(path: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(normalizePath(path))) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** Whether a session's datagram carries the reserved Subscribe ID, so belongs here and not to the MoQ core. */
export function isReportDatagram(bytes: Uint8Array): boolean {
  if (bytes.length < RESERVED_ID_BYTES) return false;
  for (let index = 0; index < RESERVED_ID_BYTES; index++) if (bytes[index] !== 0xff) return false;
  return true;
}

/** Which record a datagram claims to be, without decoding it; undefined when none. */
export function reportKind(bytes: Uint8Array): "report" | "aggregate" | "receipt" | undefined {
  if (!isReportDatagram(bytes)) return undefined;
  const reader = new ByteReader(bytes, RESERVED_ID_BYTES);
  reader.quic();
  reader.quic();
  const kind = reader.byte();
  if (reader.failed) return undefined;
  if (kind === KIND_REPORT) return "report";
  if (kind === KIND_AGGREGATE) return "aggregate";
  return kind === KIND_RECEIPT ? "receipt" : undefined;
}

/**
 * Encodes a report as a whole MoQ datagram body of at most {@link MAX_REPORT_BYTES}. Where large numbers would not
 * fit, `from` and `heardUntil` go first (they matter just after a rewind, when they are short), then the worst lead.
 * Throws an `InputError` (`INVALID_REPORT`) when an id or time is out of range; counters saturate.
 */
export function encodeReport(report: Report): Uint8Array {
  const whole = encodeReportWith(report, true, true);
  if (whole.length <= MAX_REPORT_BYTES) return whole;
  const withoutRewind = encodeReportWith(report, false, true);
  if (withoutRewind.length <= MAX_REPORT_BYTES) return withoutRewind;
  return encodeReportWith(report, false, false);
}

function encodeReportWith(report: Report, withRewind: boolean, withLead: boolean): Uint8Array {
  const { receivedGroup, from, heardUntil, worstLead, worstLeadGroup } = report;
  const playhead = checked("playhead", report.playhead, MAX_TIMESTAMP);
  const rewind = withRewind && from !== undefined && heardUntil !== undefined;
  const lead = withLead && worstLead !== undefined && worstLeadGroup !== undefined;
  const writer = header("reportId", report.reportId, playhead, KIND_REPORT);
  writer.byte(
    (VERSION << 4) |
      (report.playing ? FLAG_PLAYING : 0) |
      (receivedGroup === undefined ? 0 : FLAG_RECEIVED) |
      (lead ? FLAG_LEAD : 0) |
      (rewind ? FLAG_REWIND : 0),
  );
  writer.uint32(checked("broadcast", report.broadcast, 2 ** 32));
  writer.uint32(checked("session", report.session, 2 ** 32));
  writer.compact(checked("clientTimeMs", report.clientTimeMs, 2 ** 35));
  if (receivedGroup !== undefined) writer.compact(checked("receivedGroup", receivedGroup, 2 ** 49));
  writer.compact(saturated(report.receivedBytes, 42));
  writer.compact(saturated(report.bufferedMs, 21));
  writer.compact(saturated(report.bleedMs, 14));
  writer.compact(saturated(report.staleMs, 14));
  writer.compact(saturated(report.discontinuity, 21));
  if (lead) writeLead(writer, worstLead, worstLeadGroup, receivedGroup);
  if (rewind) {
    writer.signed(checked("from", from, MAX_TIMESTAMP) - playhead);
    writer.signed(checked("heardUntil", heardUntil, MAX_TIMESTAMP) - from);
  }
  return writer.finish();
}

/** Decodes a report; never throws, whatever the bytes. */
export function decodeReport(bytes: Uint8Array): DecodedReport {
  const opened = open(bytes, KIND_REPORT, MAX_REPORT_BYTES);
  if (typeof opened === "string") return { ok: false, code: opened };
  const { reader, id, timestamp: playhead, flags } = opened;
  const broadcast = reader.uint32();
  const session = reader.uint32();
  const clientTimeMs = reader.compact();
  const receivedGroup = flags & FLAG_RECEIVED ? reader.compact() : undefined;
  const receivedBytes = reader.compact();
  const bufferedMs = reader.compact();
  const bleedMs = reader.compact();
  const staleMs = reader.compact();
  const discontinuity = reader.compact();
  const lead = flags & FLAG_LEAD ? readLead(reader, receivedGroup) : undefined;
  const from = flags & FLAG_REWIND ? playhead + reader.signed() : undefined;
  const heardUntil = from === undefined ? undefined : from + reader.signed();
  if (reader.failed) return { ok: false, code: "TRUNCATED" };
  const valid =
    reader.remaining === 0 &&
    id < 2 ** 30 &&
    clientTimeMs < 2 ** 35 &&
    within(receivedGroup, 2 ** 49) &&
    receivedBytes < 2 ** 42 &&
    bufferedMs < 2 ** 21 &&
    bleedMs < 2 ** 14 &&
    staleMs < 2 ** 14 &&
    discontinuity < 2 ** 21 &&
    within(lead?.group, 2 ** 49) &&
    within(from, MAX_TIMESTAMP) &&
    within(heardUntil, MAX_TIMESTAMP);
  if (!valid) return { ok: false, code: "OUT_OF_RANGE" };
  return {
    ok: true,
    report: Object.freeze({
      broadcast,
      session,
      reportId: id,
      clientTimeMs,
      playhead: microseconds(playhead),
      playing: (flags & FLAG_PLAYING) !== 0,
      discontinuity,
      from: from === undefined ? undefined : microseconds(from),
      heardUntil: heardUntil === undefined ? undefined : microseconds(heardUntil),
      receivedBytes,
      receivedGroup,
      worstLead: lead?.lead,
      worstLeadGroup: lead?.group,
      bufferedMs,
      bleedMs,
      staleMs,
    }),
  };
}

/**
 * Encodes an aggregate as a whole MoQ datagram body of at most {@link MAX_AGGREGATE_BYTES}.
 * Throws an `InputError` (`INVALID_REPORT`) when an id or time is out of range or too many listeners are listed.
 */
export function encodeAggregate(aggregate: Aggregate): Uint8Array {
  const { earliest, latest, worstLead, worstLeadGroup, ingestAck, listed } = aggregate;
  checked("latest", latest, MAX_TIMESTAMP);
  checked("earliest", earliest, latest + 1);
  checked("listed.length", listed.length, MAX_LISTED + 1);
  const lead = worstLead !== undefined && worstLeadGroup !== undefined;
  const writer = header("aggregateId", aggregate.aggregateId, latest, KIND_AGGREGATE);
  writer.byte(
    (VERSION << 4) |
      (aggregate.playing ? FLAG_PLAYING : 0) |
      (ingestAck === undefined ? 0 : FLAG_RECEIVED) |
      (lead ? FLAG_LEAD : 0),
  );
  writer.uint32(checked("broadcast", aggregate.broadcast, 2 ** 32));
  writer.compact(checked("relayTimeMs", aggregate.relayTimeMs, 2 ** 35));
  if (ingestAck !== undefined) writer.compact(checked("ingestAck", ingestAck, 2 ** 49));
  writer.compact(saturated(aggregate.ingestBytes, 42));
  writer.compact(saturated(aggregate.listeners, 21));
  writer.compact(saturated(aggregate.overflow, 21));
  writer.compact(saturated(aggregate.bleedMs, 14));
  writer.compact(saturated(aggregate.staleMs, 14));
  writer.compact(saturated(aggregate.discontinuity, 21));
  writer.compact(latest - earliest);
  if (lead) writeLead(writer, worstLead, worstLeadGroup, ingestAck);
  writer.byte(listed.length);
  for (const { session, playhead, discontinuity, heardUntil, receivedUntil } of listed) {
    checked("listed.playhead", playhead, MAX_TIMESTAMP);
    writer.byte((heardUntil === undefined ? 0 : 1) | (receivedUntil === undefined ? 0 : 2));
    writer.uint32(checked("listed.session", session, 2 ** 32));
    writer.signed(playhead - latest);
    writer.compact(saturated(discontinuity, 21));
    if (heardUntil !== undefined) writer.signed(checked("listed.heardUntil", heardUntil, MAX_TIMESTAMP) - playhead);
    if (receivedUntil !== undefined)
      writer.signed(checked("listed.receivedUntil", receivedUntil, MAX_TIMESTAMP) - playhead);
  }
  return writer.finish();
}

/** Decodes an aggregate; never throws, whatever the bytes. */
export function decodeAggregate(bytes: Uint8Array): DecodedAggregate {
  const opened = open(bytes, KIND_AGGREGATE, MAX_AGGREGATE_BYTES);
  if (typeof opened === "string") return { ok: false, code: opened };
  const { reader, id, timestamp: latest, flags } = opened;
  const broadcast = reader.uint32();
  const relayTimeMs = reader.compact();
  const ingestAck = flags & FLAG_RECEIVED ? reader.compact() : undefined;
  const ingestBytes = reader.compact();
  const listeners = reader.compact();
  const overflow = reader.compact();
  const bleedMs = reader.compact();
  const staleMs = reader.compact();
  const discontinuity = reader.compact();
  const earliest = latest - reader.compact();
  const lead = flags & FLAG_LEAD ? readLead(reader, ingestAck) : undefined;
  const count = reader.byte();
  if (count > MAX_LISTED) return { ok: false, code: "OUT_OF_RANGE" };
  const listed: ListedListener[] = [];
  for (let index = 0; index < count; index++) {
    const present = reader.byte();
    const session = reader.uint32();
    const playhead = latest + reader.signed();
    const applied = reader.compact();
    const heardUntil = present & 1 ? playhead + reader.signed() : undefined;
    const receivedUntil = present & 2 ? playhead + reader.signed() : undefined;
    if (reader.failed) return { ok: false, code: "TRUNCATED" };
    const valid =
      within(playhead, MAX_TIMESTAMP) &&
      applied < 2 ** 21 &&
      within(heardUntil, MAX_TIMESTAMP) &&
      within(receivedUntil, MAX_TIMESTAMP);
    if (!valid) return { ok: false, code: "OUT_OF_RANGE" };
    listed.push(
      Object.freeze({
        session,
        playhead: microseconds(playhead),
        discontinuity: applied,
        heardUntil: heardUntil === undefined ? undefined : microseconds(heardUntil),
        receivedUntil: receivedUntil === undefined ? undefined : microseconds(receivedUntil),
      }),
    );
  }
  if (reader.failed) return { ok: false, code: "TRUNCATED" };
  const valid =
    reader.remaining === 0 &&
    id < 2 ** 30 &&
    relayTimeMs < 2 ** 35 &&
    within(ingestAck, 2 ** 49) &&
    ingestBytes < 2 ** 42 &&
    listeners < 2 ** 21 &&
    overflow < 2 ** 21 &&
    bleedMs < 2 ** 14 &&
    staleMs < 2 ** 14 &&
    discontinuity < 2 ** 21 &&
    earliest >= 0 &&
    within(lead?.group, 2 ** 49);
  if (!valid) return { ok: false, code: "OUT_OF_RANGE" };
  return {
    ok: true,
    aggregate: Object.freeze({
      broadcast,
      aggregateId: id,
      relayTimeMs,
      listeners,
      overflow,
      playing: (flags & FLAG_PLAYING) !== 0,
      earliest: microseconds(earliest),
      latest: microseconds(latest),
      worstLead: lead?.lead,
      worstLeadGroup: lead?.group,
      ingestAck,
      ingestBytes,
      discontinuity,
      bleedMs,
      staleMs,
      listed: Object.freeze(listed),
    }),
  };
}

/** Encodes an receipt. Throws an `InputError` (`INVALID_REPORT`) when an id is out of range; counters saturate. */
export function encodeReceipt(receipt: Receipt): Uint8Array {
  const writer = header("reportId", receipt.reportId, 0, KIND_RECEIPT);
  writer.byte((VERSION << 4) | Math.max(0, LEVELS.indexOf(receipt.level)));
  writer.uint32(checked("broadcast", receipt.broadcast, 2 ** 32));
  writer.uint32(checked("session", receipt.session, 2 ** 32));
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
  const opened = open(bytes, KIND_RECEIPT, MAX_REPORT_BYTES);
  if (typeof opened === "string") return { ok: false, code: opened };
  const { reader, id, flags } = opened;
  const broadcast = reader.uint32();
  const session = reader.uint32();
  const [stalenessMs, queueingMs] = [reader.compact(), reader.compact()];
  const [inFlightBytes, windowBytes] = [reader.compact(), reader.compact()];
  const [window, age, passed] = [reader.compact(), reader.compact(), reader.compact()];
  const [stale, overflow] = [reader.compact(), reader.compact()];
  if (reader.failed) return { ok: false, code: "TRUNCATED" };
  const level = LEVELS[flags & 0x0f];
  const counters = [inFlightBytes, windowBytes, window, age, passed, stale, overflow];
  const valid =
    reader.remaining === 0 &&
    level !== undefined &&
    id < 2 ** 30 &&
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

function header(idName: string, id: number, timestamp: number, kind: number): ByteWriter {
  const writer = new ByteWriter(128);
  for (let index = 0; index < RESERVED_ID_BYTES; index++) writer.byte(0xff);
  writer.quic(checked(idName, id, 2 ** 30));
  writer.quic(timestamp);
  writer.byte(kind);
  return writer;
}

interface Opened {
  readonly reader: ByteReader;
  readonly id: number;
  readonly timestamp: number;
  readonly flags: number;
}

function open(bytes: Uint8Array, kind: number, maxBytes: number): Opened | ReportErrorCode {
  if (!isReportDatagram(bytes)) return "NOT_A_REPORT";
  if (bytes.length > maxBytes) return "TOO_LONG";
  const reader = new ByteReader(bytes, RESERVED_ID_BYTES);
  const id = reader.quic();
  const timestamp = reader.quic();
  const foundKind = reader.byte();
  const flags = reader.byte();
  if (reader.failed) return "TRUNCATED";
  if (foundKind !== kind) return "WRONG_KIND";
  if (flags >> 4 !== VERSION) return "WRONG_VERSION";
  if (timestamp >= MAX_TIMESTAMP) return "OUT_OF_RANGE";
  return { reader, id, timestamp, flags };
}

function writeLead(writer: ByteWriter, lead: Microseconds, group: number, near: number | undefined): void {
  // A lead that is off by minutes says no more than one that is off by a quarter of an hour.
  const milliseconds = Math.min(Math.max(Math.floor(lead / 1000), -(2 ** 20)), 2 ** 20 - 1);
  writer.signed(milliseconds);
  writer.signed((near ?? 0) - checked("worstLeadGroup", group, 2 ** 49));
}

function readLead(reader: ByteReader, near: number | undefined): { lead: Microseconds; group: number } {
  const lead = microseconds(reader.signed() * 1000);
  return { lead, group: (near ?? 0) - reader.signed() };
}

function within(value: number | undefined, below: number): boolean {
  return value === undefined || (value >= 0 && value < below);
}

function saturated(value: number, bits: number): number {
  return Math.min(Math.max(Math.floor(value) || 0, 0), 2 ** bits - 1);
}

function checked(field: string, value: number, below: number): number {
  if (Number.isInteger(value) && value >= 0 && value < below) return value;
  throw new InputError("INVALID_REPORT", `${field} must be a whole number from 0 to ${below - 1}, but is ${value}.`);
}
