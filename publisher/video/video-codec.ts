import { MediaError } from "../../base/index.js";

/** Codecs that can be published, by the prefix of their WebCodecs string. */
export type VideoCodec = "vp8" | "vp09" | "av01";

/** Codecs by their four-character code in an IVF header. */
export const VIDEO_CODECS: ReadonlyMap<string, VideoCodec> = new Map([
  ["VP80", "vp8"],
  ["VP90", "vp09"],
  ["AV01", "av01"],
]);

/** Properties that determine the level in a codec string. */
export interface VideoShape {
  readonly width: number;
  readonly height: number;
  /** Frames per second; where unknown, the picture size alone determines the level. */
  readonly framerate: number | undefined;
}

/** Whether a frame can be decoded without an earlier one; false for a frame that can't be parsed. */
export function isKeyframe(codec: VideoCodec, payload: Uint8Array): boolean {
  switch (codec) {
    case "vp8":
      return vp8IsKeyframe(payload);
    case "vp09":
      return vp9Keyframe(payload) !== undefined;
    case "av01":
      return av1Keyframe(payload) !== undefined;
  }
}

/**
 * The codec string for WebCodecs and the catalog, such as `vp8`, `vp09.00.10.08` (VP Codec ISO Media File Format
 * Binding, section "Codecs Parameter String") or `av01.0.00M.08` (AV1 ISOBMFF, section 5), from a keyframe.
 *
 * @throws MediaError `INVALID_KEYFRAME` when the frame is not a keyframe of that codec.
 */
export function codecString(codec: VideoCodec, payload: Uint8Array, shape: VideoShape): string {
  const fail = (): MediaError => new MediaError("INVALID_KEYFRAME", `The frame is not a keyframe of ${codec}.`);
  if (codec === "vp8") {
    if (!vp8IsKeyframe(payload)) throw fail();
    return "vp8";
  }
  if (codec === "vp09") {
    const key = vp9Keyframe(payload);
    if (key === undefined) throw fail();
    return `vp09.${pad(key.profile)}.${vp9Level(shape)}.${pad(key.bitDepth)}`;
  }
  const key = av1Keyframe(payload);
  if (key === undefined) throw fail();
  return `av01.${key.profile}.${pad(key.level)}${key.tier === 1 ? "H" : "M"}.${pad(key.bitDepth)}`;
}

/** RFC 6386, section 9.1: bit 0 of the frame tag is 0 in a keyframe, which has a start code behind the tag. */
function vp8IsKeyframe(payload: Uint8Array): boolean {
  return (
    payload.length >= 10 && (payload[0]! & 1) === 0 && payload[3] === 0x9d && payload[4] === 0x01 && payload[5] === 0x2a
  );
}

/** Width and height in pixels. */
export interface CodedSize {
  readonly width: number;
  readonly height: number;
}

/** The size in a keyframe, which is what a decoder shows; undefined for other frames. */
export function codedSize(codec: VideoCodec, payload: Uint8Array): CodedSize | undefined {
  switch (codec) {
    case "vp8":
      return vp8Size(payload);
    case "vp09":
      return vp9Keyframe(payload);
    case "av01":
      return av1Keyframe(payload);
  }
}

/** RFC 6386, section 9.1: 14 bits each behind the start code, and a scale that decoders leave to the player. */
function vp8Size(payload: Uint8Array): CodedSize | undefined {
  if (!vp8IsKeyframe(payload)) return undefined;
  const at = (index: number): number => (payload[index]! | (payload[index + 1]! << 8)) & 0x3fff;
  return { width: at(6), height: at(8) };
}

interface Vp9Key extends CodedSize {
  readonly profile: number;
  readonly bitDepth: number;
}

/** VP9 bitstream specification, section 6.2, "uncompressed_header". A superframe begins with its first frame. */
function vp9Keyframe(payload: Uint8Array): Vp9Key | undefined {
  const bits = new Bits(payload);
  if (bits.read(2) !== 2) return undefined;
  const profile = bits.read(1) + 2 * bits.read(1);
  if (profile === 3) bits.skip(1);
  const showExisting = bits.flag();
  const inter = bits.flag();
  bits.skip(2);
  if (showExisting || inter || bits.read(24) !== 0x498342) return undefined;
  const bitDepth = profile < 2 ? 8 : bits.flag() ? 12 : 10;
  if (bits.exhausted) return undefined;
  const hasSubsampling = profile === 1 || profile === 3;
  // Colour space 7 is sRGB, which has no range.
  if (bits.read(3) !== 7) bits.skip(hasSubsampling ? 4 : 1);
  else if (hasSubsampling) bits.skip(1);
  const width = bits.read(16) + 1;
  const height = bits.read(16) + 1;
  return { profile, bitDepth, ...(bits.exhausted ? { width: 0, height: 0 } : { width, height }) };
}

/** Level, maximum luma samples per second and per picture: webmproject.org/vp9/levels. */
const VP9_LEVELS = [
  [10, 829_440, 36_864],
  [11, 2_764_800, 73_728],
  [20, 4_608_000, 122_880],
  [21, 9_216_000, 245_760],
  [30, 20_736_000, 552_960],
  [31, 36_864_000, 983_040],
  [40, 83_558_400, 2_228_224],
  [41, 160_432_128, 2_228_224],
  [50, 311_951_360, 8_912_896],
  [51, 588_251_136, 8_912_896],
  [52, 1_176_502_272, 8_912_896],
  [60, 1_176_502_272, 35_651_584],
  [61, 2_353_004_544, 35_651_584],
] as const;

