/** The latest timings. Recording allocates and computes nothing; {@link summary} does that later. */
export class TimingRing {
  readonly #values: Float64Array;
  #count = 0;

  /** Keeps the last `capacity` values. */
  constructor(capacity: number) {
    this.#values = new Float64Array(capacity);
  }

  /** Values held. */
  get size(): number {
    return Math.min(this.#count, this.#values.length);
  }

  /** Adds a value over the oldest. */
  record(value: number): void {
    this.#values[this.#count++ % this.#values.length] = value;
  }

  /** Mean, median and 99th percentile of the values, or zeros without any. Sorts: not for the hot path. */
  summary(): { readonly mean: number; readonly p50: number; readonly p99: number } {
    const sorted = this.#values.slice(0, this.size).sort();
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
    const sum = sorted.reduce((total, value) => total + value, 0);
    return { mean: sorted.length === 0 ? 0 : sum / sorted.length, p50: at(0.5), p99: at(0.99) };
  }
}
