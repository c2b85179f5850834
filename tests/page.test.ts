import { createServer, connect as dial } from "node:net";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type AudioSource, openSource, Publisher } from "../publisher/index.js";
import { Relay, type RelayOptions } from "../relay/index.js";
import { pageHandler } from "../src/page/index.js";
import type { BrowserListenerStats } from "../watch/browser/browser-listener.js";
import { failAudio, launchChromium } from "./support/chromium.js";
import { Stage, urlOf } from "./support/stage.js";

/** One frequency per utterance, none a harmonic of another, so that a sample identifies its utterance. */
const TONES = [437, 711, 1013, 1289, 1627] as const;
const SAMPLE_RATE = 48_000;
const WINDOW = 960;
/** Bounds a fault, not a busy machine. */
const LIMIT_MS = 120_000;

/** A tone without end: how much of it has been rendered when it is taken back does not matter. */
function tone(frequency: number): AudioSource {
  let position = 0;
  return {
    name: `${frequency} Hz`,
    channels: 1,
    async read() {
      return Float32Array.from(
        { length: 960 },
        () => 0.3 * Math.sin((2 * Math.PI * frequency * position++) / SAMPLE_RATE),
      );
    },
    async close() {},
  };
}

let said = 0;
let publisher: Publisher;
const relay = new Relay({
  port: 0,
  handler: (request, response) => {
    if (!serve(request, response)) response.writeHead(404).end();
  },
});
const serve = pageHandler({
  async control(request) {
    if (request.op === "set") {
      publisher.set(request.denoise);
      return {};
    }
    if (request.op === "resume") return {};
    const interruption = publisher.interrupt();
    publisher.say(tone(TONES[++said % TONES.length]!));
    return interruption;
  },
  stats: () => {
    const { strength, bypass } = publisher.knobs;
    return { ...publisher.stats(), denoise: { strength, bypass }, spoken: { isInterrupted: false, pieces: [] } };
  },
});
let browser: Browser;
let origin = "";

beforeAll(async () => {
  const [{ port }, launched] = await Promise.all([relay.listen(), launchChromium()]);
  browser = launched;
  origin = `http://localhost:${port}`;
  publisher = new Publisher({ url: origin, broadcast: "demo", source: tone(TONES[0]), aheadMs: 2000 });
}, 300_000);
afterAll(async () => {
  await browser?.close();
  await publisher?.close();
  await relay.close();
});

/** A page that plays; it closes with the stage. */
async function open(stage: Stage, query = ""): Promise<Page> {
  const page = stage.use(await browser.newPage());
  await page.goto(`${origin}/${query}`);
  await page.click("#play");
  return page;
}

// Page code is text: what a bundler adds to a function does not exist over there.
function stats(page: Page): Promise<BrowserListenerStats> {
  return page.evaluate("document.getElementById('watch').stats");
}

async function until(
  page: Page,
  what: string,
  condition: (now: BrowserListenerStats) => boolean,
): Promise<BrowserListenerStats> {
  const deadline = Date.now() + LIMIT_MS;
  for (;;) {
    const now = await stats(page);
    if (now && condition(now)) return now;
    if (Date.now() > deadline) throw new Error(`The page never came to ${what}: ${JSON.stringify(now)}.`);
    await page.waitForTimeout(50);
  }
}

/** Records what goes to the speakers from now on. */
async function record(page: Page): Promise<void> {
  await page.evaluate(`{
    const { audio } = document.getElementById("watch");
    const recorder = audio.context.createScriptProcessor(1024, 1, 1);
    globalThis.recorded = [];
    recorder.onaudioprocess = ({ inputBuffer }) => recorded.push(inputBuffer.getChannelData(0).slice());
    audio.connect(recorder);
    recorder.connect(audio.context.destination);
    globalThis.recorder = recorder;
  }`);
}

async function recorded(page: Page): Promise<Float32Array> {
  const blocks: number[][] = await page.evaluate("recorded.map((block) => Array.from(block))");
  return Float32Array.from(blocks.flat());
}

