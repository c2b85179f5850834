// Added by unsay's scripts/patch-dependencies.mjs, which says why.

// Everything that waits for an operand of a race, by that operand. An operand has one reaction of ours for its whole
// life, and a race that is over leaves the set: nothing that raced against a long-lived promise stays reachable from it.
const waiting = new WeakMap();

function waitersOf(operand) {
  const known = waiting.get(operand);
  if (known !== undefined) return known;
  const entry = { settled: false, waiters: new Set() };
  waiting.set(operand, entry);
  const settle = (outcome) => (value) => {
    entry.settled = true;
    const { waiters } = entry;
    entry.waiters = new Set();
    for (const waiter of waiters) waiter[outcome](value);
  };
  Promise.resolve(operand).then(settle("fulfilled"), settle("rejected"));
  return entry;
}

function join(operands, start) {
  return new Promise((resolve, reject) => {
    const joined = [];
    const leave = (settle) => (value) => {
      for (const entry of joined) entry.waiters.delete(waiter);
      settle(value);
    };
    const waiter = start(leave(resolve), leave(reject));
    for (const operand of operands) {
      const entry = typeof operand === "object" && operand !== null ? waitersOf(operand) : { settled: true };
      if (entry.settled) {
        Promise.resolve(operand).then(waiter.fulfilled, waiter.rejected);
        continue;
      }
      joined.push(entry);
      entry.waiters.add(waiter);
    }
  });
}

/** `Promise.race` that leaves nothing behind at the operands that lost. */
export function race(operands) {
  return join(operands, (fulfilled, rejected) => ({ fulfilled, rejected }));
}

/** `Promise.any` that leaves nothing behind at the operands that lost; each of them may be given once. */
export function any(operands) {
  const errors = [];
  return join(operands, (fulfilled, reject) => ({
    fulfilled,
    rejected(error) {
      errors.push(error);
      if (errors.length === operands.length) reject(new AggregateError(errors, "All promises were rejected"));
    },
  }));
}

const outcomes = new WeakMap();

/** Fulfils with undefined when a promise settles, whatever its outcome; the same promise for the same one. */
export function settled(promise) {
  let outcome = outcomes.get(promise);
  if (outcome === undefined) {
    outcome = promise.then(
      () => undefined,
      () => undefined,
    );
    outcomes.set(promise, outcome);
  }
  return outcome;
}

// A library has no business with its host's standard output: its words go to unsay's loggers, if there are any.
const sink = Symbol.for("unsay.dependencies.log");
const log =
  (level) =>
  (...words) =>
    globalThis[sink]?.(level, words);

/** Takes the console's place in the modules that import it. */
export const console = {
  debug: log("debug"),
  info: log("info"),
  log: log("info"),
  warn: log("warn"),
  error: log("error"),
};

/** Milliseconds on a clock that never jumps, in place of the system's. */
export function monotonic() {
  return performance.now();
}
