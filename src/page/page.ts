import "../../watch/browser/element.js";
import type { BrowserListenerStats } from "../../watch/browser/browser-listener.js";
import type { UnsayWatch } from "../../watch/browser/element.js";
import { skipsText } from "../meter.js";
import {
  CONTROL_HEADER,
  type ControlRequest,
  interruptReplySchema,
  type PageStats,
  pageStatsSchema,
} from "./control.js";
import { Graph } from "./graph.js";

/** How often the numbers and the graph move. */
const REFRESH_MS = 50;
/** How often the server is asked for its numbers. */
const STATS_MS = 1000;
/** How long the slider rests before its value is sent. */
const SLIDER_MS = 60;

function element<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

const watch = element<UnsayWatch>("watch");
const play = element<HTMLButtonElement>("play");
const interrupt = element<HTMLButtonElement>("interrupt");
const strength = element<HTMLInputElement>("strength");
const strengthValue = element<HTMLOutputElement>("strength-value");
const status = element("status");
const voice = element("voice");
const notice = element("notice");
const sounds = [...document.querySelectorAll<HTMLInputElement>("input[name=audio]")];
const graph = new Graph(element<HTMLCanvasElement>("graph"));

const controlToken = document.querySelector<HTMLMetaElement>("meta[name=unsay-control]")?.content ?? "";
const query = new URLSearchParams(location.search);
for (const name of ["url", "broadcast"]) {
  const value = query.get(name);
  if (value !== null) watch.setAttribute(name, value);
}

function say(text: string, failed = false): void {
  notice.textContent = text;
  notice.dataset.state = failed ? "failed" : "";
}

watch.addEventListener("rewind", (event) => {
  if (changedAt === undefined) return;
  const { from } = (event as CustomEvent<{ from: number }>).detail;
  const remainingMs = Math.max(0, from - (watch.stats?.playheadUs ?? from)) / 1e3;
  changeMs = performance.now() - changedAt + remainingMs;
  changedAt = undefined;
});

async function control(request: ControlRequest): Promise<unknown> {
  changedAt = performance.now();
  const response = await fetch("/control", {
    method: "POST",
    headers: { "Content-Type": "application/json", [CONTROL_HEADER]: controlToken },
    body: JSON.stringify(request),
  });
  const reply = await response.json();
  if (!response.ok) throw new Error(reply?.message ?? `The server answered ${response.status}.`);
  return reply;
}

function failed(error: unknown): void {
  say(error instanceof Error ? error.message : String(error), true);
}

function seconds(us: number | undefined): string {
  if (us === undefined) return "–";
  const whole = us / 1e6;
  const minutes = Math.floor(whole / 60);
  return `${minutes}:${(whole - minutes * 60).toFixed(2).padStart(5, "0")}`;
}

interface Figure {
  readonly name: string;
  readonly unit?: string;
  readonly text: (stats: BrowserListenerStats) => string;
  readonly bad?: (stats: BrowserListenerStats) => boolean;
}

/** What the server said last. */
let server: PageStats | undefined;
/** When a control was used whose effect is still to be heard, and how long the last one took from click to ear. */
let changedAt: number | undefined;
let changeMs: number | undefined;

const whole = (value: number | undefined): string =>
  value === undefined ? "–" : Math.round(value).toLocaleString("en");

const figures: readonly Figure[] = [
  { name: "Playing position", text: (stats) => seconds(stats.playheadUs) },
  { name: "Buffer", unit: "ms", text: (stats) => whole(stats.bufferMs) },
  { name: "Level", unit: "dB", text: (stats) => (Number.isFinite(stats.levelDb) ? stats.levelDb.toFixed(1) : "–∞") },
  { name: "Voice", unit: "%", text: (stats) => whole(stats.voice && 100 * stats.voice) },
  { name: "Landing lead", unit: "ms", text: (stats) => whole(stats.leadMs) },
  {
    name: "Group",
    text: (stats) =>
      stats.group === undefined ? "–" : `${Math.floor(stats.group / 65536)} · ${whole(stats.group % 65536)}`,
  },
  { name: "Discontinuities", text: (stats) => whole(stats.discontinuities) },
  { name: "Underruns", text: (stats) => whole(stats.underruns) },
  { name: "Stale heard", unit: "ms", text: (stats) => whole(stats.staleMs), bad: (stats) => stats.staleMs > 0 },
  { name: "Bleed", unit: "ms", text: (stats) => whole(stats.bleedMs), bad: (stats) => stats.bleedMs > 0 },
  { name: "Report staleness", unit: "ms", text: (stats) => whole(stats.relay?.stalenessMs) },
  { name: "In flight", unit: "B", text: (stats) => whole(stats.relay?.inFlightBytes) },
  { name: "Skipped", text: (stats) => (stats.relay ? skipsText(stats.relay.skips) : "–") },
  { name: "Delivery", text: (stats) => stats.relay?.level ?? "–" },
  { name: "Last change", unit: "ms", text: () => whole(changeMs) },
  {
    name: "Carried by",
    text: (stats) => ({ webtransport: "QUIC", qmux: "WebSocket", none: "–" })[stats.backend ?? "none"],
  },
  { name: "Listeners", text: () => whole(server?.listeners) },
];

