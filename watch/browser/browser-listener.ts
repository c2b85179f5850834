import {
  background,
  broadcastPath,
  Ending,
  guard,
  MediaError,
  monotonicClock,
  TransportError,
  validate,
} from "../../base/index.js";
import { REPORT_RECORDS } from "../../flow/report/index.js";
import type { BrowserConnection } from "../../transport/browser.js";
import { type BrowserSession, browserSessions } from "../../transport/browser-sessions.js";
import { Player } from "../player.js";
import { Screen } from "../video/screen.js";
import {
  BROWSER_LISTENER_RULES,
  type BrowserListenerOptions,
  type BrowserListenerStats,
} from "./browser-listener-options.js";
import { browserDecoders, browserVideoDecoders } from "./decoders.js";
import { SpeakerOutput } from "./speaker-output.js";
import { workletUrl } from "./worklet-url.js";

export type { BrowserListenerOptions, BrowserListenerStats } from "./browser-listener-options.js";

/** Interval of turns while the worklet is stalled; otherwise its statuses trigger them. */
const TURN_MS = 100;
/** Time between `stats` events: 100 ms. */
const STATS_INTERVAL = 100_000;
/** Audio is decoded shortly before it is due, so that audio taken back meanwhile costs nothing. */
const HORIZON_MS = 500;

/**
 * Plays a broadcast in a browser: connects, subscribes, decodes and plays, reports what it played, and reconnects by
 * itself.
 *
 * Events, each a `CustomEvent`: `state` (`ListenerState`), `rewind` (`ListenerRewind`), `landing` (`ListenerLanding`),
 * `problem` (`Error`: a fault from which it recovers by itself), and `stats` ten times a second ({@link
 * BrowserListenerStats}).
 */
export class BrowserListener extends EventTarget implements AsyncDisposable {
  /** Resolves once audio can arrive; rejects where it never can: `INSECURE_PAGE`, `NO_AUDIO_DECODER`. */
  readonly started: Promise<void>;
  /** Resolves when it has ended: with null after {@link close}, else with the error that ended it. Never rejects. */
  readonly closed: Promise<Error | null>;
  readonly #ending = new Ending(() => this.#finish());
  readonly #options: BrowserListenerOptions;
  readonly #url: URL;
  readonly #stop = new AbortController();
  readonly #output: SpeakerOutput;
  readonly #player: Player;
  readonly #screen: Screen | undefined;
  readonly #emitted: Promise<void>;
  #backend: BrowserConnection["backend"] | undefined;
  #statsAt = Number.NEGATIVE_INFINITY;

  /**
   * Starts at once; best called from a click, because browsers require one for audio. Throws an `InputError`
   * (`INVALID_OPTION`) on invalid options.
   */
  constructor(options: BrowserListenerOptions) {
    super();
    validate("BrowserListener", BROWSER_LISTENER_RULES, options);
    this.#options = options;
    this.#url = new URL(options.url);
    this.closed = this.#ending.closed;
    const { broadcast, canvas, jitterMs = 80 } = options;
    this.#output = new SpeakerOutput({ jitterMs });
    this.#player = new Player({
      broadcast,
      output: this.#output,
      decoders: browserDecoders,
      video: canvas && browserVideoDecoders,
      clock: monotonicClock,
      horizonMs: HORIZON_MS,
    });
    this.#screen = canvas && new Screen(canvas, () => this.#player.video?.present() as VideoFrame | undefined);
    this.#emitted = this.#emitEvents();
    this.started = this.#start();
    background("watch.browser", this.#live());
    this.#ending.endWith(options.signal);
  }

  /** Current numbers. */
  stats(): BrowserListenerStats {
    return {
      ...this.#player.stats(),
      backend: this.#backend,
      levelDb: this.#output.levelDb,
      imagesShown: this.#player.video?.shown ?? 0,
    };
  }

  /** The audio for the speakers, to connect an analyser or a recorder; undefined before {@link started}. */
  get audio(): AudioNode | undefined {
    return this.#output.audio;
  }

  /** Stops, and resolves once the audio has ended; idempotent. */
  async close(): Promise<void> {
    await this.#ending.end(null);
  }

  /** The same as {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #finish(): Promise<void> {
    this.#stop.abort();
    this.#screen?.close();
    this.#player.close();
    await this.#output.close();
    await this.#emitted;
  }

  async #start(): Promise<void> {
    if (!globalThis.isSecureContext)
      throw new TransportError("INSECURE_PAGE", "Browsers play live audio only on https pages and on localhost.");
    if (typeof AudioDecoder === "undefined")
      throw new MediaError("NO_AUDIO_DECODER", "This browser has no WebCodecs AudioDecoder.");
    await this.#output.open(this.#options.workletUrl ?? workletUrl());
  }

  async #live(): Promise<void> {
    try {
      await this.started;
      void this.#turn();
      await this.#connect();
    } catch (error) {
      await this.#ending.end(error as Error);
    }
  }

  /** Serves one session after the other, until closed or until an error that no retry can mend. */
  async #connect(): Promise<void> {
    const { signal } = this.#stop;
    for await (const event of browserSessions(this.#url, {
      ...this.#options.connect,
      records: REPORT_RECORDS,
      signal,
    })) {
      if (event.kind === "problem") this.#player.problem(event.error);
      else await this.#serve(event).catch((error: unknown) => this.#player.problem(error));
    }
  }

  async #serve(session: BrowserSession): Promise<void> {
    this.#backend = session.backend;
    const missing = setTimeout(
      guard("watch.missing", () => this.#player.isWaiting && this.#player.problem(this.#missing())),
      this.#options.timeoutMs ?? 10_000,
    );
    try {
      await this.#player.run(session);
    } finally {
      clearTimeout(missing);
      session.connection.close();
      this.#backend = undefined;
    }
  }

  #missing(): Error {
    const name = broadcastPath(this.#options.broadcast);
    return new TransportError("NO_BROADCAST", `No publisher of ${name} at ${this.#url.host} yet.`);
  }

  /** Advances playback with every status of the worklet, or by the clock while its context is suspended. */
  async #turn(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.#output.next(TURN_MS);
      if (this.#stop.signal.aborted) return;
      this.#player.turn();
      const now = monotonicClock();
      if (now - this.#statsAt < STATS_INTERVAL) continue;
      this.#statsAt = now;
      this.dispatchEvent(new CustomEvent("stats", { detail: this.stats() }));
    }
  }

  async #emitEvents(): Promise<void> {
    for await (const { kind, detail } of this.#player.events) this.dispatchEvent(new CustomEvent(kind, { detail }));
  }
}
