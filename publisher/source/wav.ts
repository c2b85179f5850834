import { MediaError } from "../../base/index.js";
import { type ByteReader, fourCharacters, view } from "./byte-reader.js";
import { decodeSamples, SAMPLE_BYTES } from "./pcm.js";
import { MIN_FORMAT_BYTES, parseFormat, type WavFormat } from "./wav-format.js";

export type { WavFormat } from "./wav-format.js";

/** An open WAV file: its format and its audio, decoded during the read. */
export interface WavStream {
  readonly kind: "pcm";
  readonly format: WavFormat;
  /** Faults of the file, a sentence each; more may follow while the samples are read. */
  readonly warnings: readonly string[];
  /** Interleaved samples in -1..1; at most one chunk of input at a time. */
  readonly samples: AsyncGenerator<Float32Array, void, undefined>;
}

/** A RIFF file that another decoder may support: MP3 inside RIFF, AVI... */
export interface ForeignWav {
  readonly kind: "foreign";
  /** The rest of a sentence that starts with the file's name. */
  readonly reason: string;
}

/** Options of {@link openWav}. */
export interface WavOptions {
  /** Used in messages. */
  readonly name: string;
  /** Bytes of the whole file, where known: shows at once where the header promises more. */
  readonly size?: number | undefined;
}

/** Chunks before the audio (LIST, bext, ID3 with pictures...) are skipped, up to this size. */
const MAX_HEADER_BYTES = 256 * 1024 * 1024;
/** Size of the longest known `fmt ` chunk. */
const MAX_FORMAT_BYTES = 64;
/**
 * RF64 and BW64 (EBU Tech 3306, ITU-R BS.2088) put sizes beyond 4 GiB into a ds64 chunk, and this value into the
 * others.
 */
const UNKNOWN_SIZE = 0xffffffff;
/** Sizes from here on are placeholders of streaming writers: 0x7ffff000 (sox), 0x80000000 (arecord)... */
const PLACEHOLDER_SIZE = 0x7fff0000;
const HEADS = new Set(["RIFF", "RF64", "BW64"]);
/** Chunks that precede or follow audio; see {@link Chunks.next}. */
const KNOWN_CHUNKS = new Set(
  (
    "fmt |data|LIST|fact|JUNK|junk|PAD |FLLR|bext|iXML|aXML|axml|chna|cue |plst|smpl|inst|ID3 |id3 |PEAK|ds64|cart|" +
    "umid|acid|strc|DISP|_PMX|afsp|levl|mext|link|note|labl|ltxt"
  ).split("|"),
);

/** Whether the bytes start a file that {@link openWav} reads; needs 12 of them. */
export function isWave(head: Uint8Array): boolean {
  return head.length >= 12 && HEADS.has(fourCharacters(head, 0)) && fourCharacters(head, 8) === "WAVE";
}

/**
 * Reads a RIFF/WAVE file, RF64 or BW64: PCM of 1 to 32 bits, floats of 32 and 64 bits, A-law and mu-law. It reads all
 * audio in the file, whatever sizes the header claims, and holds at most one chunk of input. It closes the reader at
 * the end of the samples; when it returns anything else or throws, the caller closes it.
 *
 * @throws MediaError `WAV_INVALID` that names the file and the field at fault.
 */
export async function openWav(reader: ByteReader, { name, size }: WavOptions): Promise<WavStream | ForeignWav> {
  const fail = (what: string): MediaError => new MediaError("WAV_INVALID", `The WAV file ${name} ${what}.`);
  const warnings: string[] = [];
  const warn = (what: string): void => void warnings.push(`The WAV file ${name} ${what}.`);
  const riff = await reader.take(12);
  if (riff === undefined) throw fail("ends before its 12-byte RIFF header is complete");
  if (!HEADS.has(fourCharacters(riff, 0))) throw fail(`does not start with "RIFF"`);
  const form = fourCharacters(riff, 8);
  if (form !== "WAVE")
    return { kind: "foreign", reason: `has the form type ${JSON.stringify(form)} instead of "WAVE"` };
  const chunks = new Chunks(reader, size);
  let format: WavFormat | undefined;
  let longSize: number | undefined;
  let wasEmpty = false;
  for (;;) {
    const chunk = await chunks.next();
    if (chunk === undefined && format !== undefined && wasEmpty) return stream(reader, format, 0, { warnings, warn });
    if (chunk === undefined) throw fail(format ? `has no "data" chunk` : `has no "fmt " chunk`);
    if (reader.position + chunk.size > MAX_HEADER_BYTES && chunk.id !== "data") {
      throw fail(`claims more than ${MAX_HEADER_BYTES} bytes before its "data" chunk`);
    }
    if (chunk.id === "data") {
      // A program that can go back in a file plays it.
      if (format === undefined) return { kind: "foreign", reason: `has its "data" chunk before its "fmt " chunk` };
      wasEmpty = chunk.size === 0 && (await chunks.isNext());
      if (wasEmpty) continue;
      const claimed = chunk.size === UNKNOWN_SIZE ? longSize : chunk.size;
      return stream(reader, format, audioSize(claimed, reader.position, size, warn), { warnings, warn });
    }
    // As other players do, it heeds the first one alone.
    if (chunk.id === "fmt " && format === undefined) {
      if (chunk.size < MIN_FORMAT_BYTES) {
        throw fail(`has a "fmt " chunk of ${chunk.size} bytes (${MIN_FORMAT_BYTES} at least)`);
      }
      const body = await reader.take(Math.min(chunk.size, MAX_FORMAT_BYTES));
      if (body === undefined) throw fail(`ends inside its "fmt " chunk`);
      const parsed = parseFormat(body);
      if (parsed.kind === "invalid") throw fail(parsed.reason);
      if (parsed.kind === "foreign") return parsed;
      if (parsed.warning !== undefined) warn(parsed.warning);
      format = parsed.format;
    } else if (chunk.id === "ds64" && chunk.size >= 16) {
      const body = await reader.take(16);
      if (body === undefined) throw fail(`ends inside its "ds64" chunk`);
      longSize = Number(view(body).getBigUint64(8, true));
    }
    if (!(await chunks.end()) && !wasEmpty) throw fail(`ends inside its "${chunk.id}" chunk`);
  }
}

