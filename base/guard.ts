/** What a handler of ours threw. */
export interface Fault {
  /** Name of the handler, such as `relay.sweep`. */
  readonly handler: string;
  readonly error: unknown;
  /** How often that handler has failed in this process. */
  readonly count: number;
}

const counts = new Map<string, number>();
const listeners = new Set<(fault: Fault) => void>();

/** How often each handler of this process has failed. */
export function faultCounts(): Readonly<Record<string, number>> {
  return Object.fromEntries(counts);
}

/**
 * Calls a listener when a handler fails: the first time and whenever the count has doubled, so that one that always fails
 * does not fill a log. Returns an unsubscribe function.
 */
export function onFault(listener: (fault: Fault) => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/**
 * Wraps what a timer or an event source calls, so that nothing it throws ends the process: whatever a stranger sends, one
 * handler's fault is one missed turn, counted and logged.
 */
export function guard<A extends unknown[]>(handler: string, run: (...args: A) => unknown): (...args: A) => void {
  return (...args) => {
    try {
      const result = run(...args);
      if (result instanceof Promise) background(handler, result);
    } catch (error) {
      note(handler, error);
    }
  };
}

/** The same for a promise that is not waited for. */
export function background(handler: string, work: Promise<unknown>): void {
  work.catch((error: unknown) => note(handler, error));
}

function note(handler: string, error: unknown): void {
  const count = (counts.get(handler) ?? 0) + 1;
  counts.set(handler, count);
  if ((count & (count - 1)) !== 0) return;
  for (const listener of listeners) {
    try {
      listener({ handler, error, count });
    } catch {
      // A log that fails must not undo what it logs.
    }
  }
}