/** Amplitude of one frequency in a window (Goertzel, by its definition as a correlation). */
function amplitude(samples: Float32Array, frequency: number): number {
  let cosine = 0;
  let sine = 0;
  samples.forEach((sample, index) => {
    // A Hann window keeps the other tones out of this one's bin.
    const weighted = sample * (1 - Math.cos((2 * Math.PI * index) / samples.length));
    cosine += weighted * Math.cos((2 * Math.PI * frequency * index) / SAMPLE_RATE);
    sine += weighted * Math.sin((2 * Math.PI * frequency * index) / SAMPLE_RATE);
  });
  return (2 * Math.hypot(cosine, sine)) / samples.length;
}

/** Which tone each 20 ms of a recording holds, as an index; undefined for silence and for neither. */
function tonesOf(samples: Float32Array): (number | undefined)[] {
  return Array.from({ length: Math.floor(samples.length / WINDOW) }, (_, index) => {
    const window = samples.subarray(index * WINDOW, (index + 1) * WINDOW);
    const amplitudes = TONES.map((frequency) => amplitude(window, frequency));
    const loudest = amplitudes.indexOf(Math.max(...amplitudes));
    return amplitudes[loudest]! > 0.05 ? loudest : undefined;
  });
}

test("a click on play starts decoded audio, over QUIC, and the listener reports what it plays", async () => {
  await using stage = new Stage();
  const page = await open(stage);
  const playing = await until(page, "playing for a second", ({ playedMs }) => playedMs > 1000);
  expect(playing.backend).toBe("webtransport");
  expect(playing.levelDb).toBeGreaterThan(-20);
  expect(playing.malformed).toBe(0);
  await record(page);
  const { playedMs } = await stats(page);
  await until(page, "a recording of it", (now) => now.playedMs > playedMs + 1000);
  const heard = async () => tonesOf(await recorded(page)).filter((each) => each !== undefined);
  await expect.poll(async () => (await heard()).length).toBeGreaterThan(36);
  expect(new Set(await heard())).toEqual(new Set([said % TONES.length]));
  expect((await stats(page)).reports).toBeGreaterThan(5);
  expect(publisher.stats().listeners).toBeGreaterThan(0);
  await expect.poll(() => page.textContent("#status")).toBe("Playing");
});

test("every interrupt takes back the lead, and no sample of it is heard after the new audio began", async () => {
  await using stage = new Stage();
  const page = await open(stage);
  await until(page, "a buffer sent ahead", ({ playedMs }) => playedMs > 500);
  const { discontinuities } = await stats(page);
  const first = said;
  await record(page);
  for (let round = 1; round <= 4; round++) {
    await page.waitForTimeout(400);
    await page.click("#interrupt[data-mode=interrupt]");
    const { playedMs } = await until(page, "the rewind", (now) => now.discontinuities >= discontinuities + round);
    await until(page, "the new audio", (now) => now.playedMs > playedMs + 100);
  }
  await page.waitForTimeout(1000);
  const now = await stats(page);
  expect(now.staleMs).toBe(0);
  expect(now.discontinuities).toBe(discontinuities + 4);
  expect(await page.textContent("#notice")).toMatch(/^Taken back\. Heard until \d+:\d\d\.\d\d\.$/);

  const heard = tonesOf(await recorded(page)).filter((each) => each !== undefined);
  const turns = heard.filter((each, index) => each !== heard[index - 1]);
  expect(turns).toEqual([0, 1, 2, 3, 4].map((round) => (first + round) % TONES.length));
});

