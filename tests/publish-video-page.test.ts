import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { type AudioSource, openVideo, Publisher, type Speech } from "../publisher/index.js";
import { Relay } from "../relay/index.js";
import { pageHandler } from "../src/page/index.js";
import type { BrowserListenerStats } from "../watch/browser/browser-listener.js";
import { launchChromium } from "./support/chromium.js";
import { eventually } from "./support/stage.js";

/** Pictures in the clip, which is looped. */
const PICTURES = 72;
const FRAME_US = 1e6 / 12;

const clip = (name: string): string => join(import.meta.dirname, "fixtures", name);

const serve = pageHandler({ control: () => ({}), stats: () => ({}) });
const relay = new Relay({
  port: 0,
  handler: (request, response) => {
    if (!serve(request, response)) response.writeHead(404).end();
  },
});
let browser: Browser;
let origin = "";

beforeAll(async () => {
  // The MoQ package logs every stream to the console.
  for (const method of ["debug", "warn"] as const) vi.spyOn(console, method).mockImplementation(() => {});
  const [{ port }, launched] = await Promise.all([relay.listen(), launchChromium()]);
  browser = launched;
  origin = `http://127.0.0.1:${port}`;
}, 300_000);
afterAll(async () => {
  await browser?.close();
  await relay.close();
});

function tone(): AudioSource {
  let position = 0;
  return {
    name: "tone",
    channels: 1,
    async read() {
      return Float32Array.from({ length: 960 }, () => 0.3 * Math.sin((2 * Math.PI * 440 * position++) / 48_000));
    },
    async close() {},
  };
}

function stats(page: Page): Promise<BrowserListenerStats> {
  return page.evaluate("document.getElementById('watch').stats");
}

/** A picture on the canvas: its number in the clip, read from its pixels, and its media time. */
interface Shown {
  readonly number: number;
  readonly timestamp: number;
}

/** Every picture that was drawn since `watchCanvas`, one entry a change. */
function shown(page: Page): Promise<Shown[]> {
  return page.evaluate("shown");
}

/** Notes what is drawn, as it is drawn: a busy machine draws pictures late, and not each. */
async function watchCanvas(page: Page): Promise<void> {
  await page.evaluate(`{
    globalThis.shown = [];
    const watch = document.getElementById("watch");
    const { drawImage } = CanvasRenderingContext2D.prototype;
    CanvasRenderingContext2D.prototype.drawImage = function (picture, ...rest) {
      drawImage.call(this, picture, ...rest);
      if (this.canvas !== watch.canvas) return;
      const { timestamp } = picture;
      const { data } = this.getImageData(0, 30, 160, 1);
      let number = 0;
      for (let bit = 0; bit < 8; bit++) if (data[4 * (20 * bit + 10)] > 128) number += 2 ** bit;
      if (shown.at(-1)?.number === number) shown.pop();
      shown.push({ number, timestamp });
    };
  }`);
}

/** How many pictures of a loop later `b` comes than `a`, the shorter way round. */
function steps(a: number, b: number, loop = PICTURES): number {
  return ((((b - a + loop / 2) % loop) + loop) % loop) - loop / 2;
}

const numbersOf = (pictures: readonly Shown[]) => pictures.map(({ number }) => number);

/** From each picture to the next. */
function stepsOf(pictures: readonly Shown[], loop = PICTURES): number[] {
  return pictures.slice(1).map(({ number }, index) => steps(pictures[index]!.number, number, loop));
}

/** A busy machine may leave out a picture, never show one too early or twice. */
function expectForward(taken: readonly number[]): void {
  expect(Math.min(...taken)).toBeGreaterThan(0);
  expect(Math.max(...taken)).toBeLessThan(12);
}

/**
 * The picture of a cut: that of the sound there, whatever has moved both, or else by the media time of another. Between
 * two pictures, either.
 */
function numbersAt(to: number, speech: Speech | undefined, other: Shown): number[] {
  const { fromMs, lengthMs } = speech?.pieces.at(-1) ?? { fromMs: 0, lengthMs: 0 };
  const position = speech ? ((fromMs + lengthMs) * 1000) / FRAME_US : other.number + (to - other.timestamp) / FRAME_US;
  return [-0.01, 0.01].map((off) => (Math.floor(position + off) + PICTURES) % PICTURES);
}

