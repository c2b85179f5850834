import { BroadcastElement, define } from "../../base/broadcast-element.js";
import { background, guard, InputError, MediaError, showValue, sleep } from "../../base/index.js";
import type { ListenerRewind, ListenerState } from "../options.js";
import { BrowserListener, type BrowserListenerOptions, type BrowserListenerStats } from "./browser-listener.js";
import { isJitter } from "./browser-listener-options.js";
import { mayPlayAlone, PageSpeaker } from "./page-speaker.js";
import { Standby } from "./standby.js";
import type { UnsayHeard, UnsayWatchEventMap, UnsayWatchState } from "./watch-events.js";
import { WatchPanel } from "./watch-panel.js";

export type { ListenerRewind, ListenerState } from "../options.js";
export type { BrowserListenerStats } from "./browser-listener.js";
export type { UnsayFailure, UnsayHeard, UnsayWatchEventMap, UnsayWatchState } from "./watch-events.js";

/** An audio context that does not run by then waits for a click. */
const BLOCKED_MS = 1000;

/**
 * `<unsay-watch url="https://relay.example:4443" broadcast="demo" controls>`: plays a broadcast, audio through the
 * speakers and video, if any, on its canvas.
 *
 * Attributes: `url` of the relay (default: the page's origin), `broadcast` by name (default "demo"), `jitter` in
 * milliseconds, `worklet` for `workletUrl`, `muted`, `volume` (0 to 1), `controls` for a button that plays and pauses,
 * `autoplay`, which plays as soon as it is in a document, and `preload`: while the page is visible, the element is
 * connected before it plays, so that audio follows a click at once; with `none` it connects when it plays. Where the
 * browser forbids audio before a click, the element shows the button until it has been clicked. The element sets
 * `video` once there is a picture, and `speaking` while a voice is audible, if the publisher reports voices. It keeps
 * playing after a move within the document, and restarts when `url` or `broadcast` change.
 *
 * With `controls` it shows why it does not play. Parts: `button`, `video`, `message`. Custom properties: `--unsay-accent`,
 * `--unsay-on-accent`, `--unsay-focus`, `--unsay-radius`. Slots: `play` and `pause`, the button's labels. Events:
 * {@link UnsayWatchEventMap}.
 */
export class UnsayWatch extends BroadcastElement<UnsayWatchEventMap> {
  /** Attributes that the browser observes. */
  static readonly observedAttributes = [
    "url",
    "broadcast",
    "jitter",
    "worklet",
    "preload",
    "autoplay",
    "controls",
    "muted",
    "volume",
  ];

  protected readonly defaultBroadcast = "demo";
  #listener: BrowserListener | undefined;
  readonly #standby = new Standby();
  #stats: BrowserListenerStats | undefined;
  #state: UnsayWatchState = "idle";
  /** Whether it played when it left a document, and so plays again in the next. */
  #hasPlayed = false;
  /** Whether `autoplay` was set, or came into a document, within this task. */
  #isAutoplayNew = false;
  #isBlocked = false;
  #speaker: PageSpeaker | undefined;
  /** Whether the page has taken the {@link audio} of the current listener; the next one's is another node. */
  #isTapped = false;
  #restarting = false;
  readonly #panel: WatchPanel;

  constructor() {
    super();
    this.#panel = new WatchPanel(this.attachShadow({ mode: "open" }));
    this.#panel.addEventListener("press", () => this.#toggle());
    this.show();
  }

  /** Current numbers; undefined before the first {@link play}. */
  get stats(): BrowserListenerStats | undefined {
    return this.#listener?.stats() ?? this.#stats;
  }

  get state(): UnsayWatchState {
    return this.#listener?.stats().state ?? this.#state;
  }

  /** Whether it is paused. */
  get paused(): boolean {
    return this.#listener === undefined;
  }

  /** Whether it is muted; the listener still reports the audio as heard, but stands still in a hidden page after 3 s. */
  get muted(): boolean {
    return this.hasAttribute("muted");
  }

  set muted(on: boolean) {
    this.flag("muted", on);
  }

  /**
   * Volume, 0 to 1; 0 is like {@link muted}. Default 1.
   *
   * @throws InputError `INVALID_OPTION` when set to anything but a number.
   */
  get volume(): number {
    const volume = Number(this.getAttribute("volume") || 1);
    return Number.isFinite(volume) ? Math.min(1, Math.max(0, volume)) : 1;
  }

  set volume(volume: number | undefined) {
    if (Number.isNaN(Number(volume ?? 1)))
      throw new InputError("INVALID_OPTION", `volume must be a number from 0 to 1, but is ${showValue(volume)}.`);
    this.reflect("volume", volume);
  }

