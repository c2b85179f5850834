import { Broadcast, Connection, Group, Path, Time, type Track } from "@kixelated/moq";
import type { Microseconds } from "../base/index.js";
import { type Aggregate, broadcastHash, decodeAggregate, isReportDatagram } from "../flow/index.js";
import { Reconnector, type Session, toWebTransport } from "../transport/index.js";

/** Where the publisher tells what goes on; pino's shape. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

/** One frame as the uplink sends it: already in its container. */
export interface WireFrame {
  readonly sequence: number;
  readonly timestamp: Microseconds;
  readonly body: Uint8Array;
  /** Also as a datagram, for the first group of an epoch. */
  readonly twice: boolean;
}

/** Options of {@link Uplink}. */
export interface UplinkOptions {
  /** Path of the broadcast, such as `demo.hang`. */
  readonly path: string;
  readonly connect: (signal: AbortSignal) => Promise<Session>;
  /** How long a relay should keep groups, in milliseconds: as long as the publisher sends ahead, and some. */
  readonly retainMs: number;
  readonly logger: Logger;
  /** A session is up; nothing was sent on it yet. */
  readonly onConnected: () => void;
  /** Adds the tracks that are not the uplink's own, on every session before anybody sees the broadcast. */
  readonly onBroadcast?: (broadcast: Broadcast.Producer) => void;
  readonly onAggregate: (aggregate: Aggregate) => void;
  /** Somebody subscribed to the audio track, or the last one left. */
  readonly onDemand: (wanted: boolean) => void;
}

const CATALOG = "catalog.json";
/** The catalog's one group is as old as the last change and must still be there for who comes late. */
const CATALOG_RETAIN_MS = 24 * 3600 * 1000;

interface Live {
  readonly broadcast: Broadcast.Producer;
  readonly catalog: Track.Producer;
  audio: Track.Producer | undefined;
}

/**
 * The publisher's connection, made again whenever it breaks. Every session has its own broadcast and tracks, because a
 * broadcast published twice ends on all sessions with the first that ends.
 */
export class Uplink {
  readonly #options: UplinkOptions;
  readonly #hash: number;
  readonly #reconnector: Reconnector;
  #live: Live | undefined;
  #catalog: Uint8Array | undefined;
  #audioName: string | undefined;
  #wanted = false;
  #rejected = 0;

  constructor(options: UplinkOptions) {
    this.#options = options;
    this.#hash = broadcastHash(options.path);
    this.#reconnector = new Reconnector({
      connect: options.connect,
      onSession: (session) => this.#run(session),
      onRetry: (reason, waitMs) => {
        options.logger.warn({ err: reason, waitMs: Math.round(waitMs) }, "No session to the relay; trying again.");
      },
    });
  }

  /** Whether a session is up. */
  get connected(): boolean {
    return this.#live !== undefined;
  }

  /** Whether anybody subscribes to the audio track. */
  get wanted(): boolean {
    return this.#wanted;
  }

  /** Report datagrams that were no valid aggregate of this broadcast. */
  get rejectedReports(): number {
    return this.#rejected;
  }

  /** Resolves when it has ended: with the error that no repeat can mend, or undefined after `close`. */
  get closed(): Promise<Error | undefined> {
    return this.#reconnector.closed;
  }

  /** Publishes a catalog, now and on every later session. */
  setCatalog(catalog: Uint8Array): void {
    this.#catalog = catalog;
    if (this.#live !== undefined) writeCatalog(this.#live.catalog, catalog);
  }

  /** Starts an audio track and ends the one before it. */
  startTrack(name: string): void {
    this.#audioName = name;
    const live = this.#live;
    if (live === undefined) return;
    const old = live.audio;
    // Frames wait for a subscription to the new track; what is sent before, a late subscriber would miss.
    this.#wanted = false;
    live.audio = this.#createAudio(live.broadcast, name);
    old?.close();
  }

  /** Sends one frame as a group of its own; false when there is no session or nobody subscribes. */
  send(frame: WireFrame): boolean {
    const audio = this.#live?.audio;
    if (audio === undefined || !this.#wanted) return false;
    const timestamp = Time.Timestamp.fromMicros(frame.timestamp);
    const group = new Group.Producer(frame.sequence);
    group.writeFrame({ payload: frame.body, timestamp });
    group.close();
    audio.writeGroup(group);
    if (frame.twice) audio.writeDatagram({ sequence: frame.sequence, timestamp, payload: frame.body });
    return true;
  }

  /** Ends the session and reconnects no more; idempotent. */
  close(): void {
    this.#live?.broadcast.close();
    this.#reconnector.close();
  }

  async #run(session: Session): Promise<void> {
    const { logger, path } = this.#options;
    const transport = toWebTransport(session, { tap: (datagram) => this.#tap(datagram) });
    // The library writes the URL to the console, where a token must not be; it needs no query any more.
    const url = new URL(session.url);
    url.search = "";
    const connection = await Connection.connect(url, { transport });
    const broadcast = new Broadcast.Producer();
    const catalog = broadcast.createTrack(CATALOG, { latencyMax: CATALOG_RETAIN_MS, priority: 100 });
    const live: Live = { broadcast, catalog, audio: undefined };
    this.#live = live;
    if (this.#catalog !== undefined) writeCatalog(catalog, this.#catalog);
    if (this.#audioName !== undefined) live.audio = this.#createAudio(broadcast, this.#audioName);
    this.#options.onBroadcast?.(broadcast);
    connection.publish(Path.from(path), broadcast);
    logger.info({ url: session.url.origin, backend: session.backend, version: connection.version }, "Publishing.");
    this.#options.onConnected();
    void session.closed.then(({ closeCode, reason }) => {
      broadcast.close();
      if (this.#live !== live) return;
      this.#live = undefined;
      this.#setWanted(false);
      logger.warn({ closeCode, reason }, "The session to the relay ended.");
    });
  }

  #createAudio(broadcast: Broadcast.Producer, name: string): Track.Producer {
    const track = broadcast.createTrack(name, {
      timescale: Time.Timescale.MICRO,
      latencyMax: this.#options.retainMs,
      priority: 50,
    });
    track.used.subscribe((used) => {
      if (this.#live?.audio === track) this.#setWanted(used);
    });
    return track;
  }

  #setWanted(wanted: boolean): void {
    if (wanted === this.#wanted) return;
    this.#wanted = wanted;
    this.#options.onDemand(wanted);
  }

  #tap(datagram: Uint8Array): boolean {
    if (!isReportDatagram(datagram)) return false;
    const decoded = decodeAggregate(datagram);
    if (decoded.ok && decoded.aggregate.broadcast === this.#hash) this.#options.onAggregate(decoded.aggregate);
    else this.#rejected++;
    return true;
  }
}

function writeCatalog(track: Track.Producer, catalog: Uint8Array): void {
  const group = track.appendGroup();
  group.writeFrame({ payload: catalog, timestamp: Time.Timestamp.now() });
  group.close();
}
