import { sharedClock } from "../support/clock.js";

/** State of a process when a promise was broken. */
export interface Health {
  /** Counters that are not 0 and may explain missing audio, by their path in the process's stats. */
  readonly counters: Readonly<Record<string, number>>;
  /** Times that its event loop stood still: it was stopped, or the machine had no processor for it. */
  readonly stalls: readonly { readonly at: number; readonly ms: number }[];
}

/** A process that reports its health. */
export interface HealthCalls {
  health(): Health;
}

const TURN_MS = 10;
/** An event loop that is this late stands still; half of it is usual on a busy machine. */
const STALL_MS = 60;
const TELLING =
  /drop|late|lost|skip|refused|fail|stale|underrun|jump|conceal|passed|evict|low(Out|Switches)|sessions|expired/i;

/** Watches this process's event loop. */
export function watchHealth(stats: () => object): () => Health {
  const stalls: { at: number; ms: number }[] = [];
  let last = sharedClock();
  setInterval(() => {
    const now = sharedClock();
    const ms = (now - last) / 1000 - TURN_MS;
    if (ms > STALL_MS) stalls.push({ at: last, ms });
    last = now;
  }, TURN_MS);
  return () => ({ counters: telling(stats()), stalls });
}

function telling(stats: object, prefix = ""): Record<string, number> {
  const found: Record<string, number> = {};
  for (const [key, value] of Object.entries(stats)) {
    const path = `${prefix}${key}`;
    if (typeof value === "number" && value !== 0 && TELLING.test(path)) found[path] = value;
    if (typeof value === "object" && value !== null) Object.assign(found, telling(value, `${path}.`));
  }
  return found;
}
