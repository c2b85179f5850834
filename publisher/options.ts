import { z } from "zod";
import { BROADCAST_NAME_RULE, isBroadcastName, isRelayUrl, type Logger } from "../base/index.js";
import type { ConnectOptions } from "../transport/index.js";
import { COMFORT_NOISE_DB } from "./denoise/hop/comfort-noise.js";
import { Model } from "./denoise/model.js";
import { type AudioSource, sourceSchema } from "./source/source.js";
import { type Knobs, knobsSchema } from "./tracks/mixer.js";
import { type OpusOptions, opusOptionsSchema } from "./tracks/opus.js";
import type { VideoSource } from "./video/video-source.js";

/** Options of `Publisher`. */
export interface PublisherOptions {
  /** The relay: `https://host:port`, or `http://host:port` to pin the certificate whose hash it serves there. */
  readonly url: string | URL;
  /** Name of the broadcast, with or without its path's ending `.hang`. Default `demo`. */
  readonly broadcast?: string;
  /** The first speech; `say` adds more. */
  readonly source?: AudioSource;
  /** Video beside the audio. It starts with the first speech, stops at an interrupt and continues with the next speech. */
  readonly video?: VideoSource;
  /** Whether the broadcast has audio. Without audio it needs video, which starts at once. Default true. */
  readonly audio?: boolean;
  /** `live`: send audio as it is captured. `ahead`: render and send audio before it is due. Default `ahead`. */
  readonly mode?: "live" | "ahead";
  /** How far to send ahead of the playhead, in milliseconds, 100 to 30,000. By default as little as the link needs. */
  readonly aheadMs?: number;
  /** A denoising model: the path of its ONNX file, or a loaded one. Without it the audio is not denoised. */
  readonly model?: string | Model;
  /** Initial settings of the denoiser. */
  readonly denoise?: Partial<Knobs>;
  /**
   * Level of a quiet, steady noise floor under denoised audio, in dBFS, so that pauses sound neither dead nor pumping.
   * Default: none.
   */
  readonly comfortNoiseDb?: number;
  /** Models that an operation can load by name: each the path of an ONNX file, or a function that loads one. */
  readonly models?: Readonly<Record<string, string | (() => Promise<Model>)>>;
  /** Opens a source that an operation names. */
  readonly sources?: (name: string) => Promise<AudioSource>;
  /** `opus`, or `pcm`: 16-bit samples, for measurements and wide links. Default `opus`. */
  readonly codec?: "opus" | "pcm";
  /**
   * Bit rate of a second Opus rendition, in bits per second, encoded only while subscribed. The groups of `<track>-low`
   * have the same sequences and timestamps as those of `<track>`, so a relay or a listener can switch between them at
   * any group. False: none, as with `codec: "pcm"` or `rewindBy: "track"`. Default 12,000; 16,000 with `frameMs: 5`, so
   * that a packet has enough bits to stand alone.
   */
  readonly lowBitrateBps?: number | false;
  /** Channels of the broadcast. Default 1. */
  readonly channels?: 1 | 2;
  /** Length of an Opus packet, in milliseconds. Default 20. */
  readonly frameMs?: 20 | 10 | 5;
  /**
   * Maximum frames in a group, 1 to 25. Each frame is sent as soon as it is encoded, so more frames add no delay. A
   * group of several frames always travels on a stream. That pays where most listeners have no datagrams, because the
   * relay shares a stream's work. Reports and group counters become coarser. Default 1.
   */
  readonly groupFrames?: number;
  /** Bit rate of Opus, in bits per second. Default 64,000. */
  readonly bitrateBps?: number;
  /** More settings of the encoder. */
  readonly opus?: Omit<OpusOptions, "channels" | "frameMs" | "bitrateBps" | "lookahead">;
  /** `group`: a rewind is a group that goes back in time. `track`: a fresh track, for stock players. Default `group`. */
  readonly rewindBy?: "group" | "track";
  /** Accepts operations from broadcasts under `<broadcast>.control/`; see docs/remote-control.md. Default false. */
  readonly control?: boolean;
  /** How long after an interrupt `resume` works, in milliseconds. Default 10,000. */
  readonly resumeWindowMs?: number;
  /** Options of the connection. */
  readonly connect?: ConnectOptions;
  /** Closes the publisher; `closed` then resolves with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Logs in pino's format. Default: no log. */
  readonly logger?: Logger;
}

