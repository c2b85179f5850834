import "../../base/polyfills.js";
import * as Moq from "@kixelated/moq";
import {
  BROADCAST_NAME_RULE,
  broadcastPath,
  guard,
  InputError,
  isBroadcastName,
  MediaError,
  type Microseconds,
  microseconds,
  monotonicClock,
  StateError,
  TransportError,
  toMilliseconds,
} from "../../base/index.js";
import { type AudioRendition, type Catalog, epochOf, type VideoRendition } from "../../container/index.js";
import { type BrowserConnection, type BrowserConnectOptions, connect, endOf } from "../../transport/browser.js";
import { AudioPipeline, type AudioPipelineOptions } from "../audio/audio-pipeline.js";
import { delay } from "../audio/delay.js";
import { openPcm } from "../audio/pcm.js";
import { Feedback } from "../report/feedback.js";
import { Reporter } from "../report/reporter.js";
import { type PlaybackStats, playbackStats } from "../stats.js";
import { BroadcastFinder } from "../tracks/broadcast-finder.js";
import { BroadcastReader, type OpenBroadcast } from "../tracks/broadcast-reader.js";
import { type NamedRendition, readableRenditions } from "../tracks/renditions.js";
import { TrackFeed } from "../tracks/track-feed.js";
import { VideoPipeline } from "../tracks/video-pipeline.js";
import { VoiceFeed } from "../tracks/voice-feed.js";
import { audioConfig, audioDecoder, videoConfig, videoDecoder } from "./decoders.js";
import type { WorkletStatus } from "./messages.js";
import { Screen } from "./screen.js";
import { openContext, SpeakerOutput } from "./speaker-output.js";
import { VideoFeed } from "./video-feed.js";

/** Options for {@link BrowserListener}. */
export interface BrowserListenerOptions {
  /** The relay; an `http:` URL means one with a certificate of its own making, pinned from `/certificate.sha256`. */
  readonly url: string | URL;
  /** Name of the broadcast, with or without its `.hang`; publishers of other makes need not use that. */
  readonly broadcast: string;
  /** Delay from arrival to audio at first; it adapts from there. Default 80. */
  readonly jitterMs?: number;
  /** Where pictures go; without it video is not subscribed to. */
  readonly canvas?: HTMLCanvasElement;
  /** The audio worklet's script. Default: `worklet.js` beside the script this is bundled into. */
  readonly workletUrl?: string | URL;
  /** How to connect. */
  readonly connect?: BrowserConnectOptions;
  /** How long to wait for somebody to publish before `failed` says so; it goes on waiting after that. Default 10,000. */
  readonly timeoutMs?: number;
}

/** Live numbers of a {@link BrowserListener}. */
export interface BrowserListenerStats extends PlaybackStats {
  /** See `ListenerState`; `idle` after it was closed, `failed` where it can never play. */
  readonly state: "idle" | "connecting" | "waiting" | "ready" | "playing" | "failed";
  /** What carries the session; undefined while there is none. */
  readonly backend: BrowserConnection["backend"] | undefined;
  /** Frames that could not be read or decoded. */
  readonly errors: number;
  /** Pictures shown. */
  readonly imagesShown: number;
}

/** A track that is played, of a publisher's run. */
interface FollowedTrack {
  readonly name: string;
  readonly run: string | undefined;
}

/** The wait between attempts to connect: this share of the outage so far, within bounds, with a jitter of up to half. */
const BACKOFF = { share: 0.1, leastMs: 100, mostMs: 4000 };
/** A session that lasted this long ends the outage before it. */
const SETTLED_MS = 5000;
/** Time between two turns while the worklet, whose statuses make them, stands still. */
const TURN_MS = 100;
/** Time between `stats` events: 100 ms. */
const STATS_INTERVAL = 100_000;
/** Sound is decoded when it is nearly due, so that what is taken back meanwhile costs nothing. */
const HORIZON_MS = 500;
/** Sound goes before pictures. */
const PRIORITY = { audio: 100, video: 50 };

