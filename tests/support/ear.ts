import type { Publisher } from "../../publisher/index.js";
import type { AudioSink, Listener } from "../../watch/index.js";
import { tone, until } from "./stage.js";

/** Samples that are judged together: a millisecond. */
const WINDOW = 48;
/** Quieter than any test signal, louder than what a codec leaves of it. */
const AUDIBLE = 0.02;

/** What a listener's speaker let out, judged by its samples alone. */
export class Ear implements AudioSink {
  #audible = 0;
  #silent = 1;
  #stretches = 0;
  #peak = 0;
  #filled = 0;

  /** Milliseconds in which something could be heard. */
  get audibleMs(): number {
    return this.#audible;
  }

  /** Milliseconds of silence since then, as the speaker played them: on a busy machine it falls behind the clock. */
  get silentMs(): number {
    return this.#silent;
  }

  /**
   * Stretches of sound between silences. Where a busy machine leaves a hole, the sound before it fades out and the sound
   * behind it fades in: each stretch adds a few audible milliseconds that no speech has.
   */
  get stretches(): number {
    return this.#stretches;
  }

  write([samples]: readonly Float32Array[]): void {
    for (const sample of samples!) {
      this.#peak = Math.max(this.#peak, Math.abs(sample));
      if (++this.#filled < WINDOW) continue;
      if (this.#peak > AUDIBLE) {
        this.#audible++;
        if (this.#silent > 0) this.#stretches++;
        this.#silent = 0;
      } else this.#silent++;
      this.#peak = 0;
      this.#filled = 0;
    }
  }

  async close(): Promise<void> {}
}

/** What a busy machine made of the sound so far. */
export interface Holes {
  readonly stretches: number;
  readonly underruns: number;
}

export function holesIn(ear: Ear, listener: Listener): Holes {
  return { stretches: ear.stretches, underruns: listener.stats().underruns };
}

/**
 * How exact a position is that was heard between the two, in milliseconds: at each hole fades of 5 ms count as audible,
 * also where it is too short for silence between them. Holes excuse no more than a few of those.
 */
export function exactMs(before: Holes, after: Holes): number {
  const holes = Math.max(0, after.stretches - before.stretches - 1, after.underruns - before.underruns);
  return Math.min(60, 25 + 10 * holes);
}

/** Has a publisher say something short until it is heard: from then on nothing that it says is missed. */
export async function warmUp(publisher: Publisher, ear: Ear): Promise<void> {
  while (ear.audibleMs === 0) await publisher.say(await tone({ ms: 100 })).done;
  await until("the publisher knows its listener", () => publisher.stats().listeners > 0);
  await quiet(ear, 200);
}

/** Waits until the speaker has played that much silence. */
export async function quiet(ear: Ear, ms: number): Promise<void> {
  await until(`${ms} ms of silence`, () => ear.silentMs >= ms);
}
