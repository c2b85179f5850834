import { adoptStyle, LANGUAGE } from "../../base/broadcast-element.js";

const STYLE = `
  :host { display: block }
  :host([hidden]), [hidden] { display: none !important }
  div.panel { display: flex; flex-wrap: wrap; align-items: center; gap: 0.5rem }
  button, select {
    min-height: 2.75rem;
    max-width: 100%;
    padding: 0.5rem 1.25rem;
    border: 1px solid transparent;
    border-radius: var(--unsay-radius, 2rem);
    font: inherit;
  }
  button {
    background: var(--unsay-accent, #0d7a6d);
    color: var(--unsay-on-accent, #fff);
    cursor: pointer;
  }
  button.mute, select { border-color: currentColor; background: transparent; color: inherit }
  button.mute[aria-pressed="true"] { text-decoration: line-through }
  option { background: Canvas; color: CanvasText }
  button:focus-visible, select:focus-visible { outline: 3px solid var(--unsay-focus, currentColor); outline-offset: 2px }
  div.meter { flex: 1 1 5rem; height: 0.5rem; overflow: hidden; border: 1px solid currentColor; border-radius: 1rem }
  div.meter > div {
    height: 100%;
    background: var(--unsay-accent, #0d7a6d);
    transform: scaleX(var(--level, 0));
    transform-origin: left;
  }
  div.meter:dir(rtl) > div { transform-origin: right }
  @media (forced-colors: active) { div.meter > div { background: Highlight; forced-color-adjust: none } }
  p { flex-basis: 100%; margin: 0 }
`;

/** Level at the left end of the meter, in decibels below full scale. */
const FLOOR_DB = -60;

/** State that a talk element shows. */
export interface TalkView {
  readonly controls: boolean;
  readonly on: boolean;
  readonly muted: boolean;
  readonly devices: readonly MediaDeviceInfo[];
  readonly device: string | undefined;
  /** One sentence, or "". */
  readonly message: string;
}

/** A person's action on a panel: to switch it on or off, to mute it or to choose a microphone. */
export type TalkAction =
  | { readonly kind: "toggle" }
  | { readonly kind: "mute" }
  | { readonly kind: "device"; readonly device: string };

/** The controls of a talk element: a button, mute, a meter, the choice of the microphone, and what is wrong. */
export class TalkPanel extends EventTarget {
  readonly #root: ShadowRoot;
  readonly #panel = document.createElement("div");
  readonly #button = document.createElement("button");
  readonly #mute = document.createElement("button");
  readonly #meter = document.createElement("div");
  readonly #bar = document.createElement("div");
  readonly #select = document.createElement("select");
  readonly #message = document.createElement("p");

  constructor(root: ShadowRoot) {
    super();
    this.#root = root;
    this.applyStyle();
    this.#panel.className = "panel";
    for (const button of [this.#button, this.#mute]) button.type = "button";
    this.#button.part.add("button");
    this.#mute.part.add("mute");
    this.#mute.className = "mute";
    this.#mute.textContent = "Mute";
    this.#mute.lang = LANGUAGE;
    this.#meter.part.add("meter");
    this.#meter.className = "meter";
    this.#meter.role = "meter";
    this.#meter.ariaLabel = "Microphone level";
    this.#meter.ariaValueMin = String(FLOOR_DB);
    this.#meter.ariaValueMax = "0";
    this.#meter.append(this.#bar);
    this.#select.part.add("devices");
    this.#select.ariaLabel = "Microphone";
    this.#message.part.add("message");
    this.#message.role = "alert";
    this.#message.lang = LANGUAGE;
    this.#message.dir = "auto";
    this.#button.addEventListener("click", () => this.#act({ kind: "toggle" }));
    this.#mute.addEventListener("click", () => this.#act({ kind: "mute" }));
    this.#select.addEventListener("change", () => this.#act({ kind: "device", device: this.#select.value }));
    this.#panel.append(this.#button, this.#mute, this.#meter, this.#select, this.#message);
    root.append(this.#panel);
    this.level(Number.NEGATIVE_INFINITY);
  }

  /** Applies the style; each document needs its own sheet. */
  applyStyle(): void {
    adoptStyle(this.#root, STYLE);
  }

  show({ controls, on, muted, devices, device, message }: TalkView): void {
    this.#panel.hidden = !controls;
    this.#label(on);
    this.#mute.ariaPressed = String(muted);
    this.#meter.hidden = !on;
    this.#hide(this.#mute, !on);
    this.#hide(this.#select, devices.length < 2);
    this.#list(devices);
    const chosen = [...this.#select.options].find(({ value }) => value === device);
    if (chosen) chosen.selected = true;
    this.#message.textContent = message;
    this.#message.hidden = message === "";
  }

  /** Moves the meter. */
  level(db: number): void {
    const bounded = Math.min(0, Math.max(FLOOR_DB, db));
    this.#meter.ariaValueNow = String(Math.round(bounded));
    this.#meter.ariaValueText = `${Math.round(bounded)} decibels`;
    this.#bar.style.setProperty("--level", (1 - bounded / FLOOR_DB).toFixed(3));
  }

  #label(on: boolean): void {
    const name = on ? "stop" : "talk";
    if (this.#button.querySelector("slot")?.name === name) return;
    const slot = document.createElement("slot");
    slot.name = name;
    slot.textContent = on ? "Stop" : "Talk";
    slot.lang = LANGUAGE;
    this.#button.replaceChildren(slot);
  }

  /** The keyboard's focus moves to the button from a control that goes away. */
  #hide(control: HTMLElement, hidden: boolean): void {
    const isFocused = hidden && control.matches(":focus");
    control.hidden = hidden;
    if (isFocused) this.#button.focus();
  }

  /** Leaves an open list alone while its devices stay the same. */
  #list(devices: readonly MediaDeviceInfo[]): void {
    const options = devices.map(
      ({ deviceId, label }, index) => new Option(label || `Microphone ${index + 1}`, deviceId),
    );
    const keys = (list: Iterable<HTMLOptionElement>) =>
      JSON.stringify([...list].map(({ value, text }) => [value, text]));
    if (keys(this.#select.options) !== keys(options)) this.#select.replaceChildren(...options);
  }

  #act(action: TalkAction): void {
    this.dispatchEvent(new CustomEvent("action", { detail: action }));
  }
}
