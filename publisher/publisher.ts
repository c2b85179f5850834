import { randomBytes } from "node:crypto";
import { EventEmitter } from "node:events";
import { z } from "zod";
import {
  attachLogger,
  background,
  broadcastPath,
  type Clock,
  fromMilliseconds,
  guard,
  InputError,
  type Logger,
  type Microseconds,
  microseconds,
  monotonicClock,
  onFault,
  StateError,
  TransportError,
} from "../base/index.js";
import { encodeCatalog, encodeLegacyFrame } from "../container/index.js";
import type { ControlEvent } from "../flow/control/index.js";
import type { Aggregate } from "../flow/report/index.js";
import { reach } from "../transport/index.js";
import { Controls } from "./control/controls.js";
import { RemoteControl } from "./control/remote-control.js";
import { loadModel } from "./denoise/model.js";
import { type PublisherOptions, publisherOptionsSchema } from "./options.js";
import { Deadlines } from "./send/deadlines.js";
import { Listeners } from "./send/listeners.js";
import { SendQueue } from "./send/send-queue.js";
import { LOW_SUFFIX, Uplink } from "./send/uplink.js";
import { SAMPLE_RATE } from "./source/resample.js";
import { type Interruption, Interrupts } from "./speech/interrupts.js";
import { Playback } from "./speech/playback.js";
import { Renderer, type SayOptions, type SpeechSource } from "./speech/renderer.js";
import type { Speech } from "./speech/speech.js";
import type { PublisherStats } from "./stats.js";
import { AudioTrack } from "./tracks/audio-track.js";
import type { Knobs } from "./tracks/mixer.js";
import { OpusEncoder } from "./tracks/opus.js";
import { PCM_BITRATE_BPS, PcmEncoder } from "./tracks/pcm-encoder.js";
import { toPosition, toTime } from "./tracks/position.js";
import { VideoTrack } from "./tracks/video-track.js";
import { VoiceTrack } from "./tracks/voice-track.js";

/** What a publisher is doing: `displaced` while another publisher holds its name at the relay. */
export type PublisherState = "connecting" | "publishing" | "displaced" | "closed";

/** Events of a {@link Publisher}. */
export interface PublisherEvents {
  /** What it is doing has changed. */
  state: [PublisherState];
  /**
   * An attempt to connect failed, the session was lost, or another publisher took the name (`NAME_TAKEN`). The publisher
   * goes on by itself; `retryable` of the error says whether trying alone can help. What ends it rejects `closed` instead.
   */
  problem: [Error];
}

const TICK_MS = 10;
/** How far ahead a publisher sends at most where that follows the link: see `LeadController`. */
const MAX_AHEAD_MS = 4350;
/** Frames encoded and not yet sent: a rewind throws their encoding away. */
const MAX_ENCODED = 32;
const MAX_WRITE_TIMES = 1024;
/** Groups sent in a row before other work gets its turn. */
const SEND_BATCH = 4;
/** Hops rendered in a row before other work gets its turn. */
const RENDER_BATCH = 4;
/** Least time between two catalogs that tell of bleed. */
const BLEED_SPACING = fromMilliseconds(1000);

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {} };

/**
 * Publishes one broadcast of audio: source, denoiser, Opus, groups of frames, to a relay. Reconnects by itself, but not
 * after a refusal that no attempt can mend: `closed` then rejects with the relay's reason, such as `UNAUTHORIZED`,
 * `NOT_GRANTED` or `CERTIFICATE_UNTRUSTED`.
 *
 * Of several publishers of one name the newest is heard. The others become `displaced`, say so once by a `problem` with
 * the code `NAME_TAKEN`, and are heard again when the newer ones have left.
 *
 * The timeline starts with 0 at construction and is pinned to the clock: a pause between two utterances is a hole.
 *
 * @throws InputError `INVALID_OPTION` that names the option.
 */
