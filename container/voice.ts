import { fromMilliseconds, MediaError, type Microseconds } from "../base/index.js";
import { decodeLegacyFrame, encodeLegacyFrame } from "./frame.js";

/** Media time of one step of a voice frame: the hop of a denoiser. */
export const VOICE_STEP: Microseconds = fromMilliseconds(10);

/** Maximum steps in one frame: a second. */
export const MAX_VOICE_STEPS = 100;

/** An unknown step, because no model listened. */
export const VOICE_UNKNOWN = 255;

/** The step for certainty. */
const CERTAIN = 254;

/** One frame of a voice track: the probability of speech, step by step. */
export interface VoiceFrame {
  /** Media time of the first step, in microseconds since the broadcast's start. */
  readonly timestamp: Microseconds;
  /** One byte for every {@link VOICE_STEP}: 0 to 254 for a probability from 0 to 1, or {@link VOICE_UNKNOWN}. */
  readonly steps: Uint8Array;
}

/** A probability from 0 to 1 as a step; undefined becomes {@link VOICE_UNKNOWN}. */
export function voiceStep(chance: number | undefined): number {
  return chance === undefined ? VOICE_UNKNOWN : Math.round(Math.min(1, Math.max(0, chance)) * CERTAIN);
}

/** The probability from 0 to 1 of a step; undefined where unknown. */
export function voiceChance(step: number): number | undefined {
  return step > CERTAIN ? undefined : step / CERTAIN;
}

/**
 * Encodes a frame of a voice track: the timestamp first, as in the hang `legacy` container, then the steps.
 *
 * @throws MediaError `INVALID_TIMESTAMP`, or `INVALID_VOICE` without steps or with too many.
 */
export function encodeVoiceFrame({ timestamp, steps }: VoiceFrame): Uint8Array {
  checkSteps(steps.length);
  return encodeLegacyFrame({ timestamp, payload: steps });
}

/**
 * Decodes a frame of a voice track. The steps are a view into `bytes`, not a copy.
 *
 * @throws MediaError `TRUNCATED_FRAME` or `INVALID_TIMESTAMP`, or `INVALID_VOICE` without steps or with too many.
 */
export function decodeVoiceFrame(bytes: Uint8Array): VoiceFrame {
  const { timestamp, payload } = decodeLegacyFrame(bytes, { keyframe: true });
  checkSteps(payload.length);
  return { timestamp, steps: payload };
}

function checkSteps(count: number): void {
  if (count >= 1 && count <= MAX_VOICE_STEPS) return;
  throw new MediaError(
    "INVALID_VOICE",
    `A voice frame must have 1 to ${MAX_VOICE_STEPS} steps, this one has ${count}.`,
  );
}
