/**
 * RNNoise's input high-pass, `[1, -2, 1] / [1, -1.99599, 0.996]`.
 *
 * Applied to reference and estimate alike before scoring, so that a denoiser that removes rumble below speech is not
 * punished, nor one that keeps it flattered.
 */
export function highPass(samples: Float32Array): Float32Array {
  const filtered = new Float32Array(samples.length);
  let x1 = 0;
  let x2 = 0;
  let y1 = 0;
  let y2 = 0;
  for (let i = 0; i < samples.length; i++) {
    const x = samples[i]!;
    const y = x - 2 * x1 + x2 + 1.99599 * y1 - 0.996 * y2;
    x2 = x1;
    x1 = x;
    y2 = y1;
    y1 = y;
    filtered[i] = y;
  }
  return filtered;
}

/**
 * Scale-invariant signal-to-distortion ratio in decibels over the overlap of the two signals
 * (Le Roux et al., "SDR - half-baked or well done?", 2019), means removed.
 */
export function siSdr(reference: Float32Array, estimate: Float32Array): number {
  const length = Math.min(reference.length, estimate.length);
  let referenceMean = 0;
  let estimateMean = 0;
  for (let i = 0; i < length; i++) {
    referenceMean += reference[i]!;
    estimateMean += estimate[i]!;
  }
  referenceMean /= length;
  estimateMean /= length;
  let dot = 0;
  let power = 0;
  for (let i = 0; i < length; i++) {
    const r = reference[i]! - referenceMean;
    dot += r * (estimate[i]! - estimateMean);
    power += r * r;
  }
  const scale = dot / (power + 1e-12);
  let target = 0;
  let distortion = 0;
  for (let i = 0; i < length; i++) {
    const wanted = scale * (reference[i]! - referenceMean);
    const error = estimate[i]! - estimateMean - wanted;
    target += wanted * wanted;
    distortion += error * error;
  }
  return 10 * Math.log10((target + 1e-12) / (distortion + 1e-12));
}

/**
 * The offset in samples, within +-`maxLag`, at which `estimate` best lines up with `reference`: positive when the
 * estimate is late. Correlates every sample at every lag, so limit `maxLag` to the path's possible delay.
 */
export function findLag(reference: Float32Array, estimate: Float32Array, maxLag: number): number {
  let best = Number.NEGATIVE_INFINITY;
  let bestLag = 0;
  for (let lag = -maxLag; lag <= maxLag; lag++) {
    const from = Math.max(0, -lag);
    const to = Math.min(reference.length, estimate.length - lag);
    let sum = 0;
    for (let i = from; i < to; i++) sum += reference[i]! * estimate[i + lag]!;
    if (sum > best) {
      best = sum;
      bestLag = lag;
    }
  }
  return bestLag;
}

/** High-pass-fair SI-SDR of `estimate` against `reference` after aligning the two within +-`maxLag` samples. */
export function alignedScore(reference: Float32Array, estimate: Float32Array, maxLag: number): number {
  const cleaned = highPass(reference);
  const heard = highPass(estimate);
  const lag = findLag(cleaned, heard, maxLag);
  return lag >= 0 ? siSdr(cleaned, heard.subarray(lag)) : siSdr(cleaned.subarray(-lag), heard);
}

/** Root-mean-square level in decibels below full scale; silence is -120. */
export function levelDb(samples: Float32Array): number {
  let power = 0;
  for (const sample of samples) power += sample * sample;
  return Math.max(-120, 10 * Math.log10(power / Math.max(1, samples.length) + 1e-12));
}
