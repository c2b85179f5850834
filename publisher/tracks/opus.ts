import { Application, createEncoder, EncoderCtl, type OpusEncoderHandle } from "libopus-wasm";
import { z } from "zod";
import { MediaError, StateError, validate } from "../../base/index.js";
import { SAMPLE_RATE } from "../source/resample.js";

/**
 * An audio codec for the publisher. Packets stand alone: each decodes at the right level whatever the decoder heard
 * before, so that any may be skipped, lost, or be a listener's first.
 */
export interface AudioEncoder {
  /** Codec string of the catalog, as in WebCodecs. */
  readonly codec: string;
  readonly channels: 1 | 2;
  /** Samples per channel in one packet. */
  readonly frameSize: number;
  /** How far the decoded audio lags behind the encoded one, in samples per channel. */
  readonly lookahead: number;
  /** Encodes one frame of interleaved samples. Throws a MediaError `ENCODE_FAILED`. */
  encode(samples: Float32Array): Uint8Array;
  /**
   * Forgets earlier audio, because the next frame does not continue it. `history` is the audio before that frame,
   * {@link historyFrames} frames of it; its packets are dropped. Without it, silence precedes.
   */
  reset(history?: Float32Array): void;
  /** Frames of history that fill the look-ahead. */
  readonly historyFrames: number;
  /** One packet of digital silence, from an encoder in its initial state. */
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
  /** Carry a coarse copy of the previous packet in every packet. Default false: groups stand alone. */
  fec: z.boolean().default(false),
  /** Expected loss, which controls the bits that `fec` spends. Default 0. */
  packetLossPercent: z.number().int().min(0).max(100).default(0),
  /** 0 to 10. Default 5: 10 costs twice the time for a difference hardly audible in speech at this bit rate. */
  complexity: z.number().int().min(0).max(10).default(5),
  /**
   * `voice` (SILK where it pays), `audio`, or `lowdelay` with 2.5 ms of look-ahead instead of 6.5. Below 32 kbit/s and
   * without `fec`, `audio` is `lowdelay`. Default `audio`.
   */
  application: z.enum(["voice", "audio", "lowdelay"]).default("audio"),
  /** Delay of the decoded audio in samples, at least the encoder's own: two renditions need the same delay. */
  lookahead: z.number().int().min(0).max(5760).optional(),
});

/** See {@link opusOptionsSchema}. */
export type OpusOptions = z.input<typeof opusOptionsSchema>;

const APPLICATIONS = {
  voice: Application.Voip,
  audio: Application.Audio,
  lowdelay: Application.RestrictedLowDelay,
} as const;

/** Below this rate `audio` is encoded as `lowdelay`, in CELT, where libopus would choose SILK. */
const CELT_BELOW_BPS = 32_000;
/** Bits of a packet, per channel, from which on it can do without prediction: 16 kbit/s at 5 ms. */
const BITS_ALONE = 80;

/** Encoders kept ready: two rewinds in one turn of the event loop must both find a fresh one. */
const SPARES = 2;

/**
 * Opus in WebAssembly, set up so that packets stand alone. With prediction between packets, a decoder that missed a
 * packet, joined late, was reset or played another rendition is up to 23 dB off for 20 ms, and right after 70 ms.
 *
 * - The first packet after a reset is never predicted.
 * - CELT never predicts: STOI falls by 0.001 at 64 kbit/s (0.007 at 12), and at 5 % loss rises by 0.036. For packets of
 * less than {@link BITS_ALONE} a channel that would cost too many bits.
 * - SILK, which `voice` and `fec` use, needs prediction: without it, it loses 12 dB of its level. Its gains are coded
 * absolutely, so that a decoder with another past is too quiet for 60 ms and never too loud.
 *
 * The library does not expose `OPUS_RESET_STATE`, so a reset swaps in a spare encoder created before (20 microseconds)
 * instead.
 */
