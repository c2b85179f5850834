/** `@moq/net` gives each track priority, 0 to 255, a band of this many send orders below 0, the highest at the top. */
const BAND = 2 ** 44;

/**
 * The stream priority, a 32-bit integer, for a send order of the W3C's WebTransport, which has 64 bits: higher goes first
 * in both. All groups of a track have the same and go in the order in which they were opened. `@moq/net` would send the
 * newest first, and the start of audio that is sent ahead would come too late.
 */
export function priorityOf(sendOrder = 0): number {
  if (sendOrder >= 0) return Math.min(0x7fff_ffff, Math.trunc(sendOrder));
  return -Math.min(256, Math.ceil(-sendOrder / BAND));
}
