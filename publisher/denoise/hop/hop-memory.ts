import type { ModelContract } from "../model-contract.js";
import { checkpointLength, hopSamples } from "./hop-denoiser.js";

/** What the hop in the shared memory is about. */
export const Flag = {
  /** Run the network. */
  infer: 0,
  /** Go back to the checkpoint in `state` first. */
  restore: 1,
} as const;

const HEADER_BYTES = 16;

/** One stream's memory that the event loop and the denoising worker share; whose turn it is, the messages say. */
export interface HopMemory {
  readonly buffer: SharedArrayBuffer;
  /** 0 or 1 for each {@link Flag}. */
  readonly flags: Int32Array;
  /** Probability of speech of the last hop. */
  readonly voiceActivity: Float32Array;
  /** The hop that goes in. */
  readonly input: Float32Array;
  /** The hop that comes out. */
  readonly wet: Float32Array;
  /** The checkpoint after the hop. */
  readonly state: Float32Array;
}

/** Lays out a stream's memory, freshly made or as it came from the other thread. */
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
