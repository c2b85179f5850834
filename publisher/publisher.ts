import { z } from "zod";
import {
  type Clock,
  fromMilliseconds,
  InputError,
  type Microseconds,
  microseconds,
  monotonicClock,
  StateError,
} from "../base/index.js";
import { encodeCatalog, encodeLegacyFrame, Timeline } from "../container/index.js";
import { type ConnectOptions, connect } from "../transport/index.js";
import { Audience, type HeardListener } from "./audience.js";
import { Denoiser } from "./denoiser.js";
import { type Knobs, knobsSchema, Mixer } from "./mix.js";
import { loadModel, Model } from "./model.js";
import { OpusEncoder, opusOptionsSchema } from "./opus.js";
import { Outbox, type OutboxCounters } from "./outbox.js";
import { OverloadGuard } from "./overload.js";
import { Renderer } from "./renderer.js";
import { SAMPLE_RATE } from "./resample.js";
import { type Logger, Uplink } from "./session.js";
import type { AudioSource } from "./source.js";
import { Tape, type TapeCut } from "./tape.js";
import type { VideoSource } from "./video-source.js";
import { VideoTrack, type VideoTrackCounters } from "./video-track.js";

const isSource = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "read" in value && "channels" in value;
const isVideo = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "read" in value && "codec" in value;

/** Options of {@link Publisher}. */
export const publisherOptionsSchema = z.strictObject({
  /** The relay: `https://host:port`, or `http://host:port` to pin the certificate it tells there. */
  url: z.union([z.url({ protocol: /^https?$/, error: "must be an http or https URL" }), z.instanceof(URL)]),
  /** Name of the broadcast; on the wire it is `<broadcast>.hang`. Default `demo`. */
  broadcast: z
    .string()
    .regex(/^[^/].*[^/]$|^[^/]$/, "must not be empty nor start or end with a slash")
    .max(512)
    .default("demo"),
  /** What to say first; more comes by `play`. */
  source: z.custom<AudioSource>(isSource, "must be an AudioSource").optional(),
  /** Pictures beside the sound. They start with the first utterance, stand still after an interrupt and go on with the next. */
  video: z.custom<VideoSource>(isVideo, "must be a VideoSource").optional(),
  /** Whether there is sound. Without it there has to be video, which starts at once. Default true. */
  audio: z.boolean().default(true),
  /** `live`: sound is sent as it is captured. `ahead`: it is rendered before its time and may be taken back. Default `ahead`. */
  mode: z.enum(["live", "ahead"]).default("ahead"),
  /** How far to send ahead of the playhead, in milliseconds. By default as little as the link needs. */
  aheadMs: z.number().min(100).max(30_000).optional(),
  /** A denoising model: the path of its ONNX file, or one loaded before. Without it the sound is not denoised. */
  model: z.union([z.string().min(1), z.instanceof(Model)]).optional(),
  denoise: knobsSchema.prefault({}),
  channels: opusOptionsSchema.shape.channels,
  frameMs: opusOptionsSchema.shape.frameMs,
  bitrateBps: opusOptionsSchema.shape.bitrateBps,
  /** Further settings of the encoder. */
  opus: opusOptionsSchema.omit({ channels: true, frameMs: true, bitrateBps: true }).prefault({}),
  /** `rewind`: a group that goes back in time. `track`: a fresh track for players that refuse those. Default `rewind`. */
  renege: z.enum(["rewind", "track"]).default("rewind"),
  /** How long after an interrupt `resume` still works, in milliseconds. Default 10,000. */
  resumeWindowMs: z.number().min(0).max(600_000).default(10_000),
  /** How the session is made; see `connect` of the transport. */
  connect: z.custom<ConnectOptions>((value) => typeof value === "object" && value !== null).optional(),
  logger: z.custom<Logger>((value) => typeof value === "object" && value !== null && "info" in value).optional(),
});

/** See {@link publisherOptionsSchema}. */
export type PublisherOptions = z.input<typeof publisherOptionsSchema>;

/** What `interrupt` found out. */
export interface Interruption {
  /**
   * Media time up to which the taken-back sound was heard: by everybody who reports, so the earliest of `perListener`.
   * With nobody reporting it is the clock's estimate. 0 when nothing had been sent.
   */
  readonly heardUntil: Microseconds;
  /** The listeners that report, at most 24 of them. */
  readonly perListener: readonly HeardListener[];
  /** Where the sound was cut. */
  readonly to: Microseconds;
  /** Whether anything that had been sent was taken back. */
  readonly reneged: boolean;
}

