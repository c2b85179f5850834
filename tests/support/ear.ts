import type { Publisher } from "../../publisher/index.js";
import type { AudioSink } from "../../watch/index.js";
import { tone, until } from "./stage.js";

/** Samples that are judged together: a millisecond. */
const WINDOW = 48;
/** Quieter than any test signal, louder than what a codec leaves of it. */
const AUDIBLE = 0.02;

/** {@link spoken} audio rises by this much, from this, in ten seconds of 16-bit samples. */
const [RISE, FROM, LONGEST_MS] = [19_000, 12_000, 10_000];
const FULL_SCALE = 32_768;
/** A sample and the next but one, which a resampler made in the same way, differ by less, except in a fade. */
const STEADY = 3 / FULL_SCALE;
/** A fade takes 5 ms, which can't be read; one before a hole and one behind it. */
const FADES_MS = 15;

/** Audio as a text-to-speech service delivers it, 16-bit at 24 kHz: each sample says how far into ten seconds it lies. */
export function spoken(ms: number, fromMs = 0): Int16Array {
  return Int16Array.from({ length: ms * 24 }, (_, i) => FROM + ((fromMs + i / 24) * RISE) / LONGEST_MS);
}

/** Two places of {@link spoken} audio, one heard right after the other. */
export interface Jump {
  readonly fromMs: number;
  readonly toMs: number;
}

/** A listener's speaker, judged by its samples alone. */
export class Ear implements AudioSink {
  #audible = 0;
  #silent = 1;
  #peak = 0;
  #filled = 0;
  /** The two samples before. */
  #before: readonly [number, number] = [0, 0];
  #reached = 0;
  #jumps: Jump[] = [];

  /** Milliseconds in which something could be heard. At each hole that a busy machine leaves, fades add a few. */
  get audibleMs(): number {
    return this.#audible;
  }

  /** Milliseconds of silence since then, as the speaker played them: on a busy machine it falls behind the clock. */
  get silentMs(): number {
    return this.#silent;
  }

  /** How far into {@link spoken} audio the last sample lies that no fade touches, in milliseconds. */
  get reachedMs(): number {
    return this.#reached;
  }

  /** Where {@link spoken} audio did not continue since {@link restart}: for one, where the machine stood still. */
  get jumps(): readonly Jump[] {
    return this.#jumps;
  }

  /** The next audio begins at its start. */
  restart(): void {
    this.#reached = 0;
    this.#jumps = [];
  }

  write([samples]: readonly Float32Array[]): void {
    for (const sample of samples!) {
      this.#read(sample);
      this.#peak = Math.max(this.#peak, Math.abs(sample));
      if (++this.#filled < WINDOW) continue;
      if (this.#peak > AUDIBLE) {
        this.#audible++;
        this.#silent = 0;
      } else this.#silent++;
      this.#peak = 0;
      this.#filled = 0;
    }
  }

  async close(): Promise<void> {}

  #read(sample: number): void {
    const [one, other] = this.#before;
    const isSteady = Math.abs(sample - one) < STEADY;
    this.#before = [other, sample];
    const place = ((sample * FULL_SCALE - FROM) / RISE) * LONGEST_MS;
    if (!isSteady || place < 0) return;
    if (Math.abs(place - this.#reached) > FADES_MS) this.#jumps.push({ fromMs: this.#reached, toMs: place });
    this.#reached = place;
  }
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
