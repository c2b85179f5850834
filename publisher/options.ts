import { z } from "zod";
import { BROADCAST_NAME_RULE, isBroadcastName, type Logger } from "../base/index.js";
import type { ConnectOptions } from "../transport/index.js";
import { COMFORT_NOISE_DB } from "./denoise/hop/comfort-noise.js";
import { Model } from "./denoise/model.js";
import type { AudioSource } from "./source/source.js";
import { knobsSchema } from "./tracks/mixer.js";
import { opusOptionsSchema } from "./tracks/opus.js";
import type { VideoSource } from "./video/video-source.js";

/** Half a second of frames of 20 ms: a late joiner begins with a group, and a lost stream takes all of its frames along. */
const MAX_GROUP_FRAMES = 25;

const isSource = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "read" in value && "channels" in value;
const isVideo = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "read" in value && "codec" in value;

/** Options of {@link Publisher}. */
export const publisherOptionsSchema = z.strictObject({
  /** The relay: `https://host:port`, or `http://host:port` to pin the certificate it tells there. */
  url: z.union([z.url({ protocol: /^https?$/ }), z.instanceof(URL)], { error: "be an http or https URL" }),
  /** Name of the broadcast, with or without the `.hang` that its path ends with. Default `demo`. */
  broadcast: z.string().refine(isBroadcastName, BROADCAST_NAME_RULE).default("demo"),
  /** What to say first; more comes by `say`. */
  source: z.custom<AudioSource>(isSource, "be an AudioSource").optional(),
  /** Pictures beside the audio. They start with the first utterance, stand still after an interrupt and go on with the next. */
  video: z.custom<VideoSource>(isVideo, "be a VideoSource").optional(),
  /** Whether there is audio. Without it there has to be video, which starts at once. Default true. */
  audio: z.boolean().default(true),
  /** `live`: audio is sent as it is captured. `ahead`: it is rendered before its time and may be taken back. Default `ahead`. */
  mode: z.enum(["live", "ahead"]).default("ahead"),
  /** How far to send ahead of the playhead, in milliseconds. By default as little as the link needs. */
  aheadMs: z.number().min(100).max(30_000).optional(),
  /** A denoising model: the path of its ONNX file, or one loaded before. Without it the audio is not denoised. */
  model: z.union([z.string().min(1), z.instanceof(Model)]).optional(),
  denoise: knobsSchema.prefault({}),
  /**
   * Level of a quiet, steady floor of noise that is kept under denoised audio, in dB against full scale: pauses are then
   * neither dead nor pumping. By default there is none.
   */
  comfortNoiseDb: z.number().min(COMFORT_NOISE_DB.min).max(COMFORT_NOISE_DB.max).optional(),
  /** Models that can be swapped in by name: the path of each one's ONNX file, or what loads it. */
  models: z
    .record(
      z.string().min(1).max(256),
      z.union([
        z.string().min(1),
        z.custom<() => Promise<Model>>((value) => typeof value === "function", "must be a path or a function"),
      ]),
    )
    .default({}),
  /** Opens a source that is to be swapped in by name. */
  sources: z
    .custom<(name: string) => Promise<AudioSource>>((value) => typeof value === "function", "must be a function")
    .optional(),
  /** `opus`, or `pcm`: 16-bit samples as they are, for measurements and links with room. Default `opus`. */
  codec: z.enum(["opus", "pcm"]).default("opus"),
  /**
   * Bit rate of a second Opus rendition, in bits per second, made only while somebody subscribes to it. The rendition
   * `<track>-low` pairs with `<track>`: its groups have the same sequences and timestamps, so that a relay or a listener
   * can take the one or the other group by group. False for none; there is none with `codec: "pcm"` or
   * `rewindBy: "track"`. Default 12,000, with `frameMs: 5` 16,000, so that a packet has bits enough to stand alone.
   */
  lowBitrateBps: z.union([opusOptionsSchema.shape.bitrateBps.removeDefault(), z.literal(false)]).optional(),
  channels: opusOptionsSchema.shape.channels,
  frameMs: opusOptionsSchema.shape.frameMs,
  /**
   * Frames in a group at most. Each is sent as it comes, so more cost no delay, but a group of several always goes as a
   * stream and not as a datagram: worth it where most listeners have no datagrams anyway, because a relay's work for a
   * stream is then shared. What is reported and counted in groups gets as much coarser. Default 1.
   */
  groupFrames: z.number().int().min(1).max(MAX_GROUP_FRAMES).default(1),
  bitrateBps: opusOptionsSchema.shape.bitrateBps,
  /** Further settings of the encoder. */
  opus: opusOptionsSchema.omit({ channels: true, frameMs: true, bitrateBps: true, lookahead: true }).prefault({}),
  /** `rewind`: a group that goes back in time. `track`: a fresh track for players that refuse those. Default `rewind`. */
  rewindBy: z.enum(["group", "track"]).default("group"),
  /**
   * Takes operations from whoever the relay lets publish under `<broadcast>.control/`; see docs/remote-control.md. Default false.
   */
  control: z.boolean().default(false),
  /** How long after an interrupt `resume` still works, in milliseconds. Default 10,000. */
  resumeWindowMs: z.number().min(0).max(600_000).default(10_000),
  /** Parts of flow control that can be switched off, to measure what they are worth. */
  flow: z
    .strictObject({
      /** `gated`: the lead is raised only for groups sent after the last raise. Default `gated`. */
      leadMode: z.enum(["gated", "ungated"]).default("gated"),
      /** Whether reports are taken to be as old as they are found to be. Default true. */
      staleness: z.boolean().default(true),
      /** Whether a change takes back what was sent ahead; otherwise it is heard behind that. Default true. */
      takeBack: z.boolean().default(true),
      /** Whether no more is sent than the next hop takes. Default true. */
      window: z.boolean().default(true),
    })
    .prefault({}),
  /** How the session is made; see `connect` of the transport. */
  connect: z
    .custom<ConnectOptions>((value) => typeof value === "object" && value !== null, "be an object of options")
    .optional(),
  /** Closes the publisher; `closed` then resolves with the signal's reason. */
  signal: z.instanceof(AbortSignal, { error: "be an AbortSignal" }).optional(),
  logger: z
    .custom<Logger>(
      (value) => typeof value === "object" && value !== null && "info" in value,
      "have the methods debug, info and warn",
    )
    .optional(),
});

/** See {@link publisherOptionsSchema}. */
export type PublisherOptions = z.input<typeof publisherOptionsSchema>;
