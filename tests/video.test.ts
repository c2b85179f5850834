import * as Moq from "@kixelated/moq";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, test } from "vitest";
import { type Microseconds, microseconds } from "../base/index.js";
import { encodeCatalog, encodeLegacyFrame, Timeline } from "../container/index.js";
import { OpusEncoder } from "../publisher/index.js";
import { Relay } from "../relay/index.js";
import { pageHandler } from "../src/page/index.js";
import { connect, toWebTransport } from "../transport/index.js";
import type { BrowserListenerStats } from "../watch/browser/browser-listener.js";
import { launchChromium } from "./support/chromium.js";

/** What the picture shows in each epoch. */
const COLOURS = ["red", "lime", "blue"] as const;
const FRAME_US = 40_000;
const GROUP_FRAMES = 10;
const AUDIO_US = 20_000;
const AHEAD_US = 2_000_000;
/** A cut lies on a sample, or half of one beside it. */
const SAMPLE_US = 21;

const relay = new Relay({
  port: 0,
  handler: (request, response) => {
    if (!serve(request, response)) response.writeHead(404).end();
  },
});
const serve = pageHandler({ control: () => ({}), stats: () => ({}) });
let browser: Browser;
let origin = "";
/** For each colour, the VP8 frames of one group. */
let groups: Uint8Array[][] = [];

beforeAll(async () => {
  const [{ port }, launched] = await Promise.all([relay.listen(), launchChromium()]);
  browser = launched;
  origin = `http://127.0.0.1:${port}`;
  const page = await browser.newPage();
  await page.goto(origin);
  const encoded: string[][] = await page.evaluate(`(async () => {
    const groups = [];
    for (const colour of ${JSON.stringify(COLOURS)}) {
      const frames = [];
      const encoder = new VideoEncoder({
        output: (chunk) => {
          const bytes = new Uint8Array(chunk.byteLength);
          chunk.copyTo(bytes);
          frames.push(btoa(String.fromCharCode(...bytes)));
        },
        error: (error) => { throw error; },
      });
      encoder.configure({ codec: "vp8", width: 160, height: 96, bitrate: 100_000 });
      const canvas = new OffscreenCanvas(160, 96);
      const context = canvas.getContext("2d");
      for (let index = 0; index < ${GROUP_FRAMES}; index++) {
        context.fillStyle = colour;
        context.fillRect(0, 0, 160, 96);
        const frame = new VideoFrame(canvas, { timestamp: index * ${FRAME_US} });
        encoder.encode(frame, { keyFrame: index === 0 });
        frame.close();
      }
      await encoder.flush();
      encoder.close();
      groups.push(frames);
    }
    return groups;
  })()`);
  groups = encoded.map((frames) => frames.map((frame) => new Uint8Array(Buffer.from(frame, "base64"))));
  await page.close();
}, 300_000);
afterAll(async () => {
  await browser?.close();
  await relay.close();
});

/** A publisher of a coloured picture, with a tone beside it or without, sent two seconds ahead. */
async function publish(name: string, withAudio: boolean) {
  const session = await connect(origin);
  const connection = await Moq.Connection.connect(new URL(origin), { transport: toWebTransport(session) });
  const broadcast = new Moq.Broadcast.Producer();
  const catalog = broadcast.createTrack("catalog.json");
  const info = { timescale: Moq.Time.Timescale.MICRO, latencyMax: 10_000 };
  const video = broadcast.createTrack("video", info);
  const audio = broadcast.createTrack("audio", info);
  const container = { kind: "legacy" };
  const bytes = encodeCatalog({
    video: { renditions: { video: { codec: "vp8", container, codedWidth: 160, codedHeight: 96 } } },
    ...(withAudio && {
      audio: { renditions: { audio: { codec: "opus", container, sampleRate: 48_000, numberOfChannels: 1 } } },
    }),
  });
  catalog.writeFrame({ payload: bytes, timestamp: Moq.Time.Timestamp.now() });
  connection.publish(Moq.Path.from(name), broadcast);

  const encoder = await OpusEncoder.create({ channels: 1 });
  const tone = Float32Array.from({ length: 960 }, (_, index) => 0.3 * Math.sin((2 * Math.PI * 500 * index) / 48_000));
  const packet = encoder.encode(tone).slice();
  const started = performance.now();
  const timelines = { video: new Timeline(), audio: new Timeline() };
  const next = { video: 0, audio: 0 };
  let epoch = 0;

  const write = (
    track: Moq.Track.Producer,
    timeline: Timeline,
    at: number,
    step: number,
    payloads: Uint8Array[],
  ): void => {
    const group = new Moq.Group.Producer(timeline.next(microseconds(at)).sequence);
    payloads.forEach((each, index) => {
      const timestamp = microseconds(at + index * step);
      const payload = encodeLegacyFrame({ timestamp, payload: each });
      group.writeFrame({ payload, timestamp: Moq.Time.Timestamp.fromMicros(timestamp) });
    });
    group.close();
    track.writeGroup(group);
  };
  const tick = (): void => {
    const frontier = (performance.now() - started) * 1e3 + AHEAD_US;
    for (; next.video < frontier; next.video += GROUP_FRAMES * FRAME_US) {
      write(video, timelines.video, next.video, FRAME_US, groups[epoch]!);
    }
    for (; withAudio && next.audio < frontier; next.audio += AUDIO_US) {
      write(audio, timelines.audio, next.audio, AUDIO_US, [packet]);
    }
  };
  tick();
  const timer = setInterval(tick, 20);
  return {
    /** Takes back everything from `to` on and goes on there in the next colour. */
    rewind(to: Microseconds) {
      epoch++;
      for (const kind of ["video", "audio"] as const) {
        if (kind === "audio" && !withAudio) continue;
        timelines[kind].rewind(to);
        next[kind] = to;
      }
      tick();
    },
    close() {
      clearInterval(timer);
      connection.close();
      session.close();
    },
  };
}

