export {
  BytesInFlight,
  type BytesInFlightCounters,
  type BytesInFlightOptions,
  type Settled,
} from "./bytes-in-flight.js";
export { type Acknowledgement, CongestionController } from "./congestion-controller.js";
export {
  type CongestionLevel,
  DelayBasedEstimator,
  type DelayBasedEstimatorOptions,
} from "./delay-based-estimator.js";
export {
  type SkipCounters,
  SkipPolicy,
  type SkipPolicyOptions,
  type SkipQuestion,
  type SkipReason,
} from "./skip-policy.js";
export { TokenBucket, type TokenBucketOptions } from "./token-bucket.js";
export { ackDelayMs, Window, type WindowOptions } from "./window.js";