class Chunks {
  readonly #reader: ByteReader;
  readonly #size: number | undefined;
  #end = 0;
  #isOdd = false;

  constructor(reader: ByteReader, size: number | undefined) {
    this.#reader = reader;
    this.#size = size;
  }

  /** Reads the next chunk's head; undefined at the end of the file. */
  async next(): Promise<{ readonly id: string; readonly size: number } | undefined> {
    if (this.#isOdd) await this.#skipPadding();
    const head = await this.#reader.take(8);
    if (head === undefined) return undefined;
    const size = view(head).getUint32(4, true);
    this.#end = this.#reader.position + size;
    this.#isOdd = size % 2 === 1;
    return { id: fourCharacters(head, 0), size };
  }

  /** Goes to the end of the chunk; false when the file ends before. */
  end(): Promise<boolean> {
    return this.#reader.skip(this.#end - this.#reader.position);
  }

  /** Whether a chunk follows, rather than audio whose header claims size 0, or the end of the file. */
  async isNext(): Promise<boolean> {
    const head = await this.#reader.peek(8);
    if (head.length < 8) return false;
    const rest = (this.#size ?? Number.POSITIVE_INFINITY) - this.#reader.position - 8;
    return KNOWN_CHUNKS.has(fourCharacters(head, 0)) && view(head).getUint32(4, true) <= rest;
  }

  // Chunks of odd size end with a padding 0, which some writers forget.
  async #skipPadding(): Promise<void> {
    const next = await this.#reader.peek(5);
    const isForgotten = KNOWN_CHUNKS.has(fourCharacters(next, 0)) && !KNOWN_CHUNKS.has(fourCharacters(next, 1));
    if (!isForgotten) await this.#reader.skip(1);
  }
}

// Size of the audio: the header's claim where the file is that long, otherwise everything.
function audioSize(
  claimed: number | undefined,
  position: number,
  size: number | undefined,
  warn: (what: string) => void,
): number {
  if (claimed === undefined || claimed === 0) return Number.POSITIVE_INFINITY;
  if (size === undefined) return claimed;
  const there = size - position;
  if (claimed <= there) return claimed;
  warn(`claims ${claimed} bytes of audio and holds ${there}, which are played`);
  return Number.POSITIVE_INFINITY;
}

function stream(
  reader: ByteReader,
  format: WavFormat,
  size: number,
  { warnings, warn }: { readonly warnings: readonly string[]; readonly warn: (what: string) => void },
): WavStream {
  return { kind: "pcm", format, warnings, samples: samples(reader, format, size, warn) };
}

async function* samples(
  reader: ByteReader,
  format: WavFormat,
  size: number,
  warn: (what: string) => void,
): AsyncGenerator<Float32Array, void, undefined> {
  const frameBytes = SAMPLE_BYTES[format.sampleFormat] * format.channels;
  let read = 0;
  async function* audio(): AsyncGenerator<Uint8Array, void, undefined> {
    while (read < size) {
      const chunk = await reader.some(size - read);
      if (chunk === undefined) break;
      read += chunk.length;
      yield chunk;
    }
    if (read < size && size < PLACEHOLDER_SIZE) {
      warn(`claims ${size} bytes of audio and holds ${read}, which were played`);
    } else if (read === size && read % frameBytes !== 0) {
      warn(`ends in the middle of a sample: ${read % frameBytes} bytes are left over`);
    }
  }
  try {
    yield* decodeSamples(audio(), format);
  } finally {
    await reader.close();
  }
}
