import {
  endProcessor,
  fromMilliseconds,
  guard,
  loadWorklet,
  type Microseconds,
  microseconds,
  noAudio,
  openAudioContext,
  openWorklet,
  sleep,
  timePassed,
} from "../../base/index.js";
import type { AudioOutput } from "../audio/audio-pipeline.js";
import type { PublisherTraits } from "../audio/broadcast-lag.js";
import type { AppliedRewind, MissedTime, PlayoutCounters, PlayoutOptions } from "../audio/playout.js";
import { SAMPLE_RATE } from "../audio/samples.js";
import type { PlayerOutput } from "../options.js";
import type { VideoClock } from "../video/video-pipeline.js";
import { PROCESSOR, type WorkletCommand, type WorkletStatus } from "./messages.js";

/** A context whose clock lags the page's by this many seconds, or that sends no status for as long, has stalled. */
const STANDSTILL = 0.5;

/** How long after a device for audio failed to try again. */
const RESTART_MS = 500;

const NO_COUNTERS: PlayoutCounters = {
  anchors: 0,
  recoveries: 0,
  underruns: 0,
  underrunMs: 0,
  jumps: 0,
  stalls: 0,
  lateFrames: 0,
  overflowFrames: 0,
  truncatedFrames: 0,
  playedMs: 0,
  staleMs: 0,
  skippedMs: 0,
  lateMs: 0,
};

/**
 * The page's end of the playout in the audio worklet: a player writes audio to it and reads the time from it. Before
 * {@link load} there is no audio; after that the worklet sends its status about fifty times a second.
 */
export class SpeakerOutput implements PlayerOutput {
  /** Clock of the video: a rewind through it only moves the playhead. */
  readonly clock: VideoClock;
  readonly #jitterMs: number;
  #context: AudioContext | undefined;
  #bus: GainNode | undefined;
  #node: AudioWorkletNode | undefined;
  /** Commands from before {@link load}: settings, since audio waits for it. */
  #early: WorkletCommand[] = [];
  #status: WorkletStatus | undefined;
  #statusAt = 0;
  #wake: (() => void) | undefined;
  #levelDb = Number.NEGATIVE_INFINITY;
  #rewinds = 0;
  /** Whether a rewind is newer than the playhead of the last status. */
  #moved = false;
  #held = false;
  #live = false;
  #closed = false;
  /** How far the page's clock was ahead of the context's at the last status, in seconds. */
  #standstill: number | undefined;
  /** When a first frame is due, in the page's milliseconds, until the worklet has reported it. */
  #opening: { readonly timestamp: Microseconds; readonly at: number } | undefined;

  constructor({ jitterMs }: { readonly jitterMs: number }) {
    this.#jitterMs = jitterMs;
    const output = this;
    this.clock = {
      arrive: (...frame) => this.arrive(...frame),
      rewind: (rewind) => this.#rewind({ type: "rewind-clock", rewind }, rewind.from),
      get playhead() {
        return output.playhead;
      },
    };
  }

