import type { SkipReason } from "../flow/congestion/index.js";

/** Counters of a relay since its start. */
export class RelayCounters {
  /** Sessions taken. */
  sessionsAccepted = 0;
  /** Sessions refused, by reason. */
  readonly sessionsRefused = { limit: 0, address: 0, unauthorized: 0, site: 0, version: 0, timeout: 0 };
  /** TCP connections that were closed before they became a session or were served, by reason. */
  readonly connectionsRefused = { limit: 0, address: 0, timeout: 0, pipelined: 0 };
  /** Times a publisher fell silent while another one waited for its name, which is then heard instead. */
  publishersSilent = 0;
  /** Sessions closed because the peer broke the protocol or a cap. */
  sessionsFailed = 0;
  /** Frames received. */
  objectsIn = 0;
  /** Payload bytes received. */
  bytesIn = 0;
  /** Frames sent, over all watchers; repeats of a datagram not included. */
  objectsOut = 0;
  /** Bytes handed to the transport for watchers. */
  bytesOut = 0;
  /** Datagrams handed to the transport for watchers. */
  datagramsOut = 0;
  /** Of these, how many repeated an object. */
  repeatsOut = 0;
  /** Copies that found no moment to go in time, and were dropped. */
  copiesExpired = 0;
  /** Datagrams that the transport did not take. */
  datagramsRefused = 0;
  /** Datagrams dropped because too many of one tick waited to be spread. */
  datagramsDropped = 0;
  /** Copies of a known group. */
  duplicates = 0;
  /** Rewinds applied to caches and queues. */
  rewinds = 0;
  /** Frames that arrived after a rewind had made them stale. */
  staleIn = 0;
  /** Streams to watchers that were reset because a rewind made their group stale. */
  staleStreamsReset = 0;
  /** Streams to watchers that could not be opened or written, or were stopped by the watcher. */
  streamsFailed = 0;
  /** Streams to watchers that were given up because the watcher did not read. */
  streamsLagged = 0;
  /** Groups that waited for a watcher and were skipped, by reason. */
  readonly dropped: Record<SkipReason, number> = { window: 0, age: 0, passed: 0, stale: 0, overflow: 0 };
  /** Groups sent in a lower rendition because the way to the watcher is full. */
  lowOut = 0;
  /** Times a watcher was switched to the lower rendition. */
  lowSwitches = 0;
  /** Groups evicted from a cache by a bound. */
  evicted = 0;
  /** Of these, groups evicted because their broadcast, or the whole relay, held too many bytes. */
  readonly cacheFull = { broadcast: 0, relay: 0 };
  /** Reports taken from listeners. */
  reportsIn = 0;
  /** Reports that could not be decoded or match no broadcast. */
  reportsInvalid = 0;
  /** Receipts sent to listeners and edges that report. */
  receiptsOut = 0;
  /** Aggregates sent to publishers. */
  aggregatesOut = 0;
  /** Requests and groups refused because a cap was hit, by cap. */
  readonly capped = {
    subscriptions: 0,
    announcements: 0,
    broadcasts: 0,
    tracks: 0,
    unanswered: 0,
    interests: 0,
    fetches: 0,
    streams: 0,
    groups: 0,
    partial: 0,
  };
}
