import { vi } from "vitest";
import { fromMilliseconds, type Microseconds, microseconds } from "../../base/index.js";
import { decodeLegacyFrame, encodeLegacyFrame, RewindConsumer } from "../../container/index.js";
import { type Report, ReportAggregator, ReportSchedule } from "../../flow/report/index.js";
import { ByteBudget } from "../../relay/broadcast/byte-budget.js";
import { Track } from "../../relay/broadcast/track.js";
import { CacheBudget } from "../../relay/broadcast/track-cache.js";
import type { Logger } from "../../relay/ops/log.js";
import { RelayCounters } from "../../relay/relay-counters.js";
import { BurstSmoother } from "../../relay/watcher/burst-smoother.js";
import { Watcher } from "../../relay/watcher/watcher.js";
import { decodeDatagram, WireFrame } from "../../relay/wire/group.js";
import type { Session } from "../../transport/index.js";
import {
  type AudioPacketDecoder,
  AudioPipeline,
  type DecoderEvents,
  type Ticket,
} from "../../watch/audio/audio-pipeline.js";
import { Playout } from "../../watch/audio/playout.js";
import { QUANTUM_FRAMES } from "../../watch/audio/samples.js";
import { ReceiveLog } from "../../watch/report/receive-log.js";
import { gapOf } from "../../watch/tracks/track-feed.js";
import { type Link, LinkModel } from "./impairment.js";
import { QuicPath } from "./quic-path.js";
import { reportWith } from "./reports.js";

const FRAME_MS = 20;
const FRAMES = 48 * FRAME_MS;
const QUANTUM = QUANTUM_FRAMES / 48;
/** Bytes of a packet of each rendition at 64 and 12 kbit/s, and the sample that stands for it. */
const RENDITIONS = { full: { bytes: 160, level: 0.5 }, low: { bytes: 30, level: 0.25 } } as const;
/** Groups sent before the listener joins: by then the relay knows that each group has one frame. */
const BEFORE = 10;

/** Options of {@link LossyStage}. */
export interface LossyStageOptions {
  readonly down: Link;
  readonly up: Link;
  readonly seed: number;
  /** How far ahead audio is sent, in milliseconds; live where it is missing. */
  readonly aheadMs?: number | undefined;
  readonly repeat?: boolean | "auto";
  /** Whether the publisher has a lower rendition. */
  readonly low?: boolean;
}

/** Audio heard between two moments, in milliseconds. */
export interface Heard {
  readonly full: number;
  readonly low: number;
  /** Silence where audio was due, and in pauses. */
  readonly lost: number;
  /** Audio that the publisher sent. */
  readonly spoken: number;
}

/**
 * A relay's track and watcher, a QUIC path that loses, and a player that reports, all of them on one virtual clock: the
 * real parts of relay and player, without sockets. Packets are as long as Opus ones, and decode to a level that says
 * which rendition they are of.
 */
export class LossyStage {
  readonly counters = new RelayCounters();
  readonly watcher: Watcher;
  readonly path: QuicPath;
  /** Towards the listener. */
  readonly down: LinkModel;
  readonly playout = new Playout({ channels: 1, fadeMs: 0.02 });
  now = 1000;
  readonly #full: Track;
  readonly #low: Track;
  readonly #aggregator = new ReportAggregator({ broadcast: 1 });
  readonly #consumer: RewindConsumer;
  readonly #pipeline: AudioPipeline;
  readonly #received: ReceiveLog;
  readonly #schedule = new ReportSchedule();
  readonly #up: LinkModel;
  readonly #reports: { readonly at: number; readonly run: () => void }[] = [];
  readonly #output = [new Float32Array(QUANTUM_FRAMES)];
  readonly #aheadMs: number;
  readonly #hasLow: boolean;
  #wantsLow = false;
  #sequence = 0;
  #ahead = 0;
  #reportId = 0;
  #receivedBytes = 0;
  #pulled = 0;
  #heard = { full: 0, low: 0, lost: 0, spoken: 0 };
  /** Media time in pauses, in milliseconds. */
  #pausesMs = 0;
  /** When the pause began. */
  #pausedAt: number | undefined;

