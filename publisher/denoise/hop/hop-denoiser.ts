import { SAMPLE_RATE } from "../../source/resample.js";
import { isWaveform, type ModelContract, sizeOf } from "../model-contract.js";
import type { NoiseProfile } from "../noise-profile.js";
import { CONVERSION_DELAY, CONVERSION_STATE } from "./rate-converter.js";

/** What denoises the hops of one channel, wherever it runs. One hop at a time. */
export interface HopDenoiser {
  /** Takes one hop, writes the hop that is ready (see {@link delaySamples}), and returns the probability of speech. */
  process(samples: Float32Array, wet: Float32Array, infer: boolean): Promise<number>;
  /** Writes everything the next hop depends on. */
  checkpoint(into: Float32Array): void;
  /** Goes back to a checkpoint, or to the beginning. */
  restore(from?: Float32Array): void;
  /** Conditions the hops from the next one on. */
  setNoiseProfile(profile: NoiseProfile | undefined): void;
  /** Releases what it holds; idempotent. */
  close(): void;
}

/** Options of a stream that hold for its life. */
export interface HopDenoiserOptions {
  /** Whether what is left between sentences is turned into digital silence. */
  readonly silencePauses: boolean;
  /** Level of the floor that is kept under what is left, in dB against full scale; none without it. */
  readonly comfortNoiseDb?: number | undefined;
}

/** Values of the state of the comfort noise. */
const COMFORT_STATE = 3;

/** Samples of a hop at 48 kHz. */
export function hopSamples({ hop, sampleRate }: ModelContract): number {
  return (hop * SAMPLE_RATE) / sampleRate;
}

/** Samples at 48 kHz by which the network, with the conversion of its rate, lags behind what goes in. */
export function lagSamples(contract: ModelContract): number {
  if (!isWaveform(contract)) return contract.hop;
  const lag = Math.round((contract.latencyMs * SAMPLE_RATE) / 1000) - hopSamples(contract);
  return lag + (contract.sampleRate === SAMPLE_RATE ? 0 : CONVERSION_DELAY);
}

/**
 * Samples at 48 kHz by which the output lags behind the input: the lag, filled up to whole hops, so that a checkpoint
 * always lies where a hop begins.
 */
export function delaySamples(contract: ModelContract): number {
  const hop = hopSamples(contract);
  return Math.max(1, Math.ceil(lagSamples(contract) / hop)) * hop;
}

/** Length of a checkpoint of a stream on a model. The samples taken last, {@link delaySamples} of them, come first in it. */
export function checkpointLength(contract: ModelContract): number {
  const recurrent = contract.inputs.states.reduce((sum, name) => sum + sizeOf(contract.shapes[name]!), 0);
  const delay = delaySamples(contract);
  if (isWaveform(contract)) {
    const conversion = contract.sampleRate === SAMPLE_RATE ? 0 : CONVERSION_STATE;
    return delay + (delay - lagSamples(contract)) + 1 + COMFORT_STATE + conversion + recurrent;
  }
  const { bands, deepFilter } = contract;
  const past = deepFilter === undefined ? 0 : 2 * deepFilter.bins * (deepFilter.taps - 1);
  return 2 * delay + 1 + COMFORT_STATE + (bands.low + bands.edges.length - 1) + past + recurrent;
}

/** Copies `parts` into a checkpoint, one after the other. */
export function writeParts(parts: readonly Float32Array[], into: Float32Array): void {
  let at = 0;
  for (const part of parts) {
    into.set(part, at);
    at += part.length;
  }
}

/** Fills `parts` from a checkpoint, or with zeros. */
export function readParts(parts: readonly Float32Array[], from?: Float32Array): void {
  let at = 0;
  for (const part of parts) {
    if (from === undefined) part.fill(0);
    else part.set(from.subarray(at, at + part.length));
    at += part.length;
  }
}

/** From this probability on somebody speaks. It is low, so that a quiet first syllable is not lost. */
const VOICE = 0.04;
/** Samples without a voice before it is silence: 400 ms, longer than any stop within a sentence. */
const PAUSE_SAMPLES = 0.4 * SAMPLE_RATE;

/** Counts how long nobody has spoken. */
export class PauseDetector {
  /** Hops since somebody spoke, as a part of the checkpoint. */
  readonly state = new Float32Array(1);
  readonly #hops: number;

  constructor(contract: ModelContract) {
    this.#hops = Math.ceil(PAUSE_SAMPLES / hopSamples(contract));
  }

  /** Takes the probability of speech in the next hop, and returns whether it lies in a pause. */
  isPause(voiceActivity: number): boolean {
    this.state[0] = voiceActivity >= VOICE ? 0 : Math.min(this.state[0]! + 1, this.#hops);
    return this.state[0] >= this.#hops;
  }
}
