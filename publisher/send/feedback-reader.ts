import { type Broadcast, type Connection, Path } from "@kixelated/moq";
import {
  background,
  type Clock,
  fromMilliseconds,
  fromSeconds,
  guard,
  type Microseconds,
  monotonicClock,
} from "../../base/index.js";
import type { PlayheadBound } from "../../flow/playhead/index.js";
import {
  type Aggregate,
  broadcastHash,
  decodeAggregate,
  decodeReport,
  FEEDBACK_TRACK,
  feedbackPrefix,
  isFeedbackName,
  MAX_FEEDBACKS,
  ReportAggregator,
  reportKind,
} from "../../flow/report/index.js";
import { followTrack } from "../../transport/index.js";
import type { UplinkEvents } from "./uplink-events.js";

/** Options of {@link FeedbackReader}. */
export interface FeedbackReaderOptions {
  readonly connection: Connection.Established;
  /** Path of the published broadcast. */
  readonly path: string;
  /** Bounds listeners' claims by what was sent. */
  readonly bound: PlayheadBound;
  /** Receives an aggregate ten times a second, and at once when a listener applied a rewind. */
  readonly events: UplinkEvents;
  readonly clock?: Clock;
}

const AGGREGATE_MS = 100;
/** Minimum interval between two aggregates, even after rewinds. */
const SPACING: Microseconds = fromMilliseconds(5);
/** A relay that sends aggregates knows better: feedback counts only once the relay has been silent for this long. */
const RELAY_SILENCE: Microseconds = fromSeconds(2);

/**
 * Reads reports of listeners, and aggregates of edge relays, from broadcasts of their own when the relay in between
 * forwards no reports. Aggregates them as a relay would.
 */
export class FeedbackReader {
  readonly #options: FeedbackReaderOptions;
  readonly #clock: Clock;
  readonly #hash: number;
  readonly #prefix: string;
  readonly #aggregator: ReportAggregator;
  readonly #followed = new Map<string, AbortController>();
  readonly #announcements: ReturnType<Connection.Established["announced"]>;
  readonly #timer: NodeJS.Timeout;
  #aggregatedAt = Number.NEGATIVE_INFINITY;
  #relayAt = Number.NEGATIVE_INFINITY;
  #listened = false;

  constructor(options: FeedbackReaderOptions) {
    this.#options = options;
    this.#clock = options.clock ?? monotonicClock;
    this.#hash = broadcastHash(options.path);
    this.#prefix = feedbackPrefix(options.path);
    this.#aggregator = new ReportAggregator({ broadcast: this.#hash });
    this.#aggregator.bound = options.bound;
    this.#announcements = options.connection.announced(Path.from(this.#prefix));
    this.#timer = setInterval(
      guard("publisher.feedback", () => this.#aggregate()),
      AGGREGATE_MS,
    );
    this.#timer.unref();
    this.#find().catch(() => {});
  }

  /**
   * Notes that the relay has sent an aggregate of its own. Returns whether it counts: one without listeners does not
   * while others report here, whose reports the relay knows nothing of.
   */
  relayed({ listeners }: Aggregate): boolean {
    this.#relayAt = listeners > 0 ? this.#clock() : Number.NEGATIVE_INFINITY;
    if (listeners > 0 || this.#aggregator.listeners === 0) return true;
    this.#aggregate();
    return false;
  }

  /** Stops reading; idempotent. */
  close(): void {
    clearInterval(this.#timer);
    this.#announcements.close();
    for (const stop of this.#followed.values()) stop.abort();
    this.#followed.clear();
  }

  async #find(): Promise<void> {
    for (let next = await this.#announcements.next(); next; next = await this.#announcements.next()) {
      const name = String(next.path);
      if (!isFeedbackName(name)) continue;
      this.#followed.get(name)?.abort();
      this.#followed.delete(name);
      this.#aggregator.forget(name);
      this.#noteEmpty();
      if (!next.active) continue;
      if (this.#followed.size >= MAX_FEEDBACKS) {
        this.#options.events.refused();
        continue;
      }
      const broadcast = this.#options.connection.consume(Path.from(`${this.#prefix}/${name}`));
      const stop = new AbortController();
      this.#followed.set(name, stop);
      background("publisher.follow", this.#follow(name, broadcast, stop.signal));
    }
  }

  async #follow(name: string, broadcast: Broadcast.Consumer, signal: AbortSignal): Promise<void> {
    // An old report is worthless.
    for await (const event of followTrack(broadcast, FEEDBACK_TRACK, { priority: 255, keepMs: 0, signal }))
      if (event.kind === "frame") this.#take(name, event.payload);
  }

  #take(name: string, record: Uint8Array): void {
    const now = this.#clock();
    const rewindApplied = this.#fold(name, record, now);
    if (rewindApplied && now - this.#aggregatedAt >= SPACING) this.#aggregate();
    this.#noteEmpty();
  }

  /** Whether a listener has applied a rewind; false for a record of another broadcast. */
  #fold(name: string, record: Uint8Array, now: Microseconds): boolean {
    if (reportKind(record) === "aggregate") {
      const decoded = decodeAggregate(record);
      if (!decoded.ok || decoded.aggregate.broadcast !== this.#hash) return false;
      return this.#aggregator.foldEdge(decoded.aggregate, now, name);
    }
    const decoded = decodeReport(record);
    if (!decoded.ok || decoded.report.broadcast !== this.#hash) return false;
    return this.#aggregator.fold(decoded.report, now, name)?.rewindApplied ?? false;
  }

  // Not with the next turn of the timer: the last listener has left.
  #noteEmpty(): void {
    if (this.#listened && this.#aggregator.listeners === 0) this.#aggregate();
  }

  #aggregate(): void {
    const now = this.#clock();
    if (now - this.#relayAt < RELAY_SILENCE) return;
    const listeners = this.#aggregator.listeners > 0;
    // Report only once that the last listener left.
    if (!listeners && !this.#listened) return;
    this.#listened = listeners;
    this.#aggregatedAt = now;
    // These reports do not show what the relay has received, so nothing is acknowledged.
    const aggregate = this.#aggregator.aggregate(now, { group: undefined, bytes: 0 });
    this.#options.events.push({ kind: "aggregate", aggregate, source: this, at: now });
  }
}
