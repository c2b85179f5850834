import { Application, createEncoder, type OpusEncoderHandle } from "libopus-wasm";
import { z } from "zod";
import { InputError, MediaError, StateError } from "../base/index.js";
import { SAMPLE_RATE } from "./resample.js";

/** What the publisher needs of an audio codec. Packets stand alone: a group holds one and any may be skipped. */
export interface AudioEncoder {
  /** Codec string of the catalog, as in WebCodecs. */
  readonly codec: string;
  readonly channels: 1 | 2;
  /** Samples per channel in one packet. */
  readonly frameSize: number;
  /** How far the decoded sound lags behind the encoded one, in samples per channel. */
  readonly lookahead: number;
  /** Encodes one frame of interleaved samples. Throws a MediaError `ENCODE_FAILED`. */
  encode(samples: Float32Array): Uint8Array;
  /** Forgets everything encoded before; `history` (one frame) is encoded and dropped, so that the next frame starts clean. */
  reset(history?: Float32Array): void;
  /** One packet of digital silence, from an encoder that heard nothing else. */
  readonly silence: Uint8Array;
  /** Frees native memory; idempotent. */
  close(): void;
}

/** Options of {@link OpusEncoder.create}. */
export const opusOptionsSchema = z.strictObject({
  channels: z.union([z.literal(1), z.literal(2)]).default(1),
  /** Length of a packet. Default 20 ms. */
  frameMs: z.union([z.literal(20), z.literal(10), z.literal(5)]).default(20),
  /** Bits per second. Default 64,000. */
  bitrateBps: z.number().int().min(6000).max(510_000).default(64_000),
  /** Send next to nothing in silence. Default false. */
  dtx: z.boolean().default(false),
  /** Carry a coarse copy of the packet before in every packet. Default false: groups stand alone. */
  fec: z.boolean().default(false),
  /** Loss the encoder should expect, which is what `fec` spends its bits by. Default 0. */
  packetLossPercent: z.number().int().min(0).max(100).default(0),
  /** 0 to 10. Default 5: 10 costs twice the time for a difference few hear in speech at this bitrate. */
  complexity: z.number().int().min(0).max(10).default(5),
  /** `voice` (SILK where it pays), `audio`, or `lowdelay` with 2.5 ms of look-ahead instead of 6.5. Default `audio`. */
  application: z.enum(["voice", "audio", "lowdelay"]).default("audio"),
});

/** See {@link opusOptionsSchema}. */
export type OpusOptions = z.input<typeof opusOptionsSchema>;

const APPLICATIONS = {
  voice: Application.Voip,
  audio: Application.Audio,
  lowdelay: Application.RestrictedLowDelay,
} as const;

/** Encoders kept ready: two rewinds in one turn of the event loop must both find a fresh one. */
const SPARES = 2;

/**
 * Opus in WebAssembly. The library passes no `OPUS_RESET_STATE` on, so a reset swaps in a spare encoder made before
 * (20 microseconds) instead.
 */
export class OpusEncoder implements AudioEncoder {
  readonly codec = "opus";
  readonly channels: 1 | 2;
  readonly frameSize: number;
  readonly lookahead: number;
  readonly silence: Uint8Array;
  readonly #make: () => Promise<OpusEncoderHandle>;
  #encoder: OpusEncoderHandle;
  #spares: OpusEncoderHandle[];
  #closed = false;

  private constructor(
    channels: 1 | 2,
    frameSize: number,
    make: () => Promise<OpusEncoderHandle>,
    [encoder, ...spares]: OpusEncoderHandle[],
  ) {
    this.channels = channels;
    this.frameSize = frameSize;
    this.#make = make;
    const probe = encoder!;
    this.lookahead = probe.getLookahead();
    this.silence = probe.encodeFloat(new Float32Array(frameSize * channels));
    probe.free();
    this.#encoder = spares[0]!;
    this.#spares = spares.slice(1);
  }

  /**
   * Makes an encoder.
   *
   * @throws InputError `INVALID_OPTION` that names the option.
   */
  static async create(options: OpusOptions = {}): Promise<OpusEncoder> {
    const parsed = opusOptionsSchema.safeParse(options);
    if (!parsed.success) {
      throw new InputError("INVALID_OPTION", `The Opus options are not valid: ${z.prettifyError(parsed.error)}`);
    }
    const { channels, frameMs, bitrateBps, application, ...rest } = parsed.data;
    const frameSize = (SAMPLE_RATE / 1000) * frameMs;
    const make = () =>
      createEncoder({
        ...rest,
        channels,
        frameSize,
        sampleRate: SAMPLE_RATE,
        bitrate: bitrateBps,
        application: APPLICATIONS[application],
      });
    const encoders = await Promise.all(Array.from({ length: SPARES + 2 }, make));
    return new OpusEncoder(channels, frameSize, make, encoders);
  }

  encode(samples: Float32Array): Uint8Array {
    if (this.#closed) throw new StateError("CLOSED", "The Opus encoder was used after close().");
    try {
      return this.#encoder.encodeFloat(samples);
    } catch (cause) {
      throw new MediaError("ENCODE_FAILED", `Opus could not encode a frame: ${(cause as Error).message}.`, { cause });
    }
  }

  reset(history?: Float32Array): void {
    const spare = this.#spares.pop();
    if (spare !== undefined) {
      this.#encoder.free();
      this.#encoder = spare;
    }
    void this.#make().then((encoder) => {
      if (this.#closed || this.#spares.length >= SPARES) encoder.free();
      else this.#spares.push(encoder);
    });
    if (history !== undefined) this.encode(history);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const encoder of [this.#encoder, ...this.#spares]) encoder.free();
    this.#spares = [];
  }
}