export class OpusEncoder implements AudioEncoder {
  readonly codec = "opus";
  readonly channels: 1 | 2;
  readonly frameSize: number;
  readonly lookahead: number;
  readonly historyFrames: number;
  readonly silence: Uint8Array;
  readonly #make: () => Promise<OpusEncoderHandle>;
  /** Compensates a look-ahead longer than the encoder's own: samples not encoded yet, and room for a frame. */
  readonly #delayed: Float32Array;
  /** Whether CELT has the bits to do without prediction. */
  readonly #isAlone: boolean;
  #encoder: OpusEncoderHandle;
  #spares: OpusEncoderHandle[];
  #closed = false;

  private constructor(
    { channels, frameSize, lookahead, isAlone }: OpusShape,
    make: () => Promise<OpusEncoderHandle>,
    [encoder, ...spares]: OpusEncoderHandle[],
  ) {
    this.channels = channels;
    this.frameSize = frameSize;
    this.#isAlone = isAlone;
    this.#make = make;
    const probe = encoder!;
    const own = probe.getLookahead();
    this.lookahead = Math.max(own, lookahead ?? own);
    this.historyFrames = Math.ceil(this.lookahead / frameSize);
    this.#delayed = new Float32Array((this.lookahead - own + frameSize) * channels);
    this.silence = probe.encodeFloat(new Float32Array(frameSize * channels));
    probe.free();
    this.#encoder = spares[0]!;
    this.#spares = spares.slice(1);
  }

  /**
   * Creates an encoder.
   *
   * @throws InputError `INVALID_OPTION` that names the option.
   */
  static async create(options: OpusOptions = {}): Promise<OpusEncoder> {
    const { channels, frameMs, bitrateBps, application, lookahead, ...rest } = validate(
      "OpusEncoder",
      opusOptionsSchema,
      options,
    );
    const frameSize = (SAMPLE_RATE / 1000) * frameMs;
    const isCelt = application === "audio" && !rest.fec && bitrateBps < CELT_BELOW_BPS;
    const isAlone = (bitrateBps * frameMs) / 1000 >= BITS_ALONE * channels;
    const make = async () => {
      const encoder = await createEncoder({
        ...rest,
        channels,
        frameSize,
        sampleRate: SAMPLE_RATE,
        bitrate: bitrateBps,
        application: APPLICATIONS[isCelt ? "lowdelay" : application],
      });
      encoder.encoderCtl(EncoderCtl.SetPredictionDisabled, 1);
      return encoder;
    };
    const encoders = await Promise.all(Array.from({ length: SPARES + 2 }, make));
    return new OpusEncoder({ channels, frameSize, lookahead, isAlone }, make, encoders);
  }

  encode(samples: Float32Array): Uint8Array {
    if (this.#closed) throw new StateError("CLOSED", "The Opus encoder was used after close().");
    try {
      const packet = this.#encoder.encodeFloat(this.#delay(samples));
      this.#predict(!this.#isAlone || !isCelt(packet));
      return packet;
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
    this.#delayed.fill(0);
    // A fresh encoder already has silence in its past.
    if (spare !== undefined && !history?.some((sample) => sample !== 0)) return;
    const frame = this.frameSize * this.channels;
    const past = history ?? new Float32Array(this.historyFrames * frame);
    for (let at = 0; at < past.length; at += frame) {
      this.#predict(false);
      this.encode(past.subarray(at, at + frame));
    }
    this.#predict(false);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const encoder of [this.#encoder, ...this.#spares]) encoder.free();
    this.#spares = [];
  }

  #predict(isPredicting: boolean): void {
    this.#encoder.encoderCtl(EncoderCtl.SetPredictionDisabled, isPredicting ? 0 : 1);
  }

  // The frame to encode now: delayed samples first, then these.
  #delay(samples: Float32Array): Float32Array {
    const held = this.#delayed.length - this.frameSize * this.channels;
    if (held === 0) return samples;
    this.#delayed.copyWithin(0, samples.length);
    this.#delayed.set(samples, held);
    return this.#delayed.subarray(0, samples.length);
  }
}

interface OpusShape {
  readonly channels: 1 | 2;
  readonly frameSize: number;
  readonly lookahead: number | undefined;
  readonly isAlone: boolean;
}

/** Whether a packet is entirely CELT: the upper half of the configurations (RFC 6716, section 3.1). */
function isCelt(packet: Uint8Array): boolean {
  return packet[0]! >= 0x80;
}
