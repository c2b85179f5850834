import type { HeardAgent } from "../../agent/index.js";
import { fromMilliseconds } from "../../base/index.js";
import { type AudioSource, levelDb, SILENCE_DB } from "../../publisher/index.js";

const BLOCK = 128;
const LEVEL_BLOCK = 480;

/** Samples in blocks like a listener's, on a clock that they advance. */
export class VirtualMicrophone implements AudioSource {
  readonly name = "microphone";
  readonly channels = 1;
  readonly #samples: Float32Array;
  #at = 0;

  constructor(samples: Float32Array) {
    this.#samples = samples;
  }

  readonly clock = () => fromMilliseconds(1000 + this.#at / 48);

  /** Samples read so far. */
  get at(): number {
    return this.#at;
  }

  async read(): Promise<Float32Array | undefined> {
    if (this.#at >= this.#samples.length) return undefined;
    const block = this.#samples.subarray(this.#at, this.#at + BLOCK);
    this.#at += BLOCK;
    return block;
  }

  async close(): Promise<void> {}
}

/** An agent's speech while a microphone is read: the listener plays it just as the microphone reads as far. */
export class VirtualAgent implements HeardAgent {
  readonly #levels: readonly number[];
  readonly #microphone: VirtualMicrophone;

  constructor(samples: Float32Array, microphone: VirtualMicrophone) {
    this.#microphone = microphone;
    this.#levels = Array.from({ length: Math.floor(samples.length / LEVEL_BLOCK) }, (_, index) =>
      levelDb(samples.subarray(index * LEVEL_BLOCK, (index + 1) * LEVEL_BLOCK)),
    );
  }

  playedLevelDb(withinMs: number): number {
    const to = Math.floor(this.#microphone.at / LEVEL_BLOCK);
    return Math.max(SILENCE_DB, ...this.#levels.slice(Math.max(0, to - withinMs / 10), to));
  }
}