/** One thing to say, made by `play`. */
export interface Utterance {
  readonly id: number;
  /** How it ended: rendered to its end, or taken back (also before it began). Rejects when its source can't be read. */
  readonly done: Promise<"finished" | "interrupted">;
}

/** What a publisher is doing; all times in milliseconds unless said otherwise. */
export interface PublisherStats {
  readonly connected: boolean;
  /** Sessions so far. */
  readonly sessions: number;
  readonly listeners: number;
  /** Groups encoded. */
  readonly groups: number;
  readonly bytes: number;
  readonly epoch: number;
  readonly sequence: number;
  /** Media time up to which sound was encoded, in microseconds. */
  readonly frontierUs: number;
  /** Latest playhead as reported or estimated, in microseconds. */
  readonly playheadUs: number;
  readonly leadMs: number;
  readonly reneges: number;
  readonly queued: number;
  /** Probability of speech now, 0 to 1. */
  readonly voiceActivity: number;
  /** Hops of 10 ms that went through the network. */
  readonly denoisedHops: number;
  /** Mean cost of denoising one hop, in microseconds. */
  readonly denoiseCostUs: number;
  /** Sound passed through undenoised because inference was too slow. */
  readonly bleedMs: number;
  /** Times the source was too slow and a hole was left. */
  readonly underruns: number;
  readonly clippedSamples: number;
  readonly outbox: OutboxCounters;
  /** Undefined without video. */
  readonly video: VideoTrackCounters | undefined;
}

interface Item {
  readonly id: number;
  readonly source: AudioSource;
  renderer: Renderer | undefined;
  readonly resolve: (how: "finished" | "interrupted") => void;
  readonly reject: (error: Error) => void;
}

/** A stretch of the timeline where nothing is said and nothing is sent, in samples. */
interface Hole {
  readonly from: number;
  readonly to: number;
}

interface Cut {
  readonly to: Microseconds;
  readonly reneged: boolean;
  /** Whether listeners will report it: those of sound do. */
  readonly heard: boolean;
  /** End of what had been encoded before. */
  readonly sent: Microseconds;
}

interface Tail {
  readonly at: Microseconds;
  readonly cut: TapeCut;
  readonly current: Item | undefined;
  readonly queue: readonly Item[];
}

const TICK_MS = 10;
/** Frames encoded and not yet sent: a rewind throws their encoding away. */
const MAX_ENCODED = 32;
const MAX_QUEUE = 256;
/** A live source later than this has stalled: leave a hole rather than run late for good. */
const LIVE_SLACK = fromMilliseconds(200);
/** Where nobody reports, sound this late may still be heard: transit and jitter buffer. */
const UNHEARD = fromMilliseconds(1000);
/** How long `interrupt` waits for the listeners' reports. */
const HEARD_LIMIT_MS = 1000;
/** Hops rendered in a row before other work gets its turn. */
const RENDER_BATCH = 4;

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {} };

/**
 * Publishes one broadcast of audio: source, denoiser, Opus, one group per frame, to a relay. Reconnects by itself.
 *
 * The timeline starts with 0 at construction and is pinned to the clock: a pause between two utterances is a hole.
 *
 * @throws InputError `INVALID_OPTION` that names the option.
 */
export class Publisher {
  readonly #options: z.output<typeof publisherOptionsSchema>;
  readonly #clock: Clock = monotonicClock;
  readonly #start = monotonicClock();
  readonly #logger: Logger;
  readonly #uplink: Uplink;
  readonly #audience: Audience;
  readonly #outbox: Outbox;
  readonly #tape: Tape;
  readonly #video: VideoTrack | undefined;
  readonly #mixer: Mixer;
  readonly #guard: OverloadGuard;
  readonly #frameSize: number;
  readonly #dry: Float32Array;
  readonly #wet: Float32Array;
  readonly #mixed: Float32Array;
  readonly #done: Promise<void>;
  #timeline = new Timeline();
  #trackNumber = 0;
  #track = "audio";
  #encoder: OpusEncoder | undefined;
  #model: Model | undefined;
  #knobs: Knobs;
  #staged: Knobs | undefined;
  #queue: Item[] = [];
  #current: Item | undefined;
  #reading: Item | undefined;
  #result: { item: Item; block: TapeCut | undefined; error?: unknown } | undefined;
  /** A live source that is read on but not heard. */
  #muted: Item | undefined;
  /** How far it was read, so that a file is not read to its end meanwhile. */
  #mutedEnd = 0;
  #tail: Tail | undefined;
  /** Position of the next frame to encode, in samples. */
  #cursor = 0;
  #holes: Hole[] = [];
  #lastSequence = -1;
  /** The next frame is the first after a rewind. */
  #opening = false;
  #nextId = 1;
  #wake: (() => void) | undefined;
  #stirred = false;
  readonly #ticks: (() => void)[] = [];
  #closed = false;
  #failure: Error | undefined;
  /** Groups made when the last interrupt was done. */
  #quietSince = -1;
  #interrupting: Promise<Interruption> | undefined;
  #stranded = false;
  readonly #counts = { sessions: 0, groups: 0, bytes: 0, reneges: 0, underruns: 0, clipped: 0 };

