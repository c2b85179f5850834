/**
 * Values that come from several places at once, to be read in one: a queue that is iterated until {@link end}. Its reader
 * keeps up by itself, so it is as short as what comes between two turns of the event loop.
 */
export class Inbox<T> implements AsyncIterable<T> {
  #items: T[] = [];
  #end: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;

  /** Adds a value; does nothing after the end. */
  push(item: T): void {
    if (this.#end) return;
    this.#items.push(item);
    this.#wake?.();
  }

  /** Ends the iteration behind what is in the queue, with an error if there is one; idempotent. */
  end(error?: unknown): void {
    this.#end ??= { error };
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    for (;;) {
      const items = this.#items;
      this.#items = [];
      yield* items;
      if (this.#items.length > 0) continue;
      if (this.#end) break;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#end?.error !== undefined) throw this.#end.error;
  }
}
