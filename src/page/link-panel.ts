import type { BrowserListenerStats } from "../../watch/browser/browser-listener.js";
import type { UnsayWatch } from "../../watch/browser/element.js";
import type { LinkRequest } from "./control.js";
import { PictureView } from "./picture/picture-view.js";
import { SoundMeter } from "./picture/sound-meter.js";
import type { PageLink, PageRecording, PageStats, SpokenPiece } from "./replies.js";
import type { Server } from "./server.js";

/** How long a slider rests before its value is sent, in milliseconds. */
const REST_MS = 60;
/** For this long, the sliders show what was requested rather than an older answer. */
const TOUCHED_MS = 1500;

function element<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

interface Side {
  readonly watch: UnsayWatch;
  readonly text: HTMLElement;
  /** Underruns before the panel was opened. */
  since: { readonly underruns: number; readonly underrunMs: number };
}

/** Rates that the slider's places stand for, in kilobits per second; 0 means no limit. */
const RATES = [24, 32, 48, 64, 96, 128, 256, 512, 0];

const SLIDERS = [
  { id: "link-delay", text: (place: number) => `${place} ms` },
  { id: "link-jitter", text: (place: number) => `${place} ms` },
  { id: "link-loss", text: (place: number) => `${place} %` },
  { id: "link-rate", text: (place: number) => (RATES[place] ? `${RATES[place]} kbit/s` : "no limit") },
] as const;

/**
 * "Feel a bad link": the page's listener goes through a link that the sliders make bad, and a second one beside it does
 * not. Event: `failed` with what the server answered.
 */
export class LinkPanel extends EventTarget {
  readonly #server: Server;
  readonly #root = element<HTMLDetailsElement>("link");
  readonly #bad: Side;
  readonly #clean: Side;
  readonly #canvas = element<HTMLCanvasElement>("clean-picture");
  /** Picture of the listener on the clean link; none until the panel is opened. */
  #picture: PictureView | undefined;
  #recording: PageRecording | undefined;
  readonly #meter = new SoundMeter();
  #port: number | undefined;
  #resting: ReturnType<typeof setTimeout> | undefined;
  #touchedAt = Number.NEGATIVE_INFINITY;

