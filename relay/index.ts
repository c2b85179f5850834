export type { AuthOptions } from "./auth.js";
export { Counters } from "./counters.js";
export type { Logger } from "./log.js";
export type { RelayLimits } from "./options.js";
export type { DropReason } from "./queue.js";
export { Relay, type RelayOptions, type RelayStats, type UpstreamOptions } from "./relay.js";
export {
  ALGORITHMS,
  type Claims,
  generateKey,
  parseKeys,
  publicKeyOf,
  signToken,
  type TokenKey,
} from "./token.js";