const numbers = element("numbers");
const cells = figures.map((figure) => {
  const cell = document.createElement("div");
  const name = document.createElement("dt");
  name.textContent = figure.name;
  const value = document.createElement("dd");
  const text = document.createElement("span");
  value.append(text);
  if (figure.unit) {
    const unit = document.createElement("small");
    unit.textContent = figure.unit;
    value.append(unit);
  }
  cell.append(name, value);
  numbers.append(cell);
  return { figure, cell, text };
});

const states: Record<string, string> = {
  idle: "Ready",
  connecting: "Connecting …",
  waiting: "Waiting for audio …",
  ready: "Silent",
  playing: "Playing",
  closed: "Ready",
  failed: "Failed",
};

/** The lamp beside the graph, by what it shows. */
const voices = { unknown: "Voice: not told", quiet: "Voice: no", speaking: "Voice: yes" };

function showVoice(chance: number | undefined): void {
  const state = chance === undefined ? "unknown" : chance < 0.5 ? "quiet" : "speaking";
  if (voice.dataset.state === state) return;
  voice.dataset.state = state;
  voice.textContent = voices[state];
}

let cuts = 0;
/** Whether the notice tells of something that playing on would disprove. */
let troubled = false;
function refresh(): void {
  const { stats } = watch;
  const { state } = watch;
  const dot = state === "connecting" || state === "ready" ? "waiting" : state;
  if (status.dataset.state !== dot) status.dataset.state = dot;
  const sentence = states[state] ?? "";
  if (status.textContent !== sentence) status.textContent = sentence;
  showVoice(stats?.voice);
  if (!stats) return;
  if (troubled && stats.state === "playing") {
    troubled = false;
    say("");
  }
  for (const { figure, cell, text } of cells) {
    const value = figure.text(stats);
    if (text.textContent !== value) text.textContent = value;
    cell.dataset.state = figure.bad?.(stats) ? "bad" : "";
  }
  graph.push({ levelDb: stats.levelDb, bufferMs: stats.bufferMs, cut: stats.discontinuities > cuts });
  cuts = stats.discontinuities;
}

for (const { text } of cells) text.textContent = "–";
setInterval(refresh, REFRESH_MS);

play.addEventListener("click", () => {
  const playing = play.dataset.playing !== "true";
  play.dataset.playing = String(playing);
  play.querySelector(".visually-hidden")!.textContent = playing ? "Pause" : "Play";
  cuts = 0;
  say("");
  if (playing) watch.play().catch(failed);
  else watch.pause();
});
watch.addEventListener("problem", (event) => {
  troubled = true;
  failed((event as CustomEvent<Error>).detail);
});

let touched = 0;
function setKnobs(denoise: { strength?: number; bypass?: boolean }): void {
  touched = performance.now();
  control({ op: "set", denoise }).then(() => say(""), failed);
}

for (const audio of sounds) {
  audio.addEventListener("change", () => {
    if (!audio.checked) return;
    strength.disabled = audio.value === "raw";
    setKnobs({ bypass: audio.value === "raw" });
  });
}

function showStrength(): void {
  strengthValue.textContent = `${strength.value} %`;
  strength.parentElement?.setAttribute("aria-disabled", String(strength.disabled));
}

let sliderTimer: ReturnType<typeof setTimeout> | undefined;
strength.addEventListener("input", () => {
  touched = performance.now();
  showStrength();
  clearTimeout(sliderTimer);
  sliderTimer = setTimeout(() => setKnobs({ strength: Number(strength.value) / 100 }), SLIDER_MS);
});

interrupt.addEventListener("click", async () => {
  interrupt.disabled = true;
  try {
    const reply = interruptReplySchema.safeParse(await control({ op: "interrupt" }));
    const heard = reply.success ? reply.data.heardUntil : undefined;
    say(heard === undefined ? "Taken back." : `Taken back. Heard until ${seconds(heard)}.`);
  } catch (error) {
    failed(error);
  } finally {
    interrupt.disabled = false;
  }
});

async function followServer(): Promise<void> {
  try {
    const response = await fetch("/stats");
    const stats = pageStatsSchema.safeParse(await response.json());
    server = stats.data;
    // A knob that was just touched shows what was asked for, not what an older answer says.
    if (stats.success && stats.data.denoise && performance.now() - touched > 2 * STATS_MS) {
      const { bypass, strength: applied } = stats.data.denoise;
      for (const audio of sounds) audio.checked = (audio.value === "raw") === bypass;
      strength.disabled = bypass;
      strength.value = String(Math.round(applied * 100));
      showStrength();
    }
  } catch {
    // The server is away; the player says so itself.
  }
  setTimeout(followServer, STATS_MS);
}
void followServer();