  constructor(options: PublisherOptions) {
    const parsed = publisherOptionsSchema.safeParse(options);
    if (!parsed.success) {
      throw new InputError("INVALID_OPTION", `The publisher options are not valid: ${z.prettifyError(parsed.error)}`);
    }
    const { data } = parsed;
    if (!data.audio && (data.video === undefined || data.source !== undefined)) {
      throw new InputError("INVALID_OPTION", "With audio false there must be a video and no source.");
    }
    this.#options = data;
    this.#logger = data.logger ?? silent;
    this.#knobs = data.denoise;
    this.#mixer = new Mixer(data.denoise);
    this.#guard = new OverloadGuard({
      clock: this.#clock,
      budget: fromMilliseconds(10),
      slack: () => this.#slack(this.#clock()),
    });
    this.#frameSize = (SAMPLE_RATE / 1000) * data.frameMs;
    const values = this.#frameSize * data.channels;
    this.#dry = new Float32Array(values);
    this.#wet = new Float32Array(values);
    this.#mixed = new Float32Array(values);
    const capacity = Math.ceil(((data.aheadMs ?? 5000) / 1000 + 5) * SAMPLE_RATE);
    this.#tape = new Tape({ channels: data.channels, capacity });
    this.#outbox = new Outbox({ bitrateBps: data.bitrateBps });
    this.#audience = new Audience({ clock: this.#clock });
    if (data.renege === "track") this.#nextTrack();
    const retainMs = (data.aheadMs ?? 2000) + 5000;
    if (data.video !== undefined) {
      this.#video = new VideoTrack({
        source: data.video,
        retainMs,
        renege: data.renege,
        logger: this.#logger,
        onReady: () => this.#stir(),
        onTrack: () => this.#publishCatalog(),
      });
    }
    this.#uplink = new Uplink({
      path: `${data.broadcast}.hang`,
      connect: (signal) => connect(data.url, { ...data.connect, signal }),
      retainMs,
      logger: this.#logger,
      onBroadcast: (broadcast) => this.#video?.attach(broadcast),
      onConnected: () => {
        this.#counts.sessions++;
        this.#audience.reset();
        const now = this.#clock();
        this.#outbox.reconnected(microseconds(this.#wall(now) - UNHEARD));
        this.#stir();
      },
      onAggregate: (aggregate) => {
        if (aggregate.ingestAck !== undefined) this.#outbox.acked(aggregate.ingestAck);
        this.#audience.observe(aggregate);
      },
      onDemand: (wanted) => {
        // Who was sent what lies ahead has gone; the next one starts at what is to be heard now.
        if (!wanted && this.#uplink.connected) this.#stranded = true;
        this.#stir();
      },
    });
    if (data.audio) this.#uplink.startTrack(this.#track);
    this.#publishCatalog();
    void this.#uplink.closed.then((error) => {
      this.#failure = error;
      this.#stir();
    });
    this.#done = this.#run();
    this.#done.catch(() => {});
    if (data.source !== undefined) this.play(data.source).done.catch(() => {});
  }

  /** Settles when the publisher has ended: resolves after `close`, rejects when it can't go on. */
  get closed(): Promise<void> {
    return this.#done;
  }

  /** The knobs in force or about to be. */
  get knobs(): Knobs {
    return this.#staged ?? this.#knobs;
  }

  /**
   * Turns knobs; those not named keep their place. Takes effect at the next tick; what was sent ahead is taken back from
   * just after the playhead on and sent again with the new setting, without another inference.
   *
   * @throws InputError `INVALID_OPTION` that names the knob.
   */
  set(knobs: Partial<Knobs>): void {
    this.#assertOpen();
    const parsed = knobsSchema.safeParse({ ...this.knobs, ...knobs });
    if (!parsed.success) {
      throw new InputError("INVALID_OPTION", `The knobs are not valid: ${z.prettifyError(parsed.error)}`);
    }
    this.#staged = parsed.data;
    this.#stir();
  }

  /**
   * Queues something to say, after what is being said. After an interrupt it starts at once.
   *
   * @throws InputError `INVALID_OPTION` for a source with other channels; StateError `QUEUE_FULL` or `CLOSED`.
   */
  play(source: AudioSource): Utterance {
    this.#assertOpen();
    if (!this.#options.audio) throw new InputError("INVALID_OPTION", "The broadcast has no sound: audio is false.");
    if (source.channels !== this.#options.channels) {
      throw new InputError(
        "INVALID_OPTION",
        `The source ${source.name} has ${source.channels} channel(s), but the option channels is ${this.#options.channels}.`,
      );
    }
    if (this.#queue.length >= MAX_QUEUE) {
      throw new StateError("QUEUE_FULL", `${MAX_QUEUE} utterances wait already; wait for one to be done.`);
    }
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<"finished" | "interrupted">();
    promise.catch(() => {});
    this.#queue.push({ id, source, renderer: undefined, resolve, reject });
    this.#dropTail();
    this.#stir();
    return { id, done: promise };
  }

  /**
   * Somebody spoke up: takes back what the listeners have not heard yet, with everything queued, and falls silent.
   * What is played after the call is never touched by it. Resolves when the listeners have reported how far they heard,
   * after a second at most. Calling it again before anything new was said gives the same answer.
   */
  interrupt(): Promise<Interruption> {
    this.#assertOpen();
    const quiet = this.#quietSince === this.#counts.groups && this.#current === undefined && this.#queue.length === 0;
    if (quiet && this.#video?.running !== true && this.#interrupting !== undefined) return this.#interrupting;
    const now = this.#clock();
    const cut = this.#cutAt(this.#audience.earliest(now) ?? this.#wall(now));
    this.#quietSince = this.#counts.groups;
    this.#interrupting = this.#heard(cut);
    return this.#interrupting;
  }

  /**
   * Takes back everything at or after `to` (microseconds of media time) and everything queued, and falls silent there.
   * Later than what was sent, it only clears what was to come.
   *
   * @throws InputError `INVALID_TIMESTAMP` when `to` is not a whole number from 0 on.
   */
  renege(to: Microseconds): { readonly to: Microseconds; readonly reneged: boolean } {
    this.#assertOpen();
    if (!Number.isSafeInteger(to) || to < 0) {
      throw new InputError("INVALID_TIMESTAMP", `to must be a whole number of microseconds from 0 on, not ${to}.`);
    }
    const { to: where, reneged } = this.#cutAt(to);
    return { to: where, reneged };
  }

  /**
   * Says what the last interrupt or renege took back after all, from the sample on where it was cut. False when there is
   * nothing: never interrupted, too long ago, or something else was played since.
   * With `mode: "live"` the source is simply heard again from now on.
   */
  resume(): boolean {
    this.#assertOpen();
    const tail = this.#tail;
    if (tail === undefined || this.#expired(tail)) return false;
    this.#tail = undefined;
    this.#muted = undefined;
    this.#interrupting = undefined;
    const start = this.#startPosition(this.#clock());
    if (this.#options.mode === "ahead") this.#startAt(start);
    this.#video?.start(this.#time(Math.max(start, this.#tape.end)));
    if (this.#options.mode === "ahead") this.#tape.write(tail.cut.dry, tail.cut.wet);
    this.#current = tail.current;
    this.#queue.unshift(...tail.queue);
    this.#stir();
    return true;
  }

  /** Resolves when everything played so far has been sent and, as far as is known, heard; or when closed. */
  async drained(): Promise<void> {
    while (!this.#closed && !this.#isDrained()) await this.#nextTick();
  }

  /** A snapshot of the counters. */
  stats(): PublisherStats {
    const now = this.#clock();
    const playhead = this.#audience.latest(now) ?? this.#wall(now);
    const frontier = this.#time(this.#cursor);
    return {
      connected: this.#uplink.connected,
      sessions: this.#counts.sessions,
      listeners: this.#audience.listeners,
      groups: this.#counts.groups,
      bytes: this.#counts.bytes,
      epoch: this.#timeline.epoch,
      sequence: this.#lastSequence,
      frontierUs: frontier,
      playheadUs: playhead,
      leadMs: (frontier - playhead) / 1000,
      reneges: this.#counts.reneges,
      queued: this.#queue.length,
      voiceActivity: this.#current?.renderer?.voiceActivity ?? 0,
      denoisedHops: this.#guard.denoisedHops,
      denoiseCostUs: this.#guard.meanCost,
      bleedMs: this.#guard.bleedMs,
      underruns: this.#counts.underruns,
      clippedSamples: this.#counts.clipped,
      outbox: this.#outbox.counters,
      video: this.#video?.counters,
    };
  }

  /** Ends the broadcast and lets go of sources and encoder; idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stir();
    await this.#done.catch(() => {});
  }

  async #run(): Promise<void> {
    const { audio, model, channels, frameMs, bitrateBps, opus, mode } = this.#options;
    try {
      if (!audio) this.#video?.start(this.#wall(this.#clock()));
      else this.#encoder = await OpusEncoder.create({ ...opus, channels, frameMs, bitrateBps });
      if (audio) this.#model = typeof model === "string" ? await loadModel(model) : model;
      let batch = 0;
      while (!this.#closed) {
        if (this.#failure !== undefined) throw this.#failure;
        this.#control();
        this.#take();
        this.#pump();
        this.#show();
        const item = this.#reading === undefined ? await this.#next() : undefined;
        if (item !== undefined) {
          this.#read(item);
          if (++batch % RENDER_BATCH === 0) await new Promise((resolve) => setImmediate(resolve));
        }
        await this.#idle();
      }
    } catch (error) {
      this.#logger.warn({ err: error }, `The publisher ended in ${mode} mode.`);
      throw error;
    } finally {
      this.#closed = true;
      this.#uplink.close();
      this.#dropTail();
      const items = [this.#current, this.#muted, this.#reading, ...this.#queue];
      for (const item of new Set(items)) if (item !== undefined) this.#abandon(item);
      this.#encoder?.close();
      await this.#video?.close();
      if (typeof model === "string") await this.#model?.close();
      for (const resolve of this.#ticks.splice(0)) resolve();
    }
  }

  // Everything asked from outside since the last tick, and at most one recompose for it.
  #control(): void {
    const now = this.#clock();
    if (this.#tail !== undefined && this.#expired(this.#tail)) this.#dropTail();
    if (this.#staged !== undefined) {
      this.#knobs = this.#staged;
      this.#staged = undefined;
      this.#mixer.set(this.#knobs);
      if (this.#options.mode === "ahead") this.#recompose(this.#startPosition(now));
    }
    if (this.#stranded && this.#uplink.wanted) {
      this.#stranded = false;
      this.#outbox.forget();
      if (this.#options.mode === "ahead") this.#recompose(this.#position(this.#wall(now)));
    }
  }

  // Sends what is on the tape from `position` on once more, as a rewind.
  #recompose(position: number): void {
    if (position < this.#cursor) this.#rewind(position);
  }

  // What the reading of the last tick brought.
  #take(): void {
    const result = this.#result;
    if (result === undefined) return;
    this.#result = undefined;
    const { item, block, error } = result;
    if (error !== undefined) {
      item.reject(error instanceof Error ? error : new Error(String(error)));
      this.#logger.warn({ err: error, source: item.source.name }, "A source could not be read.");
    }
    if (item === this.#muted) {
      if (block === undefined) this.#muted = undefined;
      else this.#mutedEnd += block.dry.length / this.#options.channels;
    } else if (item !== this.#current) {
      if (block !== undefined) item.renderer?.unread(block);
    } else if (block === undefined) {
      this.#current = undefined;
      item.resolve("finished");
      this.#abandon(item);
    } else {
      this.#catchUp();
      this.#tape.write(block.dry, block.wet);
    }
  }

  // Where the source was too slow, what is late anyway moves on to where it can still be heard in full.
  #catchUp(): void {
    const now = this.#clock();
    const end = this.#time(this.#tape.end);
    const limit =
      this.#options.mode === "live" ? this.#wall(now) - LIVE_SLACK : (this.#playhead(now) ?? this.#wall(now) - UNHEARD);
    if (end >= limit) return;
    this.#counts.underruns++;
    this.#startAt(this.#startPosition(now));
    this.#video?.delay(microseconds(this.#time(this.#tape.end) - end));
  }

  // Pictures go as far ahead as sound does, and never further than the sound that belongs to them is rendered.
  #show(): void {
    const now = this.#clock();
    const target = this.#target(now);
    const until = this.#current === undefined ? target : Math.min(target, this.#time(this.#tape.end));
    this.#video?.pump(this.#audience.earliest(now) ?? microseconds(this.#wall(now) - UNHEARD), microseconds(until));
  }

  #pump(): void {
    const now = this.#clock();
    const passed = microseconds(this.#audience.earliest(now) ?? this.#wall(now) - UNHEARD);
    for (;;) {
      this.#encode(now);
      if (!this.#uplink.wanted) {
        // Who joins a live broadcast wants what is captured now: older sound would only put the playhead behind for good.
        const fresh = microseconds(this.#wall(now) - 2 * this.#options.frameMs * 1000);
        this.#outbox.expire(this.#options.mode === "live" ? fresh : passed);
        return;
      }
      const frame = this.#outbox.take(now, passed);
      if (frame === undefined) return;
      this.#uplink.send({
        sequence: frame.sequence,
        timestamp: frame.timestamp,
        body: encodeLegacyFrame(frame),
        twice: frame.opensEpoch,
      });
    }
  }

  #encode(now: Microseconds): void {
    const encoder = this.#encoder;
    if (encoder === undefined) return;
    const target = this.#position(this.#target(now));
    const before = this.#counts.groups;
    while (this.#outbox.size < MAX_ENCODED && this.#cursor < target) {
      const hole = this.#holes[0];
      if (hole !== undefined && this.#cursor >= hole.from) {
        this.#holes.shift();
        if (this.#cursor < hole.to) {
          this.#cursor = hole.to;
          encoder.reset();
        }
        continue;
      }
      const needed = this.#cursor + this.#frameSize + encoder.lookahead;
      // Once nothing more is to come, the rest goes out with silence behind it.
      const complete = this.#current === undefined ? this.#cursor < this.#tape.end : needed <= this.#tape.end;
      if (!complete) break;
      this.#tape.read(this.#cursor + encoder.lookahead, this.#dry, this.#wet);
      this.#mixer.process(this.#dry, this.#wet, this.#mixed);
      this.#clip(this.#mixed);
      this.#emit(encoder.encode(this.#mixed));
    }
    const written = this.#counts.groups - before;
    if (written > 0) {
      this.#audience.lead.wrote(now, fromMilliseconds(written * this.#options.frameMs), this.#lastSequence);
    }
  }

  #emit(payload: Uint8Array): void {
    const timestamp = this.#time(this.#cursor);
    const duration = microseconds(this.#options.frameMs * 1000);
    const { sequence } = this.#timeline.next(timestamp, duration);
    const opensEpoch = this.#opening;
    this.#opening = false;
    this.#lastSequence = sequence;
    this.#counts.groups++;
    this.#counts.bytes += payload.length;
    this.#outbox.push({ track: this.#track, sequence, timestamp, payload, opensEpoch });
    this.#cursor += this.#frameSize;
  }

  // Takes back everything sent from `position` on; what follows is encoded as if nothing had been.
  #rewind(position: number): void {
    const to = this.#time(position);
    this.#outbox.renege(to);
    this.#audience.lead.rewind(to, this.#lastSequence);
    this.#counts.reneges++;
    this.#opening = true;
    if (this.#options.renege === "track") {
      this.#nextTrack();
      this.#timeline = new Timeline();
      this.#outbox.forget();
      this.#uplink.startTrack(this.#track);
      this.#publishCatalog();
    } else {
      this.#timeline.renege(to);
    }
    this.#cursor = position;
    const encoder = this.#encoder;
    if (encoder === undefined) return;
    this.#tape.read(position + encoder.lookahead - this.#frameSize, this.#dry, this.#wet);
    this.#mixer.hold(this.#dry, this.#wet, this.#mixed);
    encoder.reset(this.#mixed);
    this.#logger.debug({ to, track: this.#track, epoch: this.#timeline.epoch }, "Took back what was sent.");
  }

  // Ends all that is said and queued at `to`, and keeps it for `resume`.
  #cutAt(to: Microseconds): Cut {
    const frontier = this.#position(this.#video?.frontier ?? microseconds(0));
    const position = Math.min(this.#position(to), Math.max(this.#cursor, this.#tape.end, frontier));
    const cut = this.#tape.cut(position);
    const current = this.#current;
    const queue = this.#queue;
    if (cut.dry.length > 0 || current !== undefined || queue.length > 0 || this.#video?.running) {
      this.#dropTail();
      this.#tail = { at: this.#clock(), cut, current, queue };
      for (const item of [current, ...queue]) item?.resolve("interrupted");
    }
    this.#current = undefined;
    this.#queue = [];
    if (this.#options.mode === "live" && current !== undefined) {
      this.#muted = current;
      this.#mutedEnd = position;
    }
    this.#holes = this.#holes.filter((hole) => hole.to <= position);
    const reneged = position < this.#cursor;
    const sent = this.#time(this.#options.audio ? this.#cursor : frontier);
    if (reneged && this.#encoder !== undefined) {
      this.#rewind(position);
      this.#encoder.reset();
      this.#emit(this.#encoder.silence);
      this.#pump();
      this.#audience.startOver(this.#time(position), this.#clock());
    }
    const pictures = this.#video?.pause(this.#time(position)) ?? false;
    return { to: this.#time(position), reneged: reneged || pictures, heard: reneged, sent };
  }

  async #heard({ to, reneged, heard, sent }: Cut): Promise<Interruption> {
    const nothing = this.#counts.groups === 0 && !this.#video?.counters.groups;
    const perListener = await this.#audience.heard(heard ? HEARD_LIMIT_MS : 0);
    const clamped = perListener.map((one) => ({ ...one, heardUntil: microseconds(Math.min(one.heardUntil, sent)) }));
    const earliest = Math.min(...clamped.map(({ heardUntil }) => heardUntil));
    const heardUntil = nothing ? 0 : clamped.length > 0 ? earliest : Math.min(to, sent);
    return { heardUntil: microseconds(heardUntil), perListener: clamped, to, reneged };
  }

  // The item to read from now, begun if need be; undefined when none, or when enough is rendered.
  async #next(): Promise<Item | undefined> {
    const now = this.#clock();
    if (this.#muted !== undefined && this.#current === undefined && this.#queue.length === 0) {
      return this.#time(this.#mutedEnd) < this.#wall(now) ? this.#muted : undefined;
    }
    if (this.#current === undefined) {
      const item = this.#queue[0];
      if (item === undefined) return undefined;
      // Denoisers are made before the item leaves the queue, so that an interrupt meanwhile finds it there.
      item.renderer ??= await this.#render(item.source);
      if (this.#queue[0] !== item || this.#current !== undefined) return undefined;
      this.#queue.shift();
      this.#current = item;
      this.#interrupting = undefined;
      this.#startAt(this.#startPosition(now));
      this.#video?.start(this.#time(this.#tape.end));
    }
    return this.#time(this.#tape.end) < this.#target(now) ? this.#current : undefined;
  }

  #read(item: Item): void {
    this.#reading = item;
    const done = (result: { block: TapeCut | undefined; error?: unknown }) => {
      this.#reading = undefined;
      this.#result = { item, ...result };
      this.#stir();
    };
    item.renderer!.read().then(
      (block) => done({ block }),
      (error: unknown) => done({ block: undefined, error }),
    );
  }

  async #render(source: AudioSource): Promise<Renderer> {
    const model = this.#model;
    const denoisers: Denoiser[] = [];
    if (model !== undefined) for (let c = 0; c < source.channels; c++) denoisers.push(await Denoiser.create(model));
    return new Renderer({
      source,
      denoisers,
      guard: this.#guard,
      clock: this.#clock,
      // What is rendered ahead may be mixed otherwise later; live sound that nobody hears denoised need not be.
      wanted: () => this.#options.mode === "ahead" || this.#mixer.needsWet,
    });
  }

  // Goes on at `position`, over a hole where that lies ahead.
  #startAt(position: number): void {
    const start = Math.max(position, this.#cursor, this.#tape.end);
    if (start > this.#tape.end && start > this.#cursor) this.#holes.push({ from: this.#tape.end, to: start });
    this.#tape.seek(start);
  }

  /** The soonest position at which something new can be heard in full. */
  #startPosition(now: Microseconds): number {
    if (this.#options.mode === "live") return this.#position(this.#wall(now));
    const playhead = this.#playhead(now);
    if (playhead === undefined) return this.#position(this.#wall(now));
    // Whoever starts over or stands still waits for the first frame, however late it is.
    const waiting = this.#audience.isStartingOver(now) || !this.#audience.playing;
    const margin = waiting ? 0 : this.#audience.lead.close(now);
    return this.#position(microseconds(playhead + margin));
  }

  /** How long the rendering may stand still before somebody hears it. */
  #slack(now: Microseconds): Microseconds {
    const ahead =
      this.#options.mode === "ahead" ? this.#time(this.#tape.end) - (this.#playhead(now) ?? this.#wall(now)) : 0;
    return microseconds(Math.max(LIVE_SLACK, ahead));
  }

  /** Media time to have encoded by now. */
  #target(now: Microseconds): Microseconds {
    const wall = this.#wall(now);
    if (this.#options.mode === "live") return microseconds(wall + this.#options.frameMs * 1000);
    const playhead = this.#playhead(now) ?? wall;
    const { aheadMs } = this.#options;
    if (aheadMs !== undefined) return microseconds(playhead + aheadMs * 1000);
    return this.#audience.lead.frontier(playhead, now);
  }

  #wall(now: Microseconds): Microseconds {
    return microseconds(now - this.#start);
  }

  // The latest playhead of who reports, also where it waits for sound: the clock may be far from it after many rewinds.
  #playhead(now: Microseconds): Microseconds | undefined {
    return this.#audience.latest(now);
  }

  #position(time: Microseconds): number {
    return Math.round((time * SAMPLE_RATE) / 1e6);
  }

  #time(position: number): Microseconds {
    return microseconds((position * 1e6) / SAMPLE_RATE);
  }

  #nextTrack(): void {
    this.#track = `audio${this.#trackNumber++}`;
  }

  #publishCatalog(): void {
    const { channels, bitrateBps, frameMs, renege, mode } = this.#options;
    const rendition = {
      codec: "opus",
      container: { kind: "legacy" as const },
      sampleRate: SAMPLE_RATE,
      numberOfChannels: channels,
      bitrate: bitrateBps,
      jitter: frameMs,
    };
    const video = this.#video;
    this.#uplink.setCatalog(
      encodeCatalog({
        ...(this.#options.audio && { audio: { renditions: { [this.#track]: rendition } } }),
        ...(video !== undefined && { video: { renditions: video.renditions } }),
        unsay: { renege, mode },
      }),
    );
  }

  #clip(samples: Float32Array): void {
    for (let i = 0; i < samples.length; i++) {
      const value = samples[i]!;
      if (value > 1 || value < -1) {
        samples[i] = value > 1 ? 1 : -1;
        this.#counts.clipped++;
      }
    }
  }

  #expired(tail: Tail): boolean {
    return this.#clock() - tail.at > this.#options.resumeWindowMs * 1000;
  }

  #dropTail(): void {
    const tail = this.#tail;
    this.#tail = undefined;
    this.#muted = undefined;
    for (const item of [tail?.current, ...(tail?.queue ?? [])]) if (item !== undefined) this.#abandon(item);
  }

  #abandon(item: Item): void {
    item.resolve("interrupted");
    const closing = item.renderer?.close() ?? item.source.close();
    closing.catch((error: unknown) => this.#logger.debug({ err: error }, "A source could not be closed."));
  }

  #isDrained(): boolean {
    const video = this.#options.video?.endless ? undefined : this.#video;
    const now = this.#clock();
    // Who stands still, paused perhaps, does not keep a broadcast from ending.
    const playhead = (this.#audience.playing ? this.#playhead(now) : undefined) ?? this.#wall(now);
    return (
      this.#current === undefined &&
      this.#queue.length === 0 &&
      this.#outbox.size === 0 &&
      (video === undefined || !video.running || video.ended) &&
      this.#cursor >= this.#tape.end &&
      playhead >= Math.max(this.#time(this.#cursor), video?.frontier ?? 0)
    );
  }

  #stir(): void {
    this.#stirred = true;
    this.#wake?.();
  }

  async #idle(): Promise<void> {
    if (!this.#stirred) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, TICK_MS);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = undefined;
    }
    this.#stirred = false;
    for (const resolve of this.#ticks.splice(0)) resolve();
  }

  #nextTick(): Promise<void> {
    return new Promise((resolve) => {
      this.#ticks.push(resolve);
    });
  }

  #assertOpen(): void {
    if (this.#closed) throw new StateError("CLOSED", "The publisher was used after close().");
  }
}
