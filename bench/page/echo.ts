import { fileURLToPath } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { sleep } from "../../base/index.js";
import { openSource, Publisher } from "../../publisher/index.js";
import { Relay } from "../../relay/index.js";
import { elementHandler, loadPage } from "../../src/page/index.js";
import { findChromium } from "../../tests/support/chromium.js";
import { Listener } from "../../watch/index.js";
import { type BenchContext, type Row, row } from "../harness.js";
import { EchoRoom } from "./echo-room.js";

const SPEECH = fileURLToPath(new URL("../../examples/audio/clean-speech.wav", import.meta.url));
const PAGE = `<!doctype html><title>echo</title><link rel="icon" href="data:,">
  <unsay-watch broadcast="agent"></unsay-watch><unsay-talk broadcast="caller"></unsay-talk>
  <script type="module" src="/unsay-elements.js"></script>`;
const FLAGS = [
  "--headless=new",
  "--no-sandbox",
  "--use-fake-ui-for-media-stream",
  "--autoplay-policy=no-user-gesture-required",
];
/** An echo canceller learns the room first. */
const LEARN_MS = 8000;
const START_MS = 60_000;
/** With less of the agent's voice, the level would be the machine's doing: 5 % are 0.2 dB. */
const PLAYED_SHARE = 0.95;

/** Parts of the browser's processing that are off. */
type Off = Partial<Record<"echoCancellation" | "noiseSuppression" | "autoGainControl", false>>;

/** Makes the page's microphone one without some of the browser's processing. */
const without = (off: Off): string => `{
  const { getUserMedia } = MediaDevices.prototype;
  MediaDevices.prototype.getUserMedia = function ({ audio }) {
    return getUserMedia.call(this, { audio: { ...audio, ...${JSON.stringify(off)} } });
  };
}`;

interface Heard {
  /** Level of the microphone's broadcast, in which the agent's voice is all there is, in decibels below full scale. */
  readonly levelDb: number;
  /** Share of the time in which the page played the agent. */
  readonly played: number;
}

/** The level of a broadcast from now on. */
class LevelMeter {
  #energy = 0;
  #samples = 0;

  readonly sink = {
    write: ([channel]: readonly Float32Array[]) => {
      for (const sample of channel ?? []) this.#energy += sample * sample;
      this.#samples += channel?.length ?? 0;
    },
    close: async () => {},
  };

  clear(): void {
    this.#energy = 0;
    this.#samples = 0;
  }

  get db(): number {
    return 10 * Math.log10(this.#energy / Math.max(1, this.#samples) + 1e-12);
  }
}

async function echoOf(room: EchoRoom, off: Off, seconds: number): Promise<Heard> {
  const assets = loadPage();
  const elements = elementHandler(() => assets);
  await using relay = new Relay({
    port: 0,
    handler: (request, response) => {
      if (!elements(request, response)) response.writeHead(200, { "Content-Type": "text/html" }).end(PAGE);
    },
  });
  await relay.listen();
  const url = `http://localhost:${relay.address.port}`;
  await using _agent = new Publisher({
    url,
    broadcast: "agent",
    source: await openSource({ file: SPEECH, loop: true }),
  });
  const browser = await chromium.launch({
    executablePath: findChromium(),
    // Muted, it would play into no device.
    ignoreDefaultArgs: ["--mute-audio"],
    args: FLAGS,
    env: { ...process.env, ...room.environment },
  });
  try {
    const page = await browser.newPage();
    await page.addInitScript(without(off));
    await page.goto(url);
    await page.evaluate("document.querySelector('unsay-watch').play()");
    await page.evaluate("document.querySelector('unsay-talk').talk()");
    await until(page, "['ready', 'talking'].includes(document.querySelector('unsay-talk').state)");
    const meter = new LevelMeter();
    await using _listener = new Listener({ url, broadcast: "caller", sink: meter.sink });
    await until(page, "document.querySelector('unsay-talk').state === 'talking'");
    await sleep(LEARN_MS);
    const playedMs = () => page.evaluate("document.querySelector('unsay-watch').stats.playedMs") as Promise<number>;
    const before = await playedMs();
    const began = performance.now();
    meter.clear();
    await sleep(seconds * 1000);
    const levelDb = meter.db;
    return { levelDb, played: ((await playedMs()) - before) / (performance.now() - began) };
  } finally {
    await browser.close();
  }
}

async function until(page: Page, condition: string): Promise<void> {
  await page.waitForFunction(condition, undefined, { timeout: START_MS, polling: 100 });
}

/** The agent's voice in the microphone of a page that plays it, without the browser's echo canceller and with it. */
export async function echo(_: Browser, { quick, log }: BenchContext): Promise<Row[]> {
  await using room = await EchoRoom.open();
  if (!room) {
    log("The echo needs PulseAudio, as a loudspeaker and a microphone that hears it: apt-get install pulseaudio.");
    return [row("echo of the agent", "taken out dB", null, { atLeast: 20 })];
  }
  const seconds = quick ? 8 : 30;
  const plain = await echoOf(
    room,
    { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    seconds,
  );
  const loud = await echoOf(room, { echoCancellation: false }, seconds);
  const cancelled = await echoOf(room, {}, seconds);
  const played = Math.min(plain.played, loud.played, cancelled.played);
  const isBusy = played < PLAYED_SHARE;
  if (isBusy) log("The page did not play all the time: the machine is too busy for this figure.");
  return [
    row("agent in the microphone, unprocessed", "dBFS", plain.levelDb),
    row("agent in the microphone, canceller off", "dBFS", loud.levelDb),
    row("agent in the microphone, canceller on", "dBFS", cancelled.levelDb),
    row("echo of the agent", "taken out dB", isBusy ? null : loud.levelDb - cancelled.levelDb, { atLeast: 20 }),
    row("agent in the page", "played share", played, { atLeast: PLAYED_SHARE }),
  ];
}
