/** Requests that wait for an earlier one, at most. */
const MAX_OUT_OF_ORDER = 32;

/** Effect of a request on the order. */
export interface Ordered<T> {
  /** Requests that can run now, in order. */
  readonly due: readonly T[];
  /** Whether the missing request is closer than before, so that it is worth the whole wait again. */
  readonly isCloser: boolean;
}

/** Puts a controller's requests in order: a relay may send the newest of a burst first. */
export class RequestOrder<T extends { readonly order: number }> {
  readonly #early = new Map<number, T>();
  /** A controller counts from 0. One that kept counting while this publisher was away waits once. */
  #expected = 0;

  /** Whether requests wait for an earlier one that is missing. */
  get isWaiting(): boolean {
    return this.#early.size > 0;
  }

  take(request: T): Ordered<T> {
    const { order } = request;
    if (order <= this.#expected || this.#early.size >= MAX_OUT_OF_ORDER)
      return { due: this.#from(request), isCloser: true };
    const isCloser = [...this.#early.keys()].every((other) => other > order);
    this.#early.set(order, request);
    return { due: [], isCloser };
  }

  /** Gives up on the missing request: it comes again, or its sender gave up. */
  skip(): readonly T[] {
    const first = this.#early.get(Math.min(...this.#early.keys()));
    if (first === undefined) return [];
    this.#early.delete(first.order);
    return this.#from(first);
  }

  #from(request: T): readonly T[] {
    const due = [request];
    this.#expected = Math.max(this.#expected, request.order + 1);
    for (let next = this.#early.get(this.#expected); next; next = this.#early.get(this.#expected)) {
      this.#early.delete(this.#expected++);
      due.push(next);
    }
    return due;
  }
}