  constructor(server: Server, watch: UnsayWatch) {
    super();
    this.#server = server;
    this.#bad = { watch, text: element("bad-text"), since: { underruns: 0, underrunMs: 0 } };
    const clean = element<UnsayWatch>("clean");
    this.#clean = { watch: clean, text: element("clean-text"), since: { underruns: 0, underrunMs: 0 } };
    this.#root.addEventListener("toggle", () => this.#switch());
    for (const { id } of SLIDERS) element(id).addEventListener("input", () => this.#slide());
    for (const ear of this.#ears) ear.addEventListener("change", () => this.#hear());
    element("cut").addEventListener("click", () => this.#ask({ op: "cut", ms: 1000 }));
    this.#describe();
  }

  /** Shows the panel where the server has a link to make bad, and how bad it is: another page may have made it so. */
  offer({ link }: PageStats): void {
    this.#port = link?.port;
    this.#root.hidden = link === undefined || new URLSearchParams(location.search).has("url");
    if (link && performance.now() - this.#touchedAt >= TOUCHED_MS) this.#show(link);
  }

  /** The page's listener was started or stopped. */
  follow(isPlaying: boolean): void {
    if (!isPlaying) this.#clean.watch.pause();
    else if (this.#root.open) this.#start(this.#clean.watch);
  }

  /** Sets the recording of the second listener's picture. */
  setRecording(recording: PageRecording | undefined): void {
    this.#recording = recording;
    this.#picture?.setRecording(recording);
  }

  /** Sets the positions of the recording on the timeline. */
  setPieces(pieces: readonly SpokenPiece[]): void {
    this.#picture?.setPieces(pieces);
  }

  /** Moves the second listener's picture on; `sentUs`: what the publisher has sent. */
  advance(now: number, sentUs: number | undefined): void {
    const { watch } = this.#clean;
    if (!this.#root.open || !this.#picture) return;
    const { stats } = watch;
    const playheadUs = stats?.playheadUs;
    const isPlaying = stats?.playing ?? false;
    this.#picture.advance({
      now,
      playheadUs,
      playing: isPlaying,
      level: this.#meter.read(watch.audio, now),
      receivedUs: stats && playheadUs !== undefined ? playheadUs + stats.bufferMs * 1e3 : undefined,
      sentUs: isPlaying ? sentUs : undefined,
    });
  }

  /** Shows both listeners' numbers. */
  showTexts(): void {
    if (!this.#root.open) return;
    for (const side of [this.#bad, this.#clean]) {
      const text = side.watch.stats ? compare(side.watch.stats, side) : "not playing";
      if (side.text.textContent !== text) side.text.textContent = text;
    }
  }

  #show({ delayMs, jitterMs, loss, rateKbps }: PageLink): void {
    const rate = RATES.indexOf(rateKbps);
    const places = [delayMs, jitterMs, Math.round(loss * 100), rate < 0 ? RATES.length - 1 : rate];
    SLIDERS.forEach(({ id }, index) => {
      element<HTMLInputElement>(id).value = String(places[index]);
    });
    this.#describe();
  }

  get #ears(): readonly HTMLInputElement[] {
    return [...document.querySelectorAll<HTMLInputElement>("input[name=ear]")];
  }

  #switch(): void {
    const { watch } = this.#bad;
    const isPlaying = !watch.paused;
    if (!this.#root.open || this.#port === undefined) {
      watch.removeAttribute("url");
      watch.muted = false;
      this.#clean.watch.pause();
      return;
    }
    this.#picture ??= this.#paint();
    for (const side of [this.#bad, this.#clean]) side.since = { underruns: 0, underrunMs: 0, ...side.watch.stats };
    // The address by which the link can be reached, whatever name the page has.
    watch.setAttribute("url", `http://127.0.0.1:${this.#port}/`);
    this.#clean.watch.setAttribute("broadcast", watch.getAttribute("broadcast") ?? "demo");
    if (isPlaying) this.#start(this.#clean.watch);
    this.#hear();
  }

  #paint(): PictureView {
    const picture = new PictureView(this.#canvas);
    picture.setRecording(this.#recording);
    return picture;
  }

  #start(watch: UnsayWatch): void {
    watch.play().catch((error: unknown) => this.#fail(error));
  }

  #hear(): void {
    const isClean = this.#ears.some(({ checked, value }) => checked && value === "clean");
    this.#bad.watch.muted = isClean;
    this.#clean.watch.muted = !isClean;
  }

  #slide(): void {
    this.#touchedAt = performance.now();
    this.#describe();
    clearTimeout(this.#resting);
    this.#resting = setTimeout(() => {
      const [delayMs, jitterMs, loss, rate] = this.#places as [number, number, number, number];
      this.#ask({ op: "link", delayMs, jitterMs, loss: loss / 100, rateKbps: RATES[rate] ?? 0 });
    }, REST_MS);
  }

  get #places(): readonly number[] {
    return SLIDERS.map(({ id }) => Number(element<HTMLInputElement>(id).value));
  }

  #describe(): void {
    for (const { id, text } of SLIDERS) {
      const slider = element<HTMLInputElement>(id);
      const value = text(Number(slider.value));
      if (slider.getAttribute("aria-valuetext") === value) continue;
      element(`${id}-value`).textContent = value;
      slider.setAttribute("aria-valuetext", value);
    }
  }

  #ask(request: LinkRequest): void {
    this.#server.control(request).catch((error: unknown) => this.#fail(error));
  }

  #fail(error: unknown): void {
    this.dispatchEvent(new CustomEvent("failed", { detail: error }));
  }
}

function compare(stats: BrowserListenerStats, { since }: Side): string {
  if (stats.playedMs === 0) return "nothing heard yet";
  const gaps = Math.max(0, stats.underruns - since.underruns);
  const missing = Math.round(Math.max(0, stats.underrunMs - since.underrunMs));
  // No line breaks between a number and its unit.
  const ahead = `${(stats.bufferMs / 1000).toFixed(1)}\u00a0s ahead`;
  return gaps === 0
    ? `no gap, ${ahead}`
    : `${gaps} ${gaps === 1 ? "gap" : "gaps"}, ${missing}\u00a0ms missing, ${ahead}`;
}
