import type { UnsayWatchState } from "../../watch/browser/element.js";

/** Sentences for a visitor, by state of the player. */
const WORDS: Readonly<Record<UnsayWatchState, string>> = {
  idle: "",
  connecting: "Connecting…",
  waiting: "Nothing is published at the moment. It starts by itself.",
  ready: "Connected. Nothing is said at the moment.",
  playing: "Playing.",
  closed: "",
  failed: "",
};

const watch = document.querySelector("unsay-watch")!;
const status = document.querySelector("#status")!;
const volume = document.querySelector<HTMLInputElement>("#volume")!;

watch.addEventListener("state", ({ detail }) => {
  status.textContent = WORDS[detail];
});
volume.addEventListener("input", () => {
  watch.volume = volume.valueAsNumber;
});
