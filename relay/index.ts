export type { AuthOptions } from "./admission/auth.js";
export {
  ALGORITHMS,
  type Algorithm,
  type Claims,
  generateKey,
  parseKeys,
  publicKeyOf,
  signToken,
  type TokenKey,
} from "./admission/token.js";
export { limitsSchema, type RelayLimits } from "./limits.js";
export { type LoadOptions, type LoadResult, loadRelay } from "./load/load.js";
export { MIN_PAYLOAD_BYTES } from "./load/load-publisher.js";
export { collectLessOften } from "./ops/heap.js";
export type { Logger } from "./ops/log.js";
export { listenHostSchema, type RelayOptions, type UpstreamOptions, upstreamUrlSchema } from "./options.js";
export { Relay, type RelayEvents } from "./relay.js";
export type { RelayCounters } from "./relay-counters.js";
export type { RelayListener, RelayStats } from "./stats.js";
