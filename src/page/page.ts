import "../../publisher/browser/talk-element.js";
import "../../watch/browser/element.js";
import type { BrowserListenerStats } from "../../watch/browser/browser-listener.js";
import type { UnsayWatch } from "../../watch/browser/element.js";
import { clockTime, Details } from "./details.js";
import { Knobs } from "./knobs.js";
import { LinkPanel } from "./link-panel.js";
import { Interruption } from "./picture/interruption.js";
import { PictureView } from "./picture/picture-view.js";
import { SoundMeter } from "./picture/sound-meter.js";
import { Timeline } from "./picture/timeline.js";
import { Transcript } from "./picture/transcript.js";
import { type HeardReply, type PageStats, readInterrupt } from "./replies.js";
import { Server } from "./server.js";

/** How often the page looks where the audio is, and moves its texts, in milliseconds. */
const LOOK_MS = 30;
const TEXTS_MS = 100;
/** A state that lasts this long is announced: a bad link changes it several times a second. */
const LASTING_MS = 1000;
/** A rewind this long after a control was used is that control's, in milliseconds. */
const EFFECT_MS = 3000;

function element<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

const watch = element<UnsayWatch>("watch");
const play = element<HTMLButtonElement>("play");
const interrupt = element<HTMLButtonElement>("interrupt");
const status = element("status");
const announcer = element("announcer");
const notice = element("notice");
const verdict = element("verdict");
const ear = element("ear");

const server = new Server();
const knobs = new Knobs(server);
const timeline = new Timeline();
const picture = new PictureView(element<HTMLCanvasElement>("picture"));
const transcript = new Transcript(element("transcript"));
const details = new Details(element<HTMLDetailsElement>("details"), element("numbers"), element("voice"));
const meter = new SoundMeter();
const link = new LinkPanel(server, watch);

const query = new URLSearchParams(location.search);
for (const name of ["url", "broadcast"]) {
  const value = query.get(name);
  if (value !== null) watch.setAttribute(name, value);
}

/** The interrupt that is being measured. */
let measured: Interruption | undefined;
/** Audio that the last interrupt took back, in milliseconds. */
let takenMs = 0;
/** When a knob was turned whose effect is still to be heard. */
let turnedAt: number | undefined;
/** Whether the publisher is silent because of an interrupt, as far as the page knows. */
let isInterrupted = false;
/** Whether the server was silent because of an interrupt: once it no longer is, nothing is taken back any more. */
let wasSilenced = false;
/** Whether the notice reports something that playing on would disprove. */
let isTroubled = false;
/** Since when the status says what it says. */
let statusAt = 0;

function say(text: string, failed = false): void {
  notice.textContent = text;
  notice.dataset.state = failed ? "failed" : "";
}

function fail(error: unknown): void {
  say(error instanceof Error ? error.message : String(error), true);
}

const states: Record<string, string> = {
  idle: "Ready",
  closed: "Ready",
  connecting: "Connecting …",
  waiting: "Waiting for audio …",
  ready: "Silent",
  playing: "Playing",
  failed: "Failed",
};
const lamps: Record<string, string> = { connecting: "waiting", ready: "waiting", closed: "idle" };

function showStatus(state: string): void {
  const isSilenced = isInterrupted && state === "ready";
  const text = isSilenced ? "Interrupted" : (states[state] ?? state);
  const lamp = isSilenced ? "interrupted" : (lamps[state] ?? state);
  const now = performance.now();
  if (status.textContent !== text) {
    status.textContent = text;
    statusAt = now;
  }
  const lasting = state === "idle" ? "" : text;
  if (now - statusAt >= LASTING_MS && announcer.textContent !== lasting) announcer.textContent = lasting;
  if (status.dataset.state !== lamp) status.dataset.state = lamp;
}

function showVerdict(): void {
  const silentMs = measured?.silentMs;
  // Where nothing was heard on this page, nothing of it was taken back.
  verdict.hidden = !isInterrupted || (silentMs === undefined && takenMs === 0);
  element("silent").textContent = silentMs === undefined ? "" : `${Math.round(silentMs)} ms`;
  element("taken").textContent = takenMs > 0 ? `${(takenMs / 1000).toFixed(1)} s taken back` : "taken back";
}

function becomeInterrupted(now: boolean): void {
  if (now === isInterrupted) return;
  isInterrupted = now;
  interrupt.dataset.mode = now ? "resume" : "interrupt";
  interrupt.textContent = now ? "Resume" : "Interrupt";
  if (!now) {
    measured = undefined;
    takenMs = 0;
    transcript.restore();
  }
  showVerdict();
}

function showHeard(heard: HeardReply | undefined): void {
  if (!heard || transcript.isStruck) return;
  transcript.strike(heard.text);
  const last = heard.text.split(" ").at(-1);
  if (last) say(`Taken back. The last word heard is “${last}”.`);
}

/** Shows the microphone to the caller of an agent. */
function offerMicrophone(broadcast: string): void {
  const microphone = element("microphone");
  if (!microphone.hidden) return;
  microphone.hidden = false;
  element("talk").setAttribute("broadcast", broadcast);
}

