import { z } from "zod";

/** The header in which the page sends the token that the server wrote into it. */
export const CONTROL_HEADER = "x-unsay-control";

/** What the page may ask of the publisher: turn the denoiser's knobs, or take back what is not heard yet. */
export const controlSchema = z.discriminatedUnion("op", [
  z.strictObject({
    op: z.literal("set"),
    denoise: z
      .strictObject({
        /** 0 leaves the audio as it came, 1 is the model's full effect. */
        strength: z.number().min(0).max(1).exactOptional(),
        /** True plays the raw recording. */
        bypass: z.boolean().exactOptional(),
      })
      .refine((knobs) => knobs.strength !== undefined || knobs.bypass !== undefined, "needs strength or bypass"),
  }),
  z.strictObject({ op: z.literal("interrupt") }),
]);

/** A validated body of `POST /control`. */
export type ControlRequest = z.infer<typeof controlSchema>;

/** The parts of `GET /stats` that the page reads; a server may answer with more. */
export const pageStatsSchema = z.object({
  /** The knobs as they stand, so that a page that joins shows the truth. */
  denoise: z.object({ strength: z.number(), bypass: z.boolean() }).optional(),
  /** Listeners of the broadcast now. */
  listeners: z.number().optional(),
});

/** Live numbers of the server, as far as the page shows them. */
export type PageStats = z.infer<typeof pageStatsSchema>;

/** The parts of the answer to `interrupt` that the page shows; a server may answer with more. */
export const interruptReplySchema = z.object({
  /** Media time in microseconds up to which listeners really heard the old timeline. */
  heardUntil: z.number().optional(),
});
