import { z } from "zod";

/** From this value on, the attenuation is not limited. */
const NO_LIMIT_DB = 100;

/** Checks {@link Knobs} and fills in their defaults. */
export const knobsSchema = z.strictObject({
  strength: z.number().min(0).max(1).default(1),
  attenuationLimitDb: z.number().min(0).max(NO_LIMIT_DB).default(NO_LIMIT_DB),
  gainDb: z.number().min(-60).max(24).default(0),
  bypass: z.boolean().default(false),
});

/** The denoiser's knobs. */
export interface Knobs {
  /** Share of the noise that is removed: 0 none, 1 all that the model can. Default 1. */
  readonly strength: number;
  /** Maximum attenuation of any part of the audio, in dB, 0 to 100. Default 100: no limit. */
  readonly attenuationLimitDb: number;
  /** Output gain, in dB, -60 to 24. Default 0. */
  readonly gainDb: number;
  /** Send the audio undenoised. Default false. */
  readonly bypass: boolean;
}

/**
 * Mixes denoised ("wet") and original ("dry") audio by the knobs. Strength and attenuation limit both reduce to one
 * share of dry audio, as in DeepFilterNet's attenuation limit. So a change needs no inference, only the cached wet and
 * dry audio. Steps are ramped over one block.
 */
export class Mixer {
  #knobs: Knobs | undefined;
  #wet: number;
  #gain: number;
  #wetTarget = 0;
  #gainTarget = 0;

  constructor(knobs: Knobs) {
    this.set(knobs);
    this.#wet = this.#wetTarget;
    this.#gain = this.#gainTarget;
  }

  /** Sets knobs; the mix reaches them at the end of the next block. */
  set(knobs: Knobs): void {
    if (this.#knobs !== undefined && isSame(knobs, this.#knobs)) return;
    this.#knobs = knobs;
    const limit = knobs.attenuationLimitDb >= NO_LIMIT_DB ? 0 : 10 ** (-knobs.attenuationLimitDb / 20);
    this.#wetTarget = knobs.bypass ? 0 : knobs.strength * (1 - limit);
    this.#gainTarget = 10 ** (knobs.gainDb / 20);
  }

  /** Whether the mix contains wet audio. */
  get needsWet(): boolean {
    return this.#wet > 0 || this.#wetTarget > 0;
  }

  // Whether the mix is the original at its own level.
  get #isOriginal(): boolean {
    return this.#wet === 0 && this.#wetTarget === 0 && this.#gain === 1 && this.#gainTarget === 1;
  }

  /** Mixes one block with the last block's final gains, without advancing. */
  hold(dry: Float32Array, wet: Float32Array, output: Float32Array): void {
    for (let i = 0; i < output.length; i++) output[i] = (dry[i]! + this.#wet * (wet[i]! - dry[i]!)) * this.#gain;
  }

  /** Mixes one block of equally long buffers; `output` may be one of the inputs. */
  process(dry: Float32Array, wet: Float32Array, output: Float32Array): void {
    const { length } = output;
    if (this.#isOriginal) {
      if (output !== dry) output.set(dry);
      return;
    }
    const wetStep = (this.#wetTarget - this.#wet) / length;
    const gainStep = (this.#gainTarget - this.#gain) / length;
    for (let i = 0; i < length; i++) {
      const share = this.#wet + wetStep * (i + 1);
      output[i] = (dry[i]! + share * (wet[i]! - dry[i]!)) * (this.#gain + gainStep * (i + 1));
    }
    this.#wet = this.#wetTarget;
    this.#gain = this.#gainTarget;
  }
}

function isSame(a: Knobs, b: Knobs): boolean {
  return (
    a.strength === b.strength &&
    a.attenuationLimitDb === b.attenuationLimitDb &&
    a.gainDb === b.gainDb &&
    a.bypass === b.bypass
  );
}