  /** Creates the audio context; resolves once it runs, which may take a click. Rejects where the browser refuses. */
  async resume(): Promise<void> {
    this.#context = openAudioContext({ sampleRate: SAMPLE_RATE, latencyHint: "interactive" });
    this.#context.addEventListener("error", this.#restart);
    await this.#context.resume().catch((cause: unknown) => {
      throw noAudio(cause);
    });
  }

  /** A device that fails, as when it is unplugged, suspends the context for good; started again, it uses another one. */
  readonly #restart = guard("watch.speaker", async () => {
    await sleep(RESTART_MS);
    if (!this.#closed && this.#context?.state === "suspended") await this.#context.resume();
  });

  /** Loads the worklet from a script at a URL, after {@link resume} was called. Rejects where the browser refuses. */
  async load(workletUrl: string | URL): Promise<void> {
    const context = this.#context;
    if (!context) return;
    await loadWorklet(context, workletUrl);
    if (this.#closed) return;
    this.#bus = context.createGain();
    this.#bus.connect(context.destination);
    const processorOptions: PlayoutOptions = { channels: 2, jitterMs: this.#jitterMs };
    const nodeOptions = { numberOfInputs: 0, numberOfOutputs: 1, outputChannelCount: [2], processorOptions };
    this.#node = openWorklet(PROCESSOR, workletUrl, (name) => new AudioWorkletNode(context, name, nodeOptions));
    this.#node.connect(this.#bus);
    this.#node.port.onmessage = ({ data }: MessageEvent<WorkletStatus>) => this.#take(data);
    for (const command of this.#early.splice(0)) this.#send(command);
  }

  /** Whether it takes audio: since {@link load}. */
  get isOpen(): boolean {
    return this.#node !== undefined;
  }

  /** The audio for the speakers, to connect an analyser or a recorder; undefined before {@link load}. */
  get audio(): AudioNode | undefined {
    return this.#bus;
  }

  /** Resolves with the worklet's next status, or after this many milliseconds without one. */
  next(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(done, milliseconds);
      this.#wake = done;
    });
  }

  get playhead(): Microseconds | undefined {
    const playhead = this.#status?.playhead;
    if (playhead === undefined || this.#moved) return undefined;
    return microseconds(playhead + (this.moving ? this.#sinceStatus : 0));
  }

  /** Media time at the speakers now: the playhead minus the audio in the device. */
  get heard(): Microseconds | undefined {
    const { playhead } = this;
    if (playhead === undefined) return undefined;
    return microseconds(Math.max(0, playhead - (this.#context?.outputLatency || 0) * 1e6));
  }

  get heardUntil(): Microseconds | undefined {
    return this.#status?.heardUntil;
  }

  get missed(): MissedTime | undefined {
    return this.#status?.missed;
  }

  /** See `PlaybackClock.due`; a first frame is due after the delay that the worklet is about to give it. */
  get due(): Microseconds | undefined {
    const due = this.#moved ? undefined : this.#status?.due;
    if (due !== undefined) return microseconds(due + (this.running ? this.#sinceStatus : 0));
    const opening = this.#opening;
    return opening && microseconds(opening.timestamp - (opening.at - performance.now()) * 1e3);
  }

  get canWait(): boolean {
    return this.running && (this.#status?.canWait ?? false);
  }

  get patient(): boolean {
    return this.running && (this.#status?.patient ?? false);
  }

  get started(): boolean {
    return this.running && (this.#status?.started ?? false);
  }

  /** Whether the playhead moves; never while the context is suspended, as in a background page. */
  get moving(): boolean {
    return this.running && (this.#status?.moving ?? false);
  }

  /** Whether audio is audible; never while the context is suspended. */
  get playing(): boolean {
    return this.running && (this.#status?.playing ?? false);
  }

  get resting(): boolean {
    return this.#status?.resting ?? true;
  }

  get applied(): AppliedRewind | undefined {
    return this.#status?.applied;
  }

  get bufferedMs(): number {
    return this.#status?.bufferedMs ?? 0;
  }

  get targetMs(): number {
    return this.#status?.targetMs ?? this.#jitterMs;
  }

  get counters(): PlayoutCounters {
    return this.#status?.counters ?? NO_COUNTERS;
  }

  /** Level of the last 20 ms in decibels below full scale; -Infinity for silence. */
  get levelDb(): number {
    return this.running ? this.#levelDb : Number.NEGATIVE_INFINITY;
  }

  /** Whether the context takes samples: it reports so itself, and the worklet's last status is recent. */
  get running(): boolean {
    return this.#context?.state === "running" && performance.now() - this.#statusAt < STANDSTILL * 1e3;
  }

  /** See `Playout.arrive`; the lead is relative to the projected playhead, or the one about to be set. */
  arrive(timestamp: Microseconds, begins = false): Microseconds {
    this.#send({ type: "arrive", timestamp, begins });
    const { playhead } = this;
    if (playhead === undefined) {
      this.#opening ??= { timestamp, at: performance.now() + this.#jitterMs };
      return fromMilliseconds(this.#jitterMs);
    }
    const earliest = this.#status?.earliest ?? playhead;
    // The playhead goes back for it.
    if (timestamp < playhead && timestamp >= earliest) return microseconds(0);
    return microseconds(timestamp - playhead);
  }

  landed(timestamp: Microseconds, copy: boolean): void {
    this.#send({ type: "landed", timestamp, copy });
  }

  setLive(on: boolean): void {
    if (on === this.#live) return;
    this.#live = on;
    this.#send({ type: "live", on });
  }

  setPublisher(publisher: PublisherTraits): void {
    this.#send({ type: "publisher", publisher });
  }

  /** See `Playout.write`; returns the number of frames sent, which is all of them. */
  write(...[timestamp, samples, { epoch, generation }]: Parameters<AudioOutput["write"]>): number {
    const provenance = { epoch, generation };
    const buffers = samples.map(({ buffer }) => buffer as ArrayBuffer);
    this.#send({ type: "write", timestamp, samples, provenance }, buffers);
    return samples[0]?.length ?? 0;
  }

  rewind(rewind: Parameters<AudioOutput["rewind"]>[0]): void {
    this.#rewind({ type: "rewind", rewind }, rewind.from);
  }

  hold(on: boolean): void {
    if (on === this.#held) return;
    this.#held = on;
    this.#send({ type: "hold", on });
  }

  /** Ends the audio; idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#wake?.();
    this.#node?.disconnect();
    if (this.#node) await endProcessor(this.#node);
    // A page that has this context's node may have closed it.
    if (this.#context && this.#context.state !== "closed") await this.#context.close();
  }

  get #sinceStatus(): number {
    return (performance.now() - this.#statusAt) * 1e3;
  }

  #take(status: WorkletStatus): void {
    timePassed();
    this.#keepUp();
    this.#status = status;
    this.#statusAt = performance.now();
    if (status.rewinds === this.#rewinds) this.#moved = false;
    if (status.due !== undefined && !this.#moved) this.#opening = undefined;
    if (status.samples > 0) this.#levelDb = 10 * Math.log10(status.energy / status.samples);
    this.#wake?.();
  }

  /** A suspended context, as in a background page, pulls nothing: report the length of the pause to the worklet. */
  #keepUp(): void {
    const standstill = performance.now() / 1e3 - (this.#context?.currentTime ?? 0);
    const lost = standstill - (this.#standstill ?? standstill);
    this.#standstill = standstill;
    if (lost > STANDSTILL) this.#send({ type: "lost", frames: Math.round(lost * SAMPLE_RATE) });
  }

  #rewind(command: WorkletCommand, from: Microseconds): boolean {
    this.#send(command);
    const behind = (this.playhead ?? -1) >= from;
    this.#rewinds++;
    this.#moved ||= behind;
    if (behind) this.#opening = undefined;
    return behind;
  }

  #send(command: WorkletCommand, transfer: Transferable[] = []): void {
    if (this.#closed) return;
    if (this.#node) this.#node.port.postMessage(command, transfer);
    else this.#early.push(command);
  }
}
