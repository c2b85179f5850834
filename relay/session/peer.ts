import type { ReceiveStream, Session } from "../../transport/index.js";
import type { Scope } from "../admission/scope.js";
import type { Origin } from "../broadcast/origin.js";
import type { UpstreamReports } from "../edge/upstream-reports.js";
import type { RelayEnvironment } from "../environment.js";
import type { Logger } from "../ops/log.js";
import type { StreamReader } from "../wire/stream.js";
import type { Version } from "../wire/version.js";

/** The peer as both sides of a connection see it, and where failures go. */
export interface Peer {
  /** Unique at this relay. */
  readonly id: string;
  readonly session: Session;
  readonly version: Version;
  readonly scope: Scope;
  /** Receives the peer's announcements. */
  readonly origin: Origin;
  /** Source of everything the peer may watch. */
  readonly offered: Origin;
  /** Where the peer is our upstream: the reports published to it. */
  readonly upstreamReports: UpstreamReports | undefined;
  readonly environment: RelayEnvironment;
  readonly log: Logger;
  /** Our hop id. */
  readonly hopId: bigint;
  /** The peer's hop id, or 0 when it sent none. */
  readonly peerHopId: bigint;
  /** Whether the peer itself announces a broadcast at this path. */
  publishes(path: string): boolean;
  /** Whether the peer sends anything; see `SessionLife`. */
  alive(): boolean;
  /** Notes that the peer has sent a valid message. */
  greet(): void;
  /** Sends a flow control record beside the protocol: as a datagram, or on a stream where the session has none. */
  sendRecord(body: Uint8Array): boolean;
  /** Reads a stream within the limits. */
  reader(stream: ReceiveStream): StreamReader;
  /** Ends the session for a fault of the peer; a mere break is handled like {@link streamFailed}. */
  fail(error: unknown): void;
  /** Notes that a stream broke; ends the session when the relay itself is at fault. */
  streamFailed(error: unknown): void;
}
