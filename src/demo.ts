import type { RequestListener } from "node:http";
import type { Logger } from "pino";
import { type Interruption, openSource, Publisher, type PublisherStats } from "../publisher/index.js";
import { Relay } from "../relay/index.js";
import { Listener, type ListenerStats } from "../watch/index.js";
import { byMediaTime, HeardRecorder, heardScore } from "./heard.js";
import { packagedFile, shippedModel } from "./package.js";
import { type ControlRequest, pageHandler } from "./page/index.js";
import { alignedScore, levelDb } from "./score.js";

const recording = {
  noisy: packagedFile("examples/audio/noisy-speech.wav"),
  clean: packagedFile("examples/audio/clean-speech.wav"),
};

const broadcast = "demo";
/** Enough that an interrupt has something to take back. */
const AHEAD_MS = 2_000;
/** A pause after an interrupt, so that one hears that it fell silent. */
const PAUSE_MS = 800;

/** Options of {@link Demo}. */
export interface DemoOptions {
  /** Port of the relay and the page; 0 picks a free one. */
  readonly port: number;
  readonly logger: Logger;
  /** Whether the publisher also takes control over the relay, as `unsay control` sends it; the page does not need it. */
  readonly control: boolean;
  /** Longest stretch of what is heard that is kept for the score, in seconds. */
  readonly keepSeconds: number;
}

/** What came out of a demo run. */
export interface DemoResult {
  readonly groupsPublished: number;
  readonly groupsReceived: number;
  readonly playedMs: number;
  readonly underruns: number;
  readonly discontinuities: number;
  readonly staleMs: number;
  readonly bleedMs: number;
  /** Level of everything heard, in decibels below full scale. */
  readonly levelDb: number;
  /** Milliseconds from the start of the demo to the first audio. */
  readonly firstAudioMs: number | undefined;
  /** High-pass-fair SI-SDR of what was heard against the clean recording. */
  readonly heardSiSdrDb: number | undefined;
  /** The same of the noisy recording that went in. */
  readonly inputSiSdrDb: number;
  /**
   * Whether denoised speech was really heard: not silence, nothing stale, and closer to the clean recording than what
   * went in. The raw recording sent through Opus scores below what went in.
   */
  readonly ok: boolean;
}

