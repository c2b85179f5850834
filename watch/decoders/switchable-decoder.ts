import { StateError } from "../../base/index.js";
import type { AudioRendition } from "../../container/index.js";
import type { AudioPacketDecoder, DecoderEvents, OpenDecoder, Ticket } from "../audio/audio-pipeline.js";

/** Makes a decoder of audio. */
export type OpenAudioDecoder = OpenDecoder<readonly Float32Array[], AudioPacketDecoder>;

/** The audio decoders of a platform. */
export interface AudioDecoders {
  /** Whether a rendition can be decoded. */
  canDecode(rendition: AudioRendition): boolean | Promise<boolean>;
  /** Loads a decoder; rejects with a `MediaError` (`UNSUPPORTED_CODEC`) without one. */
  load(rendition: AudioRendition): Promise<OpenAudioDecoder>;
}

/**
 * A decoder that another one can replace where a broadcast changes its codec: packets after {@link become} go to the
 * new one. Before the first it decodes nothing.
 */
export class SwitchableDecoder implements AudioPacketDecoder {
  readonly #events: DecoderEvents<readonly Float32Array[]>;
  #decoder: AudioPacketDecoder | undefined;
  #closed = false;

  constructor(events: DecoderEvents<readonly Float32Array[]>) {
    this.#events = events;
  }

  /** Closes the decoder and continues with another. */
  become(open: OpenAudioDecoder): void {
    this.#decoder?.close();
    this.#decoder = this.#closed ? undefined : open(this.#events);
  }

  get pending(): number {
    return this.#decoder?.pending ?? 0;
  }

  framesOf(payload: Uint8Array): number | undefined {
    return this.#decoder?.framesOf(payload);
  }

  /** @throws StateError `NO_DECODER` before the first {@link become}. */
  decode(payload: Uint8Array, ticket: Ticket, keyframe: boolean): void {
    if (!this.#decoder) throw new StateError("NO_DECODER", "A packet came before its decoder.");
    this.#decoder.decode(payload, ticket, keyframe);
  }

  get conceal(): NonNullable<AudioPacketDecoder["conceal"]> | undefined {
    return this.#decoder?.conceal?.bind(this.#decoder);
  }

  reset(): void {
    this.#decoder?.reset();
  }

  close(): void {
    this.#closed = true;
    this.#decoder?.close();
    this.#decoder = undefined;
  }
}
