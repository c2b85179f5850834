import { MediaError, type Microseconds, microseconds } from "../base/index.js";
import { ByteReader, fourCharacters, view } from "./byte-reader.js";
import { VIDEO_CODECS, type VideoCodec } from "./video-codec.js";

/** What the header of an IVF file says. */
export interface IvfHeader {
  readonly codec: VideoCodec;
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  /** Ticks per second of the frames' timestamps, a fraction. */
  readonly ticksPerSecond: number;
}

/** One frame of an IVF file. */
export interface IvfFrame {
  /** Presentation time as the file has it. */
  readonly timestamp: Microseconds;
  readonly payload: Uint8Array;
}

/** An IVF file opened for reading. */
export interface IvfStream {
  readonly header: IvfHeader;
  readonly frames: AsyncGenerator<IvfFrame, void, undefined>;
}

/** Largest frame read, in bytes: what relays and players take, with room for the container's timestamp. */
export const MAX_VIDEO_FRAME_BYTES = 4 * 1024 * 1024 - 8;

const HEADER_BYTES = 32;
const MAX_HEADER_BYTES = 1024;
const FRAME_HEADER_BYTES = 12;
const MAX_DIMENSION = 16_384;
/** The shortest tick that makes sense of a timestamp in microseconds. */
const MAX_TICKS_PER_SECOND = 1_000_000;

/**
 * Reads an IVF file (the container of libvpx and libaom: a header of 32 bytes, then a size, a timestamp and the data of
 * each frame) from a stream of bytes. Holds one frame at most, besides one chunk of input.
 *
 * @param name used in error messages.
 * @throws MediaError `IVF_INVALID` that names the file and the field at fault, also while the frames are read.
 */
export async function openIvf(input: AsyncIterable<Uint8Array>, name: string): Promise<IvfStream> {
  const reader = new ByteReader(input);
  const fail = (what: string): MediaError => new MediaError("IVF_INVALID", `The IVF file ${name} ${what}.`);
  try {
    const bytes = await reader.take(HEADER_BYTES);
    if (bytes === undefined) throw fail(`ends before its ${HEADER_BYTES}-byte header is complete`);
    const header = parseHeader(bytes, fail);
    if (!(await reader.skip(view(bytes).getUint16(6, true) - HEADER_BYTES))) throw fail("ends inside its header");
    return { header, frames: frames(reader, header, fail) };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

function parseHeader(bytes: Uint8Array, fail: (what: string) => MediaError): IvfHeader {
  const data = view(bytes);
  if (fourCharacters(bytes, 0) !== "DKIF") throw fail(`does not start with "DKIF"`);
  const version = data.getUint16(4, true);
  if (version !== 0) throw fail(`has the version ${version} where 0 is needed`);
  const length = data.getUint16(6, true);
  if (length < HEADER_BYTES || length > MAX_HEADER_BYTES) {
    throw fail(`has a header length of ${length} bytes (${HEADER_BYTES} to ${MAX_HEADER_BYTES} allowed)`);
  }
  const fourcc = fourCharacters(bytes, 8);
  const codec = VIDEO_CODECS.get(fourcc);
  if (codec === undefined) {
    const known = [...VIDEO_CODECS.keys()].join(", ");
    throw fail(`has the codec ${JSON.stringify(fourcc)} where one of ${known} is needed`);
  }
  const width = data.getUint16(12, true);
  const height = data.getUint16(14, true);
  for (const [field, value] of [
    ["width", width],
    ["height", height],
  ] as const) {
    if (value < 1 || value > MAX_DIMENSION) throw fail(`has a ${field} of ${value} (1 to ${MAX_DIMENSION} allowed)`);
  }
  const rate = data.getUint32(16, true);
  const scale = data.getUint32(20, true);
  if (rate === 0 || scale === 0 || rate / scale > MAX_TICKS_PER_SECOND) {
    throw fail(`has a time base of ${scale}/${rate} seconds, which makes no sense`);
  }
  return { codec, width, height, ticksPerSecond: rate / scale };
}

async function* frames(
  reader: ByteReader,
  { ticksPerSecond }: IvfHeader,
  fail: (what: string) => MediaError,
): AsyncGenerator<IvfFrame, void, undefined> {
  try {
    for (let index = 0; ; index++) {
      const first = await reader.some(FRAME_HEADER_BYTES);
      if (first === undefined) return;
      const rest = await reader.take(FRAME_HEADER_BYTES - first.length);
      if (rest === undefined) throw fail(`ends inside the header of frame ${index}`);
      const head = new Uint8Array(FRAME_HEADER_BYTES);
      head.set(first);
      head.set(rest, first.length);
      const size = view(head).getUint32(0, true);
      if (size < 1 || size > MAX_VIDEO_FRAME_BYTES) {
        throw fail(`has a frame ${index} of ${size} bytes (1 to ${MAX_VIDEO_FRAME_BYTES} allowed)`);
      }
      const timestamp = (Number(view(head).getBigUint64(4, true)) * 1e6) / ticksPerSecond;
      if (timestamp > Number.MAX_SAFE_INTEGER) throw fail(`has a timestamp out of range in frame ${index}`);
      const payload = await reader.take(size);
      if (payload === undefined) throw fail(`ends inside frame ${index}`);
      yield { timestamp: microseconds(timestamp), payload };
    }
  } finally {
    await reader.close();
  }
}
