import { fromMilliseconds, type Microseconds, microseconds } from "../../base/index.js";
import { decodeLegacyFrame, RewindConsumer } from "../../container/index.js";
import { type Aggregate, ReportAggregator } from "../../flow/report/index.js";
import { Deadlines } from "../../publisher/send/deadlines.js";
import type { WireFrame } from "../../publisher/send/group-writer.js";
import { Listeners } from "../../publisher/send/listeners.js";
import { SendQueue } from "../../publisher/send/send-queue.js";
import { Sender } from "../../publisher/send/sender.js";
import type { AudioSource } from "../../publisher/source/source.js";
import { type Interruption, Interrupts } from "../../publisher/speech/interrupts.js";
import { Playback } from "../../publisher/speech/playback.js";
import { Renderer, type SayOptions } from "../../publisher/speech/renderer.js";
import type { Speech } from "../../publisher/speech/speech.js";
import { AudioTrack } from "../../publisher/tracks/audio-track.js";
import { type Knobs, knobsSchema } from "../../publisher/tracks/mixer.js";
import type { AudioEncoder } from "../../publisher/tracks/opus.js";
import { PcmEncoder } from "../../publisher/tracks/pcm-encoder.js";
import { VoiceTrack } from "../../publisher/tracks/voice-track.js";
import { Wake } from "../../publisher/wake.js";
import { AudioPipeline, type AudioPipelineOptions } from "../../watch/audio/audio-pipeline.js";
import { type MissedTime, Playout } from "../../watch/audio/playout.js";
import { QUANTUM_FRAMES } from "../../watch/audio/samples.js";
import { openPcm } from "../../watch/decoders/pcm.js";
import { pastReport } from "../../watch/report/reporter.js";
import { unheardMs } from "../../watch/stats.js";
import { gapOf } from "../../watch/tracks/track-feed.js";

const QUANTUM = (QUANTUM_FRAMES * 1000) / 48_000;
const FULL_SCALE = 32_767;
/** Samples of a source count through this range, so that every sample heard says which one it is. */
const RANGE = 30_000;
const BACK = 4800;

function placeOf(index: number): number {
  return 1000 + (index % RANGE);
}

/** A source whose samples say where they belong, delivered in chunks by the virtual clock. */
class CountingSource implements AudioSource {
  readonly name = "counting";
  readonly channels = 1;
  /** When each chunk is there, and how many samples it has. */
  readonly #chunks: { readonly at: number; readonly samples: number }[];
  readonly #now: () => number;
  #waiting: (() => void) | undefined;
  #given: number;

  readonly #code: (index: number) => number;

  constructor(
    now: () => number,
    chunks: readonly { readonly at: number; readonly samples: number }[],
    first = 0,
    code = placeOf,
  ) {
    this.#code = code;
    this.#now = now;
    this.#chunks = [...chunks];
    this.#given = first;
  }

  async read(): Promise<Float32Array | undefined> {
    while (this.#chunks[0] && this.#chunks[0].at > this.#now())
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
      });
    const chunk = this.#chunks.shift();
    if (!chunk) return undefined;
    const first = this.#given;
    this.#given += chunk.samples;
    const samples = new Float32Array(chunk.samples);
    for (let i = 0; i < samples.length; i++) samples[i] = this.#code(first + i) / FULL_SCALE;
    return samples;
  }

  /** Time went by. */
  wake(): void {
    if (this.#chunks[0] && this.#chunks[0].at <= this.#now()) this.#waiting?.();
  }

  async close(): Promise<void> {}
}

/** Options of {@link VirtualStage}. */
export interface VirtualStageOptions {
  readonly mode?: "live" | "ahead";
  readonly aheadMs?: number;
  readonly frameMs?: number;
  /** How long a group, or a report, is on its way. */
  readonly transitMs?: number;
  /** Whether the publisher sends no more than the relay has acknowledged plus a window. Default false. */
  readonly window?: boolean;
  /** Blocks that the publisher renders in 10 ms at most. */
  readonly blocksPerTick?: () => number;
  /** A second listener reports, so far behind the first. */
  readonly secondLagMs?: number;
  /** {@link VirtualStage.heard} keeps every n-th of the samples heard. Default 1. */
  readonly heardEvery?: number;
  /** Takes the values of the samples heard, in place of {@link VirtualStage.heard}. */
  readonly heard?: (values: Float32Array) => void;
  /** Default PCM, so that every sample heard can be traced to the source. */
  readonly codec?: { readonly encoder: AudioEncoder; readonly openDecoder: AudioPipelineOptions["openDecoder"] };
}

