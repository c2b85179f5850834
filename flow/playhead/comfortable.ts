import { fromSeconds, type Microseconds } from "../../base/index.js";

/** Media further ahead of a listener's playhead than this is in no hurry: a relay sends it at a pace of its own. */
export const COMFORTABLE: Microseconds = fromSeconds(1);
