import { z } from "zod";

const knobs = z
  .strictObject({
    /** 0 leaves the audio unchanged, 1 is the model's full effect. */
    strength: z.number().min(0).max(1).exactOptional(),
    /** Maximum attenuation of any part of the audio, in dB; 100 means no limit. */
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
  /** 0 means no limit. */
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
