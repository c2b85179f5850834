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

/** Resolves after some milliseconds, or as soon as the signal aborts. Never rejects. */
export function sleep(milliseconds: number, signal?: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve(undefined);
    };
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener("abort", done);
    if (signal?.aborted) done();
  });
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
