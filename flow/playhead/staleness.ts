import { fromSeconds, type Microseconds, microseconds } from "../../base/index.js";

const BUCKET = fromSeconds(10);
const WINDOW = fromSeconds(120);

/**
 * Measures how much longer a report took than the quickest one, without synchronised clocks: the offset between arrival
 * and send, less the smallest offset of the window, 120 s by default. Create a new one (or `reset`) on a reconnect or a
 * path change.
 */
export class StalenessEstimator {
  // Minima by age, never by count: a backlog of hundreds of reports must not push the true minimum out.
  readonly #minima = new Map<number, number>();
  readonly #window: Microseconds;

  constructor({ window = WINDOW }: { readonly window?: Microseconds } = {}) {
    this.#window = window;
  }

  /** Takes one report's send time (the sender's clock) and arrival (ours); returns its staleness. */
  observe(clientTime: Microseconds, arrival: Microseconds): Microseconds {
    const offset = arrival - clientTime;
    const bucket = Math.floor(arrival / BUCKET);
    this.#minima.set(bucket, Math.min(this.#minima.get(bucket) ?? Number.POSITIVE_INFINITY, offset));
    let base = offset;
    for (const [index, minimum] of this.#minima) {
      if ((index + 1) * BUCKET <= arrival - this.#window) this.#minima.delete(index);
      else base = Math.min(base, minimum);
    }
    return microseconds(Math.max(0, offset - base));
  }

  reset(): void {
    this.#minima.clear();
  }
}
