import { adoptStyle, LANGUAGE } from "../../base/broadcast-element.js";

const STYLE = `
  :host { display: block }
  :host([hidden]) { display: none }
  canvas { display: none; width: 100%; border-radius: inherit }
  :host([video]) canvas { display: block }
  button {
    min-height: 2.75rem;
    max-width: 100%;
    padding: 0.5rem 1.25rem;
    border: 1px solid transparent;
    border-radius: var(--unsay-radius, 2rem);
    background: var(--unsay-accent, #0d7a6d);
    color: var(--unsay-on-accent, #fff);
    font: inherit;
    cursor: pointer;
  }
  button:focus-visible { outline: 3px solid var(--unsay-focus, currentColor); outline-offset: 2px }
  p { margin: 0.5rem 0 0; overflow-wrap: anywhere }
  [hidden] { display: none }
`;

/** State that a watch element shows. */
export interface WatchView {
  readonly controls: boolean;
  /** Whether the browser waits for a click on the button. */
  readonly blocked: boolean;
  readonly playing: boolean;
  /** One sentence, or "". */
  readonly message: string;
}

/** The visible part of a watch element: the video, the button, and why it can't play. Event: `press` of the button. */
export class WatchPanel extends EventTarget {
  /** The video. */
  readonly canvas = document.createElement("canvas");
  readonly #button = document.createElement("button");
  readonly #message = document.createElement("p");
  readonly #root: ShadowRoot;
  #label: string | undefined;
  #isWanted = false;

  constructor(root: ShadowRoot) {
    super();
    this.#root = root;
    this.applyStyle();
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", "Video");
    this.canvas.part.add("video");
    this.#button.type = "button";
    this.#button.part.add("button");
    this.#button.addEventListener("click", () => this.dispatchEvent(new Event("press")));
    this.#button.addEventListener("blur", () => this.#showButton());
    this.#message.part.add("message");
    this.#message.role = "alert";
    this.#message.lang = LANGUAGE;
    this.#message.dir = "auto";
    root.append(this.canvas, this.#button, this.#message);
  }

  /** Applies the style; each document needs its own sheet. */
  applyStyle(): void {
    adoptStyle(this.#root, STYLE);
  }

  show({ controls, blocked, playing, message }: WatchView): void {
    const label = playing ? "Pause" : "Listen";
    if (label !== this.#label) {
      this.#label = label;
      const slot = document.createElement("slot");
      slot.name = playing ? "pause" : "play";
      slot.textContent = label;
      slot.lang = LANGUAGE;
      this.#button.replaceChildren(slot);
    }
    this.#isWanted = controls || blocked;
    this.#showButton();
    this.#message.textContent = message;
    this.#message.hidden = message === "" || !controls;
  }

  /** A button that has the keyboard's focus stays, so that the focus does not fall back to the top of the page. */
  #showButton(): void {
    this.#button.hidden = !this.#isWanted && !this.#button.matches(":focus-visible");
  }
}
