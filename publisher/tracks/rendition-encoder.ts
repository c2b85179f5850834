import type { AudioEncoder } from "./opus.js";

/**
 * The encoder of one rendition of a track. Wherever a packet does not start where the last one ended (a pause, a skip, a
 * rewind, a time in which the rendition was not wanted) the encoder starts over, on what precedes the packet.
 */
export class RenditionEncoder {
  readonly #encoder: AudioEncoder;
  /** Position behind the last packet, in samples; undefined when the next one continues nothing. */
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

  /** Encodes the packet at `position`; `history` is what precedes it, needed where it continues nothing. */
  encode(position: number, samples: Float32Array, history: Float32Array | undefined): Uint8Array {
    if (!this.continues(position)) this.#encoder.reset(history);
    this.#end = position + this.#encoder.frameSize;
    return this.#encoder.encode(samples);
  }

  /** The next packet continues nothing, wherever it starts: what is encoded already has changed. */
  restart(): void {
    this.#end = undefined;
  }

  /** Frees the encoder; idempotent. */
  close(): void {
    this.#encoder.close();
  }
}
