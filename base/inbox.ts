/**
 * A queue from several writers to one reader that iterates it until {@link end}. Without a bound it suits writers that
 * the reader outpaces; with one, it drops and counts the oldest value.
 */
export class Inbox<T> implements AsyncIterable<T> {
  readonly #most: number;
  #items: T[] = [];
  #end: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;
  #dropped = 0;

  constructor({
    most = Number.POSITIVE_INFINITY,
  }: { /** `most`: maximum values in the queue. */ readonly most?: number } = {}) {
    this.#most = most;
  }

  /** Values dropped because the reader fell behind. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Adds a value; does nothing after the end. */
  push(item: T): void {
    if (this.#end) return;
    this.#items.push(item);
    if (this.#items.length > this.#most) {
      this.#items.shift();
      this.#dropped++;
    }
    this.#wake?.();
  }

  /** Ends the iteration after the queued values, with an error if given; idempotent. */
  end(error?: unknown): void {
    this.#end ??= { error };
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    for (;;) {
      while (this.#items.length > 0) yield this.#items.shift() as T;
      if (this.#end) break;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
    if (this.#end.error !== undefined) throw this.#end.error;
  }
}