  private constructor(options: LossyStageOptions) {
    const { down, up, seed, aheadMs, repeat = "auto", low = true } = options;
    const clock = (): Microseconds => fromMilliseconds(this.now);
    this.#aheadMs = aheadMs ?? 0;
    this.#hasLow = low;
    this.#up = new LinkModel(up, seed + 1);
    this.down = new LinkModel(down, seed);
    this.path = new QuicPath({
      down: this.down,
      up: this.#up,
      roundTripMs: (down.delayMs ?? 0) + (up.delayMs ?? 0),
      onDatagram: (body) => this.#receive(body),
    });
    this.#low = this.#track("audio-low", clock);
    this.#full = this.#track("audio", clock);
    this.#received = new ReceiveLog({ clock });
    this.playout.setLive(aheadMs === undefined);
    this.playout.setPublisher({ marksPauses: true, aheadMs: 4350 });
    this.#consumer = new RewindConsumer({
      clock,
      gap: () => gapOf(this.playout),
      maxSpanUs: fromMilliseconds(30_000),
    });
    this.#pipeline = new AudioPipeline({
      consumer: this.#consumer,
      openDecoder: (events) => new LevelDecoder(events),
      output: this.playout,
    });
    this.watcher = new Watcher({
      clock,
      session: {
        backend: "quic",
        datagrams: { maxSize: 1200, send: (body: Uint8Array) => this.path.send(body) },
        openUnidirectional: () => Promise.reject(new Error("A listener that reports needs no streams.")),
      } as unknown as Session,
      version: 5,
      subscribe: 1,
      delivery: { priority: 100, ordered: true, endGroup: undefined },
      track: this.#full,
      limits: {
        queueGroups: 2048,
        queueBytes: 2 << 20,
        queueAge: fromMilliseconds(2000),
        pendingStreams: 16,
      },
      windowMs: 250,
      counters: this.counters,
      listeners: { listener: () => this.#aggregator.listener(1) },
      sessionId: "1",
      pending: new ByteBudget(4 << 20),
      queued: new ByteBudget(32 << 20),
      smoother: new BurstSmoother({ counters: this.counters }),
      repeat,
      log: { info: () => {} } as unknown as Logger,
    });
  }

  /** A stage on which ten groups have gone before the listener comes. `vi.useFakeTimers()` has to be in force. */
  static async open(options: LossyStageOptions): Promise<LossyStage> {
    const stage = new LossyStage(options);
    await Promise.all([stage.#full.info(), stage.#low.info()]);
    for (let group = 0; group < BEFORE; group++) {
      stage.#publish();
      stage.now += FRAME_MS;
    }
    stage.#pulled = stage.now;
    const sentAt = stage.now - (options.up.delayMs ?? 0);
    stage.#aggregator.fold(stage.#reading(sentAt), fromMilliseconds(stage.now));
    stage.#full.attach(stage.watcher, BEFORE);
    return stage;
  }

  /** Runs for a while; returns what was heard meanwhile. */
  async run(milliseconds: number): Promise<Heard> {
    const before = { ...this.#heard };
    for (const end = this.now + milliseconds; this.now < end; ) {
      this.now++;
      vi.advanceTimersByTime(1);
      // Resolved promises continue before the next tick; a real turn for each millisecond would take longer.
      await new Promise<void>((resolve) => process.nextTick(resolve));
      if (this.now % FRAME_MS === 0) this.#speak();
      if (this.now % 100 === 0) for (const track of [this.#full, this.#low]) track.sweep();
      this.path.step(this.now);
      while (this.#reports[0] && this.#reports[0].at <= this.now) this.#reports.shift()!.run();
      this.#play();
      if (this.#schedule.poll(fromMilliseconds(this.now))) this.#report();
    }
    const { full, low, lost, spoken } = this.#heard;
    return {
      full: full - before.full,
      low: low - before.low,
      lost: lost - before.lost,
      spoken: spoken - before.spoken,
    };
  }

  /** Ends an utterance, with what an encoder holds back: silence. */
  pause(): void {
    this.#publish({ silent: true });
    this.#pausedAt = this.now;
  }

  /** Begins the next utterance: media time went on, and no audio of it is there ahead. */
  resume(): void {
    this.#pausesMs += this.now - this.#pausedAt! - this.#ahead;
    this.#ahead = 0;
    this.#pausedAt = undefined;
  }

  #track(name: string, clock: () => Microseconds): Track {
    return new Track({
      name,
      live: this.#aheadMs === 0,
      clock,
      counters: this.counters,
      budget: new CacheBudget(8 << 20),
      cacheAge: fromMilliseconds(30_000),
      cacheBytes: 2 << 20,
      cacheGroups: 2048,
      classifier: undefined,
      latestPlayhead: () => undefined,
      source: {
        timed: true,
        info: async () => ({ priority: 0, ordered: true, maxLatencyMs: 30_000, timescale: 1_000_000 }),
        subscribe: (track) => {
          if (track !== this.#low) return () => {};
          this.#wantsLow = true;
          return () => {
            this.#wantsLow = false;
          };
        },
      },
      ...(name === "audio" && this.#hasLow && { low: () => this.#low }),
    });
  }

  /** A group every 20 ms, and a second one each time until it is as far ahead as it should be. */
  #speak(): void {
    if (this.#pausedAt !== undefined) return;
    this.#publish();
    if (this.#ahead >= this.#aheadMs) return;
    this.#ahead += FRAME_MS;
    this.#publish();
  }

  #publish({ silent = false } = {}): void {
    const timestamp = fromMilliseconds(this.#sequence * FRAME_MS + this.#pausesMs);
    if (!silent) this.#heard.spoken += FRAME_MS;
    const sequence = this.#sequence++;
    for (const name of ["full", "low"] as const) {
      if (name === "low" && !this.#wantsLow) continue;
      const { bytes, level } = RENDITIONS[name];
      const payload = encodeLegacyFrame({ timestamp, payload: new Uint8Array(bytes).fill(silent ? 0 : level * 100) });
      const track = name === "full" ? this.#full : this.#low;
      const record = track.begin(sequence)!;
      track.push(record, [WireFrame.of(timestamp, payload)]);
      track.end(record);
    }
  }

  #receive(body: Uint8Array): void {
    const { sequence, frame } = decodeDatagram(body);
    this.#receivedBytes += frame.size;
    const { timestamp, payload } = decodeLegacyFrame(frame.payload, { keyframe: true });
    const first = this.#received.received(sequence, timestamp);
    this.#schedule.arrived(fromMilliseconds(this.now), { copy: !first });
    this.#consumer.receive(sequence, { timestamp, payload, keyframe: true });
    this.#received.finished(sequence);
    this.#consumer.finish(sequence);
    this.#pipeline.pump();
    this.playout.landed(timestamp, !first);
  }

  #play(): void {
    for (; this.#pulled + QUANTUM <= this.now; this.#pulled += QUANTUM) {
      this.#pipeline.pump();
      const started = this.playout.clock.started;
      this.playout.pull(this.#output);
      if (!started) continue;
      let low = 0;
      let lost = 0;
      for (const sample of this.#output[0]!) {
        if (sample < 0.1) lost++;
        else if (sample < 0.375) low++;
      }
      this.#heard.lost += lost / 48;
      this.#heard.low += low / 48;
      this.#heard.full += (QUANTUM_FRAMES - lost - low) / 48;
    }
  }

  #report(): void {
    const at = this.#up.offer(this.now, 60);
    if (this.playout.playhead === undefined || typeof at !== "number") return;
    const report = this.#reading(this.now);
    const run = () => {
      this.path.heard();
      this.#aggregator.fold(report, fromMilliseconds(this.now));
      this.watcher.reported();
    };
    this.#reports.push({ at, run });
  }

  #reading(clientTimeMs: number): Report {
    return reportWith({
      reportId: this.#reportId++,
      clientTimeMs,
      playhead: microseconds(Math.max(0, this.playout.playhead ?? 0)),
      playing: this.playout.moving,
      receivedBytes: this.#receivedBytes,
      receivedGroup: this.#received.mark,
      bufferedMs: this.playout.bufferedMs,
    });
  }
}

/** Decodes a packet to 20 ms of the level in its first byte. */
class LevelDecoder implements AudioPacketDecoder {
  readonly pending = 0;
  readonly #events: DecoderEvents<readonly Float32Array[]>;

  constructor(events: DecoderEvents<readonly Float32Array[]>) {
    this.#events = events;
  }

  framesOf(): number {
    return FRAMES;
  }

  decode(payload: Uint8Array, ticket: Ticket): void {
    this.#events.output([new Float32Array(FRAMES).fill(payload[0]! / 100)], ticket);
  }

  reset(): void {}

  close(): void {}
}
