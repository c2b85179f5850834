import type { Model } from "../model.js";
import { isWaveform } from "../model-contract.js";
import type { HopDenoiser, HopDenoiserOptions } from "./hop-denoiser.js";
import { LocalDenoiser } from "./local-denoiser.js";
import { WaveformDenoiser } from "./waveform-denoiser.js";

/** Opens a stream on a model, on the calling thread. */
export async function openHopDenoiser(model: Model, options: HopDenoiserOptions): Promise<HopDenoiser> {
  const { contract } = model;
  if (isWaveform(contract)) return new WaveformDenoiser(contract, model.createState(), options);
  return LocalDenoiser.create(contract, model.createState(), options);
}
