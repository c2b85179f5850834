import { SAMPLE_RATE } from "../../source/resample.js";
import type { ModelState } from "../model.js";
import type { WaveformContract } from "../model-contract.js";
import { ComfortNoise } from "./comfort-noise.js";
import { DelayLine } from "./delay-line.js";
import {
  delaySamples,
  type HopDenoiser,
  type HopDenoiserOptions,
  hopSamples,
  lagSamples,
  PauseDetector,
  readParts,
  writeParts,
} from "./hop-denoiser.js";
import { Decimator, Interpolator } from "./rate-converter.js";

/** Denoises with a model of samples, at 48 kHz or, with the rate converted on both sides, at 16 kHz. */
export class WaveformDenoiser implements HopDenoiser {
  readonly #network: ModelState;
  readonly #decimator: Decimator | undefined;
  readonly #interpolator: Interpolator | undefined;
  readonly #pauses: PauseDetector;
  readonly #silencePauses: boolean;
  readonly #comfort: ComfortNoise;
  /** The input, delayed to match the output. */
  readonly #dry: DelayLine;
  /** Rounds the lag up to whole hops. */
  readonly #wet: DelayLine;
  readonly #lag: number;
  readonly #late: Float32Array;
  /**
   * Hops left to pass on dry: after a break the network's output lags, and its first hops are of input from before the
   * break. One more than the lag during the break. In an array, as part of a checkpoint.
   */
  readonly #dryHops = new Float32Array(1);

  constructor(contract: WaveformContract, network: ModelState, { silencePauses, comfortNoiseDb }: HopDenoiserOptions) {
    const hop = hopSamples(contract);
    const delay = delaySamples(contract);
    this.#network = network;
    if (contract.sampleRate !== SAMPLE_RATE) {
      this.#decimator = new Decimator(hop);
      this.#interpolator = new Interpolator(contract.hop);
    }
    this.#pauses = new PauseDetector(contract);
    this.#silencePauses = silencePauses;
    this.#comfort = new ComfortNoise(comfortNoiseDb);
    this.#lag = lagSamples(contract);
    this.#dry = new DelayLine(delay);
    this.#wet = new DelayLine(delay - this.#lag);
    this.#late = new Float32Array(delay + hop);
  }

  async process(samples: Float32Array, wet: Float32Array, infer: boolean): Promise<number> {
    const network = this.#network;
    const lagHops = Math.ceil(this.#lag / samples.length);
    if (infer) {
      if (this.#dryHops[0]! > lagHops) this.#startOver();
      this.#dryHops[0] = Math.max(0, this.#dryHops[0]! - 1);
      if (this.#decimator === undefined) network.input.set(samples);
      else this.#decimator.process(samples, network.input);
      await network.run();
      if (this.#interpolator === undefined) wet.set(network.output);
      else this.#interpolator.process(network.output, wet);
      if (this.#pauses.isPause(network.voiceActivity) && this.#silencePauses) wet.fill(0);
    } else this.#dryHops[0] = lagHops + 1;
    if (this.#dryHops[0]! > 0) this.#passDry(samples, wet);
    this.#comfort.fill(wet);
    this.#wet.push(wet, wet);
    this.#dry.push(samples, this.#late.subarray(0, samples.length));
    return infer ? network.voiceActivity : 1;
  }

  checkpoint(into: Float32Array): void {
    writeParts(this.#parts(), into);
  }

  restore(from?: Float32Array): void {
    readParts(this.#parts(), from);
  }

  /** A model of samples has no gains that a profile could bound. */
  setNoiseProfile(): void {}

  close(): void {}

  // Passes the input with the network's delay.
  #passDry(samples: Float32Array, wet: Float32Array): void {
    const late = this.#late;
    const past = this.#dry.state;
    late.set(past);
    late.set(samples, past.length);
    const start = past.length - this.#lag;
    wet.set(late.subarray(start, start + samples.length));
  }

  // The network's memory is of audio from before the hops without it, which would be heard now.
  #startOver(): void {
    for (const part of [...this.#conversion(), ...this.#network.recurrent]) part.fill(0);
  }

  #conversion(): Float32Array[] {
    return this.#decimator && this.#interpolator ? [this.#decimator.state, this.#interpolator.state] : [];
  }

  #parts(): Float32Array[] {
    return [
      this.#dry.state,
      this.#wet.state,
      this.#pauses.state,
      this.#comfort.state,
      this.#dryHops,
      ...this.#conversion(),
      ...this.#network.recurrent,
    ];
  }
}