  /** Delay from arrival to audio at the start, in milliseconds; undefined for the default of 80. */
  get jitter(): number | undefined {
    const text = this.getAttribute("jitter")?.trim();
    return text === undefined ? undefined : Number(text || Number.NaN);
  }

  set jitter(ms: number | undefined) {
    this.reflect("jitter", ms);
  }

  /** Whether the element connects before it plays, `metadata`, or only then, `none`. Default `metadata`. */
  get preload(): "none" | "metadata" {
    return this.getAttribute("preload") === "none" ? "none" : "metadata";
  }

  set preload(preload: "none" | "metadata" | undefined) {
    this.reflect("preload", preload);
  }

  /** Whether it plays by itself when it enters the document. */
  get autoplay(): boolean {
    return this.hasAttribute("autoplay");
  }

  set autoplay(on: boolean) {
    this.flag("autoplay", on);
  }

  /**
   * The audio before `muted` and `volume`, to connect an analyser or a recorder; undefined while not playing, and another
   * node after each {@link play}. Until it stops, an element whose audio was taken also plays in a hidden page while it is
   * muted or at volume 0.
   */
  get audio(): AudioNode | undefined {
    const audio = this.#listener?.audio;
    if (audio) {
      this.#isTapped = true;
      this.#speaker?.tap();
    }
    return audio;
  }

  /** The canvas of the video. */
  get canvas(): HTMLCanvasElement {
    return this.#panel.canvas;
  }

