import { type Microseconds, microseconds, normalizePath } from "../../base/index.js";
import { RecordReader, RecordWriter } from "./record-bytes.js";

/** Bytes of Subscribe ID 2^62 - 1, which no subscription gets; a peer that doesn't know it drops the datagram. */
const RESERVED_ID_BYTES = 8;
const VERSION = 1;

/** Largest media time and group sequence in a record: the largest exact integer of a double. */
export const MAX_NUMBER: number = Number.MAX_SAFE_INTEGER;
/** Report ids stay below this and wrap around. */
export const MAX_ID = 2 ** 30;
/** Media times further apart than this, 142 years, are clamped to it: twice the value must be exact. */
const MAX_DISTANCE = 2 ** 52 - 1;

/** Values of the byte behind a record's header. */
export const Kind = { REPORT: 1, AGGREGATE: 2, RECEIPT: 3 } as const;

/** Flags of a record. */
export const Flag = { PLAYING: 1, RECEIVED: 2, LEAD: 4, REWIND: 8 } as const;

/** Why a datagram is not a valid record. */
export type ReportErrorCode =
  | "NOT_A_REPORT"
  | "TOO_LONG"
  | "WRONG_KIND"
  | "WRONG_VERSION"
  | "TRUNCATED"
  | "OUT_OF_RANGE";

/** Identifies a broadcast in 32 bits: FNV-1a over the UTF-8 bytes of its normalized path. */
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

/** The kind of record that a datagram claims to be, without decoding it; undefined for other datagrams. */
export function reportKind(bytes: Uint8Array): "report" | "aggregate" | "receipt" | undefined {
  if (!isReportDatagram(bytes)) return undefined;
  const reader = new RecordReader(bytes, RESERVED_ID_BYTES);
  reader.varint();
  reader.varint();
  const kind = reader.byte();
  if (reader.failed) return undefined;
  if (kind === Kind.REPORT) return "report";
  if (kind === Kind.AGGREGATE) return "aggregate";
  return kind === Kind.RECEIPT ? "receipt" : undefined;
}

/** Starts a record: the reserved id, its own id, a media time and its kind. */
export function header(id: number, timestamp: number, kind: number): RecordWriter {
  const writer = new RecordWriter(128);
  for (let index = 0; index < RESERVED_ID_BYTES; index++) writer.byte(0xff);
  writer.varint(whole(id) % MAX_ID);
  writer.varint(limited(timestamp, MAX_NUMBER));
  writer.byte(kind);
  return writer;
}

/** The byte of flags with the version in its upper half. */
export function flagged(flags: number): number {
  return (VERSION << 4) | flags;
}

/** A record whose header has been read. */
export interface Opened {
  readonly reader: RecordReader;
  readonly id: number;
  readonly timestamp: number;
  readonly flags: number;
}

/** Reads a record's header, or returns the reason why it is invalid. */
export function open(bytes: Uint8Array, kind: number, maxBytes: number): Opened | ReportErrorCode {
  if (!isReportDatagram(bytes)) return "NOT_A_REPORT";
  if (bytes.length > maxBytes) return "TOO_LONG";
  const reader = new RecordReader(bytes, RESERVED_ID_BYTES);
  const id = reader.varint();
  const timestamp = reader.varint();
  const foundKind = reader.byte();
  const flags = reader.byte();
  if (reader.failed) return "TRUNCATED";
  if (foundKind !== kind) return "WRONG_KIND";
  if (flags >> 4 !== VERSION) return "WRONG_VERSION";
  return { reader, id, timestamp, flags: flags & 0x0f };
}

/** Writes a landing lead and its group, relative to a nearby group. */
export function writeLead(writer: RecordWriter, lead: Microseconds, group: number, near: number | undefined): void {
  // A lead of minutes means no more than one of a quarter of an hour.
  const milliseconds = Math.min(Math.max(Math.floor(lead / 1000) || 0, -(2 ** 20)), 2 ** 20 - 1);
  writer.signed(milliseconds);
  writer.signed(distance(near ?? 0, limited(group, MAX_NUMBER)));
}

/** Reads what {@link writeLead} wrote. */
export function readLead(reader: RecordReader, near: number | undefined): { lead: Microseconds; group: number } {
  const lead = microseconds(reader.signed() * 1000);
  return { lead, group: (near ?? 0) - reader.signed() };
}

/** Distance of a value from another, both clamped to the range of a record. */
export function distance(value: number, from: number): number {
  return Math.min(Math.max(value - from, -MAX_DISTANCE), MAX_DISTANCE);
}

/** Whether a decoded value is valid: undefined, or from 0 up to a maximum. */
export function within(value: number | undefined, max: number): boolean {
  return value === undefined || (value >= 0 && value <= max);
}

/** A whole number from 0 up to a maximum; clamps values outside and turns not-a-number into 0. */
export function limited(value: number, max: number): number {
  return Math.min(whole(value), max);
}

/** The same with a maximum given in bits. */
export function saturated(value: number, bits: number): number {
  return limited(value, 2 ** bits - 1);
}

/** 32 bits of a number. */
export function word(value: number): number {
  return whole(value) % 2 ** 32;
}

function whole(value: number): number {
  return Math.max(Math.floor(value) || 0, 0);
}
