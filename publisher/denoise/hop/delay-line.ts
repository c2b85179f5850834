/** The last `length` samples of a stream, oldest first. */
export class DelayLine {
  /** A part of a checkpoint. */
  readonly state: Float32Array;

  constructor(length: number) {
    this.state = new Float32Array(length);
  }

  /** Takes samples and writes as many from `length` samples ago; `output` may be `samples`. */
  push(samples: Float32Array, output: Float32Array): void {
    const { state } = this;
    const joined = new Float32Array(state.length + samples.length);
    joined.set(state);
    joined.set(samples, state.length);
    output.set(joined.subarray(0, samples.length));
    state.set(joined.subarray(samples.length));
  }
}
