import "../base/polyfills.js";
import { EventEmitter } from "node:events";
import * as Moq from "@kixelated/moq";
import { z } from "zod";
import {
  attachLogger,
  BROADCAST_NAME_RULE,
  background,
  broadcastPath,
  guard,
  InputError,
  isBroadcastName,
  type Logger,
  MediaError,
  type Microseconds,
  microseconds,
  monotonicClock,
  TransportError,
  toMilliseconds,
} from "../base/index.js";
import { type AudioRendition, type Catalog, epochOf } from "../container/index.js";
import { REPORT_STREAM_TYPE, ReportStreamReader, ReportStreamWriter } from "../flow/index.js";
import {
  type Backend,
  type Backoff,
  type ConnectOptions,
  demuxStreams,
  type ReceiveStream,
  Reconnector,
  reach,
  type Session,
  toWebTransport,
} from "../transport/index.js";
import { AudioPipeline } from "./audio/audio-pipeline.js";
import { Playout, type PlayoutRewind } from "./audio/playout.js";
import { canDecode, loadDecoder, SwitchableDecoder } from "./audio/switchable-decoder.js";
import { type AudioSink, type PlayedRun, VirtualSpeaker } from "./output/virtual-speaker.js";
import { Feedback } from "./report/feedback.js";
import { Reporter } from "./report/reporter.js";
import { type PlaybackStats, playbackStats } from "./stats.js";
import { BroadcastFinder } from "./tracks/broadcast-finder.js";
import { BroadcastReader, type OpenBroadcast } from "./tracks/broadcast-reader.js";
import { type NamedRendition, readableRenditions } from "./tracks/renditions.js";
import { TrackFeed } from "./tracks/track-feed.js";
import { VoiceFeed } from "./tracks/voice-feed.js";

/** Options for {@link Listener}. */
export interface ListenerOptions {
  /** The relay; an `http:` URL means one with a certificate of its own making, pinned from `/certificate.sha256`. */
  readonly url: string | URL;
  /** Name of the broadcast, with or without its `.hang`; publishers of other makes need not use that. */
  readonly broadcast: string;
  /** Delay from the first frame's arrival to its audio, in milliseconds; it adapts from there. Default 80. */
  readonly jitterMs?: number;
  /** False keeps the delay at `jitterMs`. Default true. */
  readonly adaptive?: boolean;
  /** How often the virtual speaker pulls what is due, in milliseconds; the record is no finer. Default 10. */
  readonly pullIntervalMs?: number;
  /** Channels of the played audio. Default 1. */
  readonly channels?: 1 | 2;
  /** Where the audio goes besides the virtual speaker's record. Closed with the listener. */
  readonly sink?: AudioSink;
  /** How long to wait for the broadcast before giving up, in milliseconds. Default 10,000. */
  readonly timeoutMs?: number;
  /**
   * Whether to tell the relay what is received and heard. By default it goes in datagrams, on a stream where the session
   * has none, and on a broadcast of the listener's own where the relay does not answer; `stream` and `broadcast` ask for
   * one of these from the start. Default true.
   */
  readonly report?: boolean | "stream" | "broadcast";
  /** How to connect. */
  readonly connect?: Omit<ConnectOptions, "signal">;
  /** Waits between attempts to connect again. */
  readonly backoff?: Backoff;
  /** Takes what goes on, pino's shape. Default: nothing is logged. */
  readonly logger?: Logger;
}

/**
 * What a listener is doing. `connecting`: there is no session. `waiting`: the broadcast, or audio that can be played, is
 * not there. `ready`: it is subscribed to the audio, and none is heard now, in a pause or because it is missing.
 * `playing`: audio of the broadcast is heard now; what is left of it also plays without a session.
 */
export type ListenerState = "connecting" | "waiting" | "ready" | "playing" | "closed";

