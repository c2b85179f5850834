import { fromMilliseconds, type Microseconds, microseconds } from "../../base/index.js";
import type { AudioOutput } from "../audio/audio-pipeline.js";
import type { PlaybackClock, PlaybackClockOptions } from "../audio/playback-clock.js";
import type { PlayoutOptions } from "../audio/playout.js";
import { SAMPLE_RATE } from "../audio/samples.js";
import { PROCESSOR, type WorkletCommand, type WorkletStatus } from "./messages.js";

/** Options for {@link SpeakerOutput.open}. */
export interface SpeakerOutputOptions extends PlaybackClockOptions {
  /** Running, at 48 kHz. */
  readonly context: AudioContext;
  /** Where the audio goes. */
  readonly destination: AudioNode;
  /** Called about fifty times a second, and at once after a rewind or a start. */
  readonly onStatus: (status: WorkletStatus) => void;
}

/** A context whose clock falls behind the page's by so many seconds, or that is silent for so long, stands still. */
const STANDSTILL = 0.5;

/** The page's end of the playout in the audio worklet: what the pipelines write to and take their time from. */
export class SpeakerOutput implements AudioOutput, Pick<PlaybackClock, "arrive" | "rewind" | "playhead"> {
  readonly #context: AudioContext;
  readonly #node: AudioWorkletNode;
  readonly #firstDelay: Microseconds;
  #status: WorkletStatus | undefined;
  #statusAt = 0;
  #rewinds = 0;
  /** Whether the playhead of the newest status is from before a rewind behind it. */
  #moved = false;
  #held = false;
  #live = false;
  #closed = false;
  /** By how much the page's clock was ahead of the context's at the last status, in seconds. */
  #standstill: number | undefined;

  private constructor(context: AudioContext, node: AudioWorkletNode, { onStatus, jitterMs }: SpeakerOutputOptions) {
    this.#context = context;
    this.#node = node;
    this.#firstDelay = fromMilliseconds(jitterMs ?? 80);
    node.port.onmessage = ({ data }: MessageEvent<WorkletStatus>) => {
      this.#keepUp();
      this.#status = data;
      this.#statusAt = performance.now();
      if (data.rewinds === this.#rewinds) this.#moved = false;
      onStatus(data);
    };
  }

  /** Starts the node; the context has to have the worklet's module. */
  static open(options: SpeakerOutputOptions): SpeakerOutput {
    const { context, destination, onStatus: _, ...clock } = options;
    const processorOptions: PlayoutOptions = { channels: 2, ...clock };
    const node = new AudioWorkletNode(context, PROCESSOR, {
      numberOfInputs: 0,
      numberOfOutputs: 1,
      outputChannelCount: [2],
      processorOptions,
    });
    node.connect(destination);
    return new SpeakerOutput(context, node, options);
  }

  /** The newest status of the worklet. */
  get status(): WorkletStatus | undefined {
    return this.#status;
  }

  /** Media time of the next sample the worklet will hand out, projected to now; undefined without a timeline. */
  get playhead(): Microseconds | undefined {
    const playhead = this.#status?.playhead;
    if (playhead === undefined || this.#moved) return undefined;
    return microseconds(playhead + (this.moving ? (performance.now() - this.#statusAt) * 1e3 : 0));
  }

  /** Whether the playhead moves; never while the context is suspended, as of a page in the background. */
  get moving(): boolean {
    return this.running && (this.#status?.moving ?? false);
  }

  /** Whether audio is heard; never while the context is suspended. */
  get playing(): boolean {
    return this.running && (this.#status?.playing ?? false);
  }

  /** Whether the context takes samples: it says so itself, or the worklet has just been heard of. */
  get running(): boolean {
    return this.#context.state === "running" && performance.now() - this.#statusAt < STANDSTILL * 1e3;
  }

  /** Media time of what leaves the speakers now: the playhead less what the device still holds. */
  get heard(): Microseconds | undefined {
    const { playhead } = this;
    if (playhead === undefined) return undefined;
    return microseconds(Math.max(0, playhead - (this.#context.outputLatency || 0) * 1e6));
  }

  /** See `Playout.arrive`; the lead returned is against the projected playhead, or what it will be set to. */
  arrive(timestamp: Microseconds): Microseconds {
    this.#send({ type: "arrive", timestamp });
    const { playhead } = this;
    if (playhead === undefined) return this.#firstDelay;
    const earliest = this.#status?.earliest ?? playhead;
    // The playhead goes back for it.
    if (timestamp < playhead && timestamp >= earliest) return microseconds(0);
    return microseconds(timestamp - playhead);
  }

  /** See `Playout.landed`. */
  landed(timestamp: Microseconds): void {
    this.#send({ type: "landed", timestamp });
  }

  /** See `Playout.setLive`. */
  setLive(on: boolean): void {
    if (on === this.#live) return;
    this.#live = on;
    this.#send({ type: "live", on });
  }

  /** See `Playout.setPublisher`. */
  setPublisher(publisher: Parameters<PlaybackClock["setPublisher"]>[0]): void {
    this.#send({ type: "publisher", publisher });
  }

  /** See `Playout.write`; returns how many frames were sent, which is all. */
  write(...[timestamp, samples, { epoch, generation }]: Parameters<AudioOutput["write"]>): number {
    const provenance = { epoch, generation };
    const buffers = samples.map(({ buffer }) => buffer as ArrayBuffer);
    this.#send({ type: "write", timestamp, samples, provenance }, buffers);
    return samples[0]?.length ?? 0;
  }

  /** Takes audio back; a rewind without a generation is one of video, and only moves the playhead. */
  rewind(rewind: Parameters<AudioOutput["rewind"]>[0] | Parameters<PlaybackClock["rewind"]>[0]): boolean {
    if ("generation" in rewind) this.#send({ type: "rewind", rewind });
    else this.#send({ type: "rewind-clock", rewind });
    const behind = (this.playhead ?? -1) >= rewind.from;
    this.#rewinds++;
    this.#moved ||= behind;
    return behind;
  }

  /** See `Playout.hold`. */
  hold(on: boolean): void {
    if (on === this.#held) return;
    this.#held = on;
    this.#send({ type: "hold", on });
  }

  /** Ends the audio; idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#send({ type: "close" });
    this.#closed = true;
    this.#node.disconnect();
    this.#node.port.onmessage = null;
    this.#node.port.close();
  }

  /** A suspended context, as of a page in the background, pulls nothing: the worklet learns how long that was. */
  #keepUp(): void {
    const standstill = performance.now() / 1e3 - this.#context.currentTime;
    const lost = standstill - (this.#standstill ?? standstill);
    this.#standstill = standstill;
    if (lost > STANDSTILL) this.#send({ type: "lost", frames: Math.round(lost * SAMPLE_RATE) });
  }

  #send(command: WorkletCommand, transfer: Transferable[] = []): void {
    if (!this.#closed) this.#node.port.postMessage(command, transfer);
  }
}

/** Makes an audio context for {@link SpeakerOutput} with the worklet's module in it. */
export async function openContext(workletUrl: URL): Promise<AudioContext> {
  const context = new AudioContext({ sampleRate: SAMPLE_RATE, latencyHint: "interactive" });
  await context.audioWorklet.addModule(workletUrl);
  return context;
}
