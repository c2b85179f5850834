/** Whole microseconds: a media timestamp or a monotonic clock reading. The brand keeps other units out. */
export type Microseconds = number & { readonly _brand: "micro" };

/** Brands a number of microseconds, rounded to a whole one. */
export function microseconds(value: number): Microseconds {
  return Math.round(value) as Microseconds;
}

/** Converts milliseconds to whole microseconds. */
export function fromMilliseconds(value: number): Microseconds {
  return Math.round(value * 1e3) as Microseconds;
}

/** Converts seconds to whole microseconds. */
export function fromSeconds(value: number): Microseconds {
  return Math.round(value * 1e6) as Microseconds;
}

/** Converts microseconds to (fractional) milliseconds. */
export function toMilliseconds(value: Microseconds): number {
  return value / 1e3;
}

/** Converts microseconds to (fractional) seconds. */
export function toSeconds(value: Microseconds): number {
  return value / 1e6;
}

/** A monotonic clock, injected wherever a decision depends on time, so that tests can control it. */
export type Clock = () => Microseconds;

/** The process's own monotonic clock, counted from its start. */
export const monotonicClock: Clock = () => microseconds(performance.now() * 1e3);

/** Timers that {@link timePassed} may fire before the platform does. */
const waiting = new Set<() => void>();

/** Resolves after some milliseconds, or as soon as the signal aborts. Never rejects. */
export function sleep(milliseconds: number, signal?: AbortSignal): Promise<undefined> {
  const due = performance.now() + milliseconds;
  return new Promise((resolve) => {
    const look = (): void => {
      if (performance.now() >= due) done();
    };
    const done = (): void => {
      clearTimeout(timer);
      waiting.delete(look);
      signal?.removeEventListener("abort", done);
      resolve(undefined);
    };
    const timer = setTimeout(done, milliseconds);
    waiting.add(look);
    signal?.addEventListener("abort", done);
    if (signal?.aborted) done();
  });
}

/** Calls a task at an interval; returns a function that ends this. */
export function every(milliseconds: number, task: () => void): () => void {
  let before = performance.now();
  const run = (): void => {
    before = performance.now();
    task();
  };
  const look = (): void => {
    if (performance.now() - before >= milliseconds) run();
  };
  // Where both work, the timer is never quite in step with what passes the time.
  const timer = setInterval(() => {
    if (performance.now() - before >= milliseconds / 2) run();
  }, milliseconds);
  waiting.add(look);
  return () => {
    clearInterval(timer);
    waiting.delete(look);
  };
}

/**
 * Fires each {@link sleep} and {@link every} that is due. Browsers run the timers of a hidden page once a second, and
 * after five silent minutes once a minute: what a page hears from its audio thread keeps the time instead.
 */
export function timePassed(): void {
  for (const look of [...waiting]) look();
}

/** Whether a promise settles within some milliseconds, either way. */
export async function settlesWithin(milliseconds: number, promise: Promise<unknown>): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), milliseconds);
  });
  const settled = promise.then(
    () => true,
    () => true,
  );
  return Promise.race([settled, late]).finally(() => clearTimeout(timer));
}
