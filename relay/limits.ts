import { z } from "zod";

/** Limits of a relay. It answers a peer that reaches one with a code, and counts it. */
export interface RelayLimits {
  /** Sessions at once. */
  readonly sessions: number;
  /** Sessions at once from one address, where the carrier provides it. */
  readonly sessionsPerAddress: number;
  /** TCP connections at once without a session. */
  readonly connections: number;
  /** Of these, from one address. */
  readonly connectionsPerAddress: number;
  /** Milliseconds until a new connection must have sent a request, and a new session a valid message. */
  readonly handshakeMs: number;
  /** Subscriptions of one session at once. */
  readonly subscriptionsPerSession: number;
  /** Tracks of one broadcast that one session has requested and the publisher has not answered yet. */
  readonly unansweredPerSession: number;
  /** The same for all sessions; each still gets its first four, up to twice as many in total. */
  readonly unansweredPerBroadcast: number;
  /** Requests for announcements of one session at once. */
  readonly interestsPerSession: number;
  /** Groups of the cache sent to one session at once. */
  readonly fetchesPerSession: number;
  /** Broadcasts one session may announce at once. */
  readonly announcementsPerSession: number;
  /** Announcements per second read from one session in the long run; any more wait. */
  readonly announcementsPerSecond: number;
  /** Requests of one session served at once. */
  readonly requestsPerSession: number;
  /** Broadcasts at once, over all sessions. */
  readonly broadcasts: number;
  /** Tracks of one broadcast at once. */
  readonly tracksPerBroadcast: number;
  /** Bytes of a path or a track name. */
  readonly pathBytes: number;
  /** Bytes of a control message. */
  readonly messageBytes: number;
  /** Bytes of one frame. */
  readonly frameBytes: number;
  /** Milliseconds that a track's groups are kept for late joiners: the maximum lead. */
  readonly cacheMs: number;
  /** Groups kept of one track. */
  readonly cacheGroupsPerTrack: number;
  /** Frames of one group. */
  readonly framesPerGroup: number;
  /** Bytes kept of one track: payload, plus 256 for each frame and 1024 for each group. */
  readonly cacheBytesPerTrack: number;
  /**
   * Bytes kept of all tracks of one broadcast; the oldest groups are dropped first. The newest group of each track stays,
   * up to twice this together.
   */
  readonly cacheBytesPerBroadcast: number;
  /** Bytes kept in all. */
  readonly cacheBytes: number;
  /** Bytes kept of incomplete frames of one session, and of its unfinished groups that no cache keeps any more. */
  readonly partialBytesPerSession: number;
  /** The same of all sessions; beyond it, those that hold most give way. */
  readonly partialBytes: number;
  /** One-way streams of one session read at once. */
  readonly streamsPerSession: number;
  /** Milliseconds for which a track stays subscribed without a watcher. */
  readonly trackIdleMs: number;
  /** Groups that may wait for one watcher of one track. */
  readonly queueGroups: number;
  /** Bytes that may wait for one watcher of one track. */
  readonly queueBytes: number;
  /** Bytes that may wait for all watchers of one session. */
  readonly queueBytesPerSession: number;
  /** Milliseconds a group may wait for a watcher that does not report. */
  readonly queueMs: number;
  /** Streams to one watcher of one track that may wait for the transport. */
  readonly pendingStreams: number;
  /** Bytes of groups to one session that the transport has not taken yet; more wait in the queues. */
  readonly pendingBytesPerSession: number;
  /** Milliseconds of media in flight to a watcher that reports. */
  readonly windowMs: number;
}

/** Default limits. */
export const DEFAULT_LIMITS: RelayLimits = {
  sessions: 4096,
  sessionsPerAddress: 256,
  connections: 1024,
  connectionsPerAddress: 128,
  handshakeMs: 10_000,
  subscriptionsPerSession: 256,
  unansweredPerSession: 16,
  unansweredPerBroadcast: 64,
  interestsPerSession: 16,
  fetchesPerSession: 8,
  announcementsPerSession: 1024,
  announcementsPerSecond: 500,
  requestsPerSession: 1024,
  broadcasts: 10_000,
  tracksPerBroadcast: 256,
  pathBytes: 1024,
  messageBytes: 65_536,
  frameBytes: 4 * 1024 * 1024,
  cacheMs: 30_000,
  cacheGroupsPerTrack: 2048,
  framesPerGroup: 8192,
  cacheBytesPerTrack: 2 * 1024 * 1024,
  cacheBytesPerBroadcast: 8 * 1024 * 1024,
  cacheBytes: 256 * 1024 * 1024,
  partialBytesPerSession: 8 * 1024 * 1024,
  partialBytes: 64 * 1024 * 1024,
  streamsPerSession: 1024,
  trackIdleMs: 10_000,
  queueGroups: 2048,
  queueBytes: 2 * 1024 * 1024,
  queueBytesPerSession: 32 * 1024 * 1024,
  queueMs: 2000,
  pendingStreams: 16,
  pendingBytesPerSession: 4 * 1024 * 1024,
  windowMs: 250,
};

/** A day: Node fires a timer of more than 25 at once. */
const MAX_MS = 86_400_000;

/** Checks limits and fills in their defaults. */
export const limitsSchema = z.strictObject(
  mapValues(DEFAULT_LIMITS, (value, name) => {
    const whole = z.number().int().positive();
    return (name.endsWith("Ms") ? whole.max(MAX_MS) : whole).default(value);
  }),
);

function mapValues<T>(limits: RelayLimits, map: (value: number, name: string) => T): Record<keyof RelayLimits, T> {
  return Object.fromEntries(Object.entries(limits).map(([name, value]) => [name, map(value, name)])) as Record<
    keyof RelayLimits,
    T
  >;
}
