import type { AudioEncoder } from "./opus.js";

/**
 * The encoder of one rendition of a track. Wherever a packet does not start where the last one ended (a pause, a skip,
 * a rewind, a time without subscribers) the encoder restarts on the audio before the packet.
 */
export class RenditionEncoder {
  readonly #encoder: AudioEncoder;
  /** Position behind the last packet, in samples; undefined when the next one continues none. */
  #end: number | undefined;

  constructor(encoder: AudioEncoder) {
    this.#encoder = encoder;
  }

  /** See {@link AudioEncoder.lookahead}. */
  get lookahead(): number {
    return this.#encoder.lookahead;
  }

  /** Samples per channel of history that {@link encode} takes. */
  get history(): number {
    return this.#encoder.historyFrames * this.#encoder.frameSize;
  }

  /** See {@link AudioEncoder.silence}. */
  get silence(): Uint8Array {
    return this.#encoder.silence;
  }

  /** Whether a packet at `position` continues the last one. */
  continues(position: number): boolean {
    return this.#end === position;
  }

  /** Encodes the packet at `position`; `history` is the audio before it, needed where it continues no other packet. */
  encode(position: number, samples: Float32Array, history: Float32Array | undefined): Uint8Array {
    if (!this.continues(position)) this.#encoder.reset(history);
    this.#end = position + this.#encoder.frameSize;
    return this.#encoder.encode(samples);
  }

  /** The next packet continues no other, wherever it starts: earlier audio has changed since it was encoded. */
  restart(): void {
    this.#end = undefined;
  }

  /** Frees the encoder; idempotent. */
  close(): void {
    this.#encoder.close();
  }
}
