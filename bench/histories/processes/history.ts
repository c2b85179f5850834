import "../../../base/polyfills.js";
import { getPriority, setPriority } from "node:os";
import { serve } from "../../support/remote.js";
import { check, type Violation } from "../check.js";
import type { Health } from "../health.js";
import type { History } from "../history.js";
import { keep } from "../keep.js";
import { play } from "../stage.js";

/** Result of a history. */
export interface Verdict {
  readonly violations: readonly Violation[];
  /** When it began, on the clock of the stalls. */
  readonly startedAt: number;
  /** Of each process that lived, by role and life. */
  readonly health: Readonly<Record<string, Health>>;
}

/**
 * Calls to the process of one history, each once. The paths run in it, and the check keeps it busy for seconds: at
 * a lower priority, since it has time and another history may be playing.
 */
export interface HistoryCalls {
  /** Plays a history and checks it. One that breaks a promise leaves its recordings in `folder`. */
  run(history: History, folder?: string): Promise<Verdict>;
}

const LOWEST = 19;
/** By how many steps the check lowers its priority, below what another process plays. */
const CHECK_BELOW = 10;

serve<HistoryCalls>({
  run: async (history, folder) => {
    const run = await play(history);
    setPriority(Math.min(LOWEST, getPriority() + CHECK_BELOW));
    const violations = check(run);
    if (folder !== undefined && violations.length > 0) await keep(folder, run);
    return { violations, startedAt: run.startedAt, health: run.health };
  },
});
