import type { ReceiveStream, Session } from "../../transport/index.js";
import type { Scope } from "../admission/scope.js";
import type { Origin } from "../broadcast/origin.js";
import type { UpstreamReports } from "../edge/upstream-reports.js";
import type { RelayEnvironment } from "../environment.js";
import type { Logger } from "../ops/log.js";
import type { StreamReader } from "../wire/stream.js";
import type { Version } from "../wire/version.js";

/** What both sides of a connection need of it: whom they talk to, and where failures go. */
export interface Peer {
  /** Unique at this relay. */
  readonly id: string;
  readonly session: Session;
  readonly version: Version;
  readonly scope: Scope;
  /** Where what it announces goes. */
  readonly origin: Origin;
  /** Where what it may watch comes from. */
  readonly offered: Origin;
  /** Where the peer is our upstream: what is published to it. */
  readonly upstreamReports: UpstreamReports | undefined;
  readonly environment: RelayEnvironment;
  readonly log: Logger;
  /** Our hop id. */
  readonly hopId: bigint;
  /** The peer's hop id, or 0 when it sent none. */
  readonly peerHopId: bigint;
  /** Whether the peer itself announces a broadcast at a path. */
  publishes(path: string): boolean;
  /** Whether anything comes of the peer; see `SessionLife`. */
  alive(): boolean;
  /** Takes note that the peer has said something sensible. */
  greet(): void;
  /** Sends a record of flow control beside the protocol: as a datagram, or on a stream where the session has none. */
  sendRecord(body: Uint8Array): boolean;
  /** Reads a stream within the limits. */
  reader(stream: ReceiveStream): StreamReader;
  /** Ends the session for what the peer did wrong; what merely broke is as in {@link streamFailed}. */
  fail(error: unknown): void;
  /** Takes note that a stream broke; ends the session when the relay itself is at fault. */
  streamFailed(error: unknown): void;
}
