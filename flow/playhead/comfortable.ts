import { fromSeconds, type Microseconds } from "../../base/index.js";

/** Media further ahead of a listener's playhead than this can wait: a relay paces it. */
export const COMFORTABLE: Microseconds = fromSeconds(1);
