/** Mu-law: magnitudes are biased by this much, so that each segment starts at a power of two. */
const BIAS = 0x84;
/** The largest magnitude that has a mu-law code. */
const CLIP = 0x7fff - BIAS;

/** Encodes samples from -1 to 1 as G.711 mu-law, a byte each; samples beyond full scale are clipped. */
export function encodeMulaw(samples: Float32Array): Uint8Array {
  const bytes = new Uint8Array(samples.length);
  for (let i = 0; i < samples.length; i++) bytes[i] = mulaw(Math.round(samples[i]! * 0x8000));
  return bytes;
}

/** Encodes samples from -1 to 1 as G.711 A-law, a byte each; samples beyond full scale are clipped. */
export function encodeAlaw(samples: Float32Array): Uint8Array {
  const bytes = new Uint8Array(samples.length);
  for (let i = 0; i < samples.length; i++) bytes[i] = alaw(Math.round(samples[i]! * 0x8000));
  return bytes;
}

// G.711, table 2: sign, 3 bits of a segment and 4 within it, all bits inverted.
function mulaw(sample: number): number {
  const magnitude = Math.min(CLIP, Math.abs(sample)) + BIAS;
  const segment = 24 - Math.clz32(magnitude >> 0);
  const code = (segment << 4) | ((magnitude >> (segment + 3)) & 15);
  return ~(sample < 0 ? code | 0x80 : code) & 0xff;
}

// G.711, table 1: sign, 3 bits of a segment and 4 within it, every second bit inverted; the first two segments are alike.
function alaw(sample: number): number {
  const magnitude = Math.min(0x7fff, Math.abs(sample));
  const segment = Math.max(0, 24 - Math.clz32(magnitude));
  const code = (segment << 4) | ((magnitude >> Math.max(4, segment + 3)) & 15);
  return (sample < 0 ? code : code | 0x80) ^ 0x55;
}
