import { MediaError } from "../base/index.js";

/** Maximum size of a catalog, in bytes. A catalog describes tracks; 64 KiB hold hundreds of them. */
export const MAX_CATALOG_BYTES = 65_536;

/** Fields beside the known ones; they survive at every level. */
interface Loose {
  readonly [field: string]: unknown;
}

/** Container of the frames; a player skips renditions of other kinds than `legacy`. */
export interface Container extends Loose {
  readonly kind: string;
  /** The initialization segment of kind `cmaf`. */
  readonly init?: string | undefined;
}

/** A track as written in a catalog: fields with a default may be missing. */
interface RenditionInput extends Loose {
  /** Another broadcast that publishes the track, as a path relative to this one. */
  readonly broadcast?: string | undefined;
  /** WebCodecs codec string, such as `opus` or `vp8`. */
  readonly codec: string;
  /** Default: kind `legacy`. */
  readonly container?: Container | undefined;
  /** The decoder's description, in hexadecimal. */
  readonly description?: string | undefined;
  /** Bits per second. */
  readonly bitrate?: number | undefined;
  /** Longest time in milliseconds between a frame being ready and being sent: a player's minimum jitter buffer. */
  readonly jitter?: number | undefined;
}

interface AudioRenditionInput extends RenditionInput {
  /** Samples per second of a channel. */
  readonly sampleRate: number;
  /** Channels, 1 or 2 for everything made here. */
  readonly numberOfChannels: number;
}

interface VideoRenditionInput extends RenditionInput {
  readonly codedWidth?: number | undefined;
  readonly codedHeight?: number | undefined;
  readonly displayAspectWidth?: number | undefined;
  readonly displayAspectHeight?: number | undefined;
  /** Frames per second. */
  readonly framerate?: number | undefined;
  readonly optimizeForLatency?: boolean | undefined;
}

/** Decoder configuration of one audio track. */
export interface AudioRendition extends AudioRenditionInput {
  readonly container: Container;
}

/** Decoder configuration of one video track. */
export interface VideoRendition extends VideoRenditionInput {
  readonly container: Container;
}

/** This project's own section: when the broadcast sends, and how it rewinds. */
interface UnsaySection extends Loose {
  /** `rewind`: a group that starts earlier rewinds. `track`: a fresh track replaces the old one in the catalog. */
  readonly renege: "rewind" | "track";
  /** `live`: audio is sent when it is captured, so a player may catch up. `ahead`: it is sent before it is due. */
  readonly mode?: "live" | "ahead" | undefined;
  /**
   * Random id of the publisher's run. Another id under the same name means another timeline, unrelated to the
   * timestamps and sequences before.
   */
  readonly run?: string | undefined;
  /** Maximum lead over a listener's playhead, in milliseconds. */
  readonly aheadMs?: number | undefined;
  /** Milliseconds of audio that passed undenoised since the publisher's start, because the model was too slow. */
  readonly bleedMs?: number | undefined;
  /** Name of the voice activity track; see `VoiceFrame`. */
  readonly voice?: string | undefined;
}

interface Sections<A, V> extends Loose {
  readonly audio?: (Loose & { readonly renditions: Readonly<Record<string, A>> }) | undefined;
  readonly video?:
    | (Loose & {
        readonly renditions: Readonly<Record<string, V>>;
        readonly display?: (Loose & { readonly width: number; readonly height: number }) | undefined;
        readonly rotation?: number | undefined;
        readonly flip?: boolean | undefined;
      })
    | undefined;
  readonly unsay?: UnsaySection | undefined;
}

/**
 * The parsed hang catalog (draft-lcurley-moq-hang, section "Catalog") with its defaults filled in: the tracks of a
 * broadcast and how to decode them.
 */
export interface Catalog extends Sections<AudioRendition, VideoRendition> {}

/** A catalog as written: fields with a default may be missing. */
export interface CatalogInput extends Sections<AudioRenditionInput, VideoRenditionInput> {}

/** How a broadcast rewinds, as the field of its `unsay` section that says so. */
export function rewindField(by: "group" | "track") {
  return { renege: by === "track" ? "track" : "rewind" } as const;
}

/**
 * Parses the frame of a `catalog.json` group.
 *
 * @throws MediaError `INVALID_CATALOG` when it is too large, not UTF-8 JSON, or has an invalid field.
 */
export function parseCatalog(bytes: Uint8Array): Catalog {
  checkSize(bytes.byteLength);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new MediaError("INVALID_CATALOG", "The catalog is not JSON in UTF-8.", { cause });
  }
  return check(json);
}

/**
 * Encodes a catalog as the frame of a `catalog.json` group.
 *
 * @throws MediaError `INVALID_CATALOG` when a field is invalid, or the result is too large.
 */
export function encodeCatalog(catalog: CatalogInput): Uint8Array {
  const bytes = new TextEncoder().encode(JSON.stringify(check(catalog)));
  checkSize(bytes.byteLength);
  return bytes;
}

