/** Distance between compared samples. */
const STRIDE = 4;

/**
 * Distance, from `shortest` to `longest` frames, at which audio is most like its start over `length` frames: where a
 * cut with a crossfade of that length is least audible. `channels` are planar and hold `longest + length` frames.
 */
export function bestShift(
  channels: readonly Float32Array[],
  { length, shortest, longest }: { readonly length: number; readonly shortest: number; readonly longest: number },
): number {
  let best = longest;
  let least = Number.POSITIVE_INFINITY;
  for (let shift = longest; shift >= shortest; shift--) {
    let mismatch = 0;
    for (const samples of channels)
      for (let index = 0; index < length; index += STRIDE) {
        const difference = samples[index + shift]! - samples[index]!;
        mismatch += difference * difference;
      }
    if (mismatch < least) {
      least = mismatch;
      best = shift;
    }
  }
  return best;
}