async function readWhole(file: string): Promise<Float32Array> {
  const source = await openSource({ file });
  const parts: Float32Array[] = [];
  for (let part = await source.read(); part !== undefined; part = await source.read()) parts.push(part.slice());
  await source.close();
  const whole = new Float32Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** The main job on an embedded recording, in one process: relay, publisher, one headless listener and the page. */
export class Demo {
  readonly #relay: Relay;
  readonly #publisher: Publisher;
  readonly #listener: Listener;
  readonly #recorder: HeardRecorder;
  readonly #startedAt: number;
  #firstAudioMs: number | undefined;
  #resuming: NodeJS.Timeout | undefined;
  #closing: Promise<void> | undefined;

  private constructor(relay: Relay, options: DemoOptions, startedAt: number) {
    this.#startedAt = startedAt;
    this.#relay = relay;
    const { port } = relay.address;
    const url = `http://127.0.0.1:${port}`;
    this.#publisher = new Publisher({
      url,
      broadcast,
      model: shippedModel,
      aheadMs: AHEAD_MS,
      control: options.control,
      logger: options.logger,
    });
    this.#recorder = new HeardRecorder({ maximumSeconds: options.keepSeconds });
    this.#listener = new Listener({ url, broadcast, sink: this.#recorder });
    this.#listener.on("problem", (error) => options.logger.warn({ err: error }, "The listener recovers by itself."));
  }

  /** Starts all parts. Throws what the relay throws, such as a `TransportError` `PORT_IN_USE`. */
  static async start(options: DemoOptions): Promise<Demo> {
    const startedAt = performance.now();
    let demo: Demo | undefined;
    const page = pageHandler({
      control: (request) => demo?.control(request),
      stats: () => demo?.pageStats(),
    });
    const handler: RequestListener = (request, response) => {
      if (!page(request, response)) response.writeHead(404, { "content-type": "text/plain" }).end("Not found.\n");
    };
    const relay = new Relay({ port: options.port, handler, logger: options.logger });
    await relay.listen();
    demo = new Demo(relay, options, startedAt);
    await demo.#play();
    return demo;
  }

  /** Where the page is. */
  get pageUrl(): string {
    return `http://localhost:${this.#relay.address.port}`;
  }

  /** Rejects when the publisher or the listener can't go on. */
  get closed(): Promise<void> {
    const listener = this.#listener.closed.then((error) => {
      if (error) throw error;
    });
    return Promise.race([this.#publisher.closed, listener]);
  }

  /** The headless listener's numbers; also notes the first audio. */
  listenerStats(): ListenerStats {
    const stats = this.#listener.stats();
    if (this.#firstAudioMs === undefined && stats.playedMs > 0) {
      const first = this.#listener.record.find((run) => run.timestamp !== undefined);
      if (first) this.#firstAudioMs = first.pulledAt / 1e3 - this.#startedAt;
    }
    return stats;
  }

  publisherStats(): PublisherStats {
    return this.#publisher.stats();
  }

  /** What the page shows. */
  pageStats(): unknown {
    const { strength, bypass } = this.#publisher.knobs;
    const { listeners, leadMs, epoch, bleedMs, denoiseCostUs } = this.#publisher.stats();
    return { denoise: { strength, bypass }, listeners, aheadMs: leadMs, epoch, bleedMs, denoiseCostUs };
  }

  /** Does what the page asks. */
  async control(request: ControlRequest): Promise<unknown> {
    if (request.op === "interrupt") return this.interrupt();
    const { strength, bypass } = request.denoise;
    this.#publisher.set({ ...(strength !== undefined && { strength }), ...(bypass !== undefined && { bypass }) });
    return { denoise: this.#publisher.knobs };
  }

  /** Takes back what was sent ahead, keeps silent for a moment, and starts the recording again. */
  interrupt(): Promise<Interruption> {
    const interruption = this.#publisher.interrupt();
    clearTimeout(this.#resuming);
    this.#resuming = setTimeout(() => void this.#play(), PAUSE_MS);
    return interruption;
  }

  /** Scores what was heard so far. */
  async result(): Promise<DemoResult> {
    const listener = this.listenerStats();
    const publisher = this.#publisher.stats();
    const [clean, noisy] = await Promise.all([readWhole(recording.clean), readWhole(recording.noisy)]);
    const heard = byMediaTime(this.#listener.record, this.#recorder.samples);
    const level = levelDb(heard);
    const inputSiSdrDb = alignedScore(clean, noisy, 0);
    const heardSiSdrDb = heard.length >= 48_000 ? heardScore(clean, heard) : undefined;
    return {
      groupsPublished: publisher.groups,
      groupsReceived: listener.receivedFrames,
      playedMs: Math.round(listener.playedMs),
      underruns: listener.underruns,
      discontinuities: listener.discontinuities,
      staleMs: listener.staleMs,
      bleedMs: publisher.bleedMs,
      levelDb: round(level),
      firstAudioMs: this.#firstAudioMs === undefined ? undefined : Math.round(this.#firstAudioMs),
      heardSiSdrDb: heardSiSdrDb === undefined ? undefined : round(heardSiSdrDb),
      inputSiSdrDb: round(inputSiSdrDb),
      ok: heardSiSdrDb !== undefined && heardSiSdrDb > inputSiSdrDb && level > -50 && listener.staleMs === 0,
    };
  }

  /** Ends all parts; idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #play(): Promise<void> {
    if (this.#closing) return;
    this.#publisher.say(await openSource({ file: recording.noisy, loop: true }));
  }

  async #close(): Promise<void> {
    clearTimeout(this.#resuming);
    await this.#listener.close();
    await this.#publisher.close();
    await this.#relay.close();
  }
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
