import { z } from "zod";

/** The header in which the page sends the token that the server wrote into it. */
export const CONTROL_HEADER = "x-unsay-control";

const knobs = z
  .strictObject({
    /** 0 leaves the audio unchanged, 1 is the model's full effect. */
    strength: z.number().min(0).max(1).exactOptional(),
    /** Maximum attenuation of any part of the audio, in dB; 100 is no limit. */
    attenuationLimitDb: z.number().min(0).max(100).exactOptional(),
    /** True plays the raw recording. */
    bypass: z.boolean().exactOptional(),
  })
  .refine((some) => Object.keys(some).length > 0, "needs strength, attenuationLimitDb or bypass");

const linkFields = {
  delayMs: z.number().min(0).max(2000),
  jitterMs: z.number().min(0).max(2000),
  /** Share of the packets that are lost. */
  loss: z.number().min(0).max(1),
  /** 0 is no limit. */
  rateKbps: z.number().min(0).max(100_000),
};

const linkSchemas = [
  z.strictObject({ op: z.literal("link"), ...linkFields }),
  z.strictObject({ op: z.literal("cut"), ms: z.number().min(1).max(10_000) }),
] as const;

/** A request about the link between the relay and the page: make it bad, or cut it for a while. */
export type LinkRequest = z.infer<(typeof linkSchemas)[number]>;

/** A request of the page: set the denoiser's knobs, interrupt, resume, or make its own link bad. */
export const controlSchema = z.discriminatedUnion("op", [
  ...linkSchemas,
  z.strictObject({ op: z.literal("set"), denoise: knobs }),
  z.strictObject({ op: z.literal("interrupt") }),
  z.strictObject({ op: z.literal("resume") }),
]);

/** A validated body of `POST /control`. */
export type ControlRequest = z.infer<typeof controlSchema>;

const pieceSchema = z.object({
  /** Number of the speech that it is a part of. */
  speech: z.number(),
  /** Media time of its first sample, in microseconds. */
  timestamp: z.number(),
  /** Position of that sample in the recording. */
  fromMs: z.number(),
  lengthMs: z.number(),
});

/** A stretch of the recording on the broadcast's timeline. */
export type SpokenPiece = z.infer<typeof pieceSchema>;

const heardSchema = z.object({ speech: z.number(), ms: z.number(), text: z.string() });

/** How far an interrupted speech was heard, in milliseconds and words of the recording. */
export type HeardReply = z.infer<typeof heardSchema>;

const spokenSchema = z.object({
  /** Whether it is silent because of an interrupt, until it is resumed. */
  isInterrupted: z.boolean(),
  pieces: z.array(pieceSchema).readonly(),
  /** While interrupted, once known: how far it was heard. */
  heard: heardSchema.optional(),
});

/** State of the current speech. */
export type SpokenStats = z.infer<typeof spokenSchema>;

/** The parts of `GET /stats` that the page reads; a server may answer with more. */
export const pageStatsSchema = z.object({
  /** The current knobs, so that a page that joins shows them. */
  denoise: z
    .object({ strength: z.number(), attenuationLimitDb: z.number().optional(), bypass: z.boolean() })
    .optional(),
  /** Listeners of the broadcast now. */
  listeners: z.number().optional(),
  /** Media time up to which audio was sent, in microseconds. */
  frontierUs: z.number().optional(),
  spoken: spokenSchema.optional(),
  /** The link that can be made bad: its port at 127.0.0.1. */
  link: z.object({ port: z.number() }).optional(),
  /** The caller of an agent: the broadcast on which the page's microphone is expected, and whether a voice is on it. */
  caller: z.object({ broadcast: z.string(), isSpeaking: z.boolean() }).optional(),
});

/** Live numbers of the server, as the page shows them. */
export type PageStats = z.infer<typeof pageStatsSchema>;

const wordSchema = z.object({ text: z.string(), startMs: z.number(), endMs: z.number() }).readonly();

/** The answer to `GET /recording`: its words and levels. */
export const recordingSchema = z.object({
  text: z.string(),
  words: z.array(wordSchema).readonly(),
  /** Root mean square of every `levelMs`, 0 to 1. */
  levels: z.array(z.number()).readonly(),
  levelMs: z.number(),
});

/** See {@link recordingSchema}. */
export type PageRecording = z.infer<typeof recordingSchema>;

/** The parts of the answer to `interrupt` that the page shows; a server may answer with more. */
export const interruptReplySchema = z.object({
  /** How far listeners really heard the old timeline, as media time in microseconds. */
  heardUntil: z.number().optional(),
  /** How far the speech that was interrupted was heard. */
  heard: heardSchema.optional(),
});

/** See {@link interruptReplySchema}. */
export type InterruptReply = z.infer<typeof interruptReplySchema>;
