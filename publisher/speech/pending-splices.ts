import { type SpliceMode, splice } from "../source/sample-queue.js";

/** Audio to put into the source's, in samples per channel since the start of the broadcast. */
export interface Splice {
  readonly at: number;
  readonly samples: Float32Array;
  readonly mode: SpliceMode;
}

/** Splices kept at most; the oldest goes. */
const MAX_SPLICES = 64;

/** Splices whose moment has not been rendered yet. */
export class PendingSplices {
  readonly #channels: number;
  #splices: readonly Splice[] = [];

  constructor(channels: number) {
    this.#channels = channels;
  }

  /** Keeps splices until their moment. */
  keep(splices: readonly Splice[]): void {
    this.#splices = [...this.#splices, ...splices].slice(-MAX_SPLICES);
  }

  /** Puts what is due into interleaved `samples` that begin at `position`, in place. */
  apply(samples: Float32Array, position: number): void {
    if (this.#splices.length === 0) return;
    const channels = this.#channels;
    for (const { at, samples: added, mode } of this.#splices) splice(samples, (at - position) * channels, added, mode);
    const end = position + samples.length / channels;
    this.#splices = this.#splices.filter(({ at, samples: added }) => at + added.length / channels > end);
  }

  /** Forgets them all. */
  clear(): void {
    this.#splices = [];
  }
}