/**
 * A publisher, the path and a listener on one virtual clock: the real parts of both, without sockets and timers. PCM in
 * place of Opus, so that every sample heard can be traced to the source.
 */
export class VirtualStage {
  readonly renderer: Renderer;
  readonly audioTrack: AudioTrack;
  readonly sendQueue: SendQueue;
  readonly playout: Playout;
  readonly listeners: Listeners;
  readonly playback = new Playback();
  readonly interrupts: Interrupts;
  /** Index of every sample heard, with when it was pulled. */
  readonly heard: { readonly index: number; readonly at: number; readonly isNegative: boolean }[] = [];
  now = 0;
  /** The listener plays and reports nothing while this is true. */
  unreported = false;
  /** Whether the relay wants audio. */
  wanted = true;
  /** The listener's process stands still while this is true. */
  stopped = false;
  /** The publisher's process stands still while this is true. */
  publisherStopped = false;
  /** The relay's process stands still while this is true, with all that is on its way to either side. */
  relayStopped = false;
  /** Whether a frame is lost between the relay and the listener. */
  loses: (timestamp: Microseconds) => boolean = () => false;
  /** No audio reaches the listener while this is true; its reports arrive. */
  audioStopped = false;
  /** The listener's session is lost: it plays on what it has, and no relay knows of it. */
  #isAway = false;
  readonly sources: CountingSource[] = [];
  readonly #options: Required<Omit<VirtualStageOptions, "heard" | "codec">> & Pick<VirtualStageOptions, "heard">;
  readonly #deadlines: Deadlines;
  readonly #wake = new Wake();
  readonly #uplink = {
    wanted: true,
    lowWanted: false,
    startTrack: () => {},
    rewind: () => {},
    send: (frame: WireFrame) => this.#carry(frame),
  };
  readonly #sender: Sender;
  readonly #consumer: RewindConsumer;
  readonly #pipeline: AudioPipeline;
  readonly #aggregator = new ReportAggregator({ broadcast: 1 });
  readonly #output = [new Float32Array(QUANTUM_FRAMES)];
  readonly #values = new Float32Array(QUANTUM_FRAMES);
  readonly #onTheWay: { readonly at: number; readonly run: () => void }[] = [];
  #lead: { lead: Microseconds; group: number } | undefined;
  /** Aggregates of the relay while the publisher stood still. */
  readonly #unread: Aggregate[] = [];
  readonly #reports: { readonly at: number; readonly report: Parameters<ReportAggregator["fold"]>[0] }[] = [];
  #index = 0;
  #noted = 0;
  #place = 0;
  #pulled = 0;
  #reportId = 0;
  #receivedBytes = 0;
  /** The last group that the relay has, as it reports to the publisher. */
  #acked: number | undefined;
  #reportAt = 0;
  /** The last stretch without audio, and how often it is still to be reported. */
  #missed: MissedTime | undefined;
  #missedTimes = 0;
  /** The rewind that was reported last. */
  #reported: number | undefined;
  #tickAt = 0;

  constructor(options: VirtualStageOptions = {}) {
    const full = {
      mode: "ahead",
      aheadMs: 0,
      frameMs: 20,
      transitMs: 20,
      window: false,
      secondLagMs: 0,
      heardEvery: 1,
      blocksPerTick: () => 100,
      ...options,
    } as const;
    this.#options = full;
    const { mode, frameMs } = full;
    const logger = { debug: () => {}, info: () => {}, warn: () => {} };
    const clock = (): Microseconds => fromMilliseconds(this.now);
    const aheadMs = full.aheadMs || undefined;
    this.sendQueue = new SendQueue({ bitrateBps: 768_000, frameMs, window: full.window, late: mode === "ahead" });
    this.listeners = new Listeners({ clock });
    this.#deadlines = new Deadlines({ mode, aheadMs, frameMs, start: microseconds(0), listeners: this.listeners });
    this.audioTrack = new AudioTrack({
      channels: 1,
      frameMs,
      frameSize: 48 * frameMs,
      groupFrames: 1,
      capacity: 48_000 * ((aheadMs ?? 5000) / 1000 + 5),
      rewindBy: "group",
      knobs: knobsSchema.parse({}),
    });
    this.audioTrack.setEncoders(options.codec?.encoder ?? new PcmEncoder({ channels: 1, frameMs }), undefined);
    this.renderer = new Renderer({
      mode,
      channels: 1,
      frameMs,
      opus: { dtx: false },
      resumeWindowMs: 10_000,
      clock,
      deadlines: this.#deadlines,
      audioTrack: this.audioTrack,
      logger,
      wake: this.#wake,
      control: {
        interrupt: (id) => this.interrupts.interrupt(id),
        pause: (id) => this.interrupts.pause(id),
        resume: (id) => this.interrupts.resume(id),
        phase: (id) => this.interrupts.phase(id),
        pieces: (id) => this.interrupts.pieces(id),
      },
    });
    this.#sender = new Sender({
      mode,
      frameMs,
      clock,
      logger,
      wake: this.#wake,
      audioTrack: this.audioTrack,
      voice: new VoiceTrack({ retainMs: 7000, rewindBy: "group", source: this.audioTrack }),
      renderer: this.renderer,
      sendQueue: this.sendQueue,
      uplink: this.#uplink,
      listeners: this.listeners,
      deadlines: this.#deadlines,
    });
    this.interrupts = new Interrupts({
      clock,
      hasAudio: true,
      renderer: this.renderer,
      audioTrack: this.audioTrack,
      video: undefined,
      listeners: this.listeners,
      deadlines: this.#deadlines,
      playback: this.playback,
      sender: this.#sender,
      wake: this.#wake,
    });
    // Fades as short as can be: what is faded can't be traced.
    this.playout = new Playout({ channels: 1, fadeMs: 0.02 });
    this.playout.setLive(mode === "live");
    this.playout.setPublisher({ marksPauses: true, aheadMs: aheadMs ?? 4350 });
    this.#consumer = new RewindConsumer({
      clock,
      gap: () => gapOf(this.playout),
      maxSpanUs: fromMilliseconds(30_000),
    });
    this.#pipeline = new AudioPipeline({
      consumer: this.#consumer,
      openDecoder: options.codec?.openDecoder ?? openPcm({ from: 1, channels: 1, sampleRate: 48_000 }),
      output: this.playout,
    });
  }

  /** Queues audio whose chunks come `gaps` milliseconds after one another, from now on. */
  say(
    chunks: readonly { readonly afterMs: number; readonly ms: number }[],
    first = 0,
    { code = placeOf, ...options }: SayOptions & { readonly code?: (index: number) => number } = {},
  ): Speech {
    let at = this.now;
    const timed = chunks.map(({ afterMs, ms }) => {
      at += afterMs;
      return { at, samples: Math.round(ms * 48) };
    });
    const source = new CountingSource(() => this.now, timed, first, code);
    this.sources.push(source);
    this.#index = first;
    return this.renderer.say(source, options);
  }

  /** Takes back all that is said from where the listener can still miss it on. */
  interrupt(): Promise<Interruption> {
    return this.interrupts.interruptAll();
  }

  /** The listener's session ends, and the relay keeps what the next one will get. */
  leave(): void {
    this.#isAway = true;
    this.#reports.length = 0;
    this.#aggregator.forget(1);
    this.#aggregate();
  }

  /** All audio on its way is lost. */
  loseAudio(): void {
    this.#onTheWay.length = 0;
  }

  /** The listener has another session: it reports at once, before it gets what it has missed. */
  comeBack(): void {
    if (!this.#isAway) return;
    this.#isAway = false;
    this.#reportAt = this.now;
    const missed = this.#onTheWay.splice(0);
    this.#onTheWay.push(...missed.map((one) => ({ ...one, at: this.now + this.#options.transitMs })));
  }

  /** The relay ends, and so do both sessions and what was on its way. */
  loseRelay(): void {
    this.#isAway = true;
    this.relayStopped = true;
    this.#reports.length = 0;
    this.loseAudio();
    this.wanted = false;
    this.#uplink.wanted = false;
  }

  /** Another relay takes its place. */
  findRelay(): void {
    this.#aggregator.forget(1);
    this.relayStopped = false;
    this.listeners.reset();
    this.playback.reset();
    this.sendQueue.reconnected(this.#deadlines.unheard(fromMilliseconds(this.now)), fromMilliseconds(this.now));
    this.wanted = true;
    this.#uplink.wanted = true;
    this.comeBack();
  }

  /** Changes a knob, as `Controls` does. */
  turn(knobs: Partial<Knobs>): void {
    this.audioTrack.setKnobs(knobsSchema.parse(knobs));
    const from = this.#deadlines.soonest(fromMilliseconds(this.now));
    if (from < this.audioTrack.cursor) this.audioTrack.rewind(from);
    this.#wake.ring();
  }

  async runTo(milliseconds: number): Promise<void> {
    while (this.now < milliseconds) {
      this.now += 1;
      for (const source of this.sources) source.wake();
      const isHeldUp = this.stopped || this.relayStopped || this.audioStopped || this.#isAway;
      while (!isHeldUp && this.#onTheWay[0] && this.#onTheWay[0].at <= this.now) this.#onTheWay.shift()!.run();
      if (this.now >= this.#tickAt && !this.publisherStopped) {
        this.#tickAt = this.now + 10;
        await this.#tick();
      }
      if (!this.stopped) this.#listen();
      if (!this.relayStopped) this.#relay();
      if (!this.publisherStopped) for (const aggregate of this.#unread.splice(0)) this.#observe(aggregate);
    }
  }

  /** Milliseconds of the first `milliseconds` of a source that were not heard, and that were heard more than once. */
  coverage(milliseconds: number, since = 0) {
    const counts = new Uint8Array(Math.round(milliseconds * 48));
    for (const { index, at } of this.heard) if (at >= since && index < counts.length) counts[index]!++;
    const missing = counts.filter((count) => count === 0).length / 48;
    return { missing, repeated: counts.filter((count) => count > 1).length / 48 };
  }

  #observe(aggregate: Aggregate): void {
    if (aggregate.ingestAck !== undefined) this.sendQueue.acked(aggregate.ingestAck, fromMilliseconds(this.now));
    this.listeners.observe(aggregate, this.#aggregator);
    const now = fromMilliseconds(this.now);
    this.playback.observe(aggregate, { audible: this.listeners.audible(now), now });
  }

  async #tick(): Promise<void> {
    const blocks = this.#options.blocksPerTick();
    for (let block = 0; block < blocks; block++) {
      await new Promise((resolve) => setImmediate(resolve));
      this.#turn();
      const reading = this.renderer.reading || (await this.renderer.read());
      await new Promise((resolve) => setImmediate(resolve));
      if (!reading || this.renderer.reading) break;
    }
    this.#turn();
    this.interrupts.turn();
    this.interrupts.follow(this.wanted);
  }

  #turn(): void {
    for (const event of this.renderer.take()) if (event.kind === "began") this.interrupts.began();
    do this.#sender.pump();
    while (this.#sender.isBehind);
  }

  #carry({ sequence, timestamp, body }: WireFrame): boolean {
    const { payload } = decodeLegacyFrame(body, { keyframe: true });
    this.#send(() => {
      this.#acked = Math.max(this.#acked ?? 0, sequence);
      if (this.loses(timestamp)) return;
      this.#receivedBytes += payload.byteLength;
      this.playout.landed(timestamp);
      this.#consumer.receive(sequence, { timestamp, payload, keyframe: true });
      this.#consumer.finish(sequence);
      this.#pipeline.pump();
      const { playhead } = this.playout;
      if (playhead !== undefined && this.playout.clock.started)
        this.#worst(microseconds(timestamp - playhead), sequence);
    });
    return true;
  }

  #worst(lead: Microseconds, group: number): void {
    if (this.#lead === undefined || lead < this.#lead.lead) this.#lead = { lead, group };
  }

  #send(run: () => void): void {
    this.#onTheWay.push({ at: this.now + this.#options.transitMs, run });
  }

  #listen(): void {
    const behind = this.now - this.#pulled;
    if (behind > 200) {
      const lost = this.playout.clock.live && behind > 1000 ? behind : behind - 200;
      this.playout.lost(Math.round(lost * 48));
      this.#pulled += lost;
    }
    for (; this.#pulled + QUANTUM <= this.now; this.#pulled += QUANTUM) {
      this.#pipeline.pump();
      for (const { offset, frames } of this.playout.pull(this.#output))
        this.#record(this.#output[0]!.subarray(offset, offset + frames));
    }
    const { playhead } = this.playout;
    const applied = this.playout.applied;
    if (applied?.discontinuity !== this.#reported) this.#reportAt = this.now;
    const reported = playhead ?? applied?.from;
    if (this.now < this.#reportAt || reported === undefined || this.unreported || this.#isAway) return;
    this.#reported = applied?.discontinuity;
    this.#reportAt = this.now + 100;
    this.#report(microseconds(Math.max(0, reported)));
  }

  #record(samples: Float32Array): void {
    const { heard } = this.#options;
    if (heard === undefined) {
      for (let i = 0; i < samples.length; i++) this.#note(samples[i]!);
      return;
    }
    const values = this.#values.subarray(0, samples.length);
    for (let i = 0; i < samples.length; i++) values[i] = Math.round(samples[i]! * (FULL_SCALE + 1));
    heard(values);
  }

  #note(sample: number): void {
    const place = Math.round(Math.abs(sample) * (FULL_SCALE + 1)) - 1000;
    const before = this.#place;
    this.#place = place;
    // In a fade a sample is not what it was.
    if (place < 0 || place - before !== 1) return;
    // The range comes round again: the nearest place from 100 ms back on.
    this.#index += ((((place - this.#index + BACK) % RANGE) + RANGE) % RANGE) - BACK;
    if (this.#noted++ % this.#options.heardEvery === 0)
      this.heard.push({ index: this.#index, at: this.now, isNegative: sample < 0 });
  }

  #report(playhead: Microseconds): void {
    const { groups, span } = this.#consumer.buffered;
    const report = {
      broadcast: 1,
      session: 1,
      reportId: this.#reportId++,
      clientTimeMs: Math.floor(this.now),
      playhead,
      playing: this.playout.moving,
      discontinuity: this.playout.applied?.discontinuity ?? 0,
      from: this.playout.applied?.from,
      heardUntil: this.playout.applied?.heardUntil,
      receivedBytes: this.#receivedBytes,
      receivedGroup: undefined,
      worstLead: this.#lead?.lead,
      worstLeadGroup: this.#lead?.group,
      // On the wire, whole milliseconds.
      bufferedMs: Math.ceil(unheardMs(this.playout, { waitingMs: groups === 0 ? 0 : span / 1e3 })),
      bleedMs: 0,
      staleMs: 0,
    };
    this.#lead = undefined;
    const at = this.now + this.#options.transitMs;
    const { missed } = this.playout;
    if (missed?.from !== this.#missed?.from || missed?.to !== this.#missed?.to) this.#missedTimes = 3;
    this.#missed = missed;
    if (missed && this.#missedTimes-- > 0) this.#reports.push({ at, report: pastReport(report, missed) });
    this.#reports.push({ at, report });
    if (this.#options.secondLagMs === 0) return;
    this.#reports.push({ at: at + this.#options.secondLagMs, report: { ...report, session: 2 } });
    this.#reports.sort((one, other) => one.at - other.at);
  }

  #relay(): void {
    const now = fromMilliseconds(this.now);
    let isUrgent = false;
    while (this.#reports[0] && this.#reports[0].at <= this.now)
      isUrgent = this.#aggregator.fold(this.#reports.shift()!.report, now)?.rewindApplied || isUrgent;
    if (this.now % 100 === 0 || isUrgent) this.#aggregate();
  }

  #aggregate(): void {
    const now = fromMilliseconds(this.now);
    this.#unread.push(this.#aggregator.aggregate(now, { group: this.#acked, bytes: 0 }));
  }
}
