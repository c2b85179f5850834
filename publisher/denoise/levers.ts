/**
 * Economies of the hot path. Each can be left out to measure what it saves (`npm run bench -- hot-path`); the audio is the
 * same, byte for byte.
 */
export interface Levers {
  /** Tensors are made once for a stream and used again by every hop. */
  readonly reuseTensors: boolean;
  /** The effect of a control is computed when it is set, not in every hop. */
  readonly prepareControls: boolean;
  /** Work without effect is skipped: a mix of the original alone, knobs set to their current values. */
  readonly skipInactive: boolean;
  /** Streams share the tables that only depend on a size. */
  readonly cacheTables: boolean;
}

/** All on, as outside the bench. */
export const LEVERS: Levers = { reuseTensors: true, prepareControls: true, skipInactive: true, cacheTables: true };
