/** The channels of an input, for {@link DownMix}. */
export interface ChannelLayout {
  readonly channels: number;
  /** Speakers as in dwChannelMask; undefined where unknown: the usual ones for that number of channels apply. */
  readonly mask?: number | undefined;
}

/** Gains of a speaker to the left and to the right. */
type Speaker = readonly [number, number];

/** -3 dB, from ITU-R BS.775-3, table 2. */
const HALF_POWER = Math.SQRT1_2;
const LEFT: Speaker = [1, 0];
const RIGHT: Speaker = [0, 1];
const CENTRE: Speaker = [HALF_POWER, HALF_POWER];
const SIDE_LEFT: Speaker = [HALF_POWER, 0];
const SIDE_RIGHT: Speaker = [0, HALF_POWER];
const BEHIND: Speaker = [0.5, 0.5];
const NOWHERE: Speaker = [0, 0];
/** In the order of the bits of dwChannelMask (mmreg.h). */
const SPEAKERS: readonly Speaker[] = [
  LEFT,
  RIGHT,
  CENTRE,
  // BS.775 leaves low frequencies out.
  NOWHERE,
  SIDE_LEFT,
  SIDE_RIGHT,
  // Front left and right of centre.
  LEFT,
  RIGHT,
  BEHIND,
  SIDE_LEFT,
  SIDE_RIGHT,
  // Above: centre, then front and back, each from left to right.
  BEHIND,
  SIDE_LEFT,
  BEHIND,
  SIDE_RIGHT,
  SIDE_LEFT,
  BEHIND,
  SIDE_RIGHT,
];
/** Speakers by number of channels where the file names none, from FLAC (RFC 9639, section 9.1.3) and Windows. */
const USUAL_MASKS: readonly (number | undefined)[] = [undefined, 0x4, 0x3, 0x7, 0x33, 0x37, 0x3f, 0x70f, 0x63f];
/** The limiter halves its gain reduction within this many samples: 100 ms. */
const RELEASE = 1 - 0.5 ** (1 / 4800);

/**
 * Mixes interleaved channels to one or two. One channel is copied, and a stereo pair's mono is its mean, so that a voice
 * in both keeps its level. More channels are mixed by ITU-R BS.775-3, table 2, at its own levels: the centre at full
 * level in mono and at -3 dB on each side in stereo. Where such a sum exceeds full scale, a limiter turns it down for as
 * long as needed, without delay. Channels of an unknown layout are averaged.
 */
export class DownMix {
  readonly #from: number;
  readonly #to: 1 | 2;
  /** Row by row, the gain of each channel in an output; undefined where input and output are the same. */
  readonly #matrix: Float32Array | undefined;
  readonly #isLimited: boolean;
  #gain = 1;

  constructor(from: ChannelLayout, to: 1 | 2) {
    this.#from = from.channels;
    this.#to = to;
    const speakers = speakersOf(from);
    const isPlain = from.channels <= 2 && isPair(speakers);
    this.#isLimited = speakers !== undefined && !isPlain;
    this.#matrix = isPlain && from.channels === to ? undefined : matrix(from.channels, to, speakers);
  }

  /** Mixes whole sample frames. */
  process(samples: Float32Array): Float32Array {
    const matrix = this.#matrix;
    if (matrix === undefined) return samples;
    const from = this.#from;
    const to = this.#to;
    const frames = Math.floor(samples.length / from);
    const mixed = new Float32Array(frames * to);
    for (let frame = 0; frame < frames; frame++) {
      for (let output = 0; output < to; output++) {
        let sum = 0;
        for (let c = 0; c < from; c++) sum += matrix[output * from + c]! * samples[frame * from + c]!;
        mixed[frame * to + output] = sum;
      }
    }
    if (this.#isLimited) this.#limit(mixed);
    return mixed;
  }

  #limit(mixed: Float32Array): void {
    const to = this.#to;
    for (let at = 0; at < mixed.length; at += to) {
      const peak = Math.max(Math.abs(mixed[at]!), Math.abs(mixed[at + to - 1]!));
      this.#gain = Math.min(this.#gain + (1 - this.#gain) * RELEASE, peak > 1 ? 1 / peak : 1);
      if (this.#gain === 1) continue;
      for (let output = 0; output < to; output++) mixed[at + output]! *= this.#gain;
    }
  }
}

// The speaker of each channel; undefined where the layout is unknown.
function speakersOf({ channels, mask }: ChannelLayout): readonly Speaker[] | undefined {
  const named = mask === undefined ? undefined : speakersIn(mask, channels);
  const usual = USUAL_MASKS[channels];
  return named ?? (usual === undefined ? undefined : speakersIn(usual, channels));
}

// A mask with more speakers than channels means its lowest bits; one with fewer does not describe the file.
function speakersIn(mask: number, channels: number): readonly Speaker[] | undefined {
  const speakers = SPEAKERS.filter((_, bit) => (mask & (1 << bit)) !== 0).slice(0, channels);
  return speakers.length === channels ? speakers : undefined;
}

// One channel, or a left and a right one of the same kind.
function isPair(speakers: readonly Speaker[] | undefined): boolean {
  if (speakers === undefined || speakers.length === 1) return true;
  const [left, right] = speakers;
  return (left === LEFT && right === RIGHT) || (left === SIDE_LEFT && right === SIDE_RIGHT);
}

function matrix(channels: number, to: 1 | 2, speakers: readonly Speaker[] | undefined): Float32Array {
  if (channels === 1) return new Float32Array(to).fill(1);
  if (speakers === undefined || (channels === 2 && isPair(speakers))) {
    return new Float32Array(channels * to).fill(1 / channels);
  }
  // Left and right alone are stereo, with or without low frequencies beside them.
  const isStereo = speakers.every((speaker) => speaker === LEFT || speaker === RIGHT || speaker === NOWHERE);
  if (to === 2) return Float32Array.from(([0, 1] as const).flatMap((side) => speakers.map((speaker) => speaker[side])));
  const level = isStereo ? 0.5 : HALF_POWER;
  return Float32Array.from(speakers.map(([left, right]) => (left + right) * level));
}
