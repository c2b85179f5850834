import { Broadcast, type Connection, Path, Time } from "@kixelated/moq";
import { background, type Logger, type Microseconds, monotonicClock } from "../../base/index.js";
import { lowRenditionOf } from "../../container/index.js";
import type { PlayheadBound } from "../../flow/playhead/index.js";
import { broadcastHash, decodeAggregate, REPORT_RECORDS } from "../../flow/report/index.js";
import { FrameTrackWriter, openMoq, Reconnector, type reach, type Session } from "../../transport/index.js";
import { FeedbackReader } from "./feedback-reader.js";
import { GroupWriter, type WireFrame } from "./group-writer.js";
import { NameClaim } from "./name-claim.js";
import type { UplinkEvents } from "./uplink-events.js";

/** A part that publishes its own tracks on a broadcast. */
export interface AttachedTrack {
  /** Publishes its tracks on a new session's broadcast, in place of the old session. */
  attach(broadcast: Broadcast.Producer, connection: Connection.Established): void;
}

/** Options of {@link Uplink}. */
export interface UplinkOptions {
  /** Path of the broadcast, such as `demo.hang`. */
  readonly path: string;
  /** How to connect to the relay. */
  readonly reach: ReturnType<typeof reach>;
  /** How long a relay should keep groups, in milliseconds: the distance sent ahead, plus some. */
  readonly retainMs: number;
  /** Whether there is a lower rendition of the audio track. */
  readonly low: boolean;
  readonly logger: Logger;
  /** Other tracks than audio: attached on every session before a listener can see the broadcast. */
  readonly tracks: readonly AttachedTrack[];
  readonly events: UplinkEvents;
  /** Bounds listeners' claims by what was sent. */
  readonly bound: PlayheadBound;
}

/** The one group is as old as the last change, which may be weeks, and a late listener still needs it. */
const CATALOG = { name: "catalog.json", priority: 100, retainMs: 10 * 365 * 24 * 3600 * 1000 };

interface Live {
  readonly broadcast: Broadcast.Producer;
  readonly catalog: FrameTrackWriter;
  audio: GroupWriter | undefined;
  low: GroupWriter | undefined;
}

/**
 * The publisher's connection, reopened whenever it breaks. Every session has its own broadcast and tracks: a broadcast
 * published twice ends on all sessions as soon as it ends on one.
 */
export class Uplink {
  readonly #options: UplinkOptions;
  readonly #hash: number;
  readonly #reconnector: Reconnector;
  #live: Live | undefined;
  #feedback: FeedbackReader | undefined;
  #catalog: Uint8Array | undefined;
  #audioName: string | undefined;
  #audioWanted = false;
  #lowWanted = false;
  #wanted = false;
  /** Closed, although the session may take a moment to end. */
  #isClosed = false;

