import type { PageStats } from "./replies.js";
import type { Server } from "./server.js";

/** How long a slider rests before its value is sent, in milliseconds. */
const REST_MS = 60;
/** For this long, a knob shows the requested value rather than an older answer. */
const TOUCHED_MS = 1500;
/** The attenuation slider's last place stands for no limit, which the publisher knows as 100 dB. */
const NO_LIMIT = { place: 41, dB: 100 };

function element<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

/**
 * The denoiser's knobs on the page: they set the publisher's, and show its values. Events: `turned` when one is about
 * to be sent, `failed` with the server's answer.
 */
export class Knobs extends EventTarget {
  readonly #server: Server;
  readonly #strength = element<HTMLInputElement>("strength");
  readonly #limit = element<HTMLInputElement>("limit");
  readonly #sounds = [...document.querySelectorAll<HTMLInputElement>("input[name=audio]")];
  #touchedAt = Number.NEGATIVE_INFINITY;
  #resting: ReturnType<typeof setTimeout> | undefined;
  /** What the sliders have not sent yet. */
  #slid: { strength?: number; attenuationLimitDb?: number } = {};

  constructor(server: Server) {
    super();
    this.#server = server;
    this.#strength.addEventListener("input", () => this.#slide({ strength: Number(this.#strength.value) / 100 }));
    this.#limit.addEventListener("input", () => this.#slide({ attenuationLimitDb: this.#limitDb }));
    for (const sound of this.#sounds)
      sound.addEventListener("change", () => {
        if (sound.checked) this.#turn({ bypass: sound.value === "raw" });
        this.#describe();
      });
    this.#describe();
  }

  /** Shows how the publisher's knobs stand. */
  show(denoise: PageStats["denoise"]): void {
    if (!denoise || performance.now() - this.#touchedAt < TOUCHED_MS) return;
    const { strength, attenuationLimitDb = NO_LIMIT.dB, bypass } = denoise;
    for (const sound of this.#sounds) sound.checked = (sound.value === "raw") === bypass;
    this.#strength.value = String(Math.round(strength * 100));
    this.#limit.value = String(Math.min(NO_LIMIT.place, Math.round(attenuationLimitDb)));
    this.#describe();
  }

  get #limitDb(): number {
    const place = Number(this.#limit.value);
    return place >= NO_LIMIT.place ? NO_LIMIT.dB : place;
  }

  #slide(denoise: { readonly strength: number } | { readonly attenuationLimitDb: number }): void {
    this.#touchedAt = performance.now();
    this.#describe();
    clearTimeout(this.#resting);
    this.#slid = { ...this.#slid, ...denoise };
    this.#resting = setTimeout(() => {
      this.#turn(this.#slid);
      this.#slid = {};
    }, REST_MS);
  }

  #turn(denoise: { strength?: number; attenuationLimitDb?: number; bypass?: boolean }): void {
    this.#touchedAt = performance.now();
    this.dispatchEvent(new Event("turned"));
    this.#server
      .control({ op: "set", denoise })
      .catch((error: unknown) => this.dispatchEvent(new CustomEvent("failed", { detail: error })));
  }

  #describe(): void {
    const isRaw = this.#sounds.some(({ checked, value }) => checked && value === "raw");
    this.#strength.disabled = isRaw;
    this.#limit.disabled = isRaw;
    const limit = this.#limitDb === NO_LIMIT.dB ? "no limit" : `${this.#limitDb} dB`;
    for (const [slider, text] of [
      [this.#strength, `${this.#strength.value} %`],
      [this.#limit, limit],
    ] as const) {
      element<HTMLOutputElement>(`${slider.id}-value`).textContent = text;
      slider.setAttribute("aria-valuetext", text);
      slider.parentElement?.setAttribute("aria-disabled", String(isRaw));
    }
  }
}
