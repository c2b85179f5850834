export type { AuthOptions } from "./auth.js";
export { Counters } from "./counters.js";
export { collectLessOften } from "./heap.js";
export { type LoadOptions, type LoadResult, loadRelay } from "./load.js";
export { MIN_PAYLOAD_BYTES } from "./load-publisher.js";
export type { Logger } from "./log.js";
export { limitsSchema, type RelayLimits } from "./options.js";
export { Relay, type RelayOptions, type UpstreamOptions } from "./relay.js";
export type { RelayListener, RelayStats } from "./stats.js";
export {
  ALGORITHMS,
  type Claims,
  generateKey,
  parseKeys,
  publicKeyOf,
  signToken,
  type TokenKey,
} from "./token.js";
