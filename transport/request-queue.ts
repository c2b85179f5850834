import type { SessionRequest } from "./session.js";

/** Requests that may wait for `accept()`. */
const MAX_WAITING = 1024;

/** Requests of a server that wait for `accept()`. @internal */
export class RequestQueue {
  #requests: SessionRequest[] = [];
  #waiting: ((request: SessionRequest | undefined) => void)[] = [];
  #closed = false;

  /** Adds a request; false when too many wait already or the queue is closed. */
  push(request: SessionRequest): boolean {
    if (this.#closed || this.#requests.length >= MAX_WAITING) return false;
    const waiting = this.#waiting.shift();
    if (waiting) waiting(request);
    else this.#requests.push(request);
    return true;
  }

  /** The next request, or undefined once closed. */
  next(): Promise<SessionRequest | undefined> {
    const request = this.#requests.shift();
    if (request || this.#closed) return Promise.resolve(request);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Ends every pending `next`; returns the requests that were not taken. */
  close(): SessionRequest[] {
    this.#closed = true;
    for (const waiting of this.#waiting.splice(0)) waiting(undefined);
    return this.#requests.splice(0);
  }
}
