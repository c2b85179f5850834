/** An error that a handler threw. */
export interface Fault {
  /** Name of the handler, such as `relay.sweep`. */
  readonly handler: string;
  readonly error: unknown;
  /** Number of failures of that handler in this process. */
  readonly count: number;
}

const counts = new Map<string, number>();
const listeners = new Set<(fault: Fault) => void>();

/** Number of failures of each handler in this process. */
export function faultCounts(): Readonly<Record<string, number>> {
  return Object.fromEntries(counts);
}

/**
 * Calls a listener when a handler fails: the first time and whenever the count has doubled, so that a handler that
 * always fails does not fill a log. Returns an unsubscribe function.
 */
export function onFault(listener: (fault: Fault) => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/**
 * Wraps a handler of a timer or an event source, so that no error ends the process: whatever a stranger sends, a fault
 * costs one call, counted and logged.
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

/** The same for a promise that no caller awaits. */
export function background(handler: string, work: Promise<unknown>): void {
  work.catch((error: unknown) => note(handler, error));
}

/**
 * Guards the handlers of an emitter's events, which are an application's: an error in one costs neither the other
 * handlers nor what emits.
 */
export function guardHandlers(emitter: { rawListeners(event: never): ((...args: never[]) => unknown)[] }): void {
  const { name } = emitter.constructor;
  const emit = (event: never, ...args: unknown[]): boolean => {
    const handlers = emitter.rawListeners(event);
    for (const handler of handlers)
      guard(`${name}.${String(event)}`, (): unknown => Reflect.apply(handler, emitter, args))();
    return handlers.length > 0;
  };
  Object.defineProperty(emitter, "emit", { value: emit, configurable: true, writable: true });
}

function note(handler: string, error: unknown): void {
  const count = (counts.get(handler) ?? 0) + 1;
  counts.set(handler, count);
  if ((count & (count - 1)) !== 0) return;
  for (const listener of listeners) {
    try {
      listener({ handler, error, count });
    } catch {
      // A log that fails must not undo its subject.
    }
  }
}