function stats(page: Page): Promise<BrowserListenerStats> {
  return page.evaluate("document.getElementById('watch').stats");
}

/** The colours that were on the canvas, one entry per change; `none` is an empty canvas. */
function shown(page: Page): Promise<string[]> {
  return page.evaluate("shown");
}

for (const withAudio of [false, true]) {
  const what = withAudio ? "sound and picture" : "a picture without sound";
  test.concurrent(`a rewind of ${what} holds the last picture until the new one is due, and never shows the old one again`, async ({
    expect,
  }) => {
    const name = withAudio ? "both" : "mute";
    const publisher = await publish(`${name}.hang`, withAudio);
    const page = await browser.newPage();
    try {
      await page.goto(`${origin}/?broadcast=${name}`);
      await page.evaluate(`{
        globalThis.shown = [];
        globalThis.flushes = [];
        const { canvas } = document.getElementById("watch");
        document.getElementById("watch").addEventListener("rewind", ({ detail }) => flushes.push(detail.from));
        const look = () => {
          requestAnimationFrame(look);
          const [red, green, blue, alpha] = canvas.getContext("2d").getImageData(80, 48, 1, 1).data;
          const loudest = Math.max(red, green, blue);
          const colour = alpha === 0 ? "none" : loudest < 128 ? "dark" : loudest === red ? "red" : loudest === green ? "lime" : "blue";
          if (shown.at(-1) !== colour) shown.push(colour);
        };
        look();
      }`);
      await page.click("#play");
      await expect.poll(async () => (await stats(page))?.imagesShown).toBeGreaterThan(20);
      const cuts: number[] = [];
      for (let round = 1; round < COLOURS.length; round++) {
        await page.waitForTimeout(500);
        const cut = microseconds((await stats(page)).playheadUs! + 60_000);
        cuts.push(cut);
        publisher.rewind(cut);
        await expect.poll(async () => (await shown(page)).at(-1)).toBe(COLOURS[round]);
      }
      // 25 pictures a second were sent; where a busy machine draws too few of them, the next stretch counts.
      let from = await stats(page);
      const picturesASecond = async () => {
        const now = await stats(page);
        const seconds = (now.playheadUs! - from.playheadUs!) / 1e6;
        if (seconds < 1) return 0;
        const rate = (now.imagesShown - from.imagesShown) / seconds;
        from = now;
        return rate;
      };
      await expect.poll(picturesASecond).toBeGreaterThan(10);
      const isHeard = (ms: number) => (withAudio ? ms > 2000 : ms === 0);
      await expect.poll(async () => isHeard((await stats(page)).playedMs)).toBe(true);
      const after = await stats(page);
      // On a busy machine, later groups of a rewind may overtake its first one: that counts once more.
      expect(after.discontinuities).toBeGreaterThanOrEqual(cuts.length);
      // Nothing that the publisher did not take back was flushed.
      const flushes: number[] = await page.evaluate("flushes");
      expect(Math.min(...flushes, ...cuts)).toBeGreaterThanOrEqual(cuts[0]! - SAMPLE_US);
      expect(after.staleMs).toBe(0);
      expect(await shown(page)).toEqual(["none", ...COLOURS]);
    } finally {
      await page.close();
      publisher.close();
    }
  });
}
