import loadPffft from "@echogarden/pffft-wasm/simd";

/**
 * Real Fourier transform of one size. Spectra are packed as pffft orders them:
 * `[re 0, re n/2, re 1, im 1, re 2, im 2, ...]`, `size` floats in all.
 */
export interface RealFft {
  readonly size: number;
  /** Computes the spectrum of `time`. */
  forward(time: Float32Array, spectrum: Float32Array): void;
  /** Computes the signal of `spectrum`, scaled to invert {@link forward}. */
  inverse(spectrum: Float32Array, time: Float32Array): void;
}

const cache = new Map<number, Promise<RealFft>>();

/** Whether {@link realFft} has a transform of this size: a multiple of 32 with no prime factor above 5. */
export function isFftSize(size: number): boolean {
  if (!Number.isInteger(size) || size < 32 || size > 8192 || size % 32 !== 0) return false;
  let rest = size;
  for (const prime of [2, 3, 5]) while (rest % prime === 0) rest /= prime;
  return rest === 1;
}

/** The transform of a size that {@link isFftSize} allows. It has no state, so all callers share it. */
export function realFft(size: number): Promise<RealFft> {
  let fft = cache.get(size);
  if (fft === undefined) {
    fft = create(size);
    cache.set(size, fft);
  }
  return fft;
}

async function create(size: number): Promise<RealFft> {
  const pffft = await loadPffft();
  const setup = pffft._pffft_new_setup(size, 0);
  const input = pffft._pffft_aligned_malloc(size * 4);
  const output = pffft._pffft_aligned_malloc(size * 4);
  const work = pffft._pffft_aligned_malloc(size * 4);
  const transform = (from: Float32Array, to: Float32Array, direction: 0 | 1): void => {
    pffft.HEAPF32.set(from, input >> 2);
    pffft._pffft_transform_ordered(setup, input, output, work, direction);
    to.set(pffft.HEAPF32.subarray(output >> 2, (output >> 2) + size));
  };
  return {
    size,
    forward: (time, spectrum) => transform(time, spectrum, 0),
    inverse: (spectrum, time) => {
      transform(spectrum, time, 1);
      for (let i = 0; i < size; i++) time[i]! /= size;
    },
  };
}