async function open(page: Page, broadcast: string): Promise<void> {
  await page.goto(`${origin}/?broadcast=${broadcast}`);
  await watchCanvas(page);
  await page.click("#play");
}

async function growth(page: Page, from: number, by: number): Promise<void> {
  await eventually(async () => expect((await shown(page)).length).toBeGreaterThan(from + by));
}

/** The picture of a cut and those before it are stamped with the cut, within this much of each other. */
const WITHIN_US = 1000;

/** Waits until the picture of the latest cut stands. */
async function standing(page: Page, cut: number, expectOfCut: (picture: Shown) => void): Promise<Shown[]> {
  await eventually(async () => {
    const last = (await shown(page)).at(-1)!;
    expect(Math.abs(last.timestamp - cut)).toBeLessThan(WITHIN_US);
    expectOfCut(last);
  });
  return shown(page);
}

for (const withAudio of [true, false]) {
  const what = withAudio ? "a picture with sound" : "a picture without sound";
  test(`${what} advances, stands still where it was taken back, and goes on from there`, async () => {
    const name = withAudio ? "both" : "mute";
    const video = await openVideo({ file: clip("clip.ivf"), loop: true });
    const publisher = new Publisher({
      url: origin,
      broadcast: name,
      aheadMs: 2000,
      video,
      ...(withAudio ? { source: tone() } : { audio: false }),
    });
    const page = await browser.newPage();
    try {
      await open(page, name);
      await growth(page, 0, 18);
      for (let round = 1; round <= 2; round++) {
        const before = await shown(page);
        // A viewer that joins in the middle of a group may see some of it rush by.
        const running = before.slice(-15);
        expectForward(stepsOf(running));
        const { to, rewound, speeches } = await publisher.interrupt();
        expect(rewound).toBe(true);
        const wanted = numbersAt(to, speeches[0]?.speech, running.at(-1)!);
        // Where a busy machine leaves holes in the sound, the picture may be the next one.
        const isWanted = ({ number }: Shown) => wanted.some((one) => Math.abs(steps(one, number)) <= 1);
        await standing(page, to, (picture) => expect(picture).toSatisfy(isWanted));
        // It draws pictures late, too: one that was on its way when the news came may still be replaced.
        await page.waitForTimeout(1000);
        const halted = await standing(page, to, (picture) => expect(picture).toSatisfy(isWanted));
        const since = halted.slice(before.length - 1);
        // What was on the screen already when the news came is replaced by the picture of the cut: no other comes between.
        const taken = stepsOf(since);
        expectForward([1, ...taken.slice(0, -1)]);
        expect(taken.at(-1) ?? 1).not.toBe(0);
        await page.waitForTimeout(500);
        expect(numbersOf(await shown(page))).toEqual(numbersOf(halted));

        // Only speeches have handles.
        expect(publisher.resume() !== undefined).toBe(withAudio);
        await growth(page, halted.length, 20);
        expectForward(stepsOf((await shown(page)).slice(halted.length - 1)));
      }
      const { staleMs, malformed, playedMs } = await stats(page);
      expect({ staleMs, malformed }).toEqual({ staleMs: 0, malformed: 0 });
      expect(playedMs > 1000).toBe(withAudio);
    } finally {
      await page.close();
      await publisher.close();
    }
  });
}

test.concurrent.each(["clip-vp9.ivf", "clip-av1.ivf"])("the pictures of %s are shown too", async (file) => {
  const broadcast = file.replace(".ivf", "");
  const video = await openVideo({ file: clip(file), loop: true });
  const publisher = new Publisher({ url: origin, broadcast, source: tone(), video });
  const page = await browser.newPage();
  try {
    await open(page, broadcast);
    await growth(page, 0, 30);
    expectForward(stepsOf((await shown(page)).slice(-20), 24));
  } finally {
    await page.close();
    await publisher.close();
  }
});
