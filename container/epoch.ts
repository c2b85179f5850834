/**
 * Group sequences in one epoch. On every rewind the publisher jumps to the next multiple, so the sequence itself shows
 * the number of rewinds.
 */
export const EPOCH_SIZE = 65_536;

/** The epoch that a group sequence lies in. */
export function epochOf(sequence: number): number {
  return Math.floor(sequence / EPOCH_SIZE);
}

/** The sequence of an epoch's first group. */
export function epochStart(epoch: number): number {
  return epoch * EPOCH_SIZE;
}
