interface Waiter {
  fulfilled(value: unknown): void;
  rejected(reason: unknown): void;
}

interface Operand {
  settled: boolean;
  readonly waiters: Set<Waiter>;
}

/** One reaction for the whole life of a promise, whatever the number of races. */
const operands = new WeakMap<PromiseLike<unknown>, Operand>();

/**
 * A `Promise.race` that leaves nothing behind at promises that lost. The standard's leaves a reaction at each of them,
 * and with it the outcome, until they settle. A loop that races against a promise as long-lived as a session would grow
 * with every turn. `scripts/dependencies/unsay.js` does the same within `@moq/net`.
 */
export function race<const T extends readonly PromiseLike<unknown>[]>(promises: T): Promise<Awaited<T[number]>> {
  return new Promise((resolve, reject) => {
    const joined: Operand[] = [];
    const leave = () => {
      for (const { waiters } of joined) waiters.delete(waiter);
    };
    const waiter: Waiter = {
      fulfilled(value) {
        leave();
        resolve(value as Awaited<T[number]>);
      },
      rejected(reason) {
        leave();
        reject(reason);
      },
    };
    for (const promise of promises) {
      const operand = operandOf(promise);
      if (operand.settled) void promise.then(waiter.fulfilled, waiter.rejected);
      else {
        joined.push(operand);
        operand.waiters.add(waiter);
      }
    }
  });
}

function operandOf(promise: PromiseLike<unknown>): Operand {
  const known = operands.get(promise);
  if (known !== undefined) return known;
  const operand: Operand = { settled: false, waiters: new Set() };
  operands.set(promise, operand);
  const settle = (outcome: keyof Waiter) => (value: unknown) => {
    operand.settled = true;
    for (const waiter of operand.waiters) waiter[outcome](value);
    operand.waiters.clear();
  };
  void promise.then(settle("fulfilled"), settle("rejected"));
  return operand;
}