/** The numbers of a {@link Listener}; totals count from its start. */
export interface ListenerStats extends PlaybackStats {
  readonly state: ListenerState;
  /** What carries the session, while there is one. */
  readonly backend: Backend | undefined;
  /** Delay from arrival to audio that is aimed at now. */
  readonly jitterTargetMs: number;
  /** Frames received, repeats included, and how many of them came as datagrams. */
  readonly receivedFrames: number;
  readonly datagrams: number;
  /** Packets decoded, gaps concealed, packets that could not be decoded or were no frames. */
  readonly decoded: number;
  readonly concealed: number;
  readonly malformed: number;
  /** Frames dropped on arrival, by reason. */
  readonly dropped: {
    readonly duplicate: number;
    readonly late: number;
    readonly stale: number;
    readonly overflow: number;
  };
  /** Groups that were reset before their end. */
  readonly abortedGroups: number;
  /** Sessions made. */
  readonly sessions: number;
}

/** A rewind as a listener tells of it. */
export interface ListenerRewind {
  /** How many rewinds there were, this one included; the same number again refines it. */
  readonly discontinuity: number;
  /** Media time from which on everything was taken back. */
  readonly from: Microseconds;
  /** Up to where the old timeline was heard. */
  readonly heardUntil: Microseconds;
}

/** The first frame of a group as it came; a listener tells of those that come while it plays. */
export interface ListenerLanding {
  readonly sequence: number;
  readonly timestamp: Microseconds;
  /** How long before its turn it was there; below zero when it was late. */
  readonly lead: Microseconds;
}

/** Events of a {@link Listener}. */
export interface ListenerEvents {
  /** What it is doing has changed. */
  state: [ListenerState];
  /** A rewind was applied. */
  rewind: [ListenerRewind];
  /** A group began to come. */
  landing: [ListenerLanding];
  /** Something went wrong that it recovers from by itself. */
  problem: [Error];
}

const optionsSchema = z.object({
  url: z.union([z.string(), z.instanceof(URL)]),
  broadcast: z.string().refine(isBroadcastName, BROADCAST_NAME_RULE),
  jitterMs: z.number().min(0).max(10_000).default(80),
  adaptive: z.boolean().default(true),
  pullIntervalMs: z.number().min(1).max(100).default(10),
  channels: z.union([z.literal(1), z.literal(2)]).default(1),
  timeoutMs: z.number().min(1).max(2_147_483_647).default(10_000),
  report: z.union([z.boolean(), z.enum(["stream", "broadcast"])]).default(true),
});

/** Sound goes before what tells of it. */
const PRIORITY = 100;

/**
 * Plays a broadcast without a audio card: connects, waits for it to be announced, follows its catalog, takes back what
 * the publisher takes back, tells the relay what it hears, and starts over by itself when the connection breaks.
 */
export class Listener extends EventEmitter<ListenerEvents> {
  readonly #options: z.output<typeof optionsSchema>;
  readonly #url: URL;
  readonly #name: string;
  readonly #playout: Playout;
  readonly #speaker: VirtualSpeaker;
  readonly #feed: TrackFeed;
  readonly #voice = new VoiceFeed();
  readonly #reporter: Reporter;
  readonly #reader: BroadcastReader;
  readonly #reconnector: Reconnector;
  readonly #timeout: ReturnType<typeof setTimeout>;
  readonly #closed: Promise<void>;
  readonly #logger: Logger | undefined;
  readonly #detachLogger: () => void;
  #settle: (error: Error | undefined) => void = () => {};
  #pipeline: AudioPipeline | undefined;
  #decoder: SwitchableDecoder | undefined;
  #codec: string | undefined;
  #state: ListenerState = "connecting";
  #session: Session | undefined;
  #playing: { readonly name: string; readonly run: string | undefined } | undefined;
  #lastProblem: Error | undefined;
  #leadMs: number | undefined;
  #found = false;
  #sessions = 0;
  #restarts = 0;
  #ended = false;

