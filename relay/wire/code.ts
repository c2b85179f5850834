/**
 * Codes on reset streams and closed sessions. moq-lite names no numbers, so these are the ones that the Rust
 * implementation gives to the same conditions (`rs/moq-net/src/error.rs`).
 */
export const Code = {
  /** It is not wanted any more. */
  CANCEL: 0,
  /** The group was taken back by a newer one. */
  STALE_GROUP: 2,
  /** The peer took too long. */
  TIMEOUT: 3,
  /** The token or the path does not allow it. */
  UNAUTHORIZED: 6,
  /** No version in common. */
  VERSION: 9,
  /** A stream type that the version does not have. */
  UNEXPECTED_STREAM: 10,
  /** A cap of the relay was hit. */
  BOUNDS_EXCEEDED: 11,
  /** No such broadcast, track or group. */
  NOT_FOUND: 13,
  /** The peer sent what the protocol does not allow. */
  PROTOCOL_VIOLATION: 15,
  /** The publisher went away. */
  DROPPED: 24,
  /** The relay is shutting down. */
  CLOSED: 25,
  /** The watcher was too slow for this group. */
  LAGGED: 26,
} as const;
