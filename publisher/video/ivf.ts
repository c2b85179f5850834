import { MediaError } from "../../base/index.js";
import { ByteReader, fourCharacters, view } from "../source/byte-reader.js";
import { VIDEO_CODECS, type VideoCodec } from "./video-codec.js";

/** Content of the header of an IVF file. */
export interface IvfHeader {
  readonly codec: VideoCodec;
  /** Pixels; 0 where the file leaves it to the frames. */
  readonly width: number;
  readonly height: number;
  /** Ticks per second of the frames' timestamps, a fraction. */
  readonly ticksPerSecond: number;
  /** Whether frames are counted at that rate, because their timestamps have no unit. */
  readonly isCounted: boolean;
}

/** One frame of an IVF file. */
export interface IvfFrame {
  /** Its index in the file, including frames without bytes. */
  readonly index: number;
  /** Presentation time from the file, in microseconds: any whole number, also a negative one. */
  readonly timestamp: number;
  readonly payload: Uint8Array;
}

/** An open IVF file. */
export interface IvfStream {
  readonly header: IvfHeader;
  /** Faults of the file, a sentence each; more may follow while the frames are read. */
  readonly warnings: readonly string[];
  readonly frames: AsyncGenerator<IvfFrame, void, undefined>;
}

/** Maximum size of a frame, in bytes: the limit of relays and players, less the container's timestamp. */
const MAX_VIDEO_FRAME_BYTES = 4 * 1024 * 1024 - 8;

/** Reports a fault of a file that plays all the same. */
type Warn = (what: string) => void;

const HEADER_BYTES = 32;
const MAX_HEADER_BYTES = 1024;
const FRAME_HEADER_BYTES = 12;
const MAX_DIMENSION = 16_384;
/** The shortest tick that makes sense of a timestamp in microseconds. */
const MAX_TICKS_PER_SECOND = 1_000_000;
/** As libvpx plays a file whose time base makes no sense. */
const USUAL_FRAMERATE = 30;

/**
 * Reads an IVF file (the container of libvpx and libaom: a header of 32 bytes, then a size, a timestamp and the data of
 * each frame) from a stream of bytes. Reads what other players read, whatever else the header says. Skips frames without
 * bytes; reads a truncated or damaged file up to the fault.
 * Holds at most one frame, besides one chunk of input.
 *
 * @param name used in messages.
 * @throws MediaError `IVF_INVALID` that names the file and the field at fault, also where the first frame is read.
 */
export async function openIvf(input: AsyncIterable<Uint8Array>, name: string): Promise<IvfStream> {
  const reader = new ByteReader(input);
  const fail = (what: string): MediaError => new MediaError("IVF_INVALID", `The IVF file ${name} ${what}.`);
  try {
    const bytes = await reader.take(HEADER_BYTES);
    if (bytes === undefined) throw fail(`ends before its ${HEADER_BYTES}-byte header is complete`);
    const warnings: string[] = [];
    const warn = (what: string): void => void warnings.push(`The IVF file ${name} ${what}.`);
    const header = parseHeader(bytes, { fail, warn });
    if (!(await reader.skip(headerBytes(bytes, warn) - HEADER_BYTES))) throw fail("ends inside its header");
    // A fault at the first frame is an error, a later one a warning.
    const stop = (index: number, what: string): void => {
      if (index === 0) throw fail(what);
      warn(`${what}; its picture ends there`);
    };
    return { header, warnings, frames: frames(reader, header, { warn, stop }) };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

function headerBytes(bytes: Uint8Array, warn: Warn): number {
  const length = view(bytes).getUint16(6, true);
  if (length >= HEADER_BYTES && length <= MAX_HEADER_BYTES) return length;
  warn(`has a header length of ${length} bytes; it is read with one of ${HEADER_BYTES}`);
  return HEADER_BYTES;
}

function parseHeader(
  bytes: Uint8Array,
  { fail, warn }: { readonly fail: (what: string) => MediaError; readonly warn: Warn },
): IvfHeader {
  const data = view(bytes);
  if (fourCharacters(bytes, 0) !== "DKIF") throw fail(`does not start with "DKIF"`);
  const version = data.getUint16(4, true);
  if (version !== 0) warn(`has the version ${version}; it is read as version 0`);
  const fourcc = fourCharacters(bytes, 8);
  const codec = VIDEO_CODECS.get(fourcc);
  if (codec === undefined) {
    const known = [...VIDEO_CODECS.keys()].join(", ");
    throw fail(`has the codec ${JSON.stringify(fourcc)} where one of ${known} is needed`);
  }
  return { codec, ...sizeIn(data), ...rateIn(data, warn) };
}

/** The size in the header, which its frames correct; none where it makes no sense. */
function sizeIn(data: DataView): Pick<IvfHeader, "width" | "height"> {
  const [width, height] = [data.getUint16(12, true), data.getUint16(14, true)];
  return Math.max(width, height) > MAX_DIMENSION ? { width: 0, height: 0 } : { width, height };
}

function rateIn(data: DataView, warn: Warn): Pick<IvfHeader, "ticksPerSecond" | "isCounted"> {
  const rate = data.getUint32(16, true);
  const scale = data.getUint32(20, true);
  const makesSense = rate > 0 && scale > 0 && rate / scale <= MAX_TICKS_PER_SECOND;
  if (makesSense) return { ticksPerSecond: rate / scale, isCounted: false };
  warn(
    `has a time base of ${scale}/${rate} seconds, which makes no sense; ${USUAL_FRAMERATE} frames a second are shown`,
  );
  return { ticksPerSecond: USUAL_FRAMERATE, isCounted: true };
}

async function* frames(
  reader: ByteReader,
  { ticksPerSecond, isCounted }: IvfHeader,
  { warn, stop }: { readonly warn: Warn; readonly stop: (index: number, what: string) => void },
): AsyncGenerator<IvfFrame, void, undefined> {
  let empty = 0;
  try {
    for (let index = 0; ; index++) {
      if ((await reader.peek(1)).length === 0) break;
      const head = await reader.take(FRAME_HEADER_BYTES);
      if (head === undefined) return stop(index, `ends inside the header of frame ${index}`);
      const size = view(head).getUint32(0, true);
      if (size > MAX_VIDEO_FRAME_BYTES) {
        return stop(index, `has a frame ${index} of ${size} bytes (${MAX_VIDEO_FRAME_BYTES} at most)`);
      }
      if (size === 0) {
        empty++;
        continue;
      }
      const payload = await reader.take(size);
      if (payload === undefined) return stop(index, `ends inside frame ${index}`);
      // Signed: some writers start before 0.
      const ticks = isCounted ? index : Number(view(head).getBigInt64(4, true));
      const timestamp = Math.round((ticks * 1e6) / ticksPerSecond);
      yield { index, timestamp, payload };
    }
    if (empty > 0) warn(`has ${empty} frames without bytes, which are left out`);
  } finally {
    await reader.close();
  }
}
