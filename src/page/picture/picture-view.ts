import type { PageRecording, SpokenPiece } from "../replies.js";
import type { Colours, PictureMessage } from "./messages.js";
import type { Moment, TakenBack } from "./timeline.js";

/** Script of the worker, on the page's server. */
const WORKER = "/picture.js";

/** A picture on the page, drawn by a worker. */
export class PictureView {
  readonly #canvas: HTMLCanvasElement;
  readonly #worker = new Worker(WORKER, { type: "module" });
  readonly #calm = matchMedia("(prefers-reduced-motion: reduce)");

  constructor(canvas: HTMLCanvasElement) {
    this.#canvas = canvas;
    const offscreen = canvas.transferControlToOffscreen();
    this.#send({ type: "canvas", canvas: offscreen, timeOrigin: performance.timeOrigin }, [offscreen]);
    new ResizeObserver(() => this.#show()).observe(canvas);
    for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"])
      matchMedia(query).addEventListener("change", () => this.#show());
    this.#calm.addEventListener("change", () => this.#show());
  }

  /** Sets the recording, which gives the audio ahead its shape. */
  setRecording(recording: PageRecording | undefined): void {
    this.#send({ type: "recording", recording });
  }

  /** Sets the positions of the recording on the timeline. */
  setPieces(pieces: readonly SpokenPiece[]): void {
    this.#send({ type: "pieces", pieces });
  }

  /** Moves on to a moment; between two of them the picture moves by itself. */
  advance(moment: Moment): void {
    this.#send({ type: "moment", moment });
  }

  /** Audio ahead from `fromUs` on was taken back just now. */
  takeBack(fromUs: number, now: number): void {
    this.#send({ type: "takeBack", fromUs, now });
  }

  /** Animates audio that was taken back. */
  drop(takenBack: TakenBack): void {
    this.#send({ type: "drop", takenBack });
  }

  #show(): void {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const { fontSize, fontFamily } = getComputedStyle(this.#canvas);
    const look = {
      width,
      height,
      scale: devicePixelRatio,
      font: `${fontSize} ${fontFamily}`,
      calm: this.#calm.matches,
      colours: this.#readColours(),
    };
    this.#send({ type: "look", look });
  }

  #readColours(): Colours {
    const probe = document.createElement("span");
    this.#canvas.after(probe);
    const colour = (name: string): string => {
      // A custom property is not resolved until it is used, so light-dark() goes through a real colour.
      probe.style.color = `var(${name})`;
      return getComputedStyle(probe).color;
    };
    const colours = {
      heard: colour("--sea"),
      ahead: colour("--sea-soft"),
      line: colour("--line"),
      soft: colour("--soft"),
      ink: colour("--ink"),
      red: colour("--red"),
      card: colour("--card"),
    };
    probe.remove();
    return colours;
  }

  #send(message: PictureMessage, transfer: Transferable[] = []): void {
    this.#worker.postMessage(message, transfer);
  }
}