test("a page whose audio is suspended shows that, and is at the right position as soon as it continues", async () => {
  await using stage = new Stage();
  const page = await open(stage);
  await until(page, "playing", ({ playedMs }) => playedMs > 1000);
  await page.evaluate("document.getElementById('watch').audio.context.suspend()");
  const still = await until(page, "silence", ({ playing }) => !playing);
  expect(still.state).toBe("ready");
  const { reports } = still;
  await until(page, "reports that go on", (now) => now.reports > reports + 10);
  expect((await stats(page)).playheadUs).toBe(still.playheadUs);
  // An earlier page's session may end late, and counts until then.
  await expect.poll(() => publisher.stats().listeners).toBe(1);
  // The publisher knows that what it takes back was not heard.
  const { heardUntil } = await publisher.interrupt();
  expect(Math.abs(heardUntil - still.playheadUs!)).toBeLessThan(150_000);
  publisher.say(tone(TONES[++said % TONES.length]!));
  await page.waitForTimeout(1500);
  expect((await stats(page)).state).toBe("ready");
  await record(page);
  const { jumps, playedMs } = await stats(page);
  await page.evaluate("document.getElementById('watch').audio.context.resume()");
  const isAgain = (now: BrowserListenerStats) => now.playing && now.playedMs > playedMs && now.jumps > jumps;
  const again = await until(page, "playing again", isAgain);
  expect(again).toMatchObject({ state: "playing", jumps: jumps + 1 });
  await until(page, "some of the new audio", (now) => now.playedMs > again.playedMs + 900);
  const heard = async () => tonesOf(await recorded(page)).filter((each) => each !== undefined);
  await expect.poll(async () => (await heard()).length).toBeGreaterThan(30);
  expect(new Set(await heard())).toEqual(new Set([said % TONES.length]));
  expect((await stats(page)).staleMs).toBe(0);
});

test("a page plays on by itself when its device for audio fails", async () => {
  await using stage = new Stage();
  const page = await open(stage);
  await until(page, "playing", ({ playedMs }) => playedMs > 300);
  await page.evaluate(`{
    globalThis.failures = 0;
    document.getElementById("watch").audio.context.addEventListener("error", () => failures++);
  }`);
  for (let round = 1; round <= 2; round++) {
    const failures = await page.evaluate<number>("failures");
    await failAudio(browser);
    await expect.poll(() => page.evaluate<number>("failures")).toBeGreaterThan(failures);
    const { playedMs } = await stats(page);
    await until(page, "playing again", (now) => now.state === "playing" && now.playedMs > playedMs + 500);
  }
  expect((await stats(page)).staleMs).toBe(0);
});

test("the switch and the slider set the publisher's knobs, and a page that joins later shows their state", async () => {
  await using stage = new Stage();
  const page = await open(stage);
  await page.click("text=Raw");
  await expect.poll(() => publisher.knobs.bypass).toBe(true);
  expect(await page.isDisabled("#strength")).toBe(true);
  await page.click("text=Denoised");
  await expect.poll(() => publisher.knobs.bypass).toBe(false);
  await page.fill("#strength", "40");
  await expect.poll(() => publisher.knobs.strength).toBe(0.4);
  expect(await page.textContent("#strength-value")).toBe("40 %");
  // Both at once, as with two fingers.
  await page.evaluate(`for (const [id, value] of [["strength", 30], ["limit", 12]]) {
    document.getElementById(id).value = value;
    document.getElementById(id).dispatchEvent(new Event("input"));
  }`);
  await expect.poll(() => [publisher.knobs.strength, publisher.knobs.attenuationLimitDb]).toEqual([0.3, 12]);
  await page.close();
  const later = await open(stage);
  await expect.poll(() => later.inputValue("#strength")).toBe("30");
});

