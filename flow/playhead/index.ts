export { COMFORTABLE } from "./comfortable.js";
export { LeadController, type LeadMode } from "./lead.js";
export { PlayheadBound } from "./playhead-bound.js";
export { PlayheadClock } from "./playhead-clock.js";
export { StalenessEstimator } from "./staleness.js";
