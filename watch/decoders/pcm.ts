import { MediaError } from "../../base/index.js";
import type { AudioPacketDecoder, DecoderEvents, OpenDecoder, Ticket } from "../audio/audio-pipeline.js";
import { SAMPLE_RATE } from "../audio/samples.js";

const SAMPLE_BYTES = 2;
/** Largest magnitude of a 16-bit sample: full scale. */
const FULL_SCALE = 32_768;

/** Options for {@link openPcm}. */
export interface PcmOptions {
  /** Channels of the packets. */
  readonly from: number;
  /** Channels of the output; mono is the mean of all, and mono input goes to both. */
  readonly channels: 1 | 2;
  /** Frames per second of the packets; only 48,000 can be played. */
  readonly sampleRate: number;
}

/** Whether {@link openPcm} can play packets of `from` channels at this sample rate. */
export function playsPcm({ from, sampleRate }: Pick<PcmOptions, "from" | "sampleRate">): boolean {
  return sampleRate === SAMPLE_RATE && (from === 1 || from === 2);
}

/**
 * Makes decoders of `pcm-s16` as the WebCodecs registry defines it: interleaved samples of 16 bits, little-endian. They
 * deliver synchronously, hold no state and conceal nothing.
 *
 * @throws MediaError `UNSUPPORTED_CODEC` for another sample rate or more than two channels.
 */
export function openPcm({
  from,
  channels,
  sampleRate,
}: PcmOptions): OpenDecoder<readonly Float32Array[], AudioPacketDecoder> {
  if (!playsPcm({ from, sampleRate })) {
    throw new MediaError(
      "UNSUPPORTED_CODEC",
      `PCM of ${from} channel(s) at ${sampleRate} Hz can't be played: it must have one or two at ${SAMPLE_RATE} Hz.`,
    );
  }
  return (events) => new PcmDecoder(events, from, channels);
}

class PcmDecoder implements AudioPacketDecoder {
  readonly pending = 0;
  readonly #events: DecoderEvents<readonly Float32Array[]>;
  readonly #from: number;
  readonly #channels: 1 | 2;

  constructor(events: DecoderEvents<readonly Float32Array[]>, from: number, channels: 1 | 2) {
    this.#events = events;
    this.#from = from;
    this.#channels = channels;
  }

  framesOf({ byteLength }: Uint8Array): number | undefined {
    const frames = byteLength / (SAMPLE_BYTES * this.#from);
    return Number.isInteger(frames) && frames > 0 ? frames : undefined;
  }

  decode(payload: Uint8Array, ticket: Ticket): void {
    const frames = this.framesOf(payload);
    if (frames === undefined)
      throw new MediaError("BAD_PACKET", `${payload.byteLength} bytes are not whole PCM frames.`);
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
    const sample = (frame: number, channel: number) =>
      view.getInt16((frame * this.#from + channel) * SAMPLE_BYTES, true) / FULL_SCALE;
    const planes = Array.from({ length: this.#channels }, () => new Float32Array(frames));
    const mixes = this.#channels === 1 && this.#from === 2;
    planes.forEach((plane, channel) => {
      const source = Math.min(channel, this.#from - 1);
      for (let frame = 0; frame < frames; frame++)
        plane[frame] = mixes ? (sample(frame, 0) + sample(frame, 1)) / 2 : sample(frame, source);
    });
    this.#events.output(planes, ticket);
  }

  reset(): void {}

  close(): void {}
}
