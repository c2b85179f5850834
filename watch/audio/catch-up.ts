import type { PlaybackClock } from "./playback-clock.js";
import type { SampleRing } from "./sample-ring.js";
import { framesIn, SAMPLE_RATE } from "./samples.js";

/** Delay over the target that is worth skipping; once begun, all of it is skipped. */
const WORTH = framesIn(30);
/** Minimum length of a skip: the length of the crossfade. */
const LEAST = framesIn(5);
/** Maximum length of a skip where it is quiet, and where it is not: a period of a low voice. */
const MOST = { quiet: framesIn(20), loud: framesIn(15) };
/** Time until the next skip, as a multiple of the last: half as fast again where it is quiet. */
const SPACING_QUIET = 2;
/** The same where it is loud: 5 % faster, and with more delay a fifth or a third, so that 2 s take 10 s. */
const SPACING_LOUD = [
  { above: framesIn(500), spacing: 3 },
  { above: framesIn(100), spacing: 5 },
  { above: 0, spacing: 20 },
];
/** Must be quiet before and behind a skip. */
const SURROUNDINGS = framesIn(10);
/** How long to wait for a quiet stretch, and up to which excess: more is skipped at once. */
const PATIENCE = { frames: framesIn(2000), excess: framesIn(250) };
/** Quiet: a peak under -40 dBFS, or 26 dB under the recent maximum. */
const QUIET = { peak: 0.01, share: 0.05 };
/** Time constant of the recent maximum. */
const MEMORY_FRAMES = 3 * SAMPLE_RATE;
/** Decoded audio that a skip leaves at least, unless half the target delay is less. */
const RESERVE = framesIn(100);

/** Skips short stretches where the playhead of a live broadcast is further behind than necessary. */
export class CatchUp {
  readonly #clock: PlaybackClock;
  readonly #ring: SampleRing;
  #active = false;
  /** Frames pulled so far. */
  #now = 0;
  #notBefore = 0;
  #quietAt = 0;
  #quietFrames = 0;
  #loudest = 0;
  #skippedFrames = 0;

  constructor({ clock, ring }: { readonly clock: PlaybackClock; readonly ring: SampleRing }) {
    this.#clock = clock;
    this.#ring = ring;
  }

  /** Frames of audio skipped so far. */
  get skippedFrames(): number {
    return this.#skippedFrames;
  }

  /** Call it before every pull: moves the playhead over audio to skip at `position`. */
  skip(position: number): void {
    const { excess } = this.#clock;
    if (!this.#active && excess > WORTH) {
      this.#active = true;
      this.#quietAt = this.#now;
    }
    if (excess < LEAST) this.#active = false;
    if (!this.#active || this.#now < this.#notBefore) return;
    const how = this.#isQuiet(position) ? "quiet" : "loud";
    const isPatient = excess <= PATIENCE.excess && this.#now - this.#quietAt < PATIENCE.frames;
    if (how === "loud" && isPatient) return;
    const reserve = Math.min(RESERVE, framesIn(this.#clock.targetMs / 2));
    const spare = (this.#ring.end ?? position) - position - reserve;
    const skipped = this.#ring.splice(position, LEAST, Math.min(MOST[how], Math.floor(excess), spare));
    if (skipped === 0) return;
    this.#clock.skip(skipped);
    this.#skippedFrames += skipped;
    const loud = SPACING_LOUD.find(({ above }) => excess > above)!.spacing;
    this.#notBefore = this.#now + skipped * (how === "quiet" ? SPACING_QUIET : loud);
    if (how === "quiet") this.#quietAt = this.#now;
    this.#quietFrames = 0;
  }

  /** Call it with everything pulled. */
  heard(output: readonly Float32Array[]): void {
    const frames = output[0]?.length ?? 0;
    let peak = 0;
    for (const channel of output) for (const sample of channel) peak = Math.max(peak, Math.abs(sample));
    this.#loudest = Math.max(peak, this.#loudest * Math.exp(-frames / MEMORY_FRAMES));
    this.#quietFrames = peak <= this.#threshold ? this.#quietFrames + frames : 0;
    this.#now += frames;
  }

  get #threshold(): number {
    return Math.max(QUIET.peak, this.#loudest * QUIET.share);
  }

  #isQuiet(position: number): boolean {
    if (this.#quietFrames < SURROUNDINGS) return false;
    const peak = this.#ring.peak(position, MOST.quiet + SURROUNDINGS);
    return peak !== undefined && peak <= this.#threshold;
  }
}
