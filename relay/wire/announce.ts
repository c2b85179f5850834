import { ByteWriter, ProtocolError } from "../../base/index.js";
import type { MessageReader } from "./message-reader.js";
import { readPath } from "./path.js";
import { StreamType } from "./stream.js";
import { hasHopIds, hasRanges, hasTimestamps, type Version } from "./version.js";

/** Maximum hops of an announcement, a bound that stock implementations enforce too. */
export const MAX_HOPS = 32;

const ENDED = 0;
const ACTIVE = 1;
const RESTART = 2;

/** A request for announcements below a prefix. */
export interface AnnounceRequest {
  readonly prefix: string;
  /** Excludes announcements that passed through this hop; 0 excludes none. */
  readonly excludeHop: bigint;
}

/** Whether a broadcast is available. */
export interface Announce {
  readonly suffix: string;
  readonly active: boolean;
  /** Ids of its hops, the publisher's first; 0 for each hop without a known id. */
  readonly hops: readonly bigint[];
}

/** Opens an Announce Stream. */
export function encodeAnnounceRequest(request: AnnounceRequest, version: Version): Uint8Array {
  return new ByteWriter()
    .varint(StreamType.ANNOUNCE)
    .message((body) => {
      body.string(request.prefix);
      if (hasHopIds(version)) body.varint(request.excludeHop);
    })
    .finish();
}

/** The body of an ANNOUNCE_REQUEST. */
export function decodeAnnounceRequest(reader: MessageReader, version: Version, maxPathBytes: number): AnnounceRequest {
  const prefix = readPath(reader, maxPathBytes);
  const excludeHop = hasHopIds(version) ? reader.varint62() : 0n;
  reader.end();
  return { prefix, excludeHop };
}

/** The first message of moq-lite-02's answer: all current broadcasts. */
export function encodeAnnounceInit(suffixes: readonly string[]): Uint8Array {
  return new ByteWriter()
    .message((body) => {
      body.varint(suffixes.length);
      for (const suffix of suffixes) body.string(suffix);
    })
    .finish();
}

/** The body of moq-lite-02's ANNOUNCE_INIT. */
export function decodeAnnounceInit(reader: MessageReader, maxPathBytes: number, maxCount: number): string[] {
  const count = reader.varint();
  if (count > maxCount)
    throw new ProtocolError(
      "TOO_MANY_ANNOUNCEMENTS",
      `A peer announces ${count} broadcasts at once, more than ${maxCount}.`,
    );
  const suffixes: string[] = [];
  for (let index = 0; index < count; index++) suffixes.push(readPath(reader, maxPathBytes));
  reader.end();
  return suffixes;
}

/** The first message of moq-lite-05's answer: the answering hop and the number of announcements that follow at once. */
export function encodeAnnounceOk(origin: bigint, active: number): Uint8Array {
  return new ByteWriter().message((body) => body.varint(origin).varint(active)).finish();
}

/** The body of moq-lite-05's ANNOUNCE_OK. */
export function decodeAnnounceOk(reader: MessageReader): { origin: bigint; active: number } {
  const origin = reader.varint62();
  const active = reader.varint();
  reader.end();
  return { origin, active };
}

/** One announcement with its length. */
export function encodeAnnounce(announce: Announce, version: Version): Uint8Array {
  return new ByteWriter()
    .message((body) => {
      body.byte(announce.active ? ACTIVE : ENDED).string(announce.suffix);
      if (!hasRanges(version)) return;
      const hops = announce.active ? announce.hops : [];
      body.varint(hops.length);
      if (hasHopIds(version)) for (const hop of hops) body.varint(hop);
    })
    .finish();
}

/** The body of one announcement. */
export function decodeAnnounce(reader: MessageReader, version: Version, maxPathBytes: number): Announce {
  const status = reader.byte();
  const active = status === ACTIVE || (status === RESTART && hasTimestamps(version));
  if (!active && status !== ENDED)
    throw new ProtocolError("INVALID_ANNOUNCE", `An announcement has the unknown status ${status}.`);
  const suffix = readPath(reader, maxPathBytes);
  const hops: bigint[] = [];
  if (hasRanges(version)) {
    const count = reader.varint();
    if (count > MAX_HOPS)
      throw new ProtocolError("TOO_MANY_HOPS", `An announcement took ${count} hops, more than ${MAX_HOPS}.`);
    for (let index = 0; index < count; index++) hops.push(hasHopIds(version) ? reader.varint62() : 0n);
  }
  reader.end();
  return { suffix, active, hops };
}
