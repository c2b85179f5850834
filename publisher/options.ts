import { z } from "zod";
import { BROADCAST_NAME_RULE, isBroadcastName, type Logger } from "../base/index.js";
import type { ConnectOptions } from "../transport/index.js";
import { COMFORT_NOISE_DB } from "./denoise/hop/comfort-noise.js";
import { Model } from "./denoise/model.js";
import type { AudioSource } from "./source/source.js";
import { type Knobs, knobsSchema } from "./tracks/mixer.js";
import { type OpusOptions, opusOptionsSchema } from "./tracks/opus.js";
import type { VideoSource } from "./video/video-source.js";

/** Options of {@link Publisher}. */
export interface PublisherOptions {
  /** The relay: `https://host:port`, or `http://host:port` to pin the certificate whose hash it serves there. */
  readonly url: string | URL;
  /** Name of the broadcast, with or without the `.hang` that its path ends with. Default `demo`. */
  readonly broadcast?: string;
  /** What to say first; `say` adds more. */
  readonly source?: AudioSource;
  /** Video beside the audio. It starts with the first speech, stops at an interrupt and continues with the next speech. */
  readonly video?: VideoSource;
  /** Whether there is audio. A broadcast without it needs video, which starts at once. Default true. */
  readonly audio?: boolean;
  /** `live`: audio is sent as it is captured. `ahead`: it is rendered and sent before its time. Default `ahead`. */
  readonly mode?: "live" | "ahead";
  /** How far to send ahead of the playhead, in milliseconds, 100 to 30,000. By default as little as the link needs. */
  readonly aheadMs?: number;
  /** A denoising model: the path of its ONNX file, or a loaded one. Without it the audio is not denoised. */
  readonly model?: string | Model;
  /** The denoiser's knobs at the start. */
  readonly denoise?: Partial<Knobs>;
  /**
   * Level of a quiet, steady noise floor under denoised audio, in dB against full scale, so that pauses are neither dead
   * nor pumping. Default: none.
   */
  readonly comfortNoiseDb?: number;
  /** Models that can be swapped in by name: the path of each one's ONNX file, or a function that loads it. */
  readonly models?: Readonly<Record<string, string | (() => Promise<Model>)>>;
  /** Opens a source that is swapped in by name. */
  readonly sources?: (name: string) => Promise<AudioSource>;
  /** `opus`, or `pcm`: 16-bit samples, for measurements and wide links. Default `opus`. */
  readonly codec?: "opus" | "pcm";
  /**
   * Bit rate of a second Opus rendition, in bits per second, encoded only while it is subscribed. The groups of
   * `<track>-low` have the same sequences and timestamps as those of `<track>`, so a relay or a listener can take either,
   * group by group. False: none, as with `codec: "pcm"` or `rewindBy: "track"`. Default 12,000; 16,000 with `frameMs: 5`,
   * so that a packet has enough bits to stand alone.
   */
  readonly lowBitrateBps?: number | false;
  /** Channels of the broadcast. Default 1. */
  readonly channels?: 1 | 2;
  /** Length of an Opus packet, in milliseconds. Default 20. */
  readonly frameMs?: 20 | 10 | 5;
  /**
   * Frames in a group at most, 1 to 25. Each is sent as it comes, so more frames add no delay, but a group of several
   * always travels on a stream: worth it where most listeners have no datagrams, because the relay's work for a stream is
   * shared. Reports and counters of groups become coarser. Default 1.
   */
  readonly groupFrames?: number;
  /** Bit rate of Opus, in bits per second. Default 64,000. */
  readonly bitrateBps?: number;
  /** Further settings of the encoder. */
  readonly opus?: Omit<OpusOptions, "channels" | "frameMs" | "bitrateBps" | "lookahead">;
  /** `group`: a rewind is a group that goes back in time. `track`: a fresh track, for stock players. Default `group`. */
  readonly rewindBy?: "group" | "track";
  /** Accepts operations from broadcasts under `<broadcast>.control/`; see docs/remote-control.md. Default false. */
  readonly control?: boolean;
  /** How long after an interrupt `resume` still works, in milliseconds. Default 10,000. */
  readonly resumeWindowMs?: number;
  /** How to connect. */
  readonly connect?: ConnectOptions;
  /** Closes the publisher; `closed` then resolves with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Gets what happens, in pino's shape. Default: nothing is logged. */
  readonly logger?: Logger;
}

/** What a measurement leaves out, to show what it is worth. */
export interface PublisherAblation {
  /** Raises the lead for every late landing, not only for groups sent after the last raise. */
  readonly ungatedLead?: boolean;
  /** Takes every report for as new as it arrives. */
  readonly ignoreStaleness?: boolean;
  /** Never rewinds for a change: it is heard behind what was sent. */
  readonly keepStale?: boolean;
  /** Sends whatever there is, however little the next hop acknowledges. */
  readonly ignoreWindow?: boolean;
}

/** Half a second of frames of 20 ms: a late joiner begins with a group, and a lost stream takes all of its frames along. */
const MAX_GROUP_FRAMES = 25;

const isSource = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "read" in value && "channels" in value;
const isVideo = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "read" in value && "codec" in value;
const isFunction = (value: unknown): boolean => typeof value === "function";
const isObject = (value: unknown): boolean => typeof value === "object" && value !== null;
const isLogger = (value: unknown): boolean => typeof value === "object" && value !== null && "info" in value;

/** Checks {@link PublisherOptions} and fills in their defaults. */
export const publisherOptionsSchema = z.strictObject({
  url: z.union([z.url({ protocol: /^https?$/ }), z.instanceof(URL)], { error: "be an http or https URL" }),
  broadcast: z.string().refine(isBroadcastName, BROADCAST_NAME_RULE).default("demo"),
  source: z.custom<AudioSource>(isSource, "be an AudioSource").optional(),
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
