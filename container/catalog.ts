import { z } from "zod";
import { MediaError } from "../base/index.js";

/** Largest catalog accepted or made, in bytes. A catalog describes tracks; 64 KiB is hundreds of them. */
export const MAX_CATALOG_BYTES = 65_536;

const whole = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);
const positive = whole.min(1);
const hex = z.string().regex(/^([0-9a-fA-F]{2})*$/, "must be hexadecimal");

const container = z
  .looseObject({ kind: z.string().min(1) })
  .refine((value) => value.kind !== "cmaf" || typeof value.init === "string", "of kind cmaf must have init")
  .default({ kind: "legacy" });

const rendition = {
  /** Another broadcast that publishes the track, as a path relative to this one. */
  broadcast: z.string().optional(),
  /** WebCodecs codec string, such as `opus` or `vp8`. */
  codec: z.string().min(1),
  /** How frames are framed; of other kinds than `legacy` a player skips the rendition. */
  container,
  /** The decoder's description, hexadecimal. */
  description: hex.optional(),
  /** Bits per second. */
  bitrate: whole.optional(),
  /** Longest time in milliseconds between a frame being ready and being sent: the least jitter buffer of a player. */
  jitter: whole.optional(),
};

const audioRendition = z.looseObject({
  ...rendition,
  /** Samples per second of a channel. */
  sampleRate: positive,
  /** Channels, 1 or 2 for everything made here. */
  numberOfChannels: positive,
});

const videoRendition = z.looseObject({
  ...rendition,
  codedWidth: whole.optional(),
  codedHeight: whole.optional(),
  displayAspectWidth: whole.optional(),
  displayAspectHeight: whole.optional(),
  /** Frames per second. */
  framerate: z.number().nonnegative().optional(),
  optimizeForLatency: z.boolean().optional(),
});

/** This project's own section: when the broadcast sends, and how it takes back what it sent. */
const unsay = z.looseObject({
  /** `rewind`: a group that starts earlier takes back. `track`: a fresh track replaces the old one in the catalog. */
  renege: z.enum(["rewind", "track"]),
  /** `live`: everything is sent when it is captured, so a player may catch up. `ahead`: it is sent before its time. */
  mode: z.enum(["live", "ahead"]).optional(),
  /**
   * Random id of the publisher's run. Another one under the same name is another timeline: its timestamps and sequences
   * tell nothing about those before.
   */
  run: z.string().min(1).max(64).optional(),
  /** How far ahead of a listener's playhead audio is sent at most, in milliseconds. */
  aheadMs: z.number().nonnegative().optional(),
  /** Milliseconds of audio that passed undenoised since the publisher's start, because the model was too slow. */
  bleedMs: z.number().nonnegative().optional(),
  /** Name of the track that tells where in the audio somebody speaks; see `VoiceFrame`. */
  voice: z.string().min(1).max(200).optional(),
});

/**
 * The hang catalog (draft-lcurley-moq-hang, section "Catalog"): what tracks a broadcast has and how to decode them.
 * Unknown fields survive at every level.
 */
export const catalogSchema = z.looseObject({
  audio: z.looseObject({ renditions: z.record(z.string(), audioRendition) }).optional(),
  video: z
    .looseObject({
      renditions: z.record(z.string(), videoRendition),
      display: z.looseObject({ width: whole, height: whole }).optional(),
      rotation: z.number().optional(),
      flip: z.boolean().optional(),
    })
    .optional(),
  unsay: unsay.optional(),
});

/** A catalog as parsed: defaults filled in. */
export type Catalog = z.output<typeof catalogSchema>;

/** A catalog as written: whatever has a default may be left out. */
export type CatalogInput = z.input<typeof catalogSchema>;

/** Decoder configuration of one audio track. */
export type AudioRendition = z.output<typeof audioRendition>;

/** Decoder configuration of one video track. */
export type VideoRendition = z.output<typeof videoRendition>;

/**
 * Parses the frame of a `catalog.json` group.
 *
 * @throws MediaError `INVALID_CATALOG` when it is too large, no UTF-8 JSON, or a field is not what it must be.
 */
export function parseCatalog(bytes: Uint8Array): Catalog {
  checkSize(bytes.byteLength);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new MediaError("INVALID_CATALOG", "The catalog is not JSON in UTF-8.", { cause });
  }
  return validate(json);
}

/**
 * Writes a catalog as the frame of a `catalog.json` group.
 *
 * @throws MediaError `INVALID_CATALOG` when a field is not what it must be, or the result is too large.
 */
export function encodeCatalog(catalog: CatalogInput): Uint8Array {
  const bytes = new TextEncoder().encode(JSON.stringify(validate(catalog)));
  checkSize(bytes.byteLength);
  return bytes;
}

function validate(value: unknown): Catalog {
  const result = catalogSchema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const field = ["catalog", ...(issue?.path ?? [])].map(String).join(".");
  throw new MediaError("INVALID_CATALOG", `${field} is not valid: ${issue?.message ?? "unknown reason"}.`, {
    cause: result.error,
  });
}

function checkSize(byteLength: number): void {
  if (byteLength > MAX_CATALOG_BYTES) {
    throw new MediaError(
      "INVALID_CATALOG",
      `A catalog must not be larger than ${MAX_CATALOG_BYTES} bytes, this one has ${byteLength}.`,
    );
  }
}
