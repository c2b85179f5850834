import type { ListenerState } from "../options.js";
import { BrowserListener, type BrowserListenerStats } from "./browser-listener.js";

const EVENTS = ["state", "rewind", "landing", "problem", "stats"] as const;
const STYLE = ":host { display: block } canvas { display: block; width: 100%; border-radius: inherit }";

export type { ListenerLanding, ListenerRewind, ListenerState } from "../options.js";
export type { BrowserListenerStats } from "./browser-listener.js";

/** What an element is doing: what its listener does, `idle` without one, `failed` after one that can never play. */
export type UnsayWatchState = ListenerState | "idle" | "failed";

/**
 * `<unsay-watch url="https://relay.example:4443" broadcast="demo">`: plays a broadcast, audio through the speakers and
 * video, where there is any, on its canvas.
 *
 * Attributes: `url` of the relay (default: where the page came from), `broadcast` by name (default "demo"), `jitter` in
 * milliseconds, `worklet` for `workletUrl`. It sets the attribute `video` once there is a picture, and `speaking` while
 * someone speaks in what is heard, as far as the publisher says.
 * Events: those of {@link BrowserListener}.
 */
export class UnsayWatch extends HTMLElement {
  #listener: BrowserListener | undefined;
  #stats: BrowserListenerStats | undefined;
  #failed = false;
  readonly #canvas = document.createElement("canvas");

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    this.#canvas.setAttribute("role", "img");
    this.#canvas.setAttribute("aria-label", "Video");
    root.append(this.#canvas);
  }

  /** The newest numbers; undefined before the first {@link play}. */
  get stats(): BrowserListenerStats | undefined {
    return this.#listener?.stats() ?? this.#stats;
  }

  /** What it is doing. */
  get state(): UnsayWatchState {
    return this.#failed ? "failed" : (this.#listener?.stats().state ?? "idle");
  }

  /**
   * What goes to the speakers, as a node to connect an analyser or a recorder to; undefined while not playing.
   * Tests listen here.
   */
  get audio(): AudioNode | undefined {
    return this.#listener?.audio;
  }

  /** The canvas that shows the video. */
  get canvas(): HTMLCanvasElement {
    return this.#canvas;
  }

  /**
   * Starts to play at the live edge; call it from a click, as browsers ask for audio. A second call changes nothing.
   * Rejects with a `TransportError` (`INSECURE_PAGE`) or a `MediaError` (`NO_AUDIO_DECODER`) where it can never play.
   */
  async play(): Promise<void> {
    if (this.#listener) return;
    const jitter = this.getAttribute("jitter");
    const worklet = this.getAttribute("worklet");
    const listener = new BrowserListener({
      url: new URL(this.getAttribute("url") ?? "/", location.href),
      broadcast: this.getAttribute("broadcast") ?? "demo",
      canvas: this.#canvas,
      ...(jitter === null ? {} : { jitterMs: Number(jitter) }),
      ...(worklet === null ? {} : { workletUrl: new URL(worklet, location.href) }),
    });
    this.#listener = listener;
    this.#failed = false;
    for (const name of EVENTS) listener.addEventListener(name, (event) => this.#pass(name, event));
    void listener.closed.then((error) => this.#end(listener, error));
    await listener.started;
  }

  /** Stops; {@link play} starts again at the live edge. */
  pause(): void {
    const listener = this.#listener;
    if (!listener) return;
    this.#stats = { ...listener.stats(), state: "closed", playing: false, voice: undefined };
    this.#listener = undefined;
    this.toggleAttribute("speaking", false);
    void listener.close();
  }

  /** Called by the browser when the element leaves the page. */
  disconnectedCallback(): void {
    this.pause();
  }

  #pass(name: string, event: Event): void {
    const { detail } = event as CustomEvent;
    if (name === "stats") {
      const stats = detail as BrowserListenerStats;
      this.toggleAttribute("video", stats.imagesShown > 0);
      this.toggleAttribute("speaking", (stats.voice ?? 0) >= 0.5);
    }
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  #end(listener: BrowserListener, error: Error | null): void {
    if (this.#listener !== listener || error === null) return;
    this.pause();
    this.#failed = true;
    this.dispatchEvent(new CustomEvent("problem", { detail: error }));
  }
}

if (!customElements.get("unsay-watch")) customElements.define("unsay-watch", UnsayWatch);
