import { ByteWriter, ProtocolError } from "../../base/index.js";
import type { MessageReader } from "./message-reader.js";
import { readPath } from "./path.js";
import type { StreamReader } from "./stream.js";
import { StreamType } from "./stream.js";
import { hasRanges, hasTimestamps, type Version } from "./version.js";

/** A subscriber's delivery options, which may change at any time. */
export interface SubscribeUpdate {
  /** 0 to 255, higher goes first among the session's tracks. */
  readonly priority: number;
  /** True when older groups go first. */
  readonly ordered: boolean;
  /** Age at which a group that is not the latest may be dropped; 0 leaves it to the publisher. */
  readonly maxLatencyMs: number;
  /** First group wanted; undefined for the latest. */
  readonly startGroup: number | undefined;
  /** Last group wanted; undefined for no end. */
  readonly endGroup: number | undefined;
}

/** A request for the groups of a track. */
export interface Subscribe extends SubscribeUpdate {
  /** Identifies the subscription in groups and datagrams; unique in the session. */
  readonly id: number;
  readonly broadcast: string;
  readonly track: string;
}

/** A publisher's answer on a Subscribe Stream. */
export type SubscribeResponse =
  | { readonly kind: "ok" }
  | { readonly kind: "start"; readonly group: number }
  | { readonly kind: "end"; readonly group: number }
  | { readonly kind: "drop"; readonly start: number; readonly end: number; readonly code: number };

/** Opens a Subscribe Stream. */
export function encodeSubscribe(subscribe: Subscribe, version: Version): Uint8Array {
  return new ByteWriter()
    .varint(StreamType.SUBSCRIBE)
    .message((body) => {
      body.varint(subscribe.id).string(subscribe.broadcast).string(subscribe.track);
      writeDelivery(body, subscribe, version);
    })
    .finish();
}

/** The body of a SUBSCRIBE. */
export function decodeSubscribe(reader: MessageReader, version: Version, maxPathBytes: number): Subscribe {
  const id = reader.varint();
  const broadcast = readPath(reader, maxPathBytes);
  const track = reader.string(maxPathBytes);
  const delivery = readDelivery(reader, version);
  reader.end();
  return { id, broadcast, track, ...delivery };
}

/** A SUBSCRIBE_UPDATE with its length. */
export function encodeSubscribeUpdate(update: SubscribeUpdate, version: Version): Uint8Array {
  return new ByteWriter().message((body) => writeDelivery(body, update, version)).finish();
}

/** The body of a SUBSCRIBE_UPDATE. */
export function decodeSubscribeUpdate(reader: MessageReader, version: Version): SubscribeUpdate {
  const update = readDelivery(reader, version);
  reader.end();
  return update;
}

/**
 * One response.
 *
 * @throws RangeError for a kind that the version does not have.
 */
export function encodeSubscribeResponse(response: SubscribeResponse, version: Version): Uint8Array {
  const writer = new ByteWriter();
  if (hasTimestamps(version)) {
    if (response.kind === "ok") throw new RangeError("moq-lite-05 has no SUBSCRIBE_OK.");
    if (response.kind === "drop")
      return writer
        .varint(2)
        .message((body) => writeDrop(body, response))
        .finish();
    return writer
      .varint(response.kind === "start" ? 0 : 1)
      .message((body) => body.varint(response.group))
      .finish();
  }
  if (response.kind === "ok") {
    if (!hasRanges(version)) return writer.message(() => {}).finish();
    return writer
      .varint(0)
      .message((body) => body.byte(0).flag(false).varint(0).varint(0).varint(0))
      .finish();
  }
  if (response.kind === "drop" && hasRanges(version))
    return writer
      .varint(1)
      .message((body) => writeDrop(body, response))
      .finish();
  throw new RangeError(`This version has no response of kind ${response.kind}.`);
}

/** The next response, or undefined at the end of the stream. */
export async function readSubscribeResponse(
  stream: StreamReader,
  version: Version,
): Promise<SubscribeResponse | undefined> {
  if (!hasRanges(version)) return (await stream.messageMaybe()) && { kind: "ok" };
  const type = await stream.varintMaybe();
  if (type === undefined) return undefined;
  const body = await stream.message();
  const dropType = hasTimestamps(version) ? 2 : 1;
  if (type === dropType) return { kind: "drop", start: body.varint(), end: body.varint(), code: body.varint() };
  if (!hasTimestamps(version) && type === 0) return { kind: "ok" };
  if (hasTimestamps(version) && type < 2) return { kind: type === 0 ? "start" : "end", group: body.varint() };
  throw new ProtocolError("UNKNOWN_RESPONSE", `A Subscribe Stream carries a response of the unknown type ${type}.`);
}

function writeDelivery(body: ByteWriter, delivery: SubscribeUpdate, version: Version): void {
  body.byte(delivery.priority);
  if (!hasRanges(version)) return;
  body
    .flag(delivery.ordered)
    .varint(delivery.maxLatencyMs)
    .varint(delivery.startGroup === undefined ? 0 : delivery.startGroup + 1)
    .varint(delivery.endGroup === undefined ? 0 : delivery.endGroup + 1);
}

function readDelivery(reader: MessageReader, version: Version): SubscribeUpdate {
  const priority = reader.byte();
  if (!hasRanges(version))
    return { priority, ordered: false, maxLatencyMs: 0, startGroup: undefined, endGroup: undefined };
  const ordered = reader.flag();
  const maxLatencyMs = reader.varint();
  const start = reader.varint();
  const end = reader.varint();
  return {
    priority,
    ordered,
    maxLatencyMs,
    startGroup: start === 0 ? undefined : start - 1,
    endGroup: end === 0 ? undefined : end - 1,
  };
}

function writeDrop(body: ByteWriter, drop: { start: number; end: number; code: number }): void {
  body.varint(drop.start).varint(drop.end).varint(drop.code);
}
