import { type Microseconds, microseconds } from "../../base/index.js";
import { RewindConsumer } from "../../container/index.js";
import { knobsSchema, OpusEncoder, type OpusOptions } from "../../publisher/index.js";
import type { EncodedFrame } from "../../publisher/send/send-queue.js";
import { AudioTrack } from "../../publisher/tracks/audio-track.js";
import { AudioPipeline, loadOpus, type PlayoutRewind } from "../../watch/index.js";

export const SECONDS = 8;
export const STEP = 480;
export const position = (time: number) => Math.round((time * 48) / 1000);
export const decibels = (ratio: number) => 10 * Math.log10(ratio + 1e-9);

/** A voiced sound: many harmonics, steady, so that its level is the same in every 10 ms. */
export function voiced(length: number, hertz: number): Float32Array {
  return new Float32Array(length).map((_, i) => {
    let sum = 0;
    for (let h = 1; h < 12; h++) sum += Math.sin((2 * Math.PI * hertz * h * i) / 48_000 + h * h) / h;
    return 0.15 * sum;
  });
}

export function power(samples: Float32Array, from: number, to: number): number {
  let sum = 0;
  for (let i = from; i < to; i++) sum += samples[i]! ** 2;
  return sum / (to - from);
}

/** The furthest that any whole 10 ms of a stretch is from its source, in dB; the first is left out. */
export function furthest(heard: Float32Array, source: Float32Array, from: number, to: number): number {
  let worst = 0;
  for (let at = from + STEP; at + STEP <= to; at += STEP) {
    const error = decibels(power(heard, at, at + STEP) / power(source, at, at + STEP));
    worst = Math.max(worst, Math.abs(error));
  }
  return worst;
}

/** How much of what was heard is the source, in its place: 1 when it is nothing else. */
export function likeness(heard: Float32Array, source: Float32Array, from: number, to: number): number {
  let both = 0;
  for (let i = from; i < to; i++) both += heard[i]! * source[i]!;
  return both / ((to - from) * Math.sqrt(power(heard, from, to) * power(source, from, to)) + 1e-12);
}

/** Track, encoders, consumer and decoder in a row, without time and without a network. */
export class CodecLoop {
  /** The expected audio, by place on the timeline. */
  readonly source = new Float32Array(SECONDS * 48_000);
  readonly heard = new Float32Array(SECONDS * 48_000);
  readonly frames: EncodedFrame[] = [];
  readonly audioTrack: AudioTrack;
  lowWanted = false;
  readonly #consumer = new RewindConsumer({ clock: () => microseconds(0), maxSpanUs: microseconds(60_000_000) });
  readonly #pipeline: AudioPipeline;

  private constructor(frameMs: number, groupFrames: number, openDecoder: Awaited<ReturnType<typeof loadOpus>>) {
    this.audioTrack = new AudioTrack({
      channels: 1,
      frameMs,
      frameSize: 48 * frameMs,
      groupFrames,
      capacity: this.source.length,
      rewindBy: "group",
      knobs: knobsSchema.parse({}),
    });
    this.#pipeline = new AudioPipeline({
      consumer: this.#consumer,
      openDecoder,
      output: {
        playhead: undefined,
        arrive: () => microseconds(0),
        write: (timestamp: Microseconds, [samples]: readonly Float32Array[]) => {
          this.heard.set(samples!, position(timestamp));
          return samples!.length;
        },
        rewind: ({ from }: PlayoutRewind) => this.heard.fill(0, position(from)),
      },
    });
  }

  static async open({ groupFrames = 1, ...options }: OpusOptions & { groupFrames?: number }): Promise<CodecLoop> {
    const loop = new CodecLoop(options.frameMs ?? 20, groupFrames, await loadOpus({ channels: 1 }));
    const encoder = await OpusEncoder.create(options);
    const { lookahead } = encoder;
    const { frameMs } = options;
    const low = await OpusEncoder.create({ frameMs, bitrateBps: 16_000, application: "lowdelay", lookahead });
    loop.audioTrack.setEncoders(encoder, low);
    return loop;
  }

  /** Says something, `pause` samples behind what was said last, and returns where it begins. */
  say(samples: Float32Array, pause: number): number {
    this.audioTrack.startAt(this.audioTrack.end + pause);
    const start = this.audioTrack.end;
    this.audioTrack.write({ dry: samples, wet: samples });
    this.source.set(samples, start);
    return start;
  }

  encode({ until = this.source.length, ended = true } = {}): void {
    for (;;) {
      const frame = this.audioTrack.encode(until, { ended, low: this.lowWanted });
      if (frame === undefined) return;
      this.#deliver(frame);
    }
  }

  /** Ends what is said at a place, taken back where it was sent. */
  cut(at: number): void {
    const rewound = at < this.audioTrack.cursor;
    this.audioTrack.cut(at);
    this.source.fill(0, at);
    if (!rewound) return;
    const silence = this.audioTrack.silence(at, { low: this.lowWanted });
    if (silence !== undefined) this.#deliver(silence);
  }

  /** Says what follows a place otherwise. */
  turn(at: number, gainDb: number): void {
    this.audioTrack.setKnobs(knobsSchema.parse({ gainDb }));
    if (at < this.audioTrack.cursor) this.audioTrack.rewind(at);
    for (let i = at; i < this.audioTrack.end; i++) this.source[i]! *= 10 ** (gainDb / 20);
  }

  close(): void {
    this.audioTrack.close();
    this.#pipeline.close();
  }

  #deliver(frame: EncodedFrame): void {
    this.frames.push(frame);
    const { sequence, timestamp, low, payload } = frame;
    this.#consumer.receive(sequence, { timestamp, payload: low ?? payload, keyframe: true });
    if (frame.endsGroup) this.#consumer.finish(sequence);
    this.#pipeline.pump();
  }
}
