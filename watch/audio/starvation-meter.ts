/** A time during which nothing was there to be played; all numbers are frames at 48 kHz. */
interface Starvation {
  /** How long it lasts so far. */
  frames: number;
  /** Of these, how long the playhead stood still. */
  waited: number;
  /** Whether the audio before it ended in silence, as the end of an utterance does. */
  readonly isPause: boolean;
  isUnderrun: boolean;
}

/** How an arriving frame ends a starvation. */
export interface StarvationEnd {
  /** Where the frame begins. */
  readonly frame: number;
  /** Where the playhead would be had it never waited. */
  readonly due: number;
  /** Where the last audio heard ended. */
  readonly heard: number | undefined;
  /** Whether it is so late that the publisher's media time must have stood still. */
  readonly stoodStill: boolean;
}

/** Timestamps are rounded: a frame this close to the end of what was heard continues it. */
export const CONTIGUOUS_FRAMES = 24;

/**
 * Judges the times without audio: a pause that the publisher meant, or an underrun, which is audio missing when it was
 * due.
 *
 * Our publisher ends every utterance with silence and never begins one right where the last one ended. Audio that breaks
 * off in the middle of a audio is therefore an underrun at once, and so is silence whose continuation comes late. Other
 * publishers promise neither: theirs is an underrun only in hindsight, when audio arrives after its time.
 */
export class StarvationMeter {
  /** Whether the publisher marks the pauses it means. */
  marked = false;
  #current: Starvation | undefined;
  #underruns = 0;
  #underrunFrames = 0;

  /** Whether nothing is there to be played. */
  get starving(): boolean {
    return this.#current !== undefined;
  }

  /** Whether that is taken for a pause that the publisher meant. */
  get pausing(): boolean {
    return this.#current?.isPause ?? false;
  }

  /** Frames that the playhead has stood still since nothing is there. */
  get waited(): number {
    return this.#current?.waited ?? 0;
  }

  get underruns(): number {
    return this.#underruns;
  }

  /** Frames of silence heard where audio was due. */
  get underrunFrames(): number {
    return this.#underrunFrames;
  }

  /** Nothing more is there; does nothing when that is known. `isPause`: the audio ended in silence. */
  begin(isPause: boolean): void {
    if (this.#current) return;
    this.#current = { frames: 0, waited: 0, isPause, isUnderrun: this.marked && !isPause };
    if (this.#current.isUnderrun) this.#underruns++;
  }

  /** Time goes by, in `waited` of which the playhead stood still. */
  pass(frames: number, waited: number): void {
    const current = this.#current;
    if (!current) return;
    current.frames += frames;
    current.waited += waited;
    if (current.isUnderrun) this.#underrunFrames += frames;
  }

  /** A frame arrived. Returns whether it was a pause that the publisher meant. */
  end({ frame, due, heard, stoodStill }: StarvationEnd): boolean {
    const current = this.#current;
    this.#current = undefined;
    if (!current || current.isUnderrun) return !current;
    const continues = heard !== undefined && frame - heard <= CONTIGUOUS_FRAMES;
    if (frame >= due || stoodStill || (current.isPause && !(continues && this.marked))) return true;
    this.#underruns++;
    this.#underrunFrames += Math.min(current.frames, due - frame);
    return false;
  }

  /** The timeline starts over: what was missing will not come. */
  forget(): void {
    this.#current = undefined;
  }
}
