import type { ModelContract } from "../model-contract.js";
import { checkpointLength, hopSamples } from "./hop-denoiser.js";

/** Indices into `flags`. */
export const Flag = {
  /** Run the network. */
  infer: 0,
  /** Restore the checkpoint in `state` first. */
  restore: 1,
} as const;

const HEADER_BYTES = 16;

/** One stream's memory, shared by the event loop and the denoising worker; messages pass the turn. */
export interface HopMemory {
  readonly buffer: SharedArrayBuffer;
  /** 0 or 1 for each {@link Flag}. */
  readonly flags: Int32Array;
  /** Probability of speech of the last hop. */
  readonly voiceActivity: Float32Array;
  /** The hop to denoise. */
  readonly input: Float32Array;
  /** The denoised hop. */
  readonly wet: Float32Array;
  /** The checkpoint after the hop. */
  readonly state: Float32Array;
}

/** Lays out a stream's memory, either new or received from the other thread. */
export function hopMemory(contract: ModelContract, buffer?: SharedArrayBuffer): HopMemory {
  const hop = hopSamples(contract);
  const length = checkpointLength(contract);
  const memory = buffer ?? new SharedArrayBuffer(HEADER_BYTES + 4 * (1 + 2 * hop + length));
  const values = new Float32Array(memory, HEADER_BYTES);
  return {
    buffer: memory,
    flags: new Int32Array(memory, 0, 2),
    voiceActivity: values.subarray(0, 1),
    input: values.subarray(1, 1 + hop),
    wet: values.subarray(1 + hop, 1 + 2 * hop),
    state: values.subarray(1 + 2 * hop),
  };
}
