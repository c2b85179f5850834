import { background, guard, openAudioContext } from "../../base/index.js";

/** Time constant of a change of the volume, in seconds: a jump would click. */
const FADE = 0.01;
/**
 * Inaudible, and not zero: Chromium drives a context that renders nothing but zeros by a timer in place of the device's
 * clock, which falls behind on a busy machine.
 */
const MUTED_GAIN = 1e-6;
/** A playhead makes up only for a standstill of over a second, and most looks at another page are shorter than this. */
const REST_AFTER_MS = 3000;

/** Whether the page may play without a click. Firefox reports it, and Chromium starts a new context only then. */
export function mayPlayAlone(): boolean {
  const { userActivation, getAutoplayPolicy } = navigator as Navigator & {
    getAutoplayPolicy?: (type: string) => string;
  };
  if (userActivation?.hasBeenActive !== false) return true;
  if (getAutoplayPolicy) return getAutoplayPolicy.call(navigator, "audiocontext") === "allowed";
  return startsAlone();
}

function startsAlone(): boolean {
  try {
    const context = openAudioContext({});
    const isRunning = context.state === "running";
    background("element.probe", context.close());
    return isRunning;
  } catch {
    // The attempt to play reports why.
    return true;
  }
}

/**
 * The end of an element's audio: its volume. While that is 0 in a hidden page, the audio stands still, and continues at
 * the right place afterwards: Chromium runs such a page behind all other programs (nice 5), so that it would have gaps
 * on a busy machine, and spend power for nothing.
 */
export class PageSpeaker {
  readonly #context: AudioContext;
  readonly #gain: GainNode;
  /** Whether something else than the speakers takes the audio. */
  #isTapped: boolean;
  #volume: number;
  #isResting = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(audio: AudioNode, { volume, tapped }: { readonly volume: number; readonly tapped: boolean }) {
    // Only a listener's own context makes its node.
    this.#context = audio.context as AudioContext;
    this.#isTapped = tapped;
    this.#volume = volume;
    this.#gain = new GainNode(this.#context, { gain: Math.max(MUTED_GAIN, volume) });
    audio.disconnect(this.#context.destination);
    audio.connect(this.#gain).connect(this.#context.destination);
    document.addEventListener("visibilitychange", this.#rest);
    this.#rest();
  }

  /** Changes the volume, 0 to 1. */
  setVolume(volume: number): void {
    this.#volume = volume;
    this.#gain.gain.setTargetAtTime(Math.max(MUTED_GAIN, volume), this.#context.currentTime, FADE);
    this.#rest();
  }

  /** Something may record the audio from now on: it no longer stands still. */
  tap(): void {
    this.#isTapped = true;
    this.#rest();
  }

  close(): void {
    clearTimeout(this.#timer);
    document.removeEventListener("visibilitychange", this.#rest);
  }

  readonly #rest = guard("element.rest", () => {
    clearTimeout(this.#timer);
    const isUnheard = this.#volume === 0 && document.visibilityState === "hidden" && !this.#isTapped;
    if (!isUnheard) this.#set(false);
    else if (!this.#isResting) this.#timer = setTimeout(this.#begin, REST_AFTER_MS);
  });

  readonly #begin = guard("element.rest", () => this.#set(true));

  #set(isResting: boolean): void {
    if (isResting === this.#isResting) return;
    this.#isResting = isResting;
    background("element.rest", isResting ? this.#context.suspend() : this.#context.resume());
  }
}