function vp9Level({ width, height, framerate = 0 }: VideoShape): number {
  const size = width * height;
  const fitting = VP9_LEVELS.find(([, rate, picture]) => size <= picture && size * framerate <= rate);
  return fitting?.[0] ?? 62;
}

interface Av1Key extends CodedSize {
  readonly profile: number;
  readonly level: number;
  readonly tier: number;
  readonly bitDepth: number;
}

const OBU_SEQUENCE_HEADER = 1;
const OBU_FRAME_HEADER = 3;
const OBU_FRAME = 6;

/**
 * A temporal unit where decoding can start: it has a sequence header, and its first frame is a shown key frame (AV1
 * bitstream specification, sections 5.3 to 5.9 and 7.6).
 */
function av1Keyframe(payload: Uint8Array): Av1Key | undefined {
  let key: (Av1Key & { readonly reduced: boolean }) | undefined;
  for (let offset = 0; offset < payload.length; ) {
    const head = payload[offset++]!;
    const type = (head >> 3) & 15;
    if ((head & 4) !== 0) offset++;
    let size = payload.length - offset;
    if ((head & 2) !== 0) {
      const field = leb128(payload, offset);
      if (field === undefined) return undefined;
      size = field.value;
      offset = field.end;
    }
    if (size > payload.length - offset) return undefined;
    const body = payload.subarray(offset, offset + size);
    offset += size;
    if (type === OBU_SEQUENCE_HEADER) key = av1SequenceHeader(body);
    if (type !== OBU_FRAME && type !== OBU_FRAME_HEADER) continue;
    if (key === undefined) return undefined;
    const bits = new Bits(body);
    // show_existing_frame, frame_type and show_frame; in a reduced header they are implied.
    const shownKey = key.reduced || (!bits.flag() && bits.read(2) === 0 && bits.flag());
    return shownKey && !bits.exhausted ? key : undefined;
  }
  return undefined;
}

function av1SequenceHeader(body: Uint8Array): (Av1Key & { readonly reduced: boolean }) | undefined {
  const bits = new Bits(body);
  const profile = bits.read(3);
  bits.skip(1);
  const reduced = bits.flag();
  let level = 0;
  let tier = 0;
  if (reduced) level = bits.read(5);
  else {
    let delayBits = 0;
    if (bits.flag()) {
      bits.skip(64);
      if (bits.flag()) bits.skipUvlc();
      if (bits.flag()) {
        delayBits = bits.read(5) + 1;
        bits.skip(42);
      }
    }
    const displayDelays = bits.flag();
    const points = bits.read(5) + 1;
    for (let point = 0; point < points; point++) {
      bits.skip(12);
      const pointLevel = bits.read(5);
      const pointTier = pointLevel > 7 ? bits.read(1) : 0;
      if (delayBits > 0 && bits.flag()) bits.skip(2 * delayBits + 1);
      if (displayDelays && bits.flag()) bits.skip(4);
      if (point === 0) {
        level = pointLevel;
        tier = pointTier;
      }
    }
  }
  const widthBits = bits.read(4) + 1;
  const heightBits = bits.read(4) + 1;
  const width = bits.read(widthBits) + 1;
  const height = bits.read(heightBits) + 1;
  if (!reduced && bits.flag()) bits.skip(7);
  bits.skip(3);
  if (!reduced) {
    bits.skip(4);
    const orderHint = bits.flag();
    if (orderHint) bits.skip(2);
    const screenContent = bits.flag() || bits.flag();
    if (screenContent && !bits.flag()) bits.skip(1);
    if (orderHint) bits.skip(3);
  }
  bits.skip(3);
  const high = bits.flag();
  const bitDepth = !high ? 8 : profile === 2 && bits.flag() ? 12 : 10;
  return bits.exhausted ? undefined : { profile, level, tier, bitDepth, reduced, width, height };
}

function leb128(bytes: Uint8Array, offset: number): { value: number; end: number } | undefined {
  let value = 0;
  for (let index = 0; index < 8; index++) {
    const byte = bytes[offset + index];
    if (byte === undefined) return undefined;
    value += (byte & 127) * 2 ** (7 * index);
    if (byte < 128) return { value, end: offset + index + 1 };
  }
  return undefined;
}

function pad(value: number): string {
  return String(value).padStart(2, "0");
}

/** Reads bits, highest first; past the end it reads zeros and sets `exhausted`. */
class Bits {
  readonly #bytes: Uint8Array;
  #position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get exhausted(): boolean {
    return this.#position > 8 * this.#bytes.length;
  }

  read(count: number): number {
    let value = 0;
    for (let index = 0; index < count; index++) {
      const byte = this.#bytes[this.#position >> 3] ?? 0;
      value = value * 2 + ((byte >> (7 - (this.#position & 7))) & 1);
      this.#position++;
    }
    return value;
  }

  flag(): boolean {
    return this.read(1) === 1;
  }

  skip(count: number): void {
    this.#position += count;
  }

  /** Section 4.10.3: as many bits as the zeros before the first one. */
  skipUvlc(): void {
    let zeros = 0;
    while (zeros < 32 && !this.exhausted && !this.flag()) zeros++;
    if (zeros < 32) this.skip(zeros);
  }
}
