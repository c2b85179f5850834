import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";
import { faultCounts } from "../../base/index.js";
import type { RelayStats } from "../stats.js";

/** Creates a Prometheus registry that reads a relay's statistics at every scrape, plus the process's own. */
export function relayMetrics(stats: () => RelayStats): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const gauge = (name: string, help: string, read: (stats: RelayStats) => number): void => {
    new Gauge({
      name: `unsay_relay_${name}`,
      help,
      registers: [registry],
      collect() {
        this.set(read(stats()));
      },
    });
  };
  const counter = (name: string, help: string, read: (counters: RelayStats["counters"]) => number): void => {
    new Counter({
      name: `unsay_relay_${name}_total`,
      help,
      registers: [registry],
      collect() {
        this.reset();
        this.inc(read(stats().counters));
      },
    });
  };
  const counters = (
    name: string,
    help: string,
    label: string,
    read: (counters: RelayStats["counters"]) => Readonly<Record<string, number>>,
  ): void => {
    new Counter({
      name: `unsay_relay_${name}_total`,
      help,
      labelNames: [label],
      registers: [registry],
      collect() {
        this.reset();
        for (const [value, count] of Object.entries(read(stats().counters))) this.inc({ [label]: value }, count);
      },
    });
  };

  gauge("sessions", "Sessions open now.", (now) => now.sessions);
  gauge("connections", "Open TCP connections without a session.", (now) => now.connections);
  gauge("broadcasts", "Broadcasts announced now.", (now) => now.broadcasts);
  gauge("displaced", "Publishers whose name a newer one has taken.", (now) => now.displaced);
  gauge("tracks", "Tracks subscribed or cached now.", (now) => now.tracks);
  gauge("watchers", "Subscriptions served now.", (now) => now.watchers);
  gauge("listeners", "Sessions that report now.", (now) => now.listeners);
  gauge(
    "cached_bytes",
    "Bytes in all caches, including the memory of groups and frames beside their payload.",
    (now) => now.cachedBytes,
  );
  gauge("partial_bytes", "Bytes of frames that have not come in full.", (now) => now.partialBytes);
  gauge("pending_bytes", "Bytes of groups that the transport has not taken yet.", (now) => now.pendingBytes);
  gauge("queued_bytes", "Bytes of groups that wait for watchers.", (now) => now.queuedBytes);
  gauge("queued_groups", "Groups that wait for watchers.", (now) => now.queuedGroups);

  counter("sessions_accepted", "Sessions taken.", (all) => all.sessionsAccepted);
  counters("sessions_refused", "Sessions refused.", "reason", (all) => all.sessionsRefused);
  counters("connections_refused", "TCP connections closed unserved.", "reason", (all) => all.connectionsRefused);
  counter("sessions_failed", "Sessions closed for a violation or a cap.", (all) => all.sessionsFailed);
  counter(
    "publishers_silent",
    "Publishers that fell silent and gave way to another of their name.",
    (all) => all.publishersSilent,
  );
  counter("objects_in", "Frames received.", (all) => all.objectsIn);
  counter("bytes_in", "Payload bytes received.", (all) => all.bytesIn);
  counter("objects_out", "Frames sent to watchers.", (all) => all.objectsOut);
  counter("bytes_out", "Bytes sent to watchers.", (all) => all.bytesOut);
  counter("datagrams_out", "Datagrams sent to watchers.", (all) => all.datagramsOut);
  counter("datagram_repeats", "Datagrams that repeated an object.", (all) => all.repeatsOut);
  counter("copies_expired", "Copies of objects dropped because they could not go in time.", (all) => all.copiesExpired);
  counter("datagrams_refused", "Datagrams the transport did not take.", (all) => all.datagramsRefused);
  counter("datagrams_dropped", "Datagrams dropped while they waited to be spread.", (all) => all.datagramsDropped);
  counter("duplicates", "Copies of known groups that arrived.", (all) => all.duplicates);
  counter("rewinds", "Rewinds applied.", (all) => all.rewinds);
  counter("stale_in", "Frames that arrived after a rewind had made them stale.", (all) => all.staleIn);
  counter("stale_streams_reset", "Streams reset by a rewind.", (all) => all.staleStreamsReset);
  counter("streams_failed", "Streams that failed or were stopped.", (all) => all.streamsFailed);
  counter("streams_lagged", "Streams given up for a watcher that does not read.", (all) => all.streamsLagged);
  counters("groups_dropped", "Groups skipped while they waited.", "reason", (all) => all.dropped);
  counter("evicted", "Groups that left a cache for a bound.", (all) => all.evicted);
  counters("cache_full", "Groups that left a cache for a cap on bytes.", "cap", (all) => all.cacheFull);
  counter("reports_in", "Reports taken from listeners.", (all) => all.reportsIn);
  counter("reports_invalid", "Reports that belong to nothing or can't be read.", (all) => all.reportsInvalid);
  counter("low_out", "Groups sent in a lower rendition.", (all) => all.lowOut);
  counter("low_switches", "Switches of a watcher to the lower rendition.", (all) => all.lowSwitches);
  counter("receipts_out", "Receipts sent to listeners and edges that report.", (all) => all.receiptsOut);
  counter("aggregates_out", "Aggregates sent to publishers.", (all) => all.aggregatesOut);
  counters("capped", "Requests and groups refused for a cap.", "cap", (all) => all.capped);
  new Counter({
    name: "unsay_handler_faults_total",
    help: "Handlers of this process that failed, by handler.",
    labelNames: ["handler"],
    registers: [registry],
    collect() {
      this.reset();
      for (const [handler, count] of Object.entries(faultCounts())) this.inc({ handler }, count);
    },
  });
  return registry;
}