async function interruptSpeech(): Promise<void> {
  measured = new Interruption(performance.now());
  becomeInterrupted(true);
  const reply = readInterrupt(await server.control({ op: "interrupt" }));
  if (!reply || !isInterrupted) return;
  const { heard, heardUntil } = reply;
  say(heardUntil === undefined ? "Taken back." : `Taken back. Heard until ${clockTime(heardUntil)}.`);
  showHeard(heard);
}

async function resumeSpeech(): Promise<void> {
  await server.control({ op: "resume" });
  becomeInterrupted(false);
  say("It goes on with the first word that was not heard.");
}

interrupt.addEventListener("click", () => {
  interrupt.setAttribute("aria-busy", "true");
  const before = isInterrupted;
  (before ? resumeSpeech() : interruptSpeech())
    .catch((error: unknown) => {
      becomeInterrupted(before);
      fail(error);
    })
    .finally(() => interrupt.removeAttribute("aria-busy"));
});

/** The button shows what a click does: after a failure it plays again. */
function showPlay(): void {
  const playing = !watch.paused;
  play.dataset.playing = String(playing);
  element("play-text").textContent = playing ? "Pause" : "Listen";
  link.follow(playing);
}

play.addEventListener("click", () => {
  say("");
  if (watch.paused) watch.play().catch(fail);
  else watch.pause();
  showPlay();
});

for (const name of ["problem", "error"])
  watch.addEventListener(name, (event) => {
    isTroubled = true;
    fail((event as CustomEvent<{ message: string }>).detail.message);
    showPlay();
  });

watch.addEventListener("rewind", (event) => {
  const now = performance.now();
  const { from } = (event as CustomEvent<{ from: number }>).detail;
  measured?.rewound(now);
  const taken = timeline.takeBack(from, now);
  picture.takeBack(from, now);
  if (turnedAt !== undefined && now - turnedAt < EFFECT_MS) {
    const remainingMs = Math.max(0, from - (timeline.playheadUs ?? from)) / 1e3;
    ear.textContent = `${Math.round(now - turnedAt + remainingMs)} ms`;
    turnedAt = undefined;
    return;
  }
  void server.refresh().then((stats) => {
    if (!(stats?.spoken?.isInterrupted ?? measured)) return;
    takenMs = taken.lengthMs;
    picture.drop(taken);
    showVerdict();
  });
});

knobs.addEventListener("turned", () => {
  turnedAt = performance.now();
  say("");
});
for (const panel of [knobs, link]) panel.addEventListener("failed", (event) => fail((event as CustomEvent).detail));

server.addEventListener("stats", (event) => {
  const { detail } = event as CustomEvent<PageStats>;
  const { denoise, spoken, caller } = detail;
  if (caller) offerMicrophone(caller.broadcast);
  element("denoiser").hidden = denoise === undefined;
  link.offer(detail);
  knobs.show(denoise);
  if (!spoken) return;
  for (const each of [timeline, picture, link]) each.setPieces(spoken.pieces);
  wasSilenced ||= spoken.isInterrupted;
  if (interrupt.hasAttribute("aria-busy")) return;
  // Another page may have resumed it. A server that went on with new speech took back what the notice says.
  if (wasSilenced && !spoken.isInterrupted) say("");
  wasSilenced = spoken.isInterrupted;
  becomeInterrupted(spoken.isInterrupted);
  showHeard(spoken.heard);
});

function advance(now: number): void {
  const { stats } = watch;
  const playheadUs = stats?.playheadUs;
  const moment = {
    now,
    playheadUs,
    playing: stats?.playing ?? false,
    level: meter.read(watch.audio, now),
    receivedUs: stats && playheadUs !== undefined ? playheadUs + stats.bufferMs * 1e3 : undefined,
    sentUs: isInterrupted || !stats?.playing ? undefined : server.frontierUs,
  };
  timeline.advance(moment);
  picture.advance(moment);
  if (measured?.hear(meter.lastSoundAt, now)) showVerdict();
}

function showTexts(stats: BrowserListenerStats | undefined): void {
  showStatus(watch.state);
  const { listeners } = server.stats ?? {};
  const count = listeners === undefined ? "" : `${listeners} listening`;
  if (element("listeners").textContent !== count) element("listeners").textContent = count;
  if (!stats) return;
  const { playheadUs } = timeline;
  if (stats.playing && playheadUs !== undefined) transcript.show(timeline.spokenAt(playheadUs)?.ms);
  if (isTroubled && stats.state === "playing") {
    isTroubled = false;
    say("");
  }
  details.show(stats);
  link.showTexts();
}

let textsAt = 0;
function look(): void {
  const now = performance.now();
  if (watch.stats) advance(now);
  link.advance(now, isInterrupted ? undefined : server.frontierUs);
  if (now - textsAt < TEXTS_MS) return;
  textsAt = now;
  showTexts(watch.stats);
}

void server.recording().then((recording) => {
  for (const each of [timeline, picture, link]) each.setRecording(recording);
  if (recording) transcript.setRecording(recording);
});
void server.follow();
setInterval(look, LOOK_MS);