/** A test of a field's value, and what the value must be, in words that follow "it must be". */
type Test = readonly [passes: (value: unknown) => boolean, words: string];

const isText = (least: number, most = MAX_CATALOG_BYTES): Test => [
  (value) => typeof value === "string" && value.length >= least && value.length <= most,
  least === 0 ? "text" : `text of ${least} to ${most} characters`,
];
const isWhole = (least: number): Test => [
  (value) => Number.isSafeInteger(value) && (value as number) >= least,
  `a whole number from ${least} on`,
];
const POSITIVE = isWhole(1);
const WHOLE = isWhole(0);
const NUMBER: Test = [(value) => Number.isFinite(value), "a number"];
const AMOUNT: Test = [(value) => Number.isFinite(value) && (value as number) >= 0, "a number from 0 on"];
const FLAG: Test = [(value) => typeof value === "boolean", "true or false"];
const HEX: Test = [(value) => typeof value === "string" && /^([0-9a-fA-F]{2})*$/.test(value), "hexadecimal"];
const isOneOf = (...words: readonly string[]): Test => [
  (value) => typeof value === "string" && words.includes(value),
  words.join(" or "),
];

const RENDITION = { broadcast: isText(0), description: HEX, bitrate: WHOLE, jitter: WHOLE };
const AUDIO = { required: { codec: isText(1), sampleRate: POSITIVE, numberOfChannels: POSITIVE }, optional: RENDITION };
const VIDEO = {
  required: { codec: isText(1) },
  optional: {
    ...RENDITION,
    codedWidth: WHOLE,
    codedHeight: WHOLE,
    displayAspectWidth: WHOLE,
    displayAspectHeight: WHOLE,
    framerate: AMOUNT,
    optimizeForLatency: FLAG,
  },
};
const UNSAY = {
  required: { renege: isOneOf("rewind", "track") },
  optional: {
    mode: isOneOf("live", "ahead"),
    run: isText(1, 64),
    aheadMs: AMOUNT,
    bleedMs: AMOUNT,
    voice: isText(1, 200),
  },
};

interface Shape {
  readonly required?: Readonly<Record<string, Test>>;
  readonly optional?: Readonly<Record<string, Test>>;
}

function check(value: unknown): Catalog {
  const catalog = fieldsOf(value, "catalog");
  const { audio, video, unsay } = catalog;
  if (unsay !== undefined) fieldsOf(unsay, "catalog.unsay", UNSAY);
  return {
    ...catalog,
    ...(audio !== undefined && { audio: withRenditions(fieldsOf(audio, "catalog.audio"), "catalog.audio", AUDIO) }),
    ...(video !== undefined && { video: withRenditions(checkVideo(video), "catalog.video", VIDEO) }),
  } as Catalog;
}

function checkVideo(value: unknown): Loose {
  const video = fieldsOf(value, "catalog.video", { optional: { rotation: NUMBER, flip: FLAG } });
  if (video.display !== undefined)
    fieldsOf(video.display, "catalog.video.display", { required: { width: WHOLE, height: WHOLE } });
  return video;
}

function withRenditions(section: Loose, path: string, shape: Shape): Loose {
  const entries = Object.entries(fieldsOf(section.renditions, `${path}.renditions`)).map(([name, value]) => {
    const place = `${path}.renditions.${name.slice(0, 80)}`;
    const rendition = fieldsOf(value, place, shape);
    return [name, { ...rendition, container: containerOf(rendition.container, `${place}.container`) }];
  });
  return { ...section, renditions: Object.fromEntries(entries) };
}

function containerOf(value: unknown, path: string): Loose {
  if (value === undefined) return { kind: "legacy" };
  const container = fieldsOf(value, path, { required: { kind: isText(1) } });
  if (container.kind === "cmaf" && typeof container.init !== "string") fail(path, "of kind cmaf with its init");
  return container;
}

/** The fields of an object, with the known ones checked. */
function fieldsOf(value: unknown, path: string, { required = {}, optional = {} }: Shape = {}): Loose {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return fail(path, "an object");
  const fields = value as Loose;
  for (const [name, [passes, words]] of Object.entries(required))
    if (!passes(fields[name])) fail(`${path}.${name}`, words);
  for (const [name, [passes, words]] of Object.entries(optional))
    if (fields[name] !== undefined && !passes(fields[name])) fail(`${path}.${name}`, words);
  return fields;
}

function fail(path: string, words: string): never {
  throw new MediaError("INVALID_CATALOG", `${path} is not valid: it must be ${words}.`);
}

function checkSize(byteLength: number): void {
  if (byteLength > MAX_CATALOG_BYTES) {
    throw new MediaError(
      "INVALID_CATALOG",
      `A catalog must not be larger than ${MAX_CATALOG_BYTES} bytes, this one has ${byteLength}.`,
    );
  }
}
