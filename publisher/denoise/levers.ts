/**
 * Economies of the hot path. Each can be left out to measure what it saves (`npm run bench -- hot-path`); the audio is the
 * same, byte for byte.
 */
export interface Levers {
  /** Tensors are made once for a stream and used again by every hop. */
  readonly reuseTensors: boolean;
  /** What a control comes down to is computed when it is set, not in every hop. */
  readonly prepareControls: boolean;
  /** What changes nothing is left out: a mix of the original alone, knobs set to what they are. */
  readonly skipInactive: boolean;
  /** Streams share the tables that only depend on a size. */
  readonly cacheTables: boolean;
}

/** All of them, as they are outside the bench. */
export const LEVERS: Levers = { reuseTensors: true, prepareControls: true, skipInactive: true, cacheTables: true };
