import type { RequestListener } from "node:http";
import type { Logger } from "pino";
import { openSource, Publisher } from "../../publisher/index.js";
import { Relay } from "../../relay/index.js";
import { Listener, type ListenerStats } from "../../watch/index.js";
import { byMediaTime, HeardRecorder } from "../heard.js";
import { shippedModel } from "../package.js";
import {
  type ControlRequest,
  type InterruptReply,
  type PageRecording,
  type PageStats,
  pageHandler,
} from "../page/index.js";
import { BadLink } from "./bad-link.js";
import { RECORDING, readOutline } from "./recording.js";
import { type DemoResult, judge } from "./result.js";
import { Speaker } from "./speaker.js";

const broadcast = "demo";
/** Enough for an interrupt to take something back. */
const AHEAD_MS = 2_000;
/** How long after an interrupt the speech can be resumed, in milliseconds: time to look at the page. */
const RESUME_WINDOW_MS = 600_000;

export type { DemoResult } from "./result.js";

/** Options of {@link Demo}. */
export interface DemoOptions {
  /** Port of the relay and the page; 0 picks a free one. */
  readonly port: number;
  readonly logger: Logger;
  /**
   * Whether the publisher also takes remote control through the relay, as `unsay control` sends it; the page does not
   * need it.
   */
  readonly control: boolean;
  /** Maximum length of heard audio kept for the score, in seconds. */
  readonly keepSeconds: number;
}

interface DemoParts {
  readonly relay: Relay;
  readonly link: BadLink;
  readonly outline: PageRecording;
}

/** The main use case on an embedded recording, in one process: relay, publisher, one headless listener and the page. */
export class Demo {
  readonly #relay: Relay;
  readonly #link: BadLink;
  readonly #publisher: Publisher;
  readonly #listener: Listener;
  readonly #speaker: Speaker;
  readonly #recorder: HeardRecorder;
  readonly #startedAt: number;
  #firstAudioMs: number | undefined;
  #closing: Promise<void> | undefined;

  private constructor({ relay, link, outline }: DemoParts, options: DemoOptions, startedAt: number) {
    this.#startedAt = startedAt;
    this.#relay = relay;
    this.#link = link;
    const { port } = relay.address;
    const url = `http://127.0.0.1:${port}`;
    this.#publisher = new Publisher({
      url,
      broadcast,
      model: shippedModel,
      aheadMs: AHEAD_MS,
      resumeWindowMs: RESUME_WINDOW_MS,
      control: options.control,
      logger: options.logger,
    });
    this.#speaker = new Speaker({
      publisher: this.#publisher,
      outline,
      open: () => openSource({ file: RECORDING.noisy }),
      logger: options.logger,
    });
    this.#recorder = new HeardRecorder({ maximumSeconds: options.keepSeconds });
    this.#listener = new Listener({ url, broadcast, sink: this.#recorder });
    this.#listener.on("problem", (error) => options.logger.warn({ err: error }, "The listener recovers by itself."));
  }

  /** Starts all parts. Throws errors of the relay, such as a `TransportError` `PORT_IN_USE`. */
  static async start(options: DemoOptions): Promise<Demo> {
    const startedAt = performance.now();
    let demo: Demo | undefined;
    const outline = await readOutline();
    const page = pageHandler({
      control: (request) => demo?.control(request),
      stats: () => demo?.pageStats(),
      recording: outline,
    });
    const handler: RequestListener = (request, response) => {
      if (!page(request, response)) response.writeHead(404, { "content-type": "text/plain" }).end("Not found.\n");
    };
    const relay = new Relay({ port: options.port, handler, logger: options.logger });
    await relay.listen();
    const link = await BadLink.open(relay.address.port);
    demo = new Demo({ relay, link, outline }, options, startedAt);
    await demo.#speaker.start();
    return demo;
  }

  /** URL of the page. */
  get pageUrl(): string {
    return `http://localhost:${this.#relay.address.port}`;
  }

  /** Rejects when the publisher or the listener can't go on. */
  get closed(): Promise<void> {
    const listener = this.#listener.closed.then((error) => {
      if (error) throw error;
    });
    const publisher = this.#publisher.closed.then((error) => {
      if (error) throw error;
    });
    return Promise.race([publisher, listener]);
  }

  /** The headless listener's numbers; also records the first audio. */
  listenerStats(): ListenerStats {
    const stats = this.#listener.stats();
    if (this.#firstAudioMs === undefined && stats.playedMs > 0) {
      const first = this.#listener.record.find((run) => run.timestamp !== undefined);
      if (first) this.#firstAudioMs = first.pulledAt / 1e3 - this.#startedAt;
    }
    return stats;
  }

  /** The page's numbers. */
  pageStats(): PageStats {
    const { strength, attenuationLimitDb, bypass } = this.#publisher.knobs;
    const { listeners, frontierUs } = this.#publisher.stats();
    const denoise = { strength, attenuationLimitDb, bypass };
    const { delayMs, jitterMs, loss, rateKbps } = this.#link.settings;
    const link = { port: this.#link.port, delayMs, jitterMs, loss, rateKbps };
    return { denoise, listeners, frontierUs, spoken: this.#speaker.stats(), link };
  }

  /** Runs a request of the page. */
  async control(request: ControlRequest): Promise<unknown> {
    if (request.op === "interrupt") return this.interrupt();
    if (request.op === "resume") return this.#speaker.resume();
    if (request.op === "cut") return this.#link.cut(request.ms);
    if (request.op === "link") return this.#link.set(request);
    this.#publisher.set(request.denoise);
    return { denoise: this.#publisher.knobs };
  }

  /** Takes back audio sent ahead, and stays silent until the page resumes it. */
  async interrupt(): Promise<InterruptReply> {
    const { heardUntil } = await this.#speaker.interrupt();
    return { heardUntil, heard: this.#speaker.stats().heard };
  }

  /** Scores the audio heard so far. */
  async result(): Promise<DemoResult> {
    return judge({
      listener: this.listenerStats(),
      publisher: this.#publisher.stats(),
      heard: byMediaTime(this.#listener.record, this.#recorder.samples),
      firstAudioMs: this.#firstAudioMs,
    });
  }

  /** Ends all parts; idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#speaker.close();
    await this.#listener.close();
    await this.#publisher.close();
    await this.#link.close();
    await this.#relay.close();
  }
}
