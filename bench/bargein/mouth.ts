import { setTimeout as sleep } from "node:timers/promises";
import type { AudioSource } from "../../publisher/index.js";
import { sharedClock } from "../support/clock.js";

const BLOCK = 480;
const BLOCK_US = 10_000;
/** Samples that a microphone keeps for a slow reader. */
const UNREAD_US = 100_000;

/** A person at a microphone: silence, and words as they are spoken, each sample delivered when it has been captured. */
export class Mouth implements AudioSource {
  readonly name = "microphone";
  readonly channels = 1;
  /** When the next block begins. */
  #at = sharedClock();
  #saying: { readonly samples: Float32Array; at: number } | undefined;
  #isClosed = false;

  /** Speaks with the next block; returns when its first sample is spoken, on the shared clock. */
  speak(samples: Float32Array): number {
    this.#saying = { samples, at: 0 };
    return this.#at;
  }

  async read(): Promise<Float32Array | undefined> {
    if (this.#isClosed) return undefined;
    const block = new Float32Array(BLOCK);
    const saying = this.#saying;
    if (saying !== undefined) {
      block.set(saying.samples.subarray(saying.at, saying.at + BLOCK));
      saying.at += BLOCK;
      if (saying.at >= saying.samples.length) this.#saying = undefined;
    }
    // A microphone that is not read loses its audio.
    this.#at = Math.max(this.#at + BLOCK_US, sharedClock() - UNREAD_US);
    const wait = this.#at - sharedClock();
    if (wait > 0) await sleep(wait / 1000);
    return block;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }
}
