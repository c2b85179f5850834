import { BroadcastElement, define } from "../../base/broadcast-element.js";
import { background, guard } from "../../base/index.js";
import { microphones } from "./microphone.js";
import { type TalkAction, TalkPanel } from "./talk-panel.js";
import { Talker, type TalkerState, type TalkerStats } from "./talker.js";

export type { TalkerStats } from "./talker.js";

/** State of an element: that of its microphone's broadcast, `idle` while off, `failed` after it could not start. */
export type UnsayTalkState = Exclude<TalkerState, "closed"> | "idle" | "failed";

/** The microphone's level. */
export interface UnsayTalkLevel {
  /** Decibels below full scale; -Infinity for silence. */
  readonly levelDb: number;
}

/** The reason why it does not talk. */
export interface UnsayTalkFailure {
  /** Stable, such as `MICROPHONE_DENIED`, `NO_MICROPHONE`, `INSECURE_PAGE`, `UNAUTHORIZED`; `UNKNOWN` without one. */
  readonly code: string;
  /** One sentence for the person in front of the page. */
  readonly message: string;
}

/** Events of {@link UnsayTalk} by name. */
export interface UnsayTalkEventMap {
  state: CustomEvent<UnsayTalkState>;
  /** Ten times a second. */
  level: CustomEvent<UnsayTalkLevel>;
  /** Id of the microphone that is on now. */
  device: CustomEvent<string>;
  /** A fault from which the element recovers by itself; once for each reason while the relay is out of reach. */
  problem: CustomEvent<Error>;
  /** It is off, and stays so until `talk` is called. */
  error: CustomEvent<UnsayTalkFailure>;
}

/** States in which no listener hears the microphone, because of a fault if there was one. */
const UNHEARD: ReadonlySet<UnsayTalkState> = new Set(["connecting", "displaced"]);

/**
 * `<unsay-talk url="https://relay.example:4443" broadcast="caller-1" controls>`: publishes the microphone as a broadcast
 * that a `Caller` or any listener hears, without the echo of what the page plays.
 *
 * Attributes: `url` of the relay (default: the page's origin), `broadcast` by name (default "caller"), `device` (id of a
 * microphone; default: the system's), `muted`, `worklet` for `workletUrl`, and `controls` for a button, mute, a level
 * meter and the choice of the microphone. The element sets `talking` while a listener takes the audio. It stops when it
 * leaves the document, and does not start again by itself. A new `url` or `broadcast` counts when it next starts.
 *
 * Parts: `button`, `mute`, `meter`, `devices`, `message`. Custom properties: `--unsay-accent`, `--unsay-on-accent`,
 * `--unsay-focus`, `--unsay-radius`. Slots: `talk` and `stop`, the button's labels. Events: {@link UnsayTalkEventMap}.
 */
export class UnsayTalk extends BroadcastElement<UnsayTalkEventMap> {
  /** Attributes that the browser observes. */
  static readonly observedAttributes = ["controls", "muted", "device"];

  protected readonly defaultBroadcast = "caller";
  readonly #panel: TalkPanel;
  #talker: Talker | undefined;
  #state: UnsayTalkState = "idle";
  #devices: readonly MediaDeviceInfo[] = [];
  readonly #refresh = guard("element.devices", () => this.#list());

  constructor() {
    super();
    this.#panel = new TalkPanel(this.attachShadow({ mode: "open" }));
    this.#panel.addEventListener("action", (event) => this.#act((event as CustomEvent<TalkAction>).detail));
    this.show();
  }

  get state(): UnsayTalkState {
    return this.#state;
  }

  /** Current numbers; undefined while it is off. */
  get stats(): TalkerStats | undefined {
    return this.#talker?.stats();
  }

  /** Whether listeners get silence in place of the microphone. */
  get muted(): boolean {
    return this.hasAttribute("muted");
  }

  set muted(on: boolean) {
    this.flag("muted", on);
  }

  /** Id of the microphone to use; undefined for the system's default. */
  get device(): string | undefined {
    return this.getAttribute("device") || undefined;
  }

  set device(id: string | undefined) {
    this.reflect("device", id || undefined);
  }

  /** The microphones that there are; without names and ids before the page may use one. */
  devices(): Promise<MediaDeviceInfo[]> {
    return microphones();
  }

