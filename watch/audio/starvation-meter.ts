/** A time without audio to play; all numbers are frames at 48 kHz. */
interface Starvation {
  /** Its length so far. */
  frames: number;
  /** Of these, how long the playhead waited. */
  waited: number;
  /** Whether the audio before it ended in silence, as an utterance does. */
  readonly isPause: boolean;
  isUnderrun: boolean;
}

/** The frame that ends a starvation. */
export interface StarvationEnd {
  /** Start of the frame. */
  readonly frame: number;
  /** Position of the playhead without any waits. */
  readonly due: number;
  /** End of the last audio heard. */
  readonly heard: number | undefined;
  /** Whether it is so late that the publisher's media time must have stood still. */
  readonly stoodStill: boolean;
}

/** Timestamps are rounded: a frame this close to the end of what was heard continues it. */
export const CONTIGUOUS_FRAMES = 24;

/**
 * Classifies times without audio: a pause that the publisher intended, or an underrun, which is audio missing when it
 * was due.
 *
 * Our publisher ends every utterance with silence and never begins one right where the last one ended. Audio that
 * breaks off in mid-sound is therefore an underrun at once, and so is silence whose continuation comes late. Other
 * publishers promise neither: theirs is an underrun only in hindsight, when audio arrives late.
 */
export class StarvationMeter {
  /** Whether the publisher marks intended pauses. */
  marked = false;
  #current: Starvation | undefined;
  #underruns = 0;
  #underrunFrames = 0;

  /** Whether no audio is left to play. */
  get starving(): boolean {
    return this.#current !== undefined;
  }

  /** Whether this counts as an intended pause. */
  get pausing(): boolean {
    return this.#current?.isPause ?? false;
  }

  /** Frames that the playhead has waited since then. */
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

  /** No audio is left; has no effect during a starvation. `isPause`: the audio ended in silence. */
  begin(isPause: boolean): void {
    if (this.#current) return;
    this.#current = { frames: 0, waited: 0, isPause, isUnderrun: this.marked && !isPause };
    if (this.#current.isUnderrun) this.#underruns++;
  }

  /** Time passes; the playhead waited in `waited` of it. */
  pass(frames: number, waited: number): void {
    const current = this.#current;
    if (!current) return;
    current.frames += frames;
    current.waited += waited;
    if (current.isUnderrun) this.#underrunFrames += frames;
  }

  /** The last underrun is over, and the playhead still waits for more audio. */
  prolong(frames: number): void {
    this.#underrunFrames += frames;
  }

  /** A frame arrived. Returns whether the gap was an intended pause. */
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

  /** The timeline restarts: the missing audio will not come. */
  forget(): void {
    this.#current = undefined;
  }
}
