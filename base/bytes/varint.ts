/** Size of a number as a QUIC varint, RFC 9000 section 16. */
export function varintSize(value: number): number {
  return value < 0x40 ? 1 : value < 0x4000 ? 2 : value < 0x40000000 ? 4 : 8;
}

/** Size of the QUIC varint that starts with this byte. */
export function varintSizeFrom(first: number): number {
  return 1 << (first >> 6);
}

/** Writes a QUIC varint at an offset and returns the offset after it; `value` is a safe non-negative integer. */
export function writeVarint(target: Uint8Array, offset: number, value: number): number {
  if (value < 0x40) {
    target[offset] = value;
    return offset + 1;
  }
  if (value < 0x4000) {
    target[offset] = 0x40 | (value >>> 8);
    target[offset + 1] = value;
    return offset + 2;
  }
  let at = offset;
  if (value < 0x40000000) {
    target[at++] = 0x80 | (value >>> 24);
  } else {
    const high = Math.floor(value / 0x100000000);
    target[at++] = 0xc0 | (high >>> 24);
    target[at++] = high >>> 16;
    target[at++] = high >>> 8;
    target[at++] = high;
    target[at++] = value >>> 24;
  }
  target[at++] = value >>> 16;
  target[at++] = value >>> 8;
  target[at++] = value;
  return at;
}

/** Reads a QUIC varint of `size` bytes that are all there; exact up to 2^53 - 1, and larger than that beyond. */
export function readVarint(bytes: Uint8Array, offset: number, size: number): number {
  let value = bytes[offset]! & 0x3f;
  for (let index = 1; index < size; index++) value = value * 256 + bytes[offset + index]!;
  return value;
}

/** Maps a signed number to an unsigned one: 0, -1, 1, -2 become 0, 1, 2, 3. For magnitudes up to 2^52. */
export function zigzag(value: number): number {
  return value >= 0 ? value * 2 : value * -2 - 1;
}

/** The inverse of {@link zigzag}. */
export function unzigzag(value: number): number {
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}
