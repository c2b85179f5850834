import { ByteWriter, ProtocolError } from "../../base/index.js";
import type { MessageReader } from "./message-reader.js";
import { readPath } from "./path.js";
import { StreamType } from "./stream.js";

/** Constant properties of a track. */
export interface TrackInfo {
  /** The publisher's tie-break between its tracks, 0 to 255. */
  readonly priority: number;
  /** Whether older groups go first. */
  readonly ordered: boolean;
  /** Longest time for which the publisher keeps a group that is not the latest. */
  readonly maxLatencyMs: number;
  /** Units of a frame's timestamp per second. */
  readonly timescale: number;
}

/** A request for a track's {@link TrackInfo}. */
export interface TrackRequest {
  readonly broadcast: string;
  readonly track: string;
}

/** A request for one group. */
export interface Fetch extends TrackRequest {
  readonly priority: number;
  readonly group: number;
}

/** Opens a Track Stream. */
export function encodeTrackRequest(request: TrackRequest): Uint8Array {
  return new ByteWriter()
    .varint(StreamType.TRACK)
    .message((body) => body.string(request.broadcast).string(request.track))
    .finish();
}

/** The body of a TRACK. */
export function decodeTrackRequest(reader: MessageReader, maxPathBytes: number): TrackRequest {
  const broadcast = readPath(reader, maxPathBytes);
  const track = reader.string(maxPathBytes);
  reader.end();
  return { broadcast, track };
}

/** A TRACK_INFO with its length. */
export function encodeTrackInfo(info: TrackInfo): Uint8Array {
  return new ByteWriter()
    .message((body) => body.byte(info.priority).flag(info.ordered).varint(info.maxLatencyMs).varint(info.timescale))
    .finish();
}

/** The body of a TRACK_INFO; a timescale of 0 is a `ProtocolError` (`INVALID_TIMESCALE`). */
export function decodeTrackInfo(reader: MessageReader): TrackInfo {
  const info = {
    priority: reader.byte(),
    ordered: reader.flag(),
    maxLatencyMs: reader.varint(),
    timescale: reader.varint(),
  };
  reader.end();
  if (info.timescale === 0) throw new ProtocolError("INVALID_TIMESCALE", "A track's timescale is 0.");
  return info;
}

/** Opens a Fetch Stream. */
export function encodeFetch(fetch: Fetch): Uint8Array {
  return new ByteWriter()
    .varint(StreamType.FETCH)
    .message((body) => body.string(fetch.broadcast).string(fetch.track).byte(fetch.priority).varint(fetch.group))
    .finish();
}

/** The body of a FETCH. */
export function decodeFetch(reader: MessageReader, maxPathBytes: number): Fetch {
  const broadcast = readPath(reader, maxPathBytes);
  const track = reader.string(maxPathBytes);
  const fetch = { broadcast, track, priority: reader.byte(), group: reader.varint() };
  reader.end();
  return fetch;
}
