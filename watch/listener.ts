import "../base/polyfills.js";
import { EventEmitter } from "node:events";
import {
  attachLogger,
  background,
  broadcastPath,
  Ending,
  guard,
  guardHandlers,
  monotonicClock,
  TransportError,
  validate,
} from "../base/index.js";
import { REPORT_RECORDS, ReportStreamWriter } from "../flow/report/index.js";
import { openMoq, Reconnector, reach, type Session, validateClient } from "../transport/index.js";
import { Playout } from "./audio/playout.js";
import { softwareDecoders } from "./decoders/software-decoders.js";
import { LISTENER_RULES, type ListenerEvents, type ListenerOptions, type ListenerStats } from "./listener-options.js";
import { EarlyPlayout } from "./output/early-playout.js";
import { type PlayedRun, VirtualSpeaker } from "./output/virtual-speaker.js";
import { Player } from "./player.js";

/**
 * Plays a broadcast without a sound card: connects, waits for the broadcast, follows its catalog, applies the
 * publisher's rewinds, reports what it played, and reconnects by itself.
 */
export class Listener extends EventEmitter<ListenerEvents> implements AsyncDisposable {
  /** Resolves when it has ended: with null after {@link close}, else with the error that ended it. Never rejects. */
  readonly closed: Promise<Error | null>;
  readonly #ending = new Ending(() => this.#finish());
  readonly #options: ListenerOptions;
  readonly #url: URL;
  readonly #player: Player;
  readonly #speaker: VirtualSpeaker;
  readonly #reconnector: Reconnector;
  readonly #timers: { readonly turn: ReturnType<typeof setInterval>; readonly missing: ReturnType<typeof setTimeout> };
  readonly #emitted: Promise<void>;
  readonly #detachLogger: () => void;
  #session: Session | undefined;

  /**
   * Starts at once.
   *
   * @throws InputError `INVALID_OPTION` on invalid options.
   */
  constructor(options: ListenerOptions) {
    super();
    guardHandlers(this);
    validate("Listener", LISTENER_RULES, options);
    validateClient("Listener", options);
    const { url, broadcast, sink, logger, jitterMs = 80, adaptive = true, channels = 1, report = true } = options;
    this.#options = options;
    this.#url = new URL(url);
    this.#detachLogger = logger ? attachLogger(logger) : () => {};
    this.closed = this.#ending.closed;
    const playback = { channels, jitterMs, adaptive };
    const output = sink?.early === undefined ? new Playout(playback) : new EarlyPlayout(playback, sink);
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
      this.#reconnector.closed.then((error) => this.#ending.end(error ?? null)),
    );
    const { pullIntervalMs = 10, timeoutMs = 10_000 } = options;
    const turn = guard("watch.turn", () => this.#speaker.turn() && this.#player.turn());
    const giveUp = guard("watch.missing", () =>
      this.#player.found ? undefined : this.#ending.end(this.#missing(timeoutMs)),
    );
    this.#timers = { turn: setInterval(turn, pullIntervalMs), missing: setTimeout(giveUp, timeoutMs) };
    this.#ending.endWith(options.signal);
  }

  /** The audio played, sample by sample: the ground truth. */
  get record(): readonly Readonly<PlayedRun>[] {
    return this.#speaker.record;
  }

  /** Current numbers. */
  stats(): ListenerStats {
    const { levelDb, lostMs: stalledMs } = this.#speaker;
    const stats = this.#player.stats();
    const backend = stats.state === "closed" ? undefined : this.#session?.backend;
    return { ...stats, backend, levelDb, stalledMs };
  }

  /** Stops, finishes the sink and resolves; idempotent. Rejects when finishing the sink fails. */
  async close(): Promise<void> {
    await this.#ending.end(null);
  }

  /** The same as {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #finish(): Promise<void> {
    clearTimeout(this.#timers.missing);
    clearInterval(this.#timers.turn);
    this.#reconnector.close();
    this.#player.close();
    try {
      await this.#speaker.close();
      await this.#emitted;
    } finally {
      this.#detachLogger();
    }
  }

  async #emitEvents(): Promise<void> {
    for await (const event of this.#player.events)
      if (event.kind === "state") this.emit("state", event.detail);
      else if (event.kind === "rewind") this.emit("rewind", event.detail);
      else if (event.kind === "landing") this.emit("landing", event.detail);
      else if (event.kind === "problem") this.emit("problem", event.detail);
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
    for await (const { reason, isRepeated } of this.#reconnector.retries)
      if (reason && !isRepeated) this.#player.problem(reason);
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