/**
 * Plays a broadcast in a browser: connects, subscribes, decodes and plays, reports what it hears, and comes back by
 * itself after a loss of connection.
 *
 * Events: `stats` ten times a second (`CustomEvent<BrowserListenerStats>`), `rewind` when something was taken back
 * (`CustomEvent<{ from, heardUntil }>` in microseconds), `failed` (`CustomEvent<Error>`) for what the user should know;
 * it keeps trying after that.
 */
export class BrowserListener extends EventTarget {
  readonly #options: BrowserListenerOptions;
  readonly #url: URL;
  readonly #name: string;
  readonly #stop = new AbortController();
  readonly #feed: TrackFeed;
  readonly #voice = new VoiceFeed();
  readonly #reader: BroadcastReader;
  readonly #reporter: Reporter;
  readonly #screen: Screen | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  #context: AudioContext | undefined;
  #bus: GainNode | undefined;
  #output: SpeakerOutput | undefined;
  #session: BrowserConnection | undefined;
  #connected = false;
  #audio: AudioPipeline | undefined;
  #video: VideoFeed | undefined;
  #videoPipeline: VideoPipeline<VideoFrame> | undefined;
  #audioTrack: FollowedTrack | undefined;
  #videoTrack: FollowedTrack | undefined;
  /** How it ended. */
  #end: "idle" | "failed" | undefined;
  #levelDb = Number.NEGATIVE_INFINITY;
  #leadMs: number | undefined;
  #rewinds = 0;
  #restarts = 0;
  #statsAt = Number.NEGATIVE_INFINITY;

  /** Resolves once audio can come, rejects when it never can: `INSECURE_PAGE`, `NO_AUDIO_DECODER`. */
  readonly started: Promise<void>;
  /** Resolves once {@link close} is through. */
  readonly closed: Promise<void>;

