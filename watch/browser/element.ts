import { BrowserListener, type BrowserListenerStats } from "./browser-listener.js";

const STYLE = ":host { display: block } canvas { display: block; width: 100%; border-radius: inherit }";

/**
 * `<unsay-watch url="https://relay.example:4443" broadcast="demo">`: plays a broadcast, audio through the speakers and
 * pictures, where there are any, on its canvas.
 *
 * Attributes: `url` of the relay (default: where the page came from), `broadcast` by name (default "demo"),
 * `jitter` in milliseconds. It sets the attribute `video` once there is a picture, and `speaking` while somebody speaks
 * in what is heard, as far as the publisher tells.
 * Events: `stats` ten times a second with {@link BrowserListenerStats} as `detail`, `rewind` with `{from, heardUntil}` in
 * microseconds when something was taken back, `failed` with an `Error`.
 */
export class UnsayWatch extends HTMLElement {
  #listener: BrowserListener | undefined;
  #stats: BrowserListenerStats | undefined;
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
    return this.#listener?.stats ?? this.#stats;
  }

  /**
   * What goes to the speakers, as a node to connect an analyser or a recorder to; undefined while not playing.
   * Tests listen here.
   */
  get audio(): AudioNode | undefined {
    return this.#listener?.audio;
  }

  /** The canvas that shows the pictures. */
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
    const listener = new BrowserListener({
      url: new URL(this.getAttribute("url") ?? "/", location.href),
      broadcast: this.getAttribute("broadcast") ?? "demo",
      canvas: this.#canvas,
      ...(jitter === null ? {} : { jitterMs: Number(jitter) }),
    });
    this.#listener = listener;
    listener.addEventListener("stats", (event) => {
      const { detail } = event as CustomEvent<BrowserListenerStats>;
      this.toggleAttribute("video", detail.imagesShown > 0);
      this.toggleAttribute("speaking", (detail.voice ?? 0) >= 0.5);
      this.dispatchEvent(new CustomEvent("stats", { detail }));
    });
    for (const name of ["rewind", "failed"]) {
      listener.addEventListener(name, (event) => {
        this.dispatchEvent(new CustomEvent(name, { detail: (event as CustomEvent).detail }));
      });
    }
    await listener.started;
  }

  /** Stops; {@link play} starts again at the live edge. */
  pause(): void {
    this.#stats = this.#listener && { ...this.#listener.stats, state: "idle", playing: false, voice: undefined };
    this.toggleAttribute("speaking", false);
    this.#listener?.close();
    this.#listener = undefined;
  }

  /** Called by the browser when the element leaves the page. */
  disconnectedCallback(): void {
    this.pause();
  }
}

customElements.define("unsay-watch", UnsayWatch);
