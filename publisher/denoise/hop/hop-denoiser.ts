import { SAMPLE_RATE } from "../../source/resample.js";
import { isWaveform, type ModelContract, sizeOf } from "../model-contract.js";
import type { NoiseProfile } from "../noise-profile.js";
import { CONVERSION_DELAY, CONVERSION_STATE } from "./rate-converter.js";

/** Denoises one channel hop by hop, on any thread. One hop at a time. */
export interface HopDenoiser {
  /** Takes one hop, writes the hop that is ready (see {@link delaySamples}), and returns the probability of speech. */
  process(samples: Float32Array, wet: Float32Array, infer: boolean): Promise<number>;
  /** Copies everything that the next hop depends on. */
  checkpoint(into: Float32Array): void;
  /** Restores a checkpoint, or the initial state. */
  restore(from?: Float32Array): void;
  /** Conditions the hops from the next one on. */
  setNoiseProfile(profile: NoiseProfile | undefined): void;
  /** Frees its resources; idempotent. */
  close(): void;
}

/** Options that hold for the life of a stream. */
export interface HopDenoiserOptions {
  /** Whether the residual in pauses becomes digital silence. */
  readonly silencePauses: boolean;
  /** Level of the noise floor, in dBFS; undefined for none. */
  readonly comfortNoiseDb?: number | undefined;
}

/** Values of the state of the comfort noise. */
const COMFORT_STATE = 3;

/** Samples of a hop at 48 kHz. */
export function hopSamples({ hop, sampleRate }: ModelContract): number {
  return (hop * SAMPLE_RATE) / sampleRate;
}

/** Lag of the network and its rate conversion, in samples at 48 kHz. */
export function lagSamples(contract: ModelContract): number {
  if (!isWaveform(contract)) return contract.hop;
  const lag = Math.round((contract.latencyMs * SAMPLE_RATE) / 1000) - hopSamples(contract);
  return lag + (contract.sampleRate === SAMPLE_RATE ? 0 : CONVERSION_DELAY);
}

/**
 * Lag of the output in samples at 48 kHz: rounded up to whole hops, so that a checkpoint always lies at the start of a
 * hop.
 */
export function delaySamples(contract: ModelContract): number {
  const hop = hopSamples(contract);
  return Math.max(1, Math.ceil(lagSamples(contract) / hop)) * hop;
}

/** Length of a checkpoint of a stream. It starts with the last {@link delaySamples} samples taken. */
export function checkpointLength(contract: ModelContract): number {
  const recurrent = contract.inputs.states.reduce((sum, name) => sum + sizeOf(contract.shapes[name]!), 0);
  const delay = delaySamples(contract);
  if (isWaveform(contract)) {
    const conversion = contract.sampleRate === SAMPLE_RATE ? 0 : CONVERSION_STATE;
    return delay + (delay - lagSamples(contract)) + 1 + COMFORT_STATE + 1 + conversion + recurrent;
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

/** A voice counts from this probability on. It is low, so that a quiet first syllable survives. */
const VOICE = 0.1;
/** Samples without a voice before a pause starts: 400 ms, longer than any stop within a sentence. */
const PAUSE_SAMPLES = 0.4 * SAMPLE_RATE;

/** Counts the time without a voice. */
export class PauseDetector {
  /** Hops since the last voice, as a part of the checkpoint. */
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
