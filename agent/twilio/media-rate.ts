import type { Microseconds } from "../../base/index.js";

const WINDOW_US = 10e6;
/** A bot sends whole answers at once, but not for ten seconds: then it most likely sends PCM as if it were mu-law. */
const MAX_RATE = 4;
/** Messages within a tenth of a second count together. */
const SLOT_US = 100_000;

interface Slot {
  readonly from: number;
  ms: number;
}

/** Watches a bot's rate of audio. */
export class MediaRate {
  readonly #slots: Slot[] = [];
  #sum = 0;
  #warned = false;

  /**
   * Takes `ms` of audio that arrived at `now`. Returns true once: when the last ten seconds brought more than forty of
   * audio.
   */
  take(ms: number, now: Microseconds): boolean {
    const last = this.#slots.at(-1);
    if (last !== undefined && now - last.from < SLOT_US) last.ms += ms;
    else this.#slots.push({ from: now, ms });
    this.#sum += ms;
    while (this.#slots[0] !== undefined && now - this.#slots[0].from >= WINDOW_US) this.#sum -= this.#slots.shift()!.ms;
    if (this.#warned || this.#sum * 1e3 <= MAX_RATE * WINDOW_US) return false;
    this.#warned = true;
    return true;
  }
}