export class Publisher extends EventEmitter<PublisherEvents> {
  readonly #options: z.output<typeof publisherOptionsSchema>;
  readonly #clock: Clock = monotonicClock;
  readonly #logger: Logger;
  readonly #detachLogger: () => void;
  readonly #bitrateBps: number;
  readonly #lowBitrateBps: number | false;
  readonly #uplink: Uplink;
  readonly #listeners: Listeners;
  readonly #deadlines: Deadlines;
  readonly #sendQueue: SendQueue;
  readonly #audioTrack: AudioTrack;
  readonly #renderer: Renderer;
  readonly #playback = new Playback();
  readonly #interrupts: Interrupts;
  readonly #controls: Controls;
  readonly #video: VideoTrack | undefined;
  readonly #voice: VoiceTrack;
  readonly #remote: RemoteControl | undefined;
  readonly #done: Promise<void>;
  readonly #ticks: (() => void)[] = [];
  #wake: (() => void) | undefined;
  #stirred = false;
  #closed = false;
  #failure: Error | undefined;
  #stranded = false;
  #toldBleed = { ms: 0, at: Number.NEGATIVE_INFINITY };
  /** The window was full when the next frame was due. */
  #blocked = false;
  /** More was due than one turn sends. */
  #isBehind = false;
  readonly #writeTimes: Microseconds[] = [];
  #sessions = 0;
  readonly #runId = randomBytes(8).toString("hex");
  #state: PublisherState = "connecting";

