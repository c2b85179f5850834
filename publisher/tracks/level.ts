/** Level of digital silence, in dBFS. */
export const SILENCE_DB = -120;

/** Level of samples, in dBFS. */
export function levelDb(samples: Float32Array): number {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  return Math.max(SILENCE_DB, 10 * Math.log10(sum / Math.max(1, samples.length) + 1e-12));
}

/** Level of the loudest `length` samples, in steps of that length, in dBFS. */
export function loudestDb(samples: Float32Array, length: number): number {
  let loudest = SILENCE_DB;
  for (let at = 0; at < samples.length; at += length)
    loudest = Math.max(loudest, levelDb(samples.subarray(at, at + length)));
  return loudest;
}

/** Clips in place; returns how many samples that changed. */
export function clip(samples: Float32Array): number {
  let clipped = 0;
  for (let i = 0; i < samples.length; i++) {
    const value = samples[i]!;
    if (value > 1 || value < -1) {
      samples[i] = value > 1 ? 1 : -1;
      clipped++;
    }
  }
  return clipped;
}
