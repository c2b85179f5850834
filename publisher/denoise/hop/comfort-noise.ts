import { InputError } from "../../../base/index.js";

/** Low-pass coefficient: the noise falls by 6 dB per octave from about 800 Hz on, like the noise of rooms. */
const SOFTNESS = 0.9;
/** Root mean square of uniform noise between -1 and 1 behind that low-pass. */
const LEVEL = Math.sqrt(1 / 3) * Math.sqrt((1 - SOFTNESS) / (1 + SOFTNESS));

/** Range of the floor, in dBFS. */
export const COMFORT_NOISE_DB = { min: -90, max: -40 } as const;

/**
 * Keeps a quiet, steady floor under denoised audio: noise fills up any residual below it, so that a pause sounds
 * neither dead nor pumping. The same input gives the same noise, also from a checkpoint.
 */
export class ComfortNoise {
  /** Random state, low-pass and current gain, as a part of a checkpoint. */
  readonly state = new Float32Array(3);
  readonly #floor: number;

  /** `floorDb`: level of the floor in dBFS; undefined adds no noise. */
  constructor(floorDb: number | undefined) {
    const { min, max } = COMFORT_NOISE_DB;
    if (floorDb !== undefined && !(floorDb >= min && floorDb <= max)) {
      throw new InputError("INVALID_OPTION", `comfortNoiseDb must be between ${min} and ${max}, not ${floorDb}.`);
    }
    this.#floor = floorDb === undefined ? 0 : 10 ** (floorDb / 20);
  }

  /** Fills a hop up to the floor. */
  fill(hop: Float32Array): void {
    if (this.#floor === 0) return;
    let energy = 0;
    for (const sample of hop) energy += sample * sample;
    const missing = Math.sqrt(Math.max(0, this.#floor ** 2 - energy / hop.length)) / LEVEL;
    let [random, low, gain] = [this.state[0]!, this.state[1]!, this.state[2]!];
    const step = (missing - gain) / hop.length;
    for (let i = 0; i < hop.length; i++) {
      random = (Math.imul(random, 1_140_671_485) + 12_820_163) & 0xff_ff_ff;
      low = SOFTNESS * low + (1 - SOFTNESS) * (random / 0x80_00_00 - 1);
      gain += step;
      hop[i]! += gain * low;
    }
    this.state.set([random, low, missing]);
  }
}
