export { COMFORTABLE } from "./comfortable.js";
export {
  LeadController,
  type LeadControllerOptions,
  type LeadMode,
  type LeadSample,
  type LeadVerdict,
} from "./lead.js";
export { PlayheadBound } from "./playhead-bound.js";
export {
  type PlayheadChange,
  PlayheadClock,
  type PlayheadClockOptions,
  type PlayheadSample,
} from "./playhead-clock.js";
export { StalenessEstimator } from "./staleness.js";