/** Parts that a measurement switches off to show their worth, and a limit that a test on a busy machine raises. */
export interface PublisherAblation {
  /** Raises the lead for every late landing, not only for groups sent after the last raise. */
  readonly ungatedLead?: boolean;
  /** Treats every report as fresh. */
  readonly ignoreStaleness?: boolean;
  /** Never rewinds for a change: listeners hear it after the audio already sent. */
  readonly keepStale?: boolean;
  /** Sends everything that is due, however little the next hop acknowledges. */
  readonly ignoreWindow?: boolean;
  /**
   * How long an interrupt waits for the listeners' reports on a short path, in milliseconds; on a slow machine, up to
   * three times as long. Default 1000.
   */
  readonly heardLimitMs?: number;
}

/** Half a second of 20 ms frames: a late joiner starts at a group, and a lost stream loses all its frames. */
const MAX_GROUP_FRAMES = 25;

const isSource = (value: unknown): boolean => sourceSchema.safeParse(value).success;
const isVideo = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "read" in value && "codec" in value;
const isFunction = (value: unknown): boolean => typeof value === "function";
const isObject = (value: unknown): boolean => typeof value === "object" && value !== null;
const isLogger = (value: unknown): boolean => typeof value === "object" && value !== null && "info" in value;

/** Checks {@link PublisherOptions} and fills in their defaults. */
export const publisherOptionsSchema = z.strictObject({
  url: z.custom<string | URL>((value) => isRelayUrl(value) === undefined, "be an http or https URL"),
  broadcast: z.string().refine(isBroadcastName, BROADCAST_NAME_RULE).default("demo"),
  source: z.custom<AudioSource>(isSource, "be an AudioSource with name, channels, read and close").optional(),
  video: z.custom<VideoSource>(isVideo, "be a VideoSource").optional(),
  audio: z.boolean().default(true),
  mode: z.enum(["live", "ahead"]).default("ahead"),
  aheadMs: z.number().min(100).max(30_000).optional(),
  model: z.union([z.string().min(1), z.instanceof(Model)]).optional(),
  denoise: knobsSchema.prefault({}),
  comfortNoiseDb: z.number().min(COMFORT_NOISE_DB.min).max(COMFORT_NOISE_DB.max).optional(),
  models: z
    .record(
      z.string().min(1).max(256),
      z.union([z.string().min(1), z.custom<() => Promise<Model>>(isFunction, "must be a path or a function")]),
    )
    .default({}),
  sources: z.custom<(name: string) => Promise<AudioSource>>(isFunction, "must be a function").optional(),
  codec: z.enum(["opus", "pcm"]).default("opus"),
  lowBitrateBps: z.union([opusOptionsSchema.shape.bitrateBps.removeDefault(), z.literal(false)]).optional(),
  channels: opusOptionsSchema.shape.channels,
  frameMs: opusOptionsSchema.shape.frameMs,
  groupFrames: z.number().int().min(1).max(MAX_GROUP_FRAMES).default(1),
  bitrateBps: opusOptionsSchema.shape.bitrateBps,
  opus: opusOptionsSchema.omit({ channels: true, frameMs: true, bitrateBps: true, lookahead: true }).prefault({}),
  rewindBy: z.enum(["group", "track"]).default("group"),
  control: z.boolean().default(false),
  resumeWindowMs: z.number().min(0).max(600_000).default(10_000),
  connect: z.custom<ConnectOptions>(isObject, "be an object of options").optional(),
  signal: z.instanceof(AbortSignal, { error: "be an AbortSignal" }).optional(),
  logger: z.custom<Logger>(isLogger, "have the methods debug, info and warn").optional(),
});
