import { MediaError } from "../../base/index.js";
import type { AudioRendition } from "../../container/index.js";
import type { AudioPacketDecoder, DecoderEvents, OpenDecoder, Ticket } from "./audio-pipeline.js";
import { loadOpus } from "./opus.js";
import { openPcm } from "./pcm.js";

/** What a decoder of audio needs to know of a catalog's rendition. */
export type AudioFormat = Pick<AudioRendition, "codec" | "sampleRate" | "numberOfChannels">;

/** Whether audio in this codec can be decoded without a browser. */
export function canDecode({ codec }: Pick<AudioFormat, "codec">): boolean {
  return codec === "opus" || codec === "pcm-s16";
}

/**
 * Loads what decodes a rendition, and delivers audio of so many channels.
 *
 * @throws MediaError `UNSUPPORTED_CODEC` when it can't be decoded here.
 */
export async function loadDecoder(
  { codec, sampleRate, numberOfChannels }: AudioFormat,
  channels: 1 | 2,
): Promise<OpenDecoder<readonly Float32Array[], AudioPacketDecoder>> {
  if (codec === "opus") return loadOpus({ channels });
  if (codec === "pcm-s16") return openPcm({ from: numberOfChannels, channels, sampleRate });
  throw new MediaError("UNSUPPORTED_CODEC", `Sound in the codec ${codec} can't be decoded here.`);
}

/**
 * A decoder that becomes another one where a broadcast goes on in another codec: what is handed over after
 * {@link become} is decoded by the new one.
 */
export class SwitchableDecoder implements AudioPacketDecoder {
  readonly #events: DecoderEvents<readonly Float32Array[]>;
  #decoder: AudioPacketDecoder;

  constructor(
    events: DecoderEvents<readonly Float32Array[]>,
    open: OpenDecoder<readonly Float32Array[], AudioPacketDecoder>,
  ) {
    this.#events = events;
    this.#decoder = open(events);
  }

  /** Closes the decoder and goes on with another. */
  become(open: OpenDecoder<readonly Float32Array[], AudioPacketDecoder>): void {
    this.#decoder.close();
    this.#decoder = open(this.#events);
  }

  get pending(): number {
    return this.#decoder.pending;
  }

  framesOf(payload: Uint8Array): number | undefined {
    return this.#decoder.framesOf(payload);
  }

  decode(payload: Uint8Array, ticket: Ticket, keyframe: boolean): void {
    this.#decoder.decode(payload, ticket, keyframe);
  }

  get conceal(): NonNullable<AudioPacketDecoder["conceal"]> | undefined {
    return this.#decoder.conceal?.bind(this.#decoder);
  }

  reset(): void {
    this.#decoder.reset();
  }

  close(): void {
    this.#decoder.close();
  }
}