  constructor(options: UplinkOptions) {
    this.#options = options;
    this.#hash = broadcastHash(options.path);
    this.#reconnector = new Reconnector({
      ...options.reach,
      serve: (session) => this.#run(session),
    });
    background("publisher.retries", this.#followRetries());
  }

  async #followRetries(): Promise<void> {
    const { logger, events } = this.#options;
    for await (const { reason, isRepeated, waitMs } of this.#reconnector.retries) {
      logger.warn({ err: reason, waitMs: Math.round(waitMs) }, "No session to the relay; trying again.");
      if (reason && !isRepeated) events.push({ kind: "problem", reason });
    }
  }

  /** Whether a session is up. */
  get connected(): boolean {
    return this.#live !== undefined && !this.#isClosed;
  }

  /** Stands for the session that is up, if one is. */
  get session(): object | undefined {
    return this.#live;
  }

  /** Whether the audio track or its lower rendition has a subscriber. */
  get wanted(): boolean {
    return this.#wanted;
  }

  /** Whether the lower rendition has a subscriber. */
  get lowWanted(): boolean {
    return this.#lowWanted;
  }

  /** Resolves when it has ended: with an error that no retry can mend, or undefined after `close`. */
  get closed(): Promise<Error | undefined> {
    return this.#reconnector.closed;
  }

  /** Publishes a catalog, now and on every later session. */
  setCatalog(catalog: Uint8Array): void {
    this.#catalog = catalog;
    if (this.#live !== undefined) this.#live.catalog.write(catalog);
  }

  /** Starts an audio track and ends the one before it. */
  startTrack(name: string): void {
    this.#audioName = name;
    const live = this.#live;
    if (live === undefined) return;
    const { audio, low } = live;
    // Frames wait for a subscription to the new track: a late subscriber would miss earlier ones.
    this.#audioWanted = false;
    this.#lowWanted = false;
    this.#wanted = false;
    this.#createAudio(live, name);
    audio?.close();
    low?.close();
  }

  /** Sends one frame; false without a session or subscriber. */
  send(frame: WireFrame): boolean {
    const live = this.#live;
    if (live === undefined || !this.#wanted) return false;
    if (this.#audioWanted) live.audio?.write(frame, frame.body);
    // A subscriber of the lower rendition takes whole groups of it.
    const { low } = live;
    if (
      low !== undefined &&
      this.#lowWanted &&
      frame.low !== undefined &&
      (frame.opensGroup || low.isIn(frame.sequence))
    )
      low.write(frame, frame.low);
    return true;
  }

  /** Everything sent from `to` on became stale: aborts a group in progress that holds nothing earlier. */
  rewind(to: Microseconds): void {
    this.#live?.audio?.rewind(to);
    this.#live?.low?.rewind(to);
  }

  /** Ends the session and stops reconnecting; idempotent. */
  close(): void {
    this.#isClosed = true;
    this.#live?.broadcast.close();
    this.#reconnector.close();
  }

  async #run(session: Session): Promise<void> {
    const { logger, path } = this.#options;
    const { connection, records } = await openMoq(session, { records: REPORT_RECORDS });
    background("publisher.records", this.#readRecords(records, session));
    const broadcast = new Broadcast.Producer();
    const catalog = new FrameTrackWriter(broadcast, CATALOG);
    background("publisher.requests", refuseUnknown(broadcast));
    const live: Live = { broadcast, catalog, audio: undefined, low: undefined };
    this.#live = live;
    if (this.#catalog !== undefined) catalog.write(this.#catalog);
    if (this.#audioName !== undefined) this.#createAudio(live, this.#audioName);
    for (const track of this.#options.tracks) track.attach(broadcast, connection);
    connection.publish(Path.from(path), broadcast);
    logger.info({ url: session.url.origin, backend: session.backend, version: connection.version }, "Publishing.");
    const { bound, events } = this.#options;
    events.push({ kind: "connected" });
    const feedback = new FeedbackReader({ connection, path, bound, events });
    this.#feedback = feedback;
    const claim = new NameClaim({ connection, path, events });
    background(
      "publisher.session",
      session.closed.then(({ closeCode, reason }) => {
        feedback.close();
        claim.close();
        broadcast.close();
        if (this.#live !== live) return;
        this.#live = undefined;
        this.#audioWanted = false;
        this.#lowWanted = false;
        this.#update();
        logger.warn({ closeCode, reason }, "The session to the relay ended.");
      }),
    );
  }

  #createAudio(live: Live, name: string): void {
    live.audio = this.#createTrack(live, name, (used) => {
      this.#audioWanted = used;
    });
    if (!this.#options.low) return;
    live.low = this.#createTrack(live, lowRenditionOf(name), (used) => {
      this.#lowWanted = used;
    });
  }

  #createTrack(live: Live, name: string, follow: (used: boolean) => void): GroupWriter {
    const track = live.broadcast.createTrack(name, {
      timescale: Time.Timescale.MICRO,
      latencyMax: this.#options.retainMs,
      priority: 50,
    });
    const writer = new GroupWriter(track);
    track.used.subscribe((used) => {
      if (this.#live !== live || (live.audio !== writer && live.low !== writer)) return;
      follow(used);
      this.#update();
    });
    return writer;
  }

  #update(): void {
    const wanted = this.#audioWanted || this.#lowWanted;
    if (wanted === this.#wanted) return;
    this.#wanted = wanted;
    this.#options.events.push({ kind: "demand", wanted, session: this.session });
  }

  async #readRecords(records: AsyncIterable<Uint8Array>, session: Session): Promise<void> {
    for await (const record of records) {
      const decoded = decodeAggregate(record);
      if (!decoded.ok || decoded.aggregate.broadcast !== this.#hash) continue;
      const { aggregate } = decoded;
      if (this.#feedback?.relayed(aggregate) === false) continue;
      this.#options.events.push({ kind: "aggregate", aggregate, source: session, at: monotonicClock() });
    }
  }
}

// Every track exists before any listener can see the broadcast. An unanswered request for another track would wait, and
// hold memory, until the session ends.
async function refuseUnknown(broadcast: Broadcast.Producer): Promise<void> {
  for (let request = await broadcast.requested(); request; request = await broadcast.requested())
    request.reject(new Error("There is no such track."));
}