  /**
   * Starts to play at the live edge; call it from a click, because browsers require one for audio. A second call
   * changes nothing and waits for the first. Rejects where it can never play: with a `TransportError` (`INSECURE_PAGE`), a
   * `MediaError` (`NO_AUDIO_DECODER`, `NO_WEB_AUDIO`, `NO_WORKLET`), or an `InputError` (`INVALID_OPTION`) for an attribute.
   */
  async play(): Promise<void> {
    if (this.#listener) return this.#listener.started;
    const listener = this.#open();
    this.#listener = listener;
    this.#isBlocked = false;
    this.show("");
    const follow = <T>(name: string, take: (detail: T) => void) =>
      listener.addEventListener(name, (event) => {
        if (this.#listener === listener) take((event as CustomEvent<T>).detail);
      });
    follow<ListenerRewind>("rewind", (rewind) => this.emit("rewind", rewind));
    follow<Error>("problem", (error) => this.report(error, this.#isSilencing(error)));
    follow<Error>("retry", (error) => this.blame(error, this.#isSilencing(error)));
    follow<ListenerState>("state", (state) => this.become(state));
    follow<BrowserListenerStats>("stats", (stats) => this.#measure(stats));
    background(
      "element.closed",
      listener.closed.then((error) => this.#end(listener, error)),
    );
    this.become("connecting");
    background("element.blocked", this.#askForClick(listener));
    await listener.play();
    if (this.#listener !== listener) return;
    this.#isBlocked = false;
    this.show();
    this.#connect(listener.audio);
  }

  #open(): BrowserListener {
    try {
      const options = this.#options;
      return this.#standby.take(options) ?? new BrowserListener(options);
    } catch (error) {
      this.fail(error as Error);
      throw error;
    }
  }

  /** Stops; {@link play} starts again at the live edge. */
  pause(): void {
    this.#hasPlayed = false;
    this.#isAutoplayNew = false;
    this.#stop();
    this.#prepare();
  }

  protected applyStyle(): void {
    this.#panel.applyStyle();
  }

  protected enter(): void {
    this.upgrade("url", "broadcast", "controls", "muted", "volume", "preload", "autoplay", "jitter", "worklet");
    // A clone has the original's.
    if (!this.#listener) for (const name of ["video", "speaking"]) this.removeAttribute(name);
    document.addEventListener("visibilitychange", this.#prepare);
    this.#begin(this.autoplay);
  }

  /** Plays if it should, once the page has set all attributes: many insert an element first. */
  #begin(isAutoplayNew: boolean): void {
    this.#isAutoplayNew = isAutoplayNew;
    if (this.#isBlocked && !this.autoplay && !this.#listener) this.#stop();
    queueMicrotask(
      guard("element.begin", () => {
        const isDue = this.#isAutoplayNew || this.#hasPlayed;
        this.#isAutoplayNew = false;
        if (!this.isPlaced) return;
        this.#hasPlayed = false;
        if (isDue && !this.#listener) this.#playAlone();
        this.#prepare();
      }),
    );
  }

  protected leave(): void {
    document.removeEventListener("visibilitychange", this.#prepare);
    this.#hasPlayed ||= this.#listener !== undefined;
    this.#stop();
    this.#prepare();
  }

  /** Called by the browser when an attribute changes. */
  attributeChangedCallback(name: string, before: string | null, now: string | null): void {
    if (name === "controls") this.show();
    else if (name === "muted" || name === "volume") this.#speaker?.setVolume(this.#loudness);
    else if (name === "autoplay") this.#begin(now !== null && (before === null || this.#isAutoplayNew));
    else if (before !== now) this.#heed(name);
  }

  get #options(): BrowserListenerOptions {
    const { address, jitter: jitterMs } = this;
    if (jitterMs !== undefined) this.check("jitter", isJitter, jitterMs);
    return { ...address, canvas: this.#panel.canvas, ...(jitterMs !== undefined && { jitterMs }) };
  }

  /** Undefined where an attribute is invalid: the attempt to play reports that. */
  get #validOptions(): BrowserListenerOptions | undefined {
    try {
      return this.#options;
    } catch {
      return undefined;
    }
  }

  /** Keeps a listener connected where a click may follow. */
  readonly #prepare = guard("element.prepare", () => {
    const isVisible = this.isConnected && document.visibilityState === "visible";
    const isWanted = isVisible && !this.#listener && this.preload !== "none";
    this.#standby.keep(isWanted ? this.#validOptions : undefined);
  });

  #stop(): void {
    const listener = this.#listener;
    this.#isBlocked = false;
    if (!listener) {
      this.show();
      return;
    }
    this.#stats = { ...listener.stats(), state: "closed", playing: false, voice: undefined };
    this.#listener = undefined;
    this.#speaker?.close();
    this.#speaker = undefined;
    this.#isTapped = false;
    this.toggleAttribute("speaking", false);
    this.become("idle");
    background("element.close", listener.close());
  }

  #heed(name: string): void {
    const isOther = name === "url" || name === "broadcast";
    if (isOther) this.removeAttribute("video");
    // What was wrong may be right now.
    if (this.#state === "failed") this.become("idle");
    if (this.#listener && isOther) this.#restart();
    else if (this.isConnected) queueMicrotask(this.#prepare);
  }

  // Several attribute changes at once make one restart.
  #restart(): void {
    if (this.#restarting) return;
    this.#restarting = true;
    queueMicrotask(
      guard("element.restart", () => {
        this.#restarting = false;
        if (!this.#listener) return;
        this.#stop();
        this.#try();
      }),
    );
  }

  #toggle(): void {
    if (!this.#listener) this.#try();
    else if (this.#isBlocked) background("element.resume", Promise.resolve(this.#context?.resume()));
    else this.pause();
  }

  get #context(): AudioContext | undefined {
    return this.#listener?.audio?.context as AudioContext | undefined;
  }

  /** Shows the button where the browser starts no audio before a click. */
  async #askForClick(listener: BrowserListener): Promise<void> {
    do {
      await sleep(BLOCKED_MS);
      if (this.#listener !== listener || this.#speaker) return;
    } while (this.#context?.state !== "suspended");
    this.#isBlocked = true;
    this.show();
  }

  /** A fault shows for as long as it keeps the element silent. */
  #isSilencing(error: Error): boolean {
    if (this.state === "ready") return error instanceof MediaError;
    return this.state === "connecting" || this.state === "waiting";
  }

  /** Plays; an error becomes an `error` event. */
  #try(): void {
    this.play().catch(() => {});
  }

  #playAlone(): void {
    this.#isBlocked = !mayPlayAlone();
    if (this.#isBlocked) this.show();
    else this.#try();
  }

  #connect(audio: AudioNode | undefined): void {
    if (audio) this.#speaker = new PageSpeaker(audio, { volume: this.#loudness, tapped: this.#isTapped });
  }

  get #loudness(): number {
    return this.muted ? 0 : this.volume;
  }

  #measure(stats: BrowserListenerStats): void {
    // It stays over a pause and an outage, so that the page does not jump.
    if (stats.imagesShown > 0) this.toggleAttribute("video", true);
    this.toggleAttribute("speaking", (stats.voice ?? 0) >= 0.5);
    this.emit("stats", stats);
    const { playing, playheadUs, levelDb } = stats;
    if (playing && playheadUs !== undefined) this.emit("heard", { playheadUs, levelDb } satisfies UnsayHeard);
  }

  protected become(state: UnsayWatchState): void {
    if (state === this.#state || state === "closed") return;
    this.#state = state;
    if (state === "connecting" || state === "failed") this.show();
    else this.show("");
    this.emit("state", state);
  }

  protected render(message: string): void {
    this.#panel.show({
      controls: this.controls,
      blocked: this.#isBlocked,
      playing: this.#listener !== undefined && !this.#isBlocked,
      message,
    });
  }

  #end(listener: BrowserListener, error: Error | null): void {
    if (this.#listener !== listener || error === null) return;
    this.#stop();
    this.fail(error);
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "unsay-watch": UnsayWatch;
  }
}

define("unsay-watch", UnsayWatch);
