import { type Connection, Path, type Track } from "@kixelated/moq";
import { type Clock, fromMilliseconds, fromSeconds, type Microseconds, monotonicClock } from "../base/index.js";
import {
  type Aggregate,
  broadcastHash,
  decodeReport,
  FEEDBACK_TRACK,
  feedbackPrefix,
  isFeedbackName,
  MAX_FEEDBACKS,
  MAX_REPORT_BYTES,
  ReportAggregator,
} from "../flow/index.js";

/** Options of {@link FeedbackReader}. */
export interface FeedbackReaderOptions {
  readonly connection: Connection.Established;
  /** Path of the broadcast that is published. */
  readonly path: string;
  /** Told ten times a second what the listeners report, and at once when one applied a rewind. */
  readonly onAggregate: (aggregate: Aggregate) => void;
  readonly clock?: Clock;
}

const AGGREGATE_MS = 100;
/** Rewinds bring an aggregate forward, but never closer together than this. */
const SPACING: Microseconds = fromMilliseconds(5);
/** A relay that sends aggregates knows better: feedback is left alone until it has been silent for this long. */
const RELAY_SILENCE: Microseconds = fromSeconds(2);

/**
 * Reads the reports that listeners carry on broadcasts of their own, because the relay between them and the publisher
 * carries none, and folds them as a relay would.
 */
export class FeedbackReader {
  readonly #options: FeedbackReaderOptions;
  readonly #clock: Clock;
  readonly #hash: number;
  readonly #prefix: string;
  readonly #aggregator: ReportAggregator;
  readonly #followed = new Map<string, Track.Subscriber>();
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
    this.#aggregator = new ReportAggregator({ broadcast: this.#hash, maxListeners: MAX_FEEDBACKS });
    this.#announcements = options.connection.announced(Path.from(this.#prefix));
    this.#timer = setInterval(() => this.#aggregate(), AGGREGATE_MS);
    this.#timer.unref();
    this.#find().catch(() => {});
  }

  /** Reports that were none of this broadcast, and listeners beyond the most that are followed. */
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
    for (const track of this.#followed.values()) track.close();
    this.#followed.clear();
  }

  async #find(): Promise<void> {
    for (let next = await this.#announcements.next(); next; next = await this.#announcements.next()) {
      const name = String(next.path);
      if (!isFeedbackName(name)) continue;
      this.#followed.get(name)?.close();
      this.#followed.delete(name);
      this.#aggregator.forget(name);
      if (!next.active) continue;
      if (this.#followed.size >= MAX_FEEDBACKS) {
        this.#rejected++;
        continue;
      }
      const broadcast = this.#options.connection.consume(Path.from(`${this.#prefix}/${name}`));
      const track = broadcast.track(FEEDBACK_TRACK).subscribe({ priority: 255 });
      this.#followed.set(name, track);
      this.#follow(name, track).catch(() => {});
    }
  }

  async #follow(name: string, track: Track.Subscriber): Promise<void> {
    for (let group = await track.nextGroup(); group; group = await track.nextGroup()) {
      const frame = await group.readFrame();
      if (frame === undefined) continue;
      const decoded = frame.payload.length > MAX_REPORT_BYTES ? undefined : decodeReport(frame.payload);
      if (!decoded?.ok || decoded.report.broadcast !== this.#hash) {
        this.#rejected++;
        continue;
      }
      if (this.#followed.get(name) !== track) return;
      const folded = this.#aggregator.fold(decoded.report, this.#clock(), name);
      if (folded?.rewindApplied && this.#clock() - this.#aggregatedAt >= SPACING) this.#aggregate();
    }
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
    this.#options.onAggregate(this.#aggregator.aggregate(now, { group: undefined, bytes: 0 }));
  }
}
