import { fromSeconds, type Microseconds, TransportError } from "../../base/index.js";
import { FEEDBACK_TRACK, feedbackPath, LISTENER_TIMEOUT } from "../../flow/report/index.js";
import { Broadcast, type BroadcastEnvironment, type BroadcastSource } from "../broadcast/broadcast.js";
import { Origin } from "../broadcast/origin.js";
import type { Track, TrackSource } from "../broadcast/track.js";
import { RelayCounters } from "../relay-counters.js";
import { WireFrame } from "../wire/group.js";
import type { TrackInfo } from "../wire/track.js";

/** After this long without an answer, the upstream relay counts as one that does not read aggregates. */
const UNANSWERED: Microseconds = fromSeconds(3);
/** How long relays should keep an aggregate that a newer one has replaced, in milliseconds. */
const RETAIN_MS = 500;
const INFO: TrackInfo = { priority: 200, ordered: false, maxLatencyMs: RETAIN_MS, timescale: 1_000_000 };

interface Carried {
  readonly outlet: ReportTrack;
  readonly broadcast: Broadcast;
}

/**
 * An edge's publications to its upstream relay: its aggregates, on one small broadcast for each broadcast with a client
 * here, where the upstream relay does not answer the aggregates beside the protocol. The publisher looks for these
 * broadcasts as it does for those of listeners.
 */
export class UpstreamReports {
  /** The broadcasts that the upstream relay may watch. */
  readonly origin: Origin;
  readonly #environment: BroadcastEnvironment;
  readonly #carried = new Map<string, Carried>();
  #firstAt: Microseconds | undefined;
  #answered = false;

  constructor(environment: BroadcastEnvironment) {
    const { limits, counters } = environment;
    this.origin = new Origin({ maxBroadcasts: limits.broadcasts, counters });
    this.#environment = {
      ...environment,
      // Broadcasts created here do not count as received.
      counters: new RelayCounters(),
      classifier: undefined,
      limits: { ...limits, cacheMs: RETAIN_MS },
    };
  }

  /** Sends an aggregate about a broadcast, by its path upstream; false when it is not published. */
  send(path: string, body: Uint8Array): boolean {
    const now = this.#environment.clock();
    this.#firstAt ??= now;
    if (this.#answered || now - this.#firstAt < UNANSWERED) return false;
    const outlet = this.#carried.get(path)?.outlet ?? this.#announce(path);
    outlet?.write(body, now);
    return outlet !== undefined;
  }

  /** Notes that the upstream relay reads aggregates, so that none need to be published. */
  answered(): void {
    this.#answered = true;
    this.close();
  }

  /** Withdraws broadcasts without listeners and sweeps the rest; called several times a second. */
  sweep(): void {
    const silent = this.#environment.clock() - LISTENER_TIMEOUT;
    for (const [path, { outlet, broadcast }] of this.#carried) {
      if (outlet.writtenAt >= silent) broadcast.sweep();
      else this.#withdraw(path, broadcast);
    }
  }

  /** Withdraws all; idempotent. */
  close(): void {
    for (const [path, { broadcast }] of this.#carried) this.#withdraw(path, broadcast);
  }

  #announce(path: string): ReportTrack | undefined {
    const outlet = new ReportTrack();
    const at = feedbackPath(path, Math.floor(Math.random() * 2 ** 32));
    const environment = this.#environment;
    const broadcast = new Broadcast({ path: at, sourcePath: at, source: outlet, hops: [], environment });
    if (!this.origin.publish(broadcast)) return undefined;
    this.#carried.set(path, { outlet, broadcast });
    return outlet;
  }

  #withdraw(path: string, broadcast: Broadcast): void {
    this.#carried.delete(path);
    this.origin.withdraw(broadcast);
  }
}

/** The source of one feedback broadcast: a track with a group for every aggregate. */
class ReportTrack implements BroadcastSource {
  readonly id = "feedback";
  #track: Track | undefined;
  #sequence = 0;
  #writtenAt = Number.NEGATIVE_INFINITY;

  /** When the last aggregate was written. */
  get writtenAt(): number {
    return this.#writtenAt;
  }

  write(body: Uint8Array, now: Microseconds): void {
    this.#writtenAt = now;
    const record = this.#track?.begin(this.#sequence);
    if (record === undefined) return;
    this.#sequence++;
    this.#track?.push(record, [WireFrame.of(now, body)]);
    this.#track?.end(record);
  }

  track(_broadcast: string, name: string): TrackSource {
    return {
      timed: true,
      info: async () => {
        if (name === FEEDBACK_TRACK) return INFO;
        throw new TransportError("NOT_FOUND", `A feedback broadcast has no track ${name}.`);
      },
      subscribe: (track) => {
        if (name !== FEEDBACK_TRACK) return () => {};
        this.#track = track;
        return () => {
          if (this.#track === track) this.#track = undefined;
        };
      },
    };
  }

  sendAggregate(): boolean {
    return false;
  }

  alive(): boolean {
    return true;
  }
}