  /**
   * Switches the microphone on; best called from a click. A second call changes nothing. Rejects with a `MediaError` or a
   * `TransportError` whose message is for the person in front of the page; see {@link UnsayTalkFailure}.
   */
  async talk(): Promise<void> {
    if (this.#talker) return this.#talker.started;
    const talker = this.#open();
    this.#talker = talker;
    this.show("");
    // One that was stopped may still have something to say.
    const follow = <T>(name: string, take: (detail: T) => void) =>
      talker.addEventListener(name, (event) => {
        if (this.#talker === talker) take((event as CustomEvent<T>).detail);
      });
    follow<TalkerState>("state", (state) => this.#follow(state));
    follow<number>("level", (levelDb) => this.#measure(levelDb));
    // A fault shows for as long as it keeps the microphone from being heard.
    follow<Error>("problem", (error) => this.report(error, UNHEARD.has(this.#state)));
    follow<Error>("retry", (error) => this.blame(error, UNHEARD.has(this.#state)));
    follow<string>("device", (id) => this.emit("device", id));
    background(
      "element.talker",
      talker.closed.then((error) => this.#end(talker, error)),
    );
    this.become("asking");
    await talker.started;
    await this.#list();
  }

  #open(): Talker {
    const { device, muted } = this;
    try {
      return new Talker({ ...this.address, muted, ...(device && { device }) });
    } catch (error) {
      this.fail(error as Error);
      throw error;
    }
  }

  /** Switches the microphone off and ends the broadcast. */
  stop(): void {
    const talker = this.#talker;
    if (!talker) return;
    this.#talker = undefined;
    this.#panel.level(Number.NEGATIVE_INFINITY);
    this.become("idle");
    background("element.close", talker.close());
  }

  protected applyStyle(): void {
    this.#panel.applyStyle();
  }

  protected enter(): void {
    this.upgrade("url", "broadcast", "controls", "muted", "device", "worklet");
    // A clone has the original's.
    this.toggleAttribute("talking", this.#state === "talking");
    navigator.mediaDevices?.addEventListener("devicechange", this.#refresh);
    this.#refresh();
  }

  protected leave(): void {
    navigator.mediaDevices?.removeEventListener("devicechange", this.#refresh);
    this.stop();
  }

  /** Called by the browser when an attribute changes. */
  attributeChangedCallback(name: string, before: string | null, now: string | null): void {
    if (name === "muted" && this.#talker) this.#talker.muted = this.muted;
    if (name === "device" && before !== now && this.#talker) background("element.device", this.#change(this.#talker));
    this.show();
  }

  async #change(talker: Talker): Promise<void> {
    const error = await talker.use(this.device).then(
      () => undefined,
      (cause: Error) => cause,
    );
    if (this.#talker !== talker) return;
    if (error) this.report(error, true);
    else this.show("");
  }

  async #list(): Promise<void> {
    this.#devices = await microphones();
    this.show();
  }

  #act(action: TalkAction): void {
    if (action.kind === "mute") this.muted = !this.muted;
    else if (action.kind === "device") this.device = action.device;
    else if (this.#talker) this.stop();
    // A failure becomes an `error` event.
    else this.talk().catch(() => {});
  }

  #follow(state: TalkerState): void {
    if (state === "closed") return;
    if (UNHEARD.has(this.#state)) this.show("");
    this.become(state);
  }

  #measure(levelDb: number): void {
    this.#panel.level(levelDb);
    this.emit("level", { levelDb } satisfies UnsayTalkLevel);
  }

  protected become(state: UnsayTalkState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.toggleAttribute("talking", state === "talking");
    this.show();
    this.emit("state", state);
  }

  protected render(message: string): void {
    this.#panel.show({
      controls: this.controls,
      on: this.#talker !== undefined,
      muted: this.muted,
      devices: this.#devices,
      device: this.#talker?.stats().device ?? this.device,
      message,
    });
  }

  #end(talker: Talker, error: Error | null): void {
    if (this.#talker !== talker || error === null) return;
    this.stop();
    this.fail(error);
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "unsay-talk": UnsayTalk;
  }
}

define("unsay-talk", UnsayTalk);
