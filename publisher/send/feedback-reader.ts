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
  broadcastHash,
  decodeAggregate,
  decodeReport,
  FEEDBACK_TRACK,
  feedbackPrefix,
  isFeedbackName,
  MAX_FEEDBACKS,
  type Report,
  ReportAggregator,
  reportKind,
  reportsOf,
} from "../../flow/report/index.js";
import { followTrack } from "../../transport/index.js";
import type { UplinkEvents } from "./uplink-events.js";

/** Options of {@link FeedbackReader}. */
export interface FeedbackReaderOptions {
  readonly connection: Connection.Established;
  /** Path of the broadcast that is published. */
  readonly path: string;
  /** What was sent, which bounds what listeners claim. */
  readonly bound: PlayheadBound;
  /** Takes an aggregate ten times a second, and at once when a listener applied a rewind. */
  readonly events: UplinkEvents;
  readonly clock?: Clock;
}

const AGGREGATE_MS = 100;
/** Rewinds bring an aggregate forward, but never closer together than this. */
const SPACING: Microseconds = fromMilliseconds(5);
/** A relay that sends aggregates knows better: feedback is left alone until it has been silent for this long. */
const RELAY_SILENCE: Microseconds = fromSeconds(2);

/**
 * Reads the reports that listeners, and the aggregates that edge relays, carry on broadcasts of their own because the
 * relay between them and the publisher carries none, and folds them as a relay would.
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
  #rejected = 0;

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

  /** Reports and aggregates that were none of this broadcast, and feedback broadcasts beyond the most that are followed. */
  get rejected(): number {
    return this.#rejected;
  }

  /** Takes note that the relay has sent an aggregate of its own. */
  relayed(): void {
    this.#relayAt = this.#clock();
  }

  /** Ends it; idempotent. */
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
      this.#forget(name);
      if (!next.active) continue;
      if (this.#followed.size >= MAX_FEEDBACKS) {
        this.#rejected++;
        continue;
      }
      const broadcast = this.#options.connection.consume(Path.from(`${this.#prefix}/${name}`));
      const stop = new AbortController();
      this.#followed.set(name, stop);
      background("publisher.follow", this.#follow(name, broadcast, stop.signal));
    }
  }

  async #follow(name: string, broadcast: Broadcast.Consumer, signal: AbortSignal): Promise<void> {
    // An old report is worth nothing.
    for await (const event of followTrack(broadcast, FEEDBACK_TRACK, { priority: 255, keepMs: 0, signal }))
      if (event.kind === "frame") this.#take(name, event.payload);
  }

  #take(name: string, record: Uint8Array): void {
    const reports = this.#read(record);
    if (reports === undefined) {
      this.#rejected++;
      return;
    }
    const now = this.#clock();
    let applied = false;
    for (const [listener, report] of reports)
      applied = this.#aggregator.fold(report, now, name + listener, name)?.rewindApplied || applied;
    if (applied && now - this.#aggregatedAt >= SPACING) this.#aggregate();
  }

  /** The reports in a record, by what tells apart those of one broadcast; undefined when it is none about ours. */
  #read(record: Uint8Array): (readonly [listener: string, report: Report])[] | undefined {
    if (reportKind(record) === "aggregate") {
      const decoded = decodeAggregate(record);
      if (!decoded.ok || decoded.aggregate.broadcast !== this.#hash) return undefined;
      return reportsOf(decoded.aggregate).map((report) => [`/${report.session}`, report]);
    }
    const decoded = decodeReport(record);
    return decoded.ok && decoded.report.broadcast === this.#hash ? [["", decoded.report]] : undefined;
  }

  // An edge names listeners of its own.
  #forget(name: string): void {
    for (const [connection] of this.#aggregator.states())
      if (connection === name || String(connection).startsWith(`${name}/`)) this.#aggregator.forget(connection);
  }

  #aggregate(): void {
    const now = this.#clock();
    if (now - this.#relayAt < RELAY_SILENCE) return;
    const listeners = this.#aggregator.listeners > 0;
    // That the last one has left is told once.
    if (!listeners && !this.#listened) return;
    this.#listened = listeners;
    this.#aggregatedAt = now;
    // How much the relay has taken is not told this way, so nothing is acknowledged.
    const aggregate = this.#aggregator.aggregate(now, { group: undefined, bytes: 0 });
    this.#options.events.push({ kind: "aggregate", aggregate, source: this, at: now });
  }
}
