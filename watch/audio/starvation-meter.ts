import { framesIn } from "./samples.js";

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
  /** Whether no more than one packet was heard before it: silence there signals a rewind, and nothing broke off. */
  readonly isFirst: boolean;
  /** Whether the publisher left out the time before it: another utterance begins. */
  readonly begins: boolean;
  /** Whether it is so late that the publisher's media time must have stood still. */
  readonly stoodStill: boolean;
  /** Frames pulled so far; undefined where the playhead may not wait for more audio. */
  readonly now: number | undefined;
}

/** Timestamps are rounded: a frame this close to the end of what was heard continues it. */
export const CONTIGUOUS_FRAMES = 24;

/**
 * Audio to wait for after the first underrun of an utterance, so that it does not break off again at once; twice as much
 * after each further one. A source a fifth slower than real time then breaks off a few times and not at every chunk.
 */
const REBUFFER_FRAMES = { first: framesIn(40), most: framesIn(320) };

/** The playhead's wait after an underrun, until enough audio is there; all times are frames at 48 kHz. */
class Rebuffering {
  #current: { readonly frames: number; readonly until: number } | undefined;
  #next = REBUFFER_FRAMES.first;

  /** Whether it was waiting when it was last asked. */
  get waits(): boolean {
    return this.#current !== undefined;
  }

  /** An underrun ended now. */
  begin(now: number): void {
    this.#current = { frames: this.#next, until: now + this.#next };
    this.#next = Math.min(this.#next * 2, REBUFFER_FRAMES.most);
  }

  /** Whether it still waits, with `ready` frames of audio there. Where no more audio comes, the wait ends by itself. */
  goesOn(ready: number, now: number): boolean {
    if (this.#current && (ready >= this.#current.frames || now >= this.#current.until)) this.#current = undefined;
    return this.waits;
  }

  /** Another utterance begins. */
  reset(): void {
    this.#current = undefined;
    this.#next = REBUFFER_FRAMES.first;
  }
}

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
  readonly #rebuffering = new Rebuffering();
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

  /** Whether the playhead was waiting after an underrun when {@link rebuffers} was last asked. */
  get rebuffering(): boolean {
    return this.#rebuffering.waits;
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

  /** Whether the playhead waits on after an underrun, with `ready` frames there, `now` frames having been pulled. */
  rebuffers(ready: number, now: number): boolean {
    return this.#rebuffering.goesOn(ready, now);
  }

  /** Ends the wait after an underrun. */
  stopRebuffering(): void {
    this.#rebuffering.reset();
  }

  /** Time passes; the playhead waited in `waited` of it. */
  pass(frames: number, waited: number): void {
    if (this.#rebuffering.waits) this.#underrunFrames += waited;
    const current = this.#current;
    if (!current) return;
    current.frames += frames;
    current.waited += waited;
    if (current.isUnderrun) this.#underrunFrames += frames;
  }

  /** A frame arrived. Returns whether the gap was an intended pause. */
  end({ frame, due, heard, isFirst, begins, stoodStill, now }: StarvationEnd): boolean {
    const current = this.#current;
    this.#current = undefined;
    if (!current) return true;
    const continues = heard !== undefined && frame - heard <= CONTIGUOUS_FRAMES;
    const breaksOff = continues && this.marked && !isFirst;
    const isPause = frame >= due || stoodStill || (current.isPause && !breaksOff);
    if (isPause && !current.isUnderrun) {
      this.#rebuffering.reset();
      return true;
    }
    if (begins) this.#rebuffering.reset();
    // Behind lost audio there is a break in any case.
    else if (continues && now !== undefined) this.#rebuffering.begin(now);
    if (!current.isUnderrun) {
      this.#underruns++;
      this.#underrunFrames += Math.min(current.frames, due - frame);
    }
    return false;
  }

  /** The timeline restarts: the missing audio will not come. */
  forget(): void {
    this.#current = undefined;
    this.#rebuffering.reset();
  }
}
