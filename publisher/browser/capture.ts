/** Name under which the audio worklet registers its processor. */
export const CAPTURE = "unsay-capture";

/** Audio that the worklet captured: one channel at the context's rate. */
export interface CapturedBlock {
  readonly samples: Float32Array<ArrayBuffer>;
  /** When its last sample was there, by `Date.now()`: worklets have no other clock that goes on while audio stands still. */
  readonly wallMs: number;
}
