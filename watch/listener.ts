import "../base/polyfills.js";
import { EventEmitter } from "node:events";
import {
  attachLogger,
  background,
  broadcastPath,
  endWith,
  fields,
  guard,
  hasMethods,
  isBoolean,
  isBroadcast,
  isNumber,
  isObject,
  isOneOf,
  isSignal,
  isUrl,
  type Logger,
  monotonicClock,
  TransportError,
  validate,
} from "../base/index.js";
import { REPORT_RECORDS, ReportStreamWriter } from "../flow/report/index.js";
import {
  type Backend,
  type Backoff,
  type ConnectOptions,
  openMoq,
  Reconnector,
  reach,
  type Session,
  validateClient,
} from "../transport/index.js";
import { Playout } from "./audio/playout.js";
import { softwareDecoders } from "./audio/software-decoders.js";
import type { ListenerLanding, ListenerRewind, ListenerState } from "./options.js";
import { type AudioSink, type PlayedRun, VirtualSpeaker } from "./output/virtual-speaker.js";
import { Player } from "./player.js";
import type { PlayerStats } from "./stats.js";

/** Options for {@link Listener}. */
export interface ListenerOptions {
  /** The relay; with an `http:` URL its self-signed certificate is pinned from `/certificate.sha256`. */
  readonly url: string | URL;
  /** Name of the broadcast, with or without its `.hang`, which publishers of other makes need not use. */
  readonly broadcast: string;
  /** Delay from the first frame's arrival to its audio, in milliseconds; it adapts from there. Default 80. */
  readonly jitterMs?: number;
  /** False keeps the delay at `jitterMs`. Default true. */
  readonly adaptive?: boolean;
  /** Interval in which the virtual speaker pulls due audio, in milliseconds; the record is no finer. Default 10. */
  readonly pullIntervalMs?: number;
  /** Channels of the played audio. Default 1. */
  readonly channels?: 1 | 2;
  /** Destination of the audio besides the virtual speaker's record. Closed with the listener. */
  readonly sink?: AudioSink;
  /** How long to wait for the broadcast before giving up, in milliseconds. Default 10,000. */
  readonly timeoutMs?: number;
  /**
   * Whether to report received and played audio to the relay. By default reports go in datagrams, on a stream where the
   * session has none, and on the listener's own broadcast where the relay does not answer; `stream` and `broadcast`
   * force one of these. Default true.
   */
  readonly report?: boolean | "stream" | "broadcast";
  /** Closes the listener; `closed` then resolves with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Options of the connection. */
  readonly connect?: Omit<ConnectOptions, "signal">;
  /** Delays between attempts to reconnect. */
  readonly backoff?: Backoff;
  /** Logs in pino's format. Default: no log. */
  readonly logger?: Logger;
}

/** Numbers of a {@link Listener}; totals count from its start. */
export interface ListenerStats extends PlayerStats {
  /** Transport of the session, while there is one. */
  readonly backend: Backend | undefined;
  /** Level of the last tenth of a second in decibels below full scale, -120 at the least. */
  readonly levelDb: number;
}

/** Events of a {@link Listener}. */
export interface ListenerEvents {
  /** The state changed. */
  state: [ListenerState];
  /** A rewind was applied. */
  rewind: [ListenerRewind];
  /** A group began to arrive. */
  landing: [ListenerLanding];
  /** A fault from which it recovers by itself. */
  problem: [Error];
}

const RULES = fields<ListenerOptions>(
  { url: isUrl, broadcast: isBroadcast },
  {
    jitterMs: isNumber({ min: 0, max: 10_000 }),
    adaptive: isBoolean,
    pullIntervalMs: isNumber({ min: 1, max: 100 }),
    channels: isOneOf(1, 2),
    sink: hasMethods("write", "close"),
    timeoutMs: isNumber({ min: 1, max: 2_147_483_647 }),
    report: isOneOf(true, false, "stream", "broadcast"),
    signal: isSignal,
    connect: isObject,
    backoff: isObject,
    logger: isObject,
  },
);

/**
 * Plays a broadcast without a sound card: connects, waits for the broadcast, follows its catalog, applies the
 * publisher's rewinds, reports what it played, and reconnects by itself.
 */
export class Listener extends EventEmitter<ListenerEvents> implements AsyncDisposable {
  /** Resolves when it has ended: with null after {@link close}, else with the error that ended it. Never rejects. */
  readonly closed: Promise<Error | null>;
  readonly #options: ListenerOptions;
  readonly #url: URL;
  readonly #player: Player;
  readonly #speaker: VirtualSpeaker;
  readonly #reconnector: Reconnector;
  readonly #timers: { readonly turn: ReturnType<typeof setInterval>; readonly missing: ReturnType<typeof setTimeout> };
  readonly #emitted: Promise<void>;
  readonly #detachLogger: () => void;
  #settle!: (error: Error | null) => void;
  #session: Session | undefined;
  #ending: Promise<void> | undefined;

