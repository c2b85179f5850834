/** The falling half of a raised cosine, 1 at the first of `frames` and near 0 at the last; reversed it is the rise. */
export function fadeCurve(frames: number): Float32Array {
  return Float32Array.from({ length: frames }, (_, index) => 0.5 + 0.5 * Math.cos((Math.PI * (index + 0.5)) / frames));
}

/**
 * Removes clicks from a stream of samples that starts, stops and jumps. Starts fade in; at a stop or jump the last
 * value decays, so that no sample that was cut off is needed for the fade.
 */
export class Declicker {
  readonly #curve: Float32Array;
  readonly #last: Float32Array;
  readonly #residue: Float32Array;
  #decaying = 0;
  #rising = 0;
  #sounding = false;

  /** Fades last `fadeFrames`. */
  constructor({ channels, fadeFrames }: { readonly channels: number; readonly fadeFrames: number }) {
    this.#curve = fadeCurve(fadeFrames);
    this.#last = new Float32Array(channels);
    this.#residue = new Float32Array(channels);
  }

  /**
   * Smooths `count` frames of audio in `output` from `offset` on, in place; `jump`: they do not continue the frames
   * before.
   */
  audio(output: readonly Float32Array[], offset: number, count: number, jump: boolean): void {
    if (jump && this.#sounding) this.#cut();
    if (jump || !this.#sounding) this.#rising = this.#curve.length;
    this.#sounding = true;
    this.#process(output, offset, count);
  }

  /** Writes `count` frames of silence to `output` from `offset` on, with the last audio decaying into it. */
  silence(output: readonly Float32Array[], offset: number, count: number): void {
    for (const channel of output) channel.fill(0, offset, offset + count);
    if (this.#sounding) this.#cut();
    this.#sounding = false;
    this.#rising = 0;
    this.#process(output, offset, count);
  }

  #cut(): void {
    this.#residue.set(this.#last);
    this.#decaying = this.#curve.length;
  }

  #process(output: readonly Float32Array[], offset: number, count: number): void {
    const curve = this.#curve;
    for (let frame = offset; frame < offset + count && (this.#rising > 0 || this.#decaying > 0); frame++) {
      const gain = this.#rising > 0 ? curve[--this.#rising]! : 1;
      const decay = this.#decaying > 0 ? curve[curve.length - this.#decaying--]! : 0;
      for (let index = 0; index < output.length; index++) {
        const channel = output[index]!;
        channel[frame] = channel[frame]! * gain + this.#residue[index]! * decay;
      }
    }
    if (count > 0)
      for (let index = 0; index < output.length; index++) this.#last[index] = output[index]![offset + count - 1]!;
  }
}
