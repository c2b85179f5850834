import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import type * as Moq from "@kixelated/moq";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { type AudioSource, Publisher } from "../publisher/index.js";
import { Relay } from "../relay/index.js";
import { connect, toWebTransport } from "../transport/index.js";
import { launchChromium } from "./support/chromium.js";
import { amplitude, endlessSine } from "./support/signal.js";
import { stockPlayerHandler } from "./support/stock-player.js";

/** 20 ms. */
const WINDOW = 960;
/** Longest wait for one thing: it bounds a fault. A starved machine makes a player that holds little fall silent for long. */
const LIMIT_MS = 120_000;
/** Longest wait for a test in the browser, which waits for several things. */
const BROWSER_MS = 150_000;

const cleanups: (() => unknown)[] = [];
let relay: Relay;
let origin = "";

beforeAll(async () => {
  // The MoQ package logs every stream to the console.
  for (const method of ["debug", "info", "warn", "error"] as const)
    vi.spyOn(console, method).mockImplementation(() => {});
  // Node has had one of its own since version 22; the stock client dials with what it finds there.
  vi.stubGlobal("WebSocket", WebSocket);
  const handler = await stockPlayerHandler();
  relay = new Relay({ port: 0, handler });
  // By address: a browser's QUIC tries only the first address of a name, and ours listens on IPv4.
  origin = `http://127.0.0.1:${(await relay.listen()).port}`;
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});
afterAll(async () => {
  await relay?.close();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

describe("stock clients in Node", () => {
  type Client = typeof Moq;
  type Version = "0.3.4" | "0.2.8";
  const clients = new Map<Version, Client>();

  beforeAll(async () => {
    const require = createRequire(import.meta.url);
    const entries: Record<Version, string> = {
      "0.3.4": require.resolve("@kixelated/moq"),
      // The one that the stock player brings along.
      "0.2.8": createRequire(require.resolve("@moq/watch")).resolve("@moq/net"),
    };
    for (const [version, entry] of Object.entries(entries)) {
      const { name, version: installed } = JSON.parse(readFileSync(join(dirname(entry), "package.json"), "utf8"));
      expect([name, installed]).toEqual(["@moq/net", version]);
      clients.set(version as Version, await import(pathToFileURL(entry).href));
    }
  });

  /** As its users would over the WebSocket; over QUIC with a W3C session on which no version was agreed. */
  async function dial(version: Version, carrier: "qmux" | "quic"): Promise<Moq.Connection.Established> {
    const { Connection } = clients.get(version)!;
    const url = new URL(origin);
    if (carrier === "qmux") {
      const connection = await Connection.connect(url);
      cleanups.push(() => connection.close());
      return connection;
    }
    const session = await connect(url, { backends: ["quic"], protocols: [] });
    cleanups.push(() => session.close());
    return Connection.connect(url, { transport: toWebTransport(session) });
  }

  test.each([
    // Publisher and watcher: package version, carrier, and what they agree on with the relay.
    ["0.3.4", "qmux", "moq-lite-05", "0.3.4", "qmux", "moq-lite-05"],
    ["0.3.4", "qmux", "moq-lite-05", "0.3.4", "quic", "moq-lite-02"],
    ["0.3.4", "quic", "moq-lite-02", "0.3.4", "qmux", "moq-lite-05"],
    ["0.3.4", "quic", "moq-lite-02", "0.3.4", "quic", "moq-lite-02"],
    ["0.2.8", "qmux", "moq-lite-05", "0.2.8", "qmux", "moq-lite-05"],
    ["0.2.8", "qmux", "moq-lite-05", "0.3.4", "qmux", "moq-lite-05"],
    ["0.3.4", "qmux", "moq-lite-05", "0.2.8", "qmux", "moq-lite-05"],
    ["0.2.8", "qmux", "moq-lite-05", "0.3.4", "quic", "moq-lite-02"],
    ["0.3.4", "quic", "moq-lite-02", "0.2.8", "qmux", "moq-lite-05"],
    ["0.2.8", "quic", "moq-lite-02", "0.2.8", "qmux", "moq-lite-05"],
    ["0.2.8", "qmux", "moq-lite-05", "0.2.8", "quic", "moq-lite-02"],
  ] as const)(
    "%s over %s (%s) publishes and %s over %s (%s) watches",
    async (from, carrier, spoken, to, toCarrier, toSpoken) => {
      const { Broadcast, Group, Path, Time } = clients.get(from)!;
      const publisher = await dial(from, carrier);
      const path = Path.from(`stock/${from}/${carrier}/${to}/${toCarrier}.hang`);
      const broadcast = new Broadcast.Producer();
      const track = broadcast.createTrack("audio", { timescale: Time.Timescale.MICRO });
      // At once: the stock publisher misses a broadcast that is added while it answers the first announce request.
      publisher.publish(path, broadcast);
      const watcher = await dial(to, toCarrier);
      expect([publisher.version, watcher.version]).toEqual([spoken, toSpoken]);

      const found = watcher.announcedBroadcast(path);
      cleanups.push(() => found.close());
      await expect.poll(() => found.active.peek()).toBeDefined();
      const subscriber = found.active.peek()!.subscribe("audio");
      await expect.poll(() => track.used.peek()).toBe(true);
      const write = (sequence: number): void => {
        const group = new Group.Producer(sequence);
        track.writeGroup(group);
        for (const index of [0, 1]) {
          const payload = new Uint8Array(200 + sequence).fill(sequence);
          group.writeFrame({ payload, timestamp: Time.Timestamp.fromMicros(1e6 + sequence * 40_000 + index * 20_000) });
        }
        group.close();
      };
      const received = new Map<number, number[]>();
      const read = async (): Promise<void> => {
        const group = await subscriber.recvGroup();
        if (group === undefined) throw new Error(`The track ended after ${received.size} groups.`);
        const times: number[] = [];
        for (let frame = await group.readFrame(); frame; frame = await group.readFrame()) {
          expect([frame.payload.length, frame.payload[0]]).toEqual([200 + group.sequence, group.sequence]);
          times.push(frame.timestamp.as(Time.Timescale.MICRO));
        }
        received.set(group.sequence, times);
      };
      // A subscription begins with the first group that comes, and of a burst the newest is sent first.
      write(0);
      await read();
      const groups = 50;
      for (let sequence = 1; sequence < groups; sequence++) write(sequence);
      while (received.size < groups) await read();
      expect([...received.keys()].sort((a, b) => a - b)).toEqual(Array.from({ length: groups }, (_, i) => i));
      for (const [sequence, times] of received) {
        // Version 02 has no timestamps: the relay makes them up for a watcher of a later version.
        const isKept = spoken === "moq-lite-05" && toSpoken === "moq-lite-05";
        const sent = [1e6 + sequence * 40_000, 1e6 + sequence * 40_000 + 20_000];
        expect(times).toEqual(isKept ? sent : [expect.any(Number), expect.any(Number)]);
      }

      track.close();
      // A client of version 02 waits for `closed` of a stream it does not read, which the adapter settles only on a read.
      const next = toSpoken === "moq-lite-05" ? await subscriber.recvGroup() : undefined;
      expect(next).toBeUndefined();
      broadcast.close();
      await expect.poll(() => found.active.peek()).toBeUndefined();
    },
  );
});

describe("the stock player in Chromium", () => {
  /** One frequency per utterance, none a harmonic of another, so that a sample identifies its utterance. */
  const TONES = [437, 711, 1013] as const;
  let browser: Browser;
  let said = 0;

  beforeAll(async () => {
    browser = await launchChromium();
  }, 300_000);
  afterAll(() => browser?.close());

  /** What went to the speakers of one page: which tone each 20 ms hold; undefined for silence and for neither. */
  class Ear {
    readonly tones: (number | undefined)[] = [];
    readonly #page: Page;
    #rest: number[] = [];

    constructor(page: Page) {
      this.#page = page;
    }

    /** Listens until a tone was heard for 300 ms from now on; answers what was heard meanwhile. */
    async until(index: number): Promise<readonly (number | undefined)[]> {
      const from = this.tones.length;
      const deadline = Date.now() + LIMIT_MS;
      for (;;) {
        const samples = [...this.#rest, ...((await this.#page.evaluate("player.take()")) as number[])];
        while (samples.length >= WINDOW) this.tones.push(this.#classify(Float32Array.from(samples.splice(0, WINDOW))));
        this.#rest = samples;
        const heard = this.tones.slice(from);
        if (heard.filter((each) => each === index).length >= 15) return heard;
        if (Date.now() > deadline)
          throw new Error(`${TONES[index]} Hz was not heard: ${heard.map((t) => t ?? ".").join("")}`);
        await this.#page.waitForTimeout(100);
      }
    }

    #classify(window: Float32Array): number | undefined {
      const amplitudes = TONES.map((frequency) => amplitude(window, frequency));
      const loudest = Math.max(...amplitudes);
      return loudest > 0.1 ? amplitudes.indexOf(loudest) : undefined;
    }
  }

  /** Takes back what was sent ahead, as soon as there is such; a loaded machine may be behind. Then says the reply. */
  async function interrupt(publisher: Publisher, reply: AudioSource, pauseMs = 0): Promise<void> {
    const deadline = Date.now() + LIMIT_MS;
    while (publisher.stats().leadMs < 300) {
      if (Date.now() > deadline) throw new Error("The publisher never was ahead.");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const interruption = publisher.interrupt();
    if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    publisher.say(reply);
    expect(await interruption).toMatchObject({ rewound: true });
  }

  async function open(
    rewindBy: "group" | "track",
    query: string,
  ): Promise<{ publisher: Publisher; page: Page; ear: Ear }> {
    const broadcast = `said-${said++}`;
    const publisher = new Publisher({
      url: origin,
      broadcast,
      source: endlessSine(TONES[0]!),
      rewindBy,
      aheadMs: 1000,
    });
    cleanups.push(() => publisher.close());
    const page = await browser.newPage();
    cleanups.push(() => page.close());
    await page.goto(`${origin}/?name=${broadcast}.hang&${query}`);
    return { publisher, page, ear: new Ear(page) };
  }

  const track = (page: Page): Promise<unknown> => page.evaluate("player.element.audio.source.out.track.peek()");

  test.each([
    ["QUIC", "", "moq-lite-02"],
    ["a WebSocket", "carrier=websocket", "moq-lite-05"],
  ])(
    "plays a broadcast of fresh tracks over %s, before and after interrupts",
    async (_, query, version) => {
      const { publisher, page, ear } = await open("track", query);
      await ear.until(0);
      expect(await page.evaluate("player.element.connection.established.peek().version")).toBe(version);
      for (const next of [1, 2]) {
        expect(await track(page)).toBe(`audio${next - 1}`);
        await interrupt(publisher, endlessSine(TONES[next]!));
        const heard = await ear.until(next);
        // Once the new one is there, nothing is left of the old one.
        expect(heard.slice(heard.indexOf(next) + 10)).not.toContain(next - 1);
        expect(await track(page)).toBe(`audio${next}`);
      }
    },
    BROWSER_MS,
  );

  // With `latency-max` above its floor it plays what comes ahead of time in full, but waits forever at a hole in the
  // timeline that is longer than the floor. Its documentation asks for `reset()` at each utterance, which ends the wait.
  test(
    "plays fresh tracks from a buffer of seconds when its page calls reset at each utterance",
    async () => {
      const { publisher, page, ear } = await open("track", "isolated&latency-max=10000");
      await ear.until(0);
      // The player would wait for ever at a pause within the track, if silence did not fill it.
      await page.evaluate("player.resetAtUtterances()");
      await interrupt(publisher, endlessSine(TONES[1]!), 200);
      await ear.until(1);
      expect(await track(page)).toBe("audio1");
    },
    BROWSER_MS,
  );

  // As set by default it holds no more than a tenth of a second, so it survives a rewind: it misses as much of what
  // follows as it had played ahead. What it takes back is luck, which is what fresh tracks are for.
  test.each([
    ["messages", ""],
    ["shared memory", "isolated"],
  ])(
    "plays a broadcast that rewinds, before and after an interrupt, with its samples in %s",
    async (_, query) => {
      const { publisher, page, ear } = await open("group", query);
      await ear.until(0);
      expect(await page.evaluate("crossOriginIsolated")).toBe(query === "isolated");
      await interrupt(publisher, endlessSine(TONES[1]!));
      const heard = await ear.until(1);
      expect(heard.slice(heard.indexOf(1) + 10)).not.toContain(0);
      expect(await track(page)).toBe("audio");
    },
    BROWSER_MS,
  );
});
