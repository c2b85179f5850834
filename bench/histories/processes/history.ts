import "../../../base/polyfills.js";
import { serve } from "../../support/remote.js";
import { check, type Violation } from "../check.js";
import type { History } from "../history.js";
import { play } from "../stage.js";

/**
 * What the process of one history can be asked. The paths run in it, and a check keeps it busy for seconds: so each
 * history that is played beside others has a process of its own.
 */
export interface HistoryCalls {
  /** Plays a history and returns the promises it broke. */
  run(history: History): Promise<Violation[]>;
}

serve<HistoryCalls>({
  run: async (history) => check(await play(history)),
});
