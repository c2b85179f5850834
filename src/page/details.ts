import type { BrowserListenerStats } from "../../watch/browser/browser-listener.js";
import { skipsText } from "../meter.js";

interface Figure {
  readonly name: string;
  readonly unit?: string;
  readonly text: (stats: BrowserListenerStats) => string;
  readonly bad?: (stats: BrowserListenerStats) => boolean;
}

const whole = (value: number | undefined): string =>
  value === undefined ? "–" : Math.round(value).toLocaleString("en");

/** A media time as minutes and seconds. */
export function clockTime(us: number | undefined): string {
  if (us === undefined) return "–";
  const minutes = Math.floor(us / 60e6);
  return `${minutes}:${(us / 1e6 - minutes * 60).toFixed(2).padStart(5, "0")}`;
}

const figures: readonly Figure[] = [
  { name: "Playing position", text: (stats) => clockTime(stats.playheadUs) },
  { name: "Buffer", unit: "ms", text: (stats) => whole(stats.bufferMs) },
  { name: "Level", unit: "dB", text: (stats) => (Number.isFinite(stats.levelDb) ? stats.levelDb.toFixed(1) : "–∞") },
  { name: "Voice", unit: "%", text: (stats) => whole(stats.voice && 100 * stats.voice) },
  { name: "Landing lead", unit: "ms", text: (stats) => whole(stats.leadMs) },
  {
    name: "Group",
    text: (stats) =>
      stats.group === undefined ? "–" : `${Math.floor(stats.group / 65536)} · ${whole(stats.group % 65536)}`,
  },
  { name: "Rewinds", text: (stats) => whole(stats.discontinuities) },
  { name: "Underruns", text: (stats) => whole(stats.underruns) },
  { name: "Stale heard", unit: "ms", text: (stats) => whole(stats.staleMs), bad: (stats) => stats.staleMs > 0 },
  { name: "Not denoised", unit: "ms", text: (stats) => whole(stats.bleedMs), bad: (stats) => stats.bleedMs > 0 },
  { name: "Report staleness", unit: "ms", text: (stats) => whole(stats.relay?.stalenessMs) },
  { name: "In flight", unit: "B", text: (stats) => whole(stats.relay?.inFlightBytes) },
  { name: "Skipped", text: (stats) => (stats.relay ? skipsText(stats.relay.skips) : "–") },
  { name: "Delivery", text: (stats) => stats.relay?.level ?? "–" },
  {
    name: "Carried by",
    text: (stats) => ({ webtransport: "QUIC", qmux: "WebSocket", none: "–" })[stats.backend ?? "none"],
  },
];

/** The lamp's text for each state of the voice. */
const voices = { unknown: "Voice: unknown", quiet: "Voice: no", speaking: "Voice: yes" };

/** The live numbers, folded away by default. */
export class Details {
  readonly #root: HTMLDetailsElement;
  readonly #voice: HTMLElement;
  readonly #cells: readonly { readonly figure: Figure; readonly cell: HTMLElement; readonly text: HTMLElement }[];

  constructor(root: HTMLDetailsElement, numbers: HTMLElement, voice: HTMLElement) {
    this.#root = root;
    this.#voice = voice;
    this.#cells = figures.map(cellOf);
    numbers.append(...this.#cells.map(({ cell }) => cell));
  }

  /** Shows the newest numbers. */
  show(stats: BrowserListenerStats): void {
    this.#showVoice(stats.voice);
    if (!this.#root.open) return;
    for (const { figure, cell, text } of this.#cells) {
      const value = figure.text(stats);
      if (text.textContent !== value) text.textContent = value;
      cell.dataset.state = figure.bad?.(stats) ? "bad" : "";
    }
  }

  #showVoice(chance: number | undefined): void {
    const state = chance === undefined ? "unknown" : chance < 0.5 ? "quiet" : "speaking";
    if (this.#voice.dataset.state === state) return;
    this.#voice.dataset.state = state;
    this.#voice.textContent = voices[state];
  }
}

function cellOf(figure: Figure) {
  const cell = document.createElement("div");
  const name = document.createElement("dt");
  name.textContent = figure.name;
  const value = document.createElement("dd");
  const text = document.createElement("span");
  text.textContent = "–";
  value.append(text);
  if (figure.unit) {
    const unit = document.createElement("small");
    unit.textContent = figure.unit;
    value.append(unit);
  }
  cell.append(name, value);
  return { figure, cell, text };
}
