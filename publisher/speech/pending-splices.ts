import { type SpliceMode, splice } from "../source/sample-queue.js";

/** Audio to splice into the source's, in samples per channel since the start of the broadcast. */
export interface Splice {
  readonly at: number;
  readonly samples: Float32Array;
  readonly mode: SpliceMode;
}

/** Splices kept at most; the oldest is dropped. */
const MAX_SPLICES = 64;

/** Splices that wait for their position to be rendered. */
export class PendingSplices {
  readonly #channels: number;
  #splices: readonly Splice[] = [];

  constructor(channels: number) {
    this.#channels = channels;
  }

  keep(splices: readonly Splice[]): void {
    this.#splices = [...this.#splices, ...splices].slice(-MAX_SPLICES);
  }

  /** Applies the splices that are due to interleaved `samples` that start at `position`, in place. */
  apply(samples: Float32Array, position: number): void {
    if (this.#splices.length === 0) return;
    const channels = this.#channels;
    for (const { at, samples: added, mode } of this.#splices) splice(samples, (at - position) * channels, added, mode);
    const end = position + samples.length / channels;
    this.#splices = this.#splices.filter(({ at, samples: added }) => at + added.length / channels > end);
  }

  clear(): void {
    this.#splices = [];
  }
}
