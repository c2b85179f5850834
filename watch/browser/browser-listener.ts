// Pages compile against these types without those of Node, which bring it along.
/// <reference lib="esnext.disposable" preserve="true" />
import { background, Ending, guard, MediaError, monotonicClock, TransportError, validate } from "../../base/index.js";
import { browserDecoders, browserVideoDecoders } from "../decoders/web-codecs.js";
import { Player } from "../player.js";
import { Screen } from "../video/screen.js";
import {
  BROWSER_LISTENER_RULES,
  type BrowserListenerEventMap,
  type BrowserListenerOptions,
  type BrowserListenerStats,
} from "./browser-listener-options.js";
import { PlayerConnection } from "./player-connection.js";
import { SpeakerOutput } from "./speaker-output.js";
import { workletUrl } from "./worklet-url.js";

export type {
  BrowserListenerEventMap,
  BrowserListenerOptions,
  BrowserListenerStats,
} from "./browser-listener-options.js";

/** Interval of turns while the worklet is stalled; otherwise its statuses trigger them. */
const TURN_MS = 100;
/** Time between `stats` events: 100 ms. */
const STATS_INTERVAL = 100_000;
/** Audio is decoded shortly before it is due, so that audio taken back meanwhile costs nothing. */
const HORIZON_MS = 500;

/**
 * Plays a broadcast in a browser: connects, subscribes, decodes and plays, reports what it played, and reconnects by
 * itself. Its events are those of {@link BrowserListenerEventMap}.
 */
export class BrowserListener extends EventTarget implements AsyncDisposable {
  /** Resolves once audio can play; rejects where it never can: `INSECURE_PAGE`, `NO_AUDIO_DECODER`, `NO_WEB_AUDIO`, `NO_WORKLET`. */
  readonly started: Promise<void>;
  /** Resolves when it has ended: with null after {@link close}, else with the error that ended it. Never rejects. */
  readonly closed: Promise<Error | null>;
  readonly #ending = new Ending(() => this.#finish());
  readonly #wanted = Promise.withResolvers<void>();
  readonly #started = Promise.withResolvers<void>();
  readonly #stop = new AbortController();
  readonly #workletUrl: string | URL | undefined;
  readonly #output: SpeakerOutput;
  readonly #player: Player;
  readonly #connection: PlayerConnection;
  readonly #screen: Screen | undefined;
  readonly #emitted: Promise<void>;
  #isPaused = true;
  #statsAt = Number.NEGATIVE_INFINITY;

  /**
   * Starts at once unless `paused`; best called from a click, because browsers require one for audio.
   *
   * @throws InputError `INVALID_OPTION` on invalid options.
   */
  constructor(options: BrowserListenerOptions) {
    super();
    validate("BrowserListener", BROWSER_LISTENER_RULES, options);
    this.closed = this.#ending.closed;
    this.started = this.#started.promise;
    const { url, broadcast, canvas, jitterMs = 80, connect, timeoutMs } = options;
    this.#workletUrl = options.workletUrl;
    this.#output = new SpeakerOutput({ jitterMs });
    this.#player = new Player({
      broadcast,
      output: this.#output,
      decoders: browserDecoders,
      video: canvas && browserVideoDecoders,
      clock: monotonicClock,
      horizonMs: HORIZON_MS,
      paused: true,
    });
    this.#connection = new PlayerConnection({
      player: this.#player,
      url: new URL(url),
      broadcast,
      connect,
      timeoutMs,
      wanted: this.#wanted.promise,
      signal: this.#stop.signal,
    });
    this.#screen = canvas && new Screen(canvas, () => this.#player.video?.present() as VideoFrame | undefined);
    this.#emitted = this.#emitEvents();
    if (!options.paused) void this.play();
    background("watch.browser", this.#live());
    this.#ending.endWith(options.signal);
  }

  /**
   * Starts the audio of a listener made `paused`; call it from a click. Returns {@link started}; another call changes
   * nothing.
   */
  play(): Promise<void> {
    if (this.#isPaused && !this.#stop.signal.aborted) {
      this.#isPaused = false;
      this.#wanted.resolve();
      this.#started.resolve(this.#start());
    }
    return this.started;
  }

  /** As on every event target, with the events' types. */
  override addEventListener<Name extends keyof BrowserListenerEventMap>(
    name: Name,
    listener: (event: BrowserListenerEventMap[Name]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  override addEventListener(
    name: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | AddEventListenerOptions,
  ): void;
  override addEventListener(name: string, listener: never, options?: boolean | AddEventListenerOptions): void {
    super.addEventListener(name, listener, options);
  }

  /** As on every event target, with the events' types. */
  override removeEventListener<Name extends keyof BrowserListenerEventMap>(
    name: Name,
    listener: (event: BrowserListenerEventMap[Name]) => void,
    options?: boolean | EventListenerOptions,
  ): void;
  override removeEventListener(
    name: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | EventListenerOptions,
  ): void;
  override removeEventListener(name: string, listener: never, options?: boolean | EventListenerOptions): void {
    super.removeEventListener(name, listener, options);
  }

  /** Current numbers. */
  stats(): BrowserListenerStats {
    return {
      ...this.#player.stats(),
      backend: this.#connection.backend,
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
    this.#started.resolve();
    this.#screen?.close();
    this.#player.close();
    await this.#output.close();
    await this.#emitted;
  }

  /** The audio is made while the relay is being reached: neither needs the other. */
  async #live(): Promise<void> {
    try {
      requireSupport();
      await Promise.all([this.started, this.#connection.run()]);
    } catch (error) {
      await this.#ending.end(error as Error);
    }
  }

  async #start(): Promise<void> {
    requireSupport();
    const url = this.#workletUrl ?? workletUrl();
    // The first audio is under way while the worklet loads.
    const starts = [this.#output.resume().then(() => this.#player.begin()), this.#output.load(url)];
    await Promise.all(starts).catch((error: unknown) => {
      // A listener closed meanwhile has no audio any more, which is not a fault.
      if (!this.#stop.signal.aborted) throw error;
    });
    background("watch.turns", this.#run());
  }

  /** Advances playback with every status of the worklet, or by the clock while its context is suspended. */
  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.#output.next(TURN_MS);
      if (!this.#stop.signal.aborted) this.#turn();
    }
  }

  readonly #turn = guard("watch.turn", (): void => {
    this.#player.turn();
    if (this.#player.video?.newest !== undefined) this.#screen?.open();
    const now = monotonicClock();
    if (now - this.#statsAt < STATS_INTERVAL) return;
    this.#statsAt = now;
    this.dispatchEvent(new CustomEvent("stats", { detail: this.stats() }));
  });

  async #emitEvents(): Promise<void> {
    for await (const { kind, detail } of this.#player.events) this.dispatchEvent(new CustomEvent(kind, { detail }));
  }
}

function requireSupport(): void {
  if (!globalThis.isSecureContext)
    throw new TransportError("INSECURE_PAGE", "Browsers play live audio only on https pages and on localhost.");
  if (typeof AudioDecoder === "undefined")
    throw new MediaError("NO_AUDIO_DECODER", "This browser has no WebCodecs AudioDecoder.");
}
