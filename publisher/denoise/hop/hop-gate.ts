const STOPPING = 0;
const BUSY = 1;
/** A hop takes a few milliseconds, loading a model up to a second. */
const LONGEST_MS = 2000;

/**
 * Keeps a worker's hops and the end of its thread apart. A thread that ends inside the native runtime kills the whole
 * process: the runtime throws where nothing can catch it.
 */
export class HopGate {
  readonly buffer: SharedArrayBuffer;
  readonly #counts: Int32Array;

  /** A new gate, or the other thread's end of one. */
  constructor(buffer = new SharedArrayBuffer(8)) {
    this.buffer = buffer;
    this.#counts = new Int32Array(buffer);
  }

  /** Worker: whether a call into the runtime may begin; if so, end it with {@link leave}. */
  enter(): boolean {
    // Counts before it checks, so that `stop` either sees the call or prevents it.
    Atomics.add(this.#counts, BUSY, 1);
    if (Atomics.load(this.#counts, STOPPING) === 0) return true;
    this.leave();
    return false;
  }

  /** Worker: a call into the runtime has ended. */
  leave(): void {
    Atomics.sub(this.#counts, BUSY, 1);
    Atomics.notify(this.#counts, BUSY);
  }

  /** Event loop: allows no more calls. */
  stop(): void {
    Atomics.store(this.#counts, STOPPING, 1);
  }

  /** Event loop, where it can't wait any other way: blocks until the current calls have ended, 2 s at most. */
  drain(): void {
    this.stop();
    const end = performance.now() + LONGEST_MS;
    for (let busy = this.#busy; busy > 0 && performance.now() < end; busy = this.#busy) {
      Atomics.wait(this.#counts, BUSY, busy, end - performance.now());
    }
  }

  get stopped(): boolean {
    return Atomics.load(this.#counts, STOPPING) === 1;
  }

  get idle(): boolean {
    return this.#busy === 0;
  }

  get #busy(): number {
    return Atomics.load(this.#counts, BUSY);
  }
}