  /** Starts at once; best called from a click. Throws an `InputError` when the URL is none. */
  constructor(options: BrowserListenerOptions) {
    super();
    if (!URL.canParse(options.url)) throw new InputError("INVALID_OPTION", `url is no URL: ${options.url}.`);
    this.#options = options;
    this.#url = new URL(options.url);
    if (!isBroadcastName(options.broadcast))
      throw new InputError("INVALID_OPTION", `broadcast ${BROADCAST_NAME_RULE}.`);
    this.#name = options.broadcast;
    this.#feed = new TrackFeed({
      clock: monotonicClock,
      resting: () => this.#output?.status?.resting ?? true,
      playhead: () => this.#output?.playhead,
      onFrame: (timestamp, sequence, first) => this.#landed(timestamp, sequence, first),
    });
    this.#reader = new BroadcastReader({
      onBroadcast: (path) => {
        this.#reporter.follow(path);
        this.#audioTrack = undefined;
        this.#videoTrack = undefined;
      },
      onCatalog: (catalog, broadcast) => this.#apply(broadcast, catalog),
      onGone: () => {
        this.#audioTrack = undefined;
        this.#videoTrack = undefined;
      },
      onProblem: (error) => this.#fail(error),
    });
    this.#reporter = new Reporter({
      clock: monotonicClock,
      read: () => ({
        playhead: this.#output?.heard,
        moving: this.#output?.moving ?? false,
        applied: this.#output?.status?.applied,
        receivedBytes: this.#receivedBytes,
        receivedGroup: this.#feed.received.mark ?? this.#video?.newest,
        bufferedMs: this.#bufferedMs,
        bleedMs: this.#reader.bleedMs,
        staleMs: this.#output?.status?.counters.staleMs ?? 0,
      }),
    });
    this.#screen = options.canvas && new Screen(options.canvas, () => this.#videoPipeline?.present());
    this.started = this.#start();
    this.closed = this.started.then(
      () => this.#run(),
      () => {
        this.#end = "failed";
      },
    );
  }

  /** The newest numbers. */
  get stats(): BrowserListenerStats {
    const { status } = this.#output ?? {};
    return {
      ...playbackStats({
        feed: this.#feed,
        reporter: this.#reporter,
        playing: this.#output?.playing ?? false,
        playheadUs: this.#output?.heard,
        decodedMs: status?.bufferedMs ?? 0,
        discontinuities: this.#discontinuities,
        levelDb: this.#output?.running ? this.#levelDb : Number.NEGATIVE_INFINITY,
        voice: this.#voice,
        leadMs: this.#leadMs,
        bleedMs: this.#reader.bleedMs,
        counters: status?.counters,
      }),
      state: this.#state,
      backend: this.#session?.backend,
      group: this.#feed.received.newest ?? this.#video?.newest,
      receivedBytes: this.#receivedBytes,
      errors: this.#errors,
      imagesShown: this.#videoPipeline?.counters.shown ?? 0,
    };
  }

  /** What goes to the speakers, to connect an analyser or a recorder to; undefined before {@link started}. */
  get audio(): AudioNode | undefined {
    return this.#bus;
  }

  /** Stops; idempotent. */
  close(): void {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort(new StateError("CLOSED", "The listener was closed."));
    this.#session?.transport.close();
    this.#feed.close();
    this.#voice.close();
    this.#audio?.close();
    this.#video?.close();
    this.#videoPipeline?.close();
    this.#screen?.close();
    this.#output?.close();
    clearInterval(this.#timer);
    void this.#context?.close();
    this.#end = "idle";
  }

  async #start(): Promise<void> {
    if (!globalThis.isSecureContext) {
      throw new TransportError("INSECURE_PAGE", "Browsers play live audio only on https pages and on localhost.");
    }
    if (typeof AudioDecoder === "undefined") {
      throw new MediaError("NO_AUDIO_DECODER", "This browser has no WebCodecs AudioDecoder.");
    }
    const context = await openContext(new URL(this.#options.workletUrl ?? "./worklet.js", import.meta.url));
    this.#context = context;
    if (this.#stop.signal.aborted) return void context.close();
    this.#timer = setInterval(
      guard("watch.page", () => {
        if (this.#output?.running === false) this.#turn();
      }),
      TURN_MS,
    );
    this.#bus = context.createGain();
    this.#bus.connect(context.destination);
    await context.resume();
  }

  async #run(): Promise<void> {
    let outageAt = performance.now();
    while (!this.#stop.signal.aborted) {
      const began = performance.now();
      let reason: unknown;
      try {
        await this.#connect();
      } catch (error) {
        reason = error;
        if (!this.#stop.signal.aborted) this.#fail(error);
      }
      if (this.#stop.signal.aborted) return;
      if (reason instanceof TransportError && !reason.retryable) {
        this.#end = "failed";
        return;
      }
      const now = performance.now();
      if (now - began >= SETTLED_MS) outageAt = now;
      const waitMs = Math.min(Math.max((now - outageAt) * BACKOFF.share, BACKOFF.leastMs), BACKOFF.mostMs);
      await delay(waitMs * (1 - Math.random() / 2), this.#stop.signal);
    }
  }

  async #connect(): Promise<void> {
    const session = await connect(this.#url, this.#options.connect);
    this.#session = session;
    const { transport } = session;
    const gone = transport.closed.then(
      ({ closeCode = 0, reason = "" }) => (closeCode === 0 ? undefined : endOf({ closeCode, reason })),
      () => undefined,
    );
    // A path that is dead without the browser's knowledge: it would take 30 s to notice.
    void session.liveness.silent().then((silent) => silent && transport.close());
    try {
      this.#stop.signal.throwIfAborted();
      const connection = await Moq.Connection.connect(this.#url, {
        transport,
        signal: this.#stop.signal,
      });
      this.#report(session, connection);
      this.#connected = true;
      const finder = new BroadcastFinder(connection, this.#name);
      const giveUp = guard("watch.missing", () => {
        if (finder.found) return;
        this.#fail(
          new TransportError("NO_BROADCAST", `Nobody publishes ${broadcastPath(this.#name)} at ${this.#url.host} yet.`),
        );
      });
      const missing = setTimeout(giveUp, this.#options.timeoutMs ?? 10_000);
      try {
        await this.#reader.follow(finder, gone);
      } finally {
        clearTimeout(missing);
        finder.close();
        connection.close();
      }
    } finally {
      transport.close();
      this.#session = undefined;
      this.#connected = false;
      this.#reporter.attach(undefined);
    }
  }

  #report(session: BrowserConnection, connection: Moq.Connection.Established): void {
    const feedback = new Feedback({ connection, session: this.#reporter.session });
    session.tap = (datagram) => this.#reporter.receive(datagram);
    this.#reporter.attach({
      send: (record) => session.sendDatagram(record),
      publish: (path, record) => feedback.send(path, record),
      unpublish: () => feedback.close(),
      get backedUp() {
        return session.backedUp;
      },
    });
  }

  /** Plays the renditions that a catalog names. */
  #apply(broadcast: OpenBroadcast, catalog: Catalog): void {
    if (this.#stop.signal.aborted) return;
    const audio = choose(catalog.audio?.renditions, catalog.unsay?.renege === "track");
    const video = this.#screen && choose(catalog.video?.renditions, false);
    const output = this.#open(audio === undefined);
    output.setLive(audio !== undefined && catalog.unsay?.mode === "live");
    output.setPublisher({ marksPauses: catalog.unsay !== undefined, aheadMs: catalog.unsay?.aheadMs });
    this.#voice.follow(broadcast, catalog.unsay?.voice);
    const run = catalog.unsay?.run;
    // A track of the same name in another run is another timeline, also where nothing else of the broadcast changed.
    if (audio && !(audio.name === this.#audioTrack?.name && run === this.#audioTrack.run)) {
      const { name, rendition } = audio;
      const track = { name, run };
      this.#audioTrack = track;
      this.#feed.follow(run);
      this.#playAudio(output, rendition);
      const isWanted = (): boolean => !this.#stop.signal.aborted && this.#audioTrack === track;
      void broadcast.keep(name, { priority: PRIORITY.audio, isWanted }, (track) => this.#feed.run(track));
    }
    if (video && !(video.name === this.#videoTrack?.name && run === this.#videoTrack.run)) {
      const { name, rendition } = video;
      this.#videoTrack = { name, run };
      const feed = this.#playVideo(output, rendition, audio === undefined);
      const isWanted = (): boolean => !this.#stop.signal.aborted && this.#video === feed;
      void broadcast.keep(name, { priority: PRIORITY.video, isWanted }, (track) => feed.run(track));
    }
  }

  /** The playout stays for good; without audio, the playhead never waits for any. */
  #open(videoOnly: boolean): SpeakerOutput {
    if (!this.#context || !this.#bus) throw new StateError("NOT_STARTED", "The listener has not started.");
    const { jitterMs } = this.#options;
    this.#output ??= SpeakerOutput.open({
      context: this.#context,
      destination: this.#bus,
      onStatus: (status) => this.#heed(status),
      ...(jitterMs === undefined ? {} : { jitterMs }),
      ...(videoOnly ? { maximumHoldMs: 0 } : {}),
    });
    return this.#output;
  }

  #playAudio(output: SpeakerOutput, rendition: AudioRendition): void {
    if (this.#audio) return;
    this.#audio = new AudioPipeline({
      consumer: this.#feed.consumer,
      openDecoder: openAudioTrack(rendition),
      output,
      horizonMs: HORIZON_MS,
      onRewind: ({ from }) => this.#voice.takeBack(from, epochOf(this.#feed.received.newest ?? 0)),
    });
    this.#feed.connect(this.#audio);
  }

  #playVideo(output: SpeakerOutput, rendition: VideoRendition, master: boolean): VideoFeed {
    this.#video?.close();
    this.#videoPipeline?.close();
    const feed = new VideoFeed();
    const pipeline = new VideoPipeline<VideoFrame>({
      consumer: feed.consumer,
      openDecoder: videoDecoder(videoConfig(rendition)),
      clock: output,
      master,
    });
    feed.connect(pipeline);
    this.#video = feed;
    this.#videoPipeline = pipeline;
    return feed;
  }

  #landed(timestamp: Microseconds, sequence: number, first: boolean): void {
    const { restarts } = this.#feed.counters;
    if (restarts !== this.#restarts) {
      this.#restarts = restarts;
      this.#reporter.restart();
    }
    if (first) this.#output?.landed(timestamp);
    const playhead = this.#output?.playhead;
    if (playhead === undefined || !this.#output?.moving) return;
    const lead = microseconds(timestamp - playhead);
    this.#leadMs = toMilliseconds(lead);
    this.#reporter.landed(lead, sequence);
  }

  #heed(status: WorkletStatus): void {
    if (this.#stop.signal.aborted) return;
    if (status.samples > 0) this.#levelDb = 10 * Math.log10(status.energy / status.samples);
    const { applied } = status;
    if (applied && applied.discontinuity !== this.#rewinds) {
      this.#rewinds = applied.discontinuity;
      this.#reporter.hurry();
      const { from, heardUntil } = applied;
      this.dispatchEvent(new CustomEvent("rewind", { detail: { from, heardUntil: heardUntil ?? from } }));
    }
    this.#turn();
  }

  /** What goes on in the page, whether or not the context runs. */
  #turn(): void {
    this.#feed.pump();
    this.#video?.pump();
    this.#reporter.tick();
    const now = monotonicClock();
    if (now - this.#statsAt < STATS_INTERVAL) return;
    this.#statsAt = now;
    this.dispatchEvent(new CustomEvent("stats", { detail: this.stats }));
  }

  get #state(): BrowserListenerStats["state"] {
    if (this.#end) return this.#end;
    if (this.#output?.playing) return "playing";
    if (!this.#connected) return "connecting";
    return (this.#audioTrack ?? this.#videoTrack) === undefined ? "waiting" : "ready";
  }

  get #errors(): number {
    const malformed = this.#feed.counters.malformed + this.#voice.counters.malformed + (this.#video?.malformed ?? 0);
    return malformed + (this.#audio?.counters.errors ?? 0);
  }

  get #bufferedMs(): number {
    return (this.#output?.status?.bufferedMs ?? 0) + this.#feed.waitingMs;
  }

  get #receivedBytes(): number {
    return this.#feed.counters.receivedBytes + (this.#video?.receivedBytes ?? 0);
  }

  get #discontinuities(): number {
    return this.#audio ? (this.#output?.status?.applied?.discontinuity ?? 0) : (this.#videoPipeline?.generation ?? 0);
  }

  #fail(error: unknown): void {
    if (this.#stop.signal.aborted) return;
    const detail = error instanceof Error ? error : new Error(String(error));
    this.dispatchEvent(new CustomEvent("failed", { detail }));
  }
}

/** What decodes a rendition of audio: not every AudioDecoder knows PCM, and it needs none. */
function openAudioTrack(rendition: AudioRendition): AudioPipelineOptions["openDecoder"] {
  const { codec, sampleRate, numberOfChannels } = rendition;
  if (codec === "pcm-s16") return openPcm({ from: numberOfChannels, channels: 2, sampleRate });
  return audioDecoder(audioConfig(rendition));
}

/** The rendition to play: the first that is framed in a way that is read here; the last where tracks replace each other. */
function choose<R extends AudioRendition | VideoRendition>(
  renditions: Readonly<Record<string, R>> | undefined,
  last: boolean,
): NamedRendition<R> | undefined {
  const readable = readableRenditions(renditions);
  return last ? readable.at(-1) : readable[0];
}
