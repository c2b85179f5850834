/** `@moq/net` gives each track priority, 0 to 255, a band of this many send orders below 0, the highest at the top. */
const BAND = 2 ** 44;
/** Send orders kept apart in a band of ours; the 256 bands fill the negative half of 32 bits. */
const PLACES = 2 ** 23;

/**
 * The stream priority, a 32-bit integer, for a send order of the W3C's WebTransport, which has 64 bits: higher goes first
 * in both. Streams keep their order, except behind eight million others of the same track.
 */
export function priorityOf(sendOrder = 0): number {
  if (sendOrder >= 0) return Math.min(0x7fff_ffff, Math.trunc(sendOrder));
  const below = -Math.trunc(sendOrder) - 1;
  const band = Math.min(255, Math.floor(below / BAND));
  return -(band * PLACES + Math.min(PLACES - 1, below - band * BAND)) - 1;
}