test.concurrent("the page plays over WebSocket where UDP is swallowed", async ({ expect }) => {
  await using stage = new Stage();
  const { port } = relay.address;
  const udp = await stage.link(relay, { delayMs: 0, jitterMs: 0, loss: 1, blackhole: true }, 1);
  const tcp = createServer((socket) => {
    const onward = dial(port, "127.0.0.1");
    socket.pipe(onward).pipe(socket);
    socket.on("error", () => onward.destroy());
    onward.on("error", () => socket.destroy());
  });
  await new Promise<void>((resolve) => tcp.listen(udp.port, "127.0.0.1", resolve));
  stage.use(tcp);
  const page = await open(stage, `?url=${encodeURIComponent(`http://127.0.0.1:${udp.port}/`)}`);
  const isHeard = ({ playedMs, levelDb }: BrowserListenerStats) => playedMs > 1000 && levelDb > -20;
  const playing = await until(page, "a second of audible playing", isHeard);
  expect(playing.backend).toBe("qmux");
  expect(udp.stats().up.packetsIn).toBeGreaterThan(0);
});

test.concurrent("the page plays on by itself when its relay has been away, also hidden with its timers at one a minute", async ({
  expect,
}) => {
  await using stage = new Stage();
  const handler: RelayOptions["handler"] = (request, response) => void serve(request, response);
  const first = await stage.relay({ handler });
  const url = urlOf(first);
  stage.publish(first, { broadcast: "again", source: tone(TONES[0]) });
  const page = await open(stage, `?broadcast=again&url=${encodeURIComponent(url)}`);
  await until(page, "playing", ({ playedMs }) => playedMs > 500);
  await page.evaluate(`for (const name of ["setTimeout", "setInterval"]) {
    const start = globalThis[name];
    globalThis[name] = (task, ms, ...rest) => start(task, Math.max(ms ?? 0, 60_000), ...rest);
  }`);
  await first.close();
  await until(page, "noticing", ({ backend }) => backend === undefined);
  const { playedMs } = await stats(page);
  await stage.relay({ port: first.address.port, handler });
  const isAgain = (now: BrowserListenerStats) => now.playedMs > playedMs + 1000 && now.state === "playing";
  const playing = await until(page, "playing again", isAgain);
  expect(playing.staleMs).toBe(0);
});

test.concurrent("the page shows a voice while one is audible, none in pauses, and marks where it is unknown", async ({
  expect,
}) => {
  await using stage = new Stage();
  const unknown = await open(stage);
  await until(unknown, "playing", ({ playedMs }) => playedMs > 500);
  expect((await stats(unknown)).voice).toBeUndefined();
  expect(await unknown.textContent("#voice")).toBe("Voice: unknown");
  await unknown.close();

  const file = fileURLToPath(new URL("../examples/audio/clean-speech.wav", import.meta.url));
  const recording = await openSource({ file, loop: true });
  let read = 0;
  // Two seconds of speech, two of silence, for ever.
  const source: AudioSource = {
    name: "now and then",
    channels: 1,
    async read() {
      if (Math.floor(read / (2 * SAMPLE_RATE)) % 2 === 0) {
        const part = (await recording.read())?.slice();
        read += part?.length ?? 0;
        return part;
      }
      read += WINDOW;
      return new Float32Array(WINDOW);
    },
    close: () => recording.close(),
  };
  const model = fileURLToPath(new URL("../models/unsay-denoise.onnx", import.meta.url));
  stage.publish(origin, { broadcast: "spoken", source, model, aheadMs: 3000 });
  const page = await open(stage, "?broadcast=spoken");
  // Where the machine is too slow for the model, the voice is unknown for a while.
  const shows = (text: string) => expect.poll(() => page.textContent("#voice")).toBe(text);
  await shows("Voice: yes");
  await expect.poll(() => page.getAttribute("#watch", "speaking")).toBe("");
  // Not the stop between two words.
  const isPause = async () => {
    const { levelDb, voice } = await stats(page);
    return levelDb < -60 && voice !== undefined && voice < 0.1;
  };
  await expect.poll(isPause).toBe(true);
  await shows("Voice: no");
  expect((await stats(page)).malformed).toBe(0);
}, 200_000);

test.concurrent("a page whose broadcast has no publisher shows that", async ({ expect }) => {
  await using stage = new Stage();
  const page = stage.use(await browser.newPage());
  await page.clock.install();
  await page.goto(`${origin}/?broadcast=missing`);
  await page.click("#play");
  await until(page, "connecting", ({ backend }) => backend !== undefined);
  await page.clock.fastForward(10_000);
  await expect.poll(() => page.textContent("#notice")).toContain("No publisher of missing.hang");
  expect((await stats(page)).playedMs).toBe(0);
});
