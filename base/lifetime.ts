import { StateError } from "./error.js";
import { guard } from "./guard.js";

/** Calls `end` with the reason of a signal when it aborts, unless `closed` settles first. */
export function endWith(
  signal: AbortSignal | undefined,
  closed: Promise<unknown>,
  end: (reason: Error) => unknown,
): void {
  if (!signal) return;
  const abort = guard("base.abort", () => {
    const { reason } = signal;
    return end(reason instanceof Error ? reason : new StateError("ABORTED", String(reason)));
  });
  signal.addEventListener("abort", abort, { once: true });
  void closed.then(() => signal.removeEventListener("abort", abort));
  if (signal.aborted) abort();
}
