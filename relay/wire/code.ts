/**
 * Codes on reset streams and closed sessions. moq-lite assigns no numbers, so these are the Rust implementation's for
 * the same conditions (`rs/moq-net/src/error.rs`).
 */
export const Code = {
  /** No longer wanted. */
  CANCEL: 0,
  /** A newer group made this group stale. */
  STALE_GROUP: 2,
  /** The peer took too long. */
  TIMEOUT: 3,
  /** Not allowed by the token or the path. */
  UNAUTHORIZED: 6,
  /** No version in common. */
  VERSION: 9,
  /** A stream type unknown to the version. */
  UNEXPECTED_STREAM: 10,
  /** A limit of the relay. */
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