  constructor(options: PublisherOptions) {
    super();
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
    this.#detachLogger = data.logger ? attachLogger(data.logger) : () => {};
    this.#bitrateBps = data.codec === "pcm" ? PCM_BITRATE_BPS * data.channels : data.bitrateBps;
    const low = data.lowBitrateBps ?? (data.frameMs === 5 ? 16_000 : 12_000);
    this.#lowBitrateBps = data.codec === "pcm" || data.rewindBy === "track" ? false : low;
    this.#sendQueue = new SendQueue({
      bitrateBps: this.#bitrateBps,
      window: data.flow.window,
      late: data.mode === "ahead",
    });
    this.#listeners = new Listeners({ clock: this.#clock, ...data.flow });
    this.#deadlines = new Deadlines({
      ...data,
      aheadMs: data.aheadMs,
      start: this.#clock(),
      listeners: this.#listeners,
    });
    this.#audioTrack = new AudioTrack({
      channels: data.channels,
      frameMs: data.frameMs,
      frameSize: (SAMPLE_RATE / 1000) * data.frameMs,
      groupFrames: data.groupFrames,
      capacity: Math.ceil(((data.aheadMs ?? 5000) / 1000 + 5) * SAMPLE_RATE),
      rewindBy: data.rewindBy,
      knobs: data.denoise,
      lowWanted: () => this.#uplink.lowWanted,
      onFrame: (frame) => {
        const now = this.#clock();
        const playhead = this.#deadlines.playhead(now);
        this.#sendQueue.push({ ...frame, producedAt: now });
        if (!frame.opensGroup || playhead === undefined) return;
        if (!this.#listeners.playing || this.#listeners.isStartingOver(now)) return;
        this.#listeners.transit.wrote(frame.sequence, microseconds(frame.timestamp - playhead));
      },
      onRewind: (to, lastSequence) => {
        this.#sendQueue.rewind(to);
        this.#uplink.rewind(to);
        this.#listeners.lead.rewind(to, lastSequence);
        this.#voice.rewind(to);
        this.#logger.debug({ to }, "Took back what was sent.");
      },
      onTrack: (name) => {
        this.#sendQueue.forget();
        this.#uplink.startTrack(name);
        this.#publishCatalog();
      },
    });
    this.#renderer = new Renderer({
      ...data,
      clock: this.#clock,
      deadlines: this.#deadlines,
      audioTrack: this.#audioTrack,
      logger: this.#logger,
      onRead: () => this.#stir(),
      onBegin: (at) => {
        this.#interrupts.began();
        this.#video?.start(at);
      },
      onDelay: (by) => this.#video?.delay(by),
      control: {
        interrupt: (id) => this.#interrupts.interrupt(id),
        pause: (id) => this.#interrupts.pause(id),
        resume: (id) => this.#interrupts.resume(id),
        phase: (id) => this.#interrupts.phase(id),
      },
    });
    this.#controls = new Controls({
      ...data,
      sources: data.sources,
      knobs: data.denoise,
      renderer: this.#renderer,
      audioTrack: this.#audioTrack,
      soonest: () => this.#soonest(),
      interrupt: () => void this.interrupt(),
      resume: () => this.#interrupts.resumeAll() !== undefined,
      onBand: (armed) => {
        this.#listeners.lead.loopBandArmed = armed;
      },
      onStaged: () => this.#stir(),
    });
    const retainMs = (data.aheadMs ?? 2000) + 5000;
    this.#voice = new VoiceTrack({ retainMs, rewindBy: data.rewindBy, read: (step) => this.#audioTrack.voice(step) });
    if (data.video !== undefined) {
      this.#video = new VideoTrack({
        source: data.video,
        retainMs,
        rewindBy: data.rewindBy,
        logger: this.#logger,
        onReady: () => this.#stir(),
        onTrack: () => this.#publishCatalog(),
      });
    }
    this.#interrupts = new Interrupts({
      clock: this.#clock,
      hasAudio: data.audio,
      renderer: this.#renderer,
      audioTrack: this.#audioTrack,
      video: this.#video,
      listeners: this.#listeners,
      deadlines: this.#deadlines,
      playback: this.#playback,
      send: () => this.#pump(),
      wake: () => this.#stir(),
    });
    if (data.control) {
      this.#remote = new RemoteControl({
        broadcast: data.broadcast,
        clock: this.#clock,
        control: (operation, payload) => this.control(operation, payload),
        logger: this.#logger,
      });
    }
    this.#uplink = new Uplink({
      path: broadcastPath(data.broadcast),
      reach: reach(data.url, data.connect),
      retainMs,
      low: this.#lowBitrateBps !== false,
      logger: this.#logger,
      onBroadcast: (broadcast, connection) => {
        this.#video?.attach(broadcast);
        this.#voice.attach(broadcast);
        this.#remote?.attach(connection, broadcast);
      },
      onConnected: () => {
        this.#sessions++;
        this.#listeners.reset();
        this.#playback.reset();
        const now = this.#clock();
        this.#sendQueue.reconnected(this.#deadlines.unheard(now), now);
        this.#become("publishing");
        this.#stir();
      },
      onProblem: (reason) => {
        this.#become("connecting");
        this.emit("problem", reason);
      },
      onDisplaced: (displaced) => {
        this.#become(displaced ? "displaced" : "publishing");
        if (displaced) this.emit("problem", nameTaken(data.broadcast));
      },
      bound: this.#listeners.bound,
      onAggregate: guard("publisher.aggregate", (aggregate: Aggregate, source: object) => {
        if (this.#listeners.listeners === 0 && aggregate.listeners > 0) this.#believeFirst(aggregate.latest);
        if (aggregate.ingestAck !== undefined) this.#sendQueue.acked(aggregate.ingestAck, this.#clock());
        this.#listeners.observe(aggregate, source);
        this.#playback.observe(aggregate, this.#clock());
        if (this.#blocked) this.#stir();
      }),
      onDemand: (wanted) => {
        // Who was sent what lies ahead has gone; the next one starts at what is to be heard now.
        if (!wanted && this.#uplink.connected) this.#stranded = true;
        this.#stir();
      },
    });
    if (data.audio) this.#uplink.startTrack(this.#audioTrack.track);
    this.#publishCatalog();
    background(
      "publisher.uplink",
      this.#uplink.closed.then((error) => {
        this.#failure = error;
        this.#stir();
      }),
    );
    const stopFaults = onFault(({ handler, error, count }) =>
      this.#logger.warn({ handler, err: error, count }, "A handler failed; the publisher goes on."),
    );
    this.#done = this.#run().finally(stopFaults);
    this.#done.catch(() => {});
    if (data.source !== undefined) this.say(data.source);
  }

  /** Settles when the publisher has ended: resolves after `close`, rejects when it can't go on. */
  get closed(): Promise<void> {
    return this.#done;
  }

  /** What it is doing. */
  get state(): PublisherState {
    return this.#state;
  }

  /** The knobs in force or about to be. */
  get knobs(): Knobs {
    return this.#controls.knobs;
  }

  /**
   * Turns knobs; those not named keep their place. Takes effect at the next tick; what was sent ahead is taken back from
   * just after the playhead on and sent again with the new setting, without another inference.
   *
   * @throws InputError `INVALID_OPTION` that names the knob.
   */
  set(knobs: Partial<Knobs>): void {
    this.#assertOpen();
    this.#controls.set(knobs);
  }

  /**
   * Takes one operation as `flow` defines them: `set`, `noise_profile`, `model`, `swap_source`, `write_audio`,
   * `loop_band`, `interrupt`, `resume`. What takes time is prepared beside the broadcast, which goes on meanwhile. Then it
   * is made live at the start of a tick: what was sent ahead is taken back from just after the playhead on and rendered
   * anew. Resolves with the operation's one end: applied, superseded by a later one, or failed.
   *
   * @param payload For `noise_profile`: a WAV file, or mono 32-bit floats at 48 kHz. For `write_audio`: the samples. For
   *   `model` without a name: see `modelPayload`.
   * @throws InputError `INVALID_OPERATION` or `DUPLICATE_REQUEST`; StateError `CLOSED`.
   */
  async control(operation: unknown, payload?: Uint8Array): Promise<ControlEvent> {
    this.#assertOpen();
    return this.#controls.request(operation, payload);
  }

  /** The control epoch a group carries, for measurement: 0 before the first change; undefined when that is too long ago. */
  controlEpochOf(sequence: number): number | undefined {
    return this.#audioTrack.controlEpochOf(sequence);
  }

  /**
   * Says something, after everything that is said or queued: audio opened by `openAudio`, a source of your own, or a
   * stream of samples (see {@link OpenedAudio}). Synchronous; what goes wrong with the audio fails the speech.
   *
   * @throws InputError `INVALID_OPTION` for a source with other channels, or for words that are none; StateError
   *   `QUEUE_FULL`, `SOURCE_USED` or `CLOSED`.
   */
  say(source: SpeechSource, options: SayOptions = {}): Speech {
    this.#assertOpen();
    if (!this.#options.audio) throw new InputError("INVALID_OPTION", "The broadcast has no audio: audio is false.");
    const speech = this.#renderer.say(source, options);
    this.#stir();
    return speech;
  }

  /**
   * The listener spoke up: takes back what the listeners have not heard yet, with everything queued, and falls silent.
   * What is said after the call is never touched by it. Resolves when the listeners have reported how far they heard,
   * after a second at most. Calling it again before anything new was said gives the same answer.
   */
  async interrupt(): Promise<Interruption> {
    this.#assertOpen();
    return this.#interrupts.interruptAll();
  }

  /**
   * Takes back everything at or after `to` (microseconds of media time) and everything queued, and falls silent there.
   * Later than what was sent, it only clears what was to come.
   *
   * @throws InputError `INVALID_TIMESTAMP` when `to` is not a whole number from 0 on; StateError `CLOSED`.
   */
  rewind(to: Microseconds): { readonly to: Microseconds; readonly rewound: boolean } {
    this.#assertOpen();
    return this.#interrupts.rewind(to);
  }

  /**
   * Says what the last interrupt or rewind took back after all: from where the listeners were when they fell silent, which
   * is awaited for a second at most. Of several listeners, from where the first of them fell silent, so that none misses
   * a word; the others hear the difference twice. Without reports, from the sample on where it was cut. With
   * `mode: "live"` the source is simply heard again from now on.
   *
   * Returns the speech that continues, first of them; the others are the `resumedAs` of those that were interrupted.
   * Undefined when there is nothing: never interrupted, too long ago, resumed already, or something else was said since.
   */
  resume(): Speech | undefined {
    this.#assertOpen();
    return this.#interrupts.resumeAll()?.[0];
  }

  /** When groups were written, on the monotonic clock: the last 1024 times, for measurement. */
  get writeTimes(): readonly Microseconds[] {
    return this.#writeTimes;
  }

  /** Resolves when everything played so far has been sent and, as far as is known, heard; or when closed. */
  async drained(): Promise<void> {
    while (!this.#closed && !this.#isDrained()) await this.#nextTick();
  }

  /** A snapshot of the counters. */
  stats(): PublisherStats {
    const now = this.#clock();
    const { groups, bytes, rewinds, clipped } = this.#audioTrack.counters;
    const playhead = this.#deadlines.presumed(now);
    const frontier = toTime(this.#audioTrack.cursor);
    return {
      connected: this.#uplink.connected,
      sessions: this.#sessions,
      listeners: this.#listeners.listeners,
      groups,
      bytes,
      epoch: this.#audioTrack.epoch,
      sequence: this.#audioTrack.lastSequence,
      frontierUs: frontier,
      playheadUs: playhead,
      leadMs: (frontier - playhead) / 1000,
      rewinds,
      controlEpoch: this.#controls.controlEpoch,
      controlEvents: this.#controls.ended,
      queued: this.#renderer.speeches.queued,
      voiceActivity: this.#renderer.voiceActivity,
      denoisedHops: this.#renderer.guard.denoisedHops,
      denoiseCostUs: this.#renderer.guard.meanCost,
      bleedMs: this.#renderer.guard.bleedMs,
      underruns: this.#renderer.underruns,
      clippedSamples: clipped,
      sendQueue: this.#sendQueue.counters,
      skips: this.#sendQueue.skips,
      inFlightBytes: this.#sendQueue.inFlight(now),
      transportMs: this.#listeners.lead.transport(now) / 1000,
      video: this.#video?.counters,
      voice: this.#voice.counters,
      control: this.#remote?.counters,
    };
  }

  /** Ends the broadcast and lets go of sources and encoder; idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#remote?.close();
    this.#stir();
    await this.#done.catch(() => {});
  }

  async #run(): Promise<void> {
    const { audio, model, mode } = this.#options;
    try {
      if (!audio) this.#video?.start(this.#deadlines.wall(this.#clock()));
      else await this.#makeEncoders();
      const owned = typeof model === "string";
      if (audio) this.#controls.start(owned ? await loadModel(model) : model, { owned });
      let batch = 0;
      while (!this.#closed) {
        if (this.#failure !== undefined) throw this.#failure;
        this.#renderer.take();
        this.#interrupts.follow(this.#uplink.wanted);
        this.#control();
        this.#pump();
        this.#show();
        this.#tellVoice();
        this.#tellBleed();
        const isRendering = (await this.#renderer.read()) && ++batch % RENDER_BATCH === 0;
        if (this.#isBehind) this.#stir();
        if (isRendering || this.#isBehind) {
          await new Promise((resolve) => setImmediate(resolve));
        }
        await this.#idle();
      }
    } catch (error) {
      this.#logger.warn({ err: error }, `The publisher ended in ${mode} mode.`);
      throw error;
    } finally {
      this.#closed = true;
      this.#become("closed");
      this.#uplink.close();
      this.#renderer.close();
      this.#voice.close();
      this.#audioTrack.close();
      await this.#video?.close();
      await this.#controls.close();
      this.#detachLogger();
      for (const resolve of this.#ticks.splice(0)) resolve();
    }
  }

  async #makeEncoders(): Promise<void> {
    const { channels, frameMs, opus, codec, bitrateBps } = this.#options;
    const settings = { ...opus, channels, frameMs };
    const encoder =
      codec === "pcm" ? new PcmEncoder({ channels, frameMs }) : await OpusEncoder.create({ ...settings, bitrateBps });
    const low = this.#lowBitrateBps;
    // CELT at any bitrate: a listener comes from the other rendition, so its packets have to stand alone.
    const make = (rate: number) =>
      OpusEncoder.create({
        ...settings,
        bitrateBps: rate,
        application: "lowdelay",
        lookahead: encoder.lookahead,
      });
    this.#audioTrack.setEncoders(encoder, low === false ? undefined : await make(low));
  }

  // Everything asked from outside since the last tick, and at most one recompose for it.
  #control(): void {
    const now = this.#clock();
    this.#renderer.speeches.expire(now);
    if (!this.#renderer.busy) this.#controls.tick();
    if (this.#stranded && this.#uplink.wanted) {
      this.#stranded = false;
      this.#sendQueue.forget();
      const position = toPosition(this.#deadlines.presumed(now));
      if (this.#options.mode === "ahead" && position < this.#audioTrack.cursor) this.#audioTrack.rewind(position);
    }
  }

  // Where a change can land; what is sent live is never sent again.
  #soonest(): number {
    const audioTrack = this.#audioTrack;
    if (this.#options.mode === "live" || !this.#options.flow.takeBack)
      return Math.max(audioTrack.end, audioTrack.cursor);
    const now = this.#clock();
    const furthest = this.#listeners.furthest(now);
    return Math.max(this.#deadlines.next(now), furthest === undefined ? 0 : toPosition(furthest));
  }

  // Pictures go as far ahead as audio does, and never further than the audio that belongs to them is rendered.
  #show(): void {
    const now = this.#clock();
    const target = this.#deadlines.target(now);
    const until =
      this.#renderer.speeches.current === undefined ? target : Math.min(target, toTime(this.#audioTrack.end));
    this.#video?.pump(this.#deadlines.passed(now), microseconds(until));
    if (!this.#options.audio && this.#video) this.#listeners.bound.sent(this.#video.frontier, now);
  }

  // Where somebody speaks is told with the audio in which it is.
  #tellVoice(): void {
    const audioTrack = this.#audioTrack;
    if (this.#voice.offer(this.#options.audio && this.#renderer.tellsVoice)) this.#publishCatalog();
    const heard = microseconds(Math.max(this.#deadlines.passed(this.#clock()), toTime(audioTrack.oldest)));
    this.#voice.pump({ heard, until: toTime(audioTrack.cursor), epoch: audioTrack.epoch });
  }

  // Sends what is due, a few groups in one turn: the first is on its way before the last is encoded.
  #pump(): void {
    const now = this.#clock();
    const passed = this.#deadlines.passed(now);
    const { cursor } = this.#audioTrack;
    let written = 0;
    this.#isBehind = false;
    for (let sent = 0; ; sent++) {
      written += this.#encode(now);
      if (!this.#uplink.wanted) {
        this.#sendQueue.expire(this.#options.mode === "live" ? this.#deadlines.fresh(now) : passed);
        break;
      }
      this.#isBehind = sent === SEND_BATCH;
      if (this.#isBehind) break;
      const frame = this.#sendQueue.take(now, passed);
      if (frame === undefined) break;
      if (frame.opensEpoch) this.#listeners.bound.rewind(frame.timestamp, now);
      this.#listeners.bound.sent(frame.timestamp, now);
      this.#uplink.send({
        sequence: frame.sequence,
        timestamp: frame.timestamp,
        body: encodeLegacyFrame(frame),
        low: frame.low && encodeLegacyFrame({ ...frame, payload: frame.low }),
        twice: frame.opensEpoch,
        opensGroup: frame.opensGroup,
        endsGroup: frame.endsGroup,
      });
    }
    if (written === 0) {
      if (!this.#uplink.wanted || this.#renderer.idle) this.#listeners.lead.rest();
      return;
    }
    this.#writeTimes.push(now);
    if (this.#writeTimes.length > MAX_WRITE_TIMES) this.#writeTimes.shift();
    const width = fromMilliseconds(written * this.#options.frameMs);
    const behind = microseconds(this.#deadlines.target(now) - toTime(cursor));
    this.#listeners.lead.wrote(now, width, this.#audioTrack.lastSequence, behind);
  }

  // A player that joins at the newest frame is as far as what was sent with nobody reporting, and no further.
  #believeFirst(playhead: Microseconds): void {
    const now = this.#clock();
    const { mode, aheadMs } = this.#options;
    const ahead =
      mode === "live" ? 0 : aheadMs === undefined ? this.#listeners.lead.advance(now) : fromMilliseconds(aheadMs);
    this.#listeners.bound.begin(microseconds(Math.min(playhead, this.#deadlines.wall(now) + ahead)), now);
  }

  #encode(now: Microseconds): number {
    const target = toPosition(this.#deadlines.target(now));
    const ended = this.#renderer.speeches.current === undefined;
    // What is encoded before it can go has to be encoded again after a change.
    const room = this.#uplink.wanted ? 1 : MAX_ENCODED;
    let written = 0;
    while (this.#sendQueue.size < room && !this.#isBlocked(now) && this.#audioTrack.encode(target, { ended }))
      written++;
    return written;
  }

  // A full window puts off what is next; only what can't be heard in full any more by then is left out.
  #isBlocked(now: Microseconds): boolean {
    const audioTrack = this.#audioTrack;
    if (!audioTrack.opening && this.#sendQueue.isFull(now)) {
      this.#blocked = true;
      return true;
    }
    if (this.#blocked) {
      this.#blocked = false;
      if (!audioTrack.opening) this.#sendQueue.skipped(audioTrack.skip(this.#deadlines.next(now)));
      const skips = this.#sendQueue.takeLog(now);
      if (skips !== undefined) this.#logger.info({ skips }, "Groups were not sent.");
    }
    return false;
  }

  #publishCatalog(): void {
    const { audio, channels, codec, frameMs, rewindBy, mode } = this.#options;
    const { track } = this.#audioTrack;
    const rendition = {
      codec: codec === "pcm" ? "pcm-s16" : "opus",
      container: { kind: "legacy" as const },
      sampleRate: SAMPLE_RATE,
      numberOfChannels: channels,
      bitrate: this.#bitrateBps,
      jitter: frameMs,
    };
    const low = this.#lowBitrateBps;
    const video = this.#video;
    const voice = this.#voice.name;
    const renditions = {
      [track]: rendition,
      ...(low !== false && { [`${track}${LOW_SUFFIX}`]: { ...rendition, bitrate: low } }),
    };
    this.#uplink.setCatalog(
      encodeCatalog({
        ...(audio && { audio: { renditions } }),
        ...(video !== undefined && { video: { renditions: video.renditions } }),
        unsay: {
          renege: rewindBy === "track" ? "track" : "rewind",
          mode,
          run: this.#runId,
          ...(mode === "ahead" && { aheadMs: this.#options.aheadMs ?? MAX_AHEAD_MS }),
          ...(this.#toldBleed.ms > 0 && { bleedMs: this.#toldBleed.ms }),
          ...(voice && { voice }),
        },
      }),
    );
  }

  // Listeners can't tell raw audio from denoised: the catalog tells them, once a second at most.
  #tellBleed(): void {
    const ms = Math.round(this.#renderer.guard.bleedMs);
    const now = this.#clock();
    if (ms === this.#toldBleed.ms || now - this.#toldBleed.at < BLEED_SPACING) return;
    this.#toldBleed = { ms, at: now };
    this.#publishCatalog();
  }

  #isDrained(): boolean {
    const video = this.#options.video?.endless ? undefined : this.#video;
    const now = this.#clock();
    // Who stands still, paused perhaps, does not keep a broadcast from ending.
    const playhead = (this.#listeners.playing ? this.#deadlines.playhead(now) : undefined) ?? this.#deadlines.wall(now);
    return (
      this.#renderer.idle &&
      this.#sendQueue.size === 0 &&
      (video === undefined || !video.running || video.ended) &&
      this.#audioTrack.cursor >= this.#audioTrack.end &&
      playhead >= Math.max(toTime(this.#audioTrack.cursor), video?.frontier ?? 0)
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

  #become(state: PublisherState): void {
    if (state === this.#state || this.#state === "closed") return;
    this.#state = state;
    this.emit("state", state);
  }

  #assertOpen(): void {
    if (this.#closed) throw new StateError("CLOSED", "The publisher was used after close().");
  }
}

function nameTaken(broadcast: string): TransportError {
  return new TransportError(
    "NAME_TAKEN",
    `Another publisher has taken the name ${broadcast} at the relay; this one is heard again when the other leaves.`,
  );
}