  /** Starts at once. Throws an `InputError` (`INVALID_OPTION`) on invalid options. */
  constructor(options: ListenerOptions) {
    super();
    validate("Listener", RULES, options);
    validateClient("Listener", options);
    const { url, broadcast, sink, logger, jitterMs = 80, adaptive = true, channels = 1, report = true } = options;
    this.#options = options;
    this.#url = new URL(url);
    this.#detachLogger = logger ? attachLogger(logger) : () => {};
    this.closed = new Promise((resolve) => {
      this.#settle = resolve;
    });
    const output = new Playout({ channels, jitterMs, adaptive });
    this.#speaker = new VirtualSpeaker({ playout: output, sink });
    this.#player = new Player({
      broadcast,
      output,
      decoders: softwareDecoders(channels),
      clock: monotonicClock,
      report: report === "stream" ? true : report,
      logger,
    });
    this.#emitted = this.#emitEvents();
    this.#reconnector = new Reconnector({
      ...reach(this.#url, options.connect),
      serve: (session) => this.#run(session),
      ...(options.backoff && { backoff: options.backoff }),
    });
    background("watch.retries", this.#followRetries());
    background(
      "watch.ended",
      this.#reconnector.closed.then((error) => this.#end(error ?? null)),
    );
    const { pullIntervalMs = 10, timeoutMs = 10_000 } = options;
    const turn = guard("watch.turn", () => this.#speaker.turn() && this.#player.turn());
    const giveUp = guard("watch.missing", () => (this.#player.found ? undefined : this.#end(this.#missing(timeoutMs))));
    this.#timers = { turn: setInterval(turn, pullIntervalMs), missing: setTimeout(giveUp, timeoutMs) };
    endWith(options.signal, this.closed, (reason) => this.#end(reason));
  }

  /** The audio played, sample by sample: the ground truth. */
  get record(): readonly Readonly<PlayedRun>[] {
    return this.#speaker.record;
  }

  /** Current numbers. */
  stats(): ListenerStats {
    return { ...this.#player.stats(), backend: this.#session?.backend, levelDb: this.#speaker.levelDb };
  }

  /** Stops, finishes the sink and resolves; idempotent. Rejects when finishing the sink fails. */
  async close(): Promise<void> {
    await this.#end(null);
  }

  /** The same as {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #end(error: Error | null): Promise<void> {
    this.#ending ??= this.#finish(error);
    return this.#ending;
  }

  async #finish(error: Error | null): Promise<void> {
    clearTimeout(this.#timers.missing);
    clearInterval(this.#timers.turn);
    this.#reconnector.close();
    this.#player.close();
    try {
      await this.#speaker.close();
      await this.#emitted;
      this.#settle(error);
    } catch (cause) {
      this.#settle(error ?? (cause as Error));
      throw cause;
    } finally {
      this.#detachLogger();
    }
  }

  async #emitEvents(): Promise<void> {
    for await (const event of this.#player.events)
      if (event.kind === "state") this.emit("state", event.detail);
      else if (event.kind === "rewind") this.emit("rewind", event.detail);
      else if (event.kind === "landing") this.emit("landing", event.detail);
      else this.emit("problem", event.detail);
  }

  #missing(timeoutMs: number): Error {
    const { host } = this.#url;
    const { lastProblem, sessions } = this.#player;
    if (sessions === 0)
      return lastProblem ?? new TransportError("CONNECT_TIMEOUT", `No connection to ${host} within ${timeoutMs} ms.`);
    const name = broadcastPath(this.#options.broadcast);
    return new TransportError("NO_BROADCAST", `No publisher of ${name} at ${host} within ${timeoutMs} ms.`, {
      cause: lastProblem,
    });
  }

  async #followRetries(): Promise<void> {
    for await (const { reason } of this.#reconnector.retries) if (reason) this.#player.problem(reason);
  }

  /** One session, until it ends. */
  async #run(session: Session): Promise<void> {
    this.#session = session;
    try {
      const { connection, records } = await openMoq(session, { records: REPORT_RECORDS });
      const stream = new ReportStreamWriter(() => session.openUnidirectional({ priority: 1_000_000 }));
      const datagrams = this.#options.report === "stream" ? undefined : session.datagrams;
      try {
        await this.#player.run({
          connection,
          records,
          closed: session.closed,
          send: (record) => (datagrams ? datagrams.send(record) : stream.send(record)),
          backedUp: false,
        });
      } finally {
        connection.close();
      }
    } finally {
      this.#session = undefined;
    }
  }
}
