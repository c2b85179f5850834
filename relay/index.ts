export { type LoadOptions, type LoadResult, loadRelay } from "./load/load.js";
export { MIN_PAYLOAD_BYTES } from "./load/load-publisher.js";
export { collectLessOften } from "./ops/heap.js";
export type { Logger } from "./ops/log.js";
export { limitsSchema, type RelayLimits } from "./options.js";
export { Relay, type RelayEvents, type RelayOptions, type UpstreamOptions } from "./relay.js";
export type { RelayCounters } from "./relay-counters.js";
export type { AuthOptions } from "./session/auth.js";
export {
  ALGORITHMS,
  type Algorithm,
  type Claims,
  generateKey,
  parseKeys,
  publicKeyOf,
  signToken,
  type TokenKey,
} from "./session/token.js";
export type { RelayListener, RelayStats } from "./stats.js";
