import { ByteWriter, ProtocolError } from "../../base/index.js";
import { MessageReader } from "./message-reader.js";
import { DataType, StreamType } from "./stream.js";

const MAX_PARAMETERS = 64;
const MAX_VERSIONS = 64;
const PARAMETER_PATH = 2n;
const PARAMETER_ROLE = 3n;
const PARAMETER_ORIGIN = 5n;
const MAX_PATH_BYTES = 4096;

/** A moq-lite-05 endpoint's declaration about itself, sent once on its Setup Stream. */
export interface Setup {
  /** Its hop id, 0 when withheld. */
  readonly origin: bigint;
  /** The request path and query, on carriers without a URL. */
  readonly path?: string;
  /** A client's intended direction. */
  readonly role?: "publisher" | "subscriber";
}

/** The whole Setup Stream: its type and the one message. */
export function encodeSetupStream(setup: Setup): Uint8Array {
  return new ByteWriter()
    .varint(DataType.SETUP)
    .message((body) => {
      body.varint(
        (setup.origin === 0n ? 0 : 1) + (setup.path === undefined ? 0 : 1) + (setup.role === undefined ? 0 : 1),
      );
      if (setup.path !== undefined) body.varint(PARAMETER_PATH).string(setup.path);
      if (setup.role !== undefined)
        body
          .varint(PARAMETER_ROLE)
          .varint(1)
          .varint(setup.role === "publisher" ? 1 : 2);
      if (setup.origin !== 0n) {
        const value = new ByteWriter().varint(setup.origin).finish();
        body.varint(PARAMETER_ORIGIN).varint(value.length).bytes(value);
      }
    })
    .finish();
}

/** The body of a moq-lite-05 SETUP; skips unknown parameters, rejects duplicates with a `ProtocolError`. */
export function decodeSetup(reader: MessageReader): Setup {
  const count = boundedCount(reader.varint(), MAX_PARAMETERS, "parameters");
  const seen = new Map<bigint, Uint8Array>();
  for (let index = 0; index < count; index++) {
    const id = reader.varint62();
    if (seen.has(id)) throw new ProtocolError("DUPLICATE_PARAMETER", `SETUP names the parameter ${id} twice.`);
    seen.set(id, reader.bytes(reader.varint()));
  }
  reader.end();
  const path = seen.get(PARAMETER_PATH);
  const role = seen.get(PARAMETER_ROLE);
  const origin = seen.get(PARAMETER_ORIGIN);
  const roleCode = role === undefined ? 0 : Number(single(role));
  return {
    origin: origin === undefined ? 0n : single(origin),
    ...(path === undefined ? {} : { path: text(path) }),
    ...(roleCode === 1 ? { role: "publisher" as const } : roleCode === 2 ? { role: "subscriber" as const } : {}),
  };
}

/** The client's half of the SETUP exchange that precedes moq-lite-02. */
export function encodeClientSetup(versions: readonly number[]): Uint8Array {
  const body = new ByteWriter().varint(versions.length);
  for (const version of versions) body.varint(version);
  const encoded = body.varint(0).finish();
  return new ByteWriter().varint(StreamType.CLIENT_SETUP).uint16(encoded.length).bytes(encoded).finish();
}

/** The versions a client offers; the parameters after them are checked and ignored. */
export function decodeClientSetup(reader: MessageReader): number[] {
  const count = boundedCount(reader.varint(), MAX_VERSIONS, "versions");
  const versions: number[] = [];
  for (let index = 0; index < count; index++) versions.push(reader.varint());
  skipParameters(reader);
  return versions;
}

/** The server's half of that exchange. */
export function encodeServerSetup(version: number): Uint8Array {
  const encoded = new ByteWriter().varint(version).varint(0).finish();
  return new ByteWriter().varint(StreamType.SERVER_SETUP).uint16(encoded.length).bytes(encoded).finish();
}

/** The version a server chose. */
export function decodeServerSetup(reader: MessageReader): number {
  const version = reader.varint();
  skipParameters(reader);
  return version;
}

// Draft 14's parameters: even ids carry a varint, odd ids bytes behind their length.
function skipParameters(reader: MessageReader): void {
  const count = boundedCount(reader.varint(), MAX_PARAMETERS, "parameters");
  for (let index = 0; index < count; index++) {
    if (reader.varint62() % 2n === 0n) reader.varint62();
    else reader.bytes(reader.varint());
  }
  reader.end();
}

function boundedCount(count: number, limit: number, what: string): number {
  if (count > limit)
    throw new ProtocolError("TOO_MANY_PARAMETERS", `SETUP lists ${count} ${what}, more than ${limit}.`);
  return count;
}

function single(bytes: Uint8Array): bigint {
  const reader = new MessageReader(bytes);
  const value = reader.varint62();
  reader.end();
  return value;
}

function text(bytes: Uint8Array): string {
  return new MessageReader(new ByteWriter().varint(bytes.length).bytes(bytes).finish()).string(MAX_PATH_BYTES);
}
