import { ByteWriter } from "../../base/index.js";
import type { MessageReader } from "./message-reader.js";
import { StreamType } from "./stream.js";

/** The whole Goaway Stream: leave, and come back at `uri` unless it is empty. */
export function encodeGoaway(uri: string): Uint8Array {
  return new ByteWriter()
    .varint(StreamType.GOAWAY)
    .message((body) => body.string(uri))
    .finish();
}

/** The body of a GOAWAY. */
export function decodeGoaway(reader: MessageReader, maxBytes: number): string {
  const uri = reader.string(maxBytes);
  reader.end();
  return uri;
}
