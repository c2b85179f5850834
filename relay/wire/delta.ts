import { ByteWriter, readVarint, unzigzag, varintSize, writeVarint, zigzag } from "../../base/index.js";
import { MessageReader } from "./message-reader.js";

/** Beyond this a zigzag number is not a safe integer, though a safe delta has one. */
const MAX_SHORT_DELTA = 2 ** 52 - 1;

/** A delta of timestamps on the wire: zigzag, then a QUIC varint; exists for any safe integer. */
export function deltaBytes(delta: number): Uint8Array {
  if (Math.abs(delta) <= MAX_SHORT_DELTA) {
    const folded = zigzag(delta);
    const bytes = new Uint8Array(varintSize(folded));
    writeVarint(bytes, 0, folded);
    return bytes;
  }
  const wide = BigInt(delta);
  return new ByteWriter(8).varint(wide >= 0n ? wide * 2n : wide * -2n - 1n).finish();
}

/** The inverse of {@link deltaBytes}; undefined for a delta that is not a safe integer. */
export function readDelta(bytes: Uint8Array, offset: number, size: number): number | undefined {
  const folded = readVarint(bytes, offset, size);
  if (folded <= Number.MAX_SAFE_INTEGER) return unzigzag(folded);
  const wide = new MessageReader(bytes, offset).varint62();
  const delta = Number(wide % 2n === 0n ? wide / 2n : -(wide + 1n) / 2n);
  return Number.isSafeInteger(delta) ? delta : undefined;
}
