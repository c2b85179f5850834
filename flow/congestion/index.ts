export { BytesInFlight } from "./bytes-in-flight.js";
export { CongestionController } from "./congestion-controller.js";
export { type SkipCounters, SkipPolicy, type SkipReason } from "./skip-policy.js";
export { TokenBucket } from "./token-bucket.js";
export { ackDelayMs, Window } from "./window.js";
