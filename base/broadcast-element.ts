import { isBroadcast, isRelayUrl, type Rule } from "./check.js";
import { InputError } from "./error.js";
import { guard } from "./guard.js";
import { showValue } from "./validate.js";

/** Where a server renders pages there are no elements: there the class can be imported, and is never used. */
const Base: typeof HTMLElement = globalThis.HTMLElement ?? (class {} as unknown);

/** An element for a broadcast at a relay. Its events have the types that `Events` gives to their names. */
export abstract class BroadcastElement<Events extends { [Name in keyof Events]: Event }> extends Base {
  /** Name of the broadcast without an attribute. */
  protected abstract readonly defaultBroadcast: string;
  #isPlaced = false;
  #message = "";

  /** Shows the controls as they are now, with a sentence about what is wrong, or "". */
  protected abstract render(message: string): void;

  /** Changes the state and dispatches its event. */
  protected abstract become(state: "failed"): void;

  /** Applies the style to the shadow root; each document needs its own sheet. */
  protected abstract applyStyle(): void;

  /** Called once the element is in a document. */
  protected abstract enter(): void;

  /** Called once it has left the document, and not where it was only moved. */
  protected abstract leave(): void;

  /** Called by the browser when the element enters a document. */
  connectedCallback(): void {
    if (this.#isPlaced) return;
    this.#isPlaced = true;
    this.enter();
  }

  /** Called by the browser when the element moves to another document. */
  adoptedCallback(): void {
    this.applyStyle();
  }

  /** Called by the browser when the element leaves the document. */
  disconnectedCallback(): void {
    // A move takes it out and puts it back within one task, as when a framework sorts a list.
    queueMicrotask(this.#settle);
  }

  /** Whether `enter` has run and it is still connected. */
  protected get isPlaced(): boolean {
    return this.#isPlaced && this.isConnected;
  }

  readonly #settle = guard("element.leave", () => {
    if (this.isConnected || !this.#isPlaced) return;
    this.#isPlaced = false;
    this.leave();
  });

  /** URL of the relay, relative to the page; "" for the page's origin. */
  get url(): string {
    return this.getAttribute("url") ?? "";
  }

  set url(url: string | URL | undefined) {
    this.reflect("url", url);
  }

  /** Name of the broadcast. */
  get broadcast(): string {
    return this.getAttribute("broadcast") ?? this.defaultBroadcast;
  }

  set broadcast(broadcast: string | undefined) {
    this.reflect("broadcast", broadcast);
  }

  /** URL of the audio worklet's script, relative to the page; "" for the one that the element carries. */
  get worklet(): string {
    return this.getAttribute("worklet") ?? "";
  }

  set worklet(url: string | URL | undefined) {
    this.reflect("worklet", url);
  }

  /** Whether it shows its controls. */
  get controls(): boolean {
    return this.hasAttribute("controls");
  }

  set controls(on: boolean) {
    this.flag("controls", on);
  }

  /** As on every element, with the events' types. */
  override addEventListener<Name extends keyof Events & string>(
    name: Name,
    listener: (event: Events[Name]) => void,
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

  /** As on every element, with the events' types. */
  override removeEventListener<Name extends keyof Events & string>(
    name: Name,
    listener: (event: Events[Name]) => void,
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

  /**
   * Applies properties that the page set before the element's script was there: they hide the class's own. An invalid
   * one becomes an error of the page, as if it were set now, and costs nothing else.
   */
  protected upgrade(...names: readonly (keyof this & string)[]): void {
    for (const name of names) {
      const early = Object.getOwnPropertyDescriptor(this, name);
      if (!early) continue;
      Reflect.deleteProperty(this, name);
      try {
        Reflect.set(this, name, early.value);
      } catch (error) {
        reportError(error);
      }
    }
  }

  /** Sets an attribute without a value, or removes it: frameworks set `undefined` too, with which the browser toggles it. */
  protected flag(name: string, on: unknown): void {
    this.toggleAttribute(name, Boolean(on));
  }

  /** Sets an attribute to a text, or removes it. */
  protected reflect(name: string, value: unknown): void {
    if (value === undefined || value === null) this.removeAttribute(name);
    else this.setAttribute(name, String(value));
  }

  /** Shows the controls again; with a sentence about what is wrong, or "" for none, in place of the one before. */
  protected show(message = this.#message): void {
    this.#message = message;
    this.render(message);
  }

  /** Shows a fault where it keeps the element from its work. */
  protected blame(error: Error, isSilencing: boolean): void {
    if (isSilencing) this.show(error.message);
  }

  /** Dispatches `problem`; the controls show it by then. */
  protected report(error: Error, isSilencing: boolean): void {
    this.blame(error, isSilencing);
    this.emit("problem", error);
  }

  /** Ends in the state `failed` and dispatches `error`; the controls show why by then. */
  protected fail(error: Error): void {
    this.show(error.message);
    this.become("failed");
    const code = "code" in error && typeof error.code === "string" ? error.code : "UNKNOWN";
    this.emit("error", { code, message: error.message });
  }

  protected emit(name: string, detail: unknown): void {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /**
   * What the attributes say about the broadcast and its worklet.
   *
   * @throws InputError `INVALID_OPTION`, with a sentence that names the attribute.
   */
  protected get address(): { readonly url: URL; readonly broadcast: string; readonly workletUrl?: URL } {
    const { broadcast } = this;
    const url = this.#urlOf("url", "/")!;
    this.check("url", isRelayUrl, url);
    this.check("broadcast", isBroadcast, broadcast);
    const workletUrl = this.#urlOf("worklet");
    return { url, broadcast, ...(workletUrl && { workletUrl }) };
  }

  /** An attribute as an absolute URL; without a text in it `byDefault`. */
  #urlOf(name: string, byDefault?: string): URL | undefined {
    const text = this.getAttribute(name) || byDefault;
    if (text === undefined) return undefined;
    this.check(name, () => (URL.canParse(text, document.baseURI) ? undefined : "be a URL"), text);
    return new URL(text, document.baseURI);
  }

  /**
   * Checks what an attribute stands for.
   *
   * @throws InputError `INVALID_OPTION`
   */
  protected check(name: string, rule: Rule, value: unknown): void {
    const words = rule(value);
    if (words === undefined) return;
    const text = this.getAttribute(name);
    const found = text === null ? "missing" : showValue(text);
    throw new InputError("INVALID_OPTION", `<${this.localName} ${name}> must ${words}, but is ${found}.`);
  }
}

/** Language of the elements' own labels and sentences, whatever the page's. */
export const LANGUAGE = "en";

/** Gives a shadow root a style sheet of its document, which a strict content security policy permits. */
export function adoptStyle(root: ShadowRoot, style: string): void {
  // A document without a window, such as that of a template, shows nothing.
  const view = root.ownerDocument.defaultView;
  if (!view) return;
  const sheet = new view.CSSStyleSheet();
  sheet.replaceSync(style);
  root.adoptedStyleSheets = [sheet];
}

/** Defines an element, unless another copy of the script already has or there are no elements. */
export function define(name: string, element: CustomElementConstructor): void {
  const { customElements: registry } = globalThis as { readonly customElements?: CustomElementRegistry };
  if (registry && !registry.get(name)) registry.define(name, element);
}
