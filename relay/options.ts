import { z } from "zod";

const count = (value: number) => z.number().int().positive().default(value);

/** The caps of a relay; hitting one is answered with a code and counted. */
export const limitsSchema = z.strictObject({
  /** Sessions at once. */
  sessions: count(4096),
  /** Sessions at once from one address, where the carrier knows it. */
  sessionsPerAddress: count(256),
  /** TCP connections at once that are no session. */
  connections: count(1024),
  /** Of these, how many from one address. */
  connectionsPerAddress: count(128),
  /** Milliseconds until a new connection must have asked for something, and a new session have said something sensible. */
  handshakeMs: count(10_000),
  /** Subscriptions of one session at once. */
  subscriptionsPerSession: count(256),
  /** Tracks of one broadcast that one session has asked for and that the publisher has not answered yet. */
  unansweredPerSession: count(16),
  /** The same of all sessions; each gets its first four all the same, up to twice as many. */
  unansweredPerBroadcast: count(64),
  /** Requests for announcements of one session at once. */
  interestsPerSession: count(16),
  /** Groups of the cache that are sent to one session at once. */
  fetchesPerSession: count(8),
  /** Broadcasts one session may announce at once. */
  announcementsPerSession: count(1024),
  /** Announcements a second that are read from one session in the long run; more wait. */
  announcementsPerSecond: count(500),
  /** Requests of one session that are served at once. */
  requestsPerSession: count(1024),
  /** Broadcasts at once, over all sessions. */
  broadcasts: count(10_000),
  /** Tracks of one broadcast at once. */
  tracksPerBroadcast: count(256),
  /** Bytes of a path or a track name. */
  pathBytes: count(1024),
  /** Bytes of a control message. */
  messageBytes: count(65_536),
  /** Bytes of one frame. */
  frameBytes: count(4 * 1024 * 1024),
  /** Milliseconds that a track's groups are kept for late joiners: as much as is sent ahead at most. */
  cacheMs: count(30_000),
  /** Groups kept of one track. */
  cacheGroupsPerTrack: count(2048),
  /** Frames of one group. */
  framesPerGroup: count(8192),
  /** Bytes kept of one track: payload, and 256 for each frame and 1024 for each group beside it. */
  cacheBytesPerTrack: count(2 * 1024 * 1024),
  /** Bytes kept of all tracks of one broadcast; the oldest groups go first. */
  cacheBytesPerBroadcast: count(8 * 1024 * 1024),
  /** Bytes kept in all. */
  cacheBytes: count(256 * 1024 * 1024),
  /** Bytes kept of the frames of one session that have not come in full. */
  partialBytesPerSession: count(8 * 1024 * 1024),
  /** Bytes kept of all frames that have not come in full. */
  partialBytes: count(64 * 1024 * 1024),
  /** One-way streams of one session that are read at once. */
  streamsPerSession: count(1024),
  /** Milliseconds for which a track stays subscribed without a watcher. */
  trackIdleMs: count(10_000),
  /** Groups that may wait for one watcher of one track. */
  queueGroups: count(2048),
  /** Bytes that may wait for one watcher of one track. */
  queueBytes: count(2 * 1024 * 1024),
  /** Milliseconds a group may wait for a watcher that does not report. */
  queueMs: count(2000),
  /** Streams to one watcher of one track that may wait for the transport. */
  pendingStreams: count(16),
  /** Bytes of groups to one session that the transport has not taken yet; more wait in the queues. */
  pendingBytesPerSession: count(4 * 1024 * 1024),
  /** Milliseconds of media in flight to a watcher that reports. */
  windowMs: count(250),
});

/** See {@link limitsSchema}. */
export type RelayLimits = z.infer<typeof limitsSchema>;