  /** Starts at once. Throws an `InputError` (`INVALID_OPTION`, `INVALID_URL`) on options that are not what they must be. */
  constructor(options: ListenerOptions) {
    super();
    const parsed = optionsSchema.safeParse(options);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      throw new InputError("INVALID_OPTION", `${issue?.path.join(".")} is not valid: ${issue?.message}.`);
    }
    this.#options = parsed.data;
    this.#logger = options.logger;
    this.#detachLogger = options.logger ? attachLogger(options.logger) : () => {};
    const { url, broadcast, jitterMs, adaptive, pullIntervalMs, channels, timeoutMs } = this.#options;
    if (!URL.canParse(String(url))) throw new InputError("INVALID_URL", `The URL ${url} is not a URL.`);
    this.#url = new URL(url);
    this.#name = broadcast;
    this.#closed = new Promise((resolve, reject) => {
      this.#settle = (error) => (error ? reject(error) : resolve());
    });
    // Whoever does not look at `closed` looks at the events.
    this.#closed.catch(() => {});

    this.#playout = new Playout({ channels, jitterMs, adaptive });
    this.#speaker = new VirtualSpeaker({
      playout: this.#playout,
      sink: options.sink,
      intervalMs: pullIntervalMs,
      onTurn: () => {
        this.#feed.pump();
        this.#refresh();
        this.#reporter.tick();
      },
    });
    this.#feed = new TrackFeed({
      clock: monotonicClock,
      resting: () => this.#playout.resting,
      playhead: () => this.#playout.playhead,
      onFrame: (timestamp, sequence, first) => this.#landed(timestamp, sequence, first),
    });
    this.#reporter = new Reporter({
      clock: monotonicClock,
      read: () => ({
        playhead: this.#playout.playhead,
        moving: this.#playout.moving,
        applied: this.#playout.applied,
        receivedBytes: this.#feed.counters.receivedBytes,
        receivedGroup: this.#feed.received.mark,
        bufferedMs: this.#bufferedMs,
        bleedMs: this.#reader.bleedMs,
        staleMs: this.#playout.counters.staleMs,
      }),
      alwaysPublish: this.#options.report === "broadcast",
    });
    this.#reader = new BroadcastReader({
      onBroadcast: (path) => {
        this.#reporter.follow(path);
        this.#found = true;
        this.#playing = undefined;
      },
      onCatalog: (catalog, broadcast) => this.#apply(broadcast, catalog),
      onGone: () => {
        this.#playing = undefined;
        this.#refresh();
      },
      onProblem: (error) => this.#problem(error),
    });
    this.#reconnector = new Reconnector({
      ...reach(this.#url, options.connect),
      onSession: (session) => this.#run(session),
      onRetry: (reason) => {
        this.#refresh();
        if (reason) this.#problem(reason);
      },
      ...(options.backoff && { backoff: options.backoff }),
    });
    background(
      "watch.ended",
      this.#reconnector.closed.then((error) => this.#end(error)),
    );
    const giveUp = guard("watch.missing", () => (this.#found ? undefined : this.#end(this.#missing())));
    this.#timeout = setTimeout(giveUp, timeoutMs);
    this.#speaker.start();
  }

  /** Resolves after {@link close}; rejects when it gave up: `NO_BROADCAST`, or what kept it from connecting. */
  get closed(): Promise<void> {
    return this.#closed;
  }

  /** What was played, sample by sample: the ground truth of what was heard. */
  get record(): readonly Readonly<PlayedRun>[] {
    return this.#speaker.record;
  }

  /** The newest numbers. */
  stats(): ListenerStats {
    const { receivedFrames, datagrams, abortedGroups, malformed } = this.#feed.counters;
    const { duplicate, late, stale, overflow } = this.#feed.consumer.counters;
    const { decoded = 0, concealed = 0, errors = 0 } = this.#pipeline?.counters ?? {};
    return {
      ...playbackStats({
        feed: this.#feed,
        reporter: this.#reporter,
        playing: this.#playout.playing,
        playheadUs: this.#playout.playhead,
        decodedMs: this.#playout.bufferedMs,
        discontinuities: this.#pipeline?.generation ?? 0,
        levelDb: this.#speaker.levelDb,
        voice: this.#voice,
        leadMs: this.#leadMs,
        bleedMs: this.#reader.bleedMs,
        counters: this.#playout.counters,
      }),
      state: this.#state,
      backend: this.#session?.backend,
      jitterTargetMs: this.#playout.clock.targetMs,
      receivedFrames,
      datagrams,
      decoded,
      concealed,
      malformed: malformed + errors + this.#voice.counters.malformed,
      dropped: { duplicate, late, stale, overflow },
      abortedGroups,
      sessions: this.#sessions,
    };
  }

  /** Stops, finishes the sink and resolves; idempotent. Rejects when the sink could not be finished. */
  async close(): Promise<void> {
    await this.#end(undefined);
  }

  get #bufferedMs(): number {
    return this.#playout.bufferedMs + this.#feed.waitingMs;
  }

  async #end(error: Error | undefined): Promise<void> {
    if (this.#ended) return this.#speaker.close();
    this.#ended = true;
    clearTimeout(this.#timeout);
    this.#reconnector.close();
    this.#feed.close();
    this.#voice.close();
    this.#pipeline?.close();
    try {
      await this.#speaker.close();
      this.#settle(error);
    } catch (cause) {
      this.#settle(error ?? (cause as Error));
      throw cause;
    } finally {
      this.#become("closed");
      this.#detachLogger();
    }
  }

  #missing(): Error {
    const { timeoutMs } = this.#options;
    if (this.#sessions === 0)
      return (
        this.#lastProblem ??
        new TransportError("CONNECT_TIMEOUT", `No connection to ${this.#url.host} within ${timeoutMs} ms.`)
      );
    return new TransportError(
      "NO_BROADCAST",
      `Nobody published ${broadcastPath(this.#name)} at ${this.#url.host} within ${timeoutMs} ms.`,
      { cause: this.#lastProblem },
    );
  }

  /** One session, until it ends. */
  async #run(session: Session): Promise<void> {
    this.#session = session;
    this.#sessions++;
    try {
      // The library writes the URL to the console, where a token must not be; it needs no query any more.
      const url = new URL(this.#url);
      url.search = "";
      const tap = (datagram: Uint8Array): boolean => this.#reporter.receive(datagram);
      const carried = session.datagrams
        ? session
        : demuxStreams(session, REPORT_STREAM_TYPE, (stream) => void this.#readRecords(stream));
      const connection = await Moq.Connection.connect(url, { transport: toWebTransport(carried, { tap }) });
      this.#report(session, connection);
      this.#playing = undefined;
      this.#refresh();
      const finder = new BroadcastFinder(connection, this.#name);
      try {
        await this.#reader.follow(finder, session.closed);
      } finally {
        finder.close();
        connection.close();
      }
    } finally {
      this.#session = undefined;
      this.#reporter.attach(undefined);
    }
  }

  #report(session: Session, connection: Moq.Connection.Established): void {
    const { report } = this.#options;
    if (report === false) return;
    const stream = new ReportStreamWriter(() => session.openUnidirectional({ priority: 1_000_000 }));
    const { datagrams } = session;
    const feedback = new Feedback({ connection, session: this.#reporter.session });
    this.#reporter.attach({
      send: (record) => {
        if (report === "broadcast") return false;
        return datagrams && report !== "stream" ? datagrams.send(record) : stream.send(record);
      },
      publish: (path, record) => feedback.send(path, record),
      unpublish: () => feedback.close(),
      backedUp: false,
    });
  }

  async #readRecords(stream: ReceiveStream): Promise<void> {
    const reader = new ReportStreamReader();
    try {
      for (let bytes = await stream.read(); bytes; bytes = await stream.read())
        for (const record of reader.push(bytes)) this.#reporter.receive(record);
    } catch (error) {
      stream.stop(0);
      this.#problem(error);
    }
  }

  /** Plays the audio that a catalog names. */
  async #apply(broadcast: OpenBroadcast, catalog: Catalog): Promise<void> {
    this.#voice.follow(broadcast, catalog.unsay?.voice);
    const chosen = chooseRendition(catalog);
    const run = catalog.unsay?.run;
    // A track of the same name in another run is another timeline, also where nothing else of the broadcast changed.
    if (!chosen || (chosen.name === this.#playing?.name && run === this.#playing.run)) return;
    const { name, rendition } = chosen;
    if (rendition.codec !== this.#codec) {
      const openDecoder = await loadDecoder(rendition, this.#options.channels);
      if (broadcast.signal.aborted || this.#ended) return;
      this.#codec = rendition.codec;
      this.#decoder?.become(openDecoder);
      this.#pipeline ??= new AudioPipeline({
        consumer: this.#feed.consumer,
        openDecoder: (events) => (this.#decoder = new SwitchableDecoder(events, openDecoder)),
        output: this.#playout,
        onRewind: (rewind) => this.#rewound(rewind),
      });
      this.#feed.connect(this.#pipeline);
    }
    const playing = { name, run };
    this.#playing = playing;
    this.#feed.follow(run);
    this.#playout.setLive(catalog.unsay?.mode === "live");
    this.#playout.setPublisher({ marksPauses: catalog.unsay !== undefined, aheadMs: catalog.unsay?.aheadMs });
    this.#refresh();
    const isWanted = () => !this.#ended && this.#playing === playing;
    void broadcast.keep(name, { priority: PRIORITY, isWanted }, (track) => this.#feed.run(track));
  }

  #landed(timestamp: Microseconds, sequence: number, first: boolean): void {
    const { restarts } = this.#feed.counters;
    if (restarts !== this.#restarts) {
      this.#restarts = restarts;
      this.#reporter.restart();
    }
    if (first) this.#playout.landed(timestamp);
    const { started, playhead } = this.#playout.clock;
    // What comes at once behind the frame that set the playhead was sent before anybody could know the playhead.
    if (!started || playhead === undefined) return;
    const lead = microseconds(timestamp - playhead);
    this.#leadMs = toMilliseconds(lead);
    this.#reporter.landed(lead, sequence);
    if (first) this.emit("landing", { sequence, timestamp, lead });
  }

  #rewound({ discontinuity, from }: PlayoutRewind): void {
    this.#voice.takeBack(from, epochOf(this.#feed.received.newest ?? 0));
    this.#reporter.hurry();
    const heardUntil = this.#playout.applied?.heardUntil ?? from;
    this.emit("rewind", { discontinuity, from, heardUntil });
  }

  #refresh(): void {
    if (this.#playout.playing) this.#become("playing");
    else if (!this.#session) this.#become("connecting");
    else this.#become(this.#playing === undefined ? "waiting" : "ready");
  }

  #become(state: ListenerState): void {
    if (state === this.#state || this.#state === "closed") return;
    this.#state = state;
    this.#logger?.info({ state, broadcast: this.#name }, "The listener changed its state.");
    this.emit("state", state);
  }

  #problem(cause: unknown): void {
    if (this.#ended) return;
    const error = cause instanceof Error ? cause : new TransportError("BROKEN", String(cause));
    this.#lastProblem = error;
    this.#logger?.warn({ err: error }, "The listener recovers by itself.");
    this.emit("problem", error);
  }
}

/**
 * The rendition to play: Opus or PCM in the legacy container. Of several, the highest bitrate; in a broadcast that replaces
 * its track to take back, the one added last.
 */
function chooseRendition(catalog: Catalog): NamedRendition<AudioRendition> | undefined {
  const renditions = Object.values(catalog.audio?.renditions ?? {});
  const playable = readableRenditions(catalog.audio?.renditions).filter(({ rendition }) => canDecode(rendition));
  if (playable.length === 0 && renditions.length > 0) {
    const codecs = renditions.map(({ codec }) => codec).join(", ");
    throw new MediaError("UNSUPPORTED_CODEC", `No audio of the catalog can be played here: ${codecs}.`);
  }
  if (catalog.unsay?.renege === "track") return playable.at(-1);
  return playable.reduce<NamedRendition<AudioRendition> | undefined>(
    (best, each) => (best && (best.rendition.bitrate ?? 0) >= (each.rendition.bitrate ?? 0) ? best : each),
    undefined,
  );
}
