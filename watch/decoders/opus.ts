import { createDecoder, type OpusDecoderHandle } from "libopus-wasm";
import { MediaError } from "../../base/index.js";
import type { AudioPacketDecoder, DecoderEvents, OpenDecoder, Ticket } from "../audio/audio-pipeline.js";
import { SAMPLE_RATE, timestampAt } from "../audio/samples.js";

/** Longest Opus packet: 120 ms (RFC 6716, section 3.2.5). */
const MAX_FRAMES = 5760;
/** Opus conceals in steps of 2.5 ms. */
const STEP_FRAMES = 120;
/** Fresh decoders kept ready, because creating one is asynchronous and a rewind cannot wait. */
const SPARES = 4;

/**
 * Frames at 48 kHz that an Opus packet decodes to, from its first two bytes (RFC 6716, section 3.1); undefined for
 * invalid packets.
 */
export function opusFrames(packet: Uint8Array): number | undefined {
  const toc = packet[0];
  if (toc === undefined) return undefined;
  const configuration = toc >> 3;
  const perFrame =
    configuration < 12
      ? [480, 960, 1920, 2880][configuration & 3]!
      : configuration < 16
        ? [480, 960][configuration & 1]!
        : [120, 240, 480, 960][configuration & 3]!;
  const code = toc & 3;
  const count = code === 0 ? 1 : code === 3 ? (packet[1] ?? 0) & 63 : 2;
  const frames = perFrame * count;
  return frames > 0 && frames <= MAX_FRAMES ? frames : undefined;
}

/** Loads libopus and returns a factory of decoders that deliver synchronously and conceal lost packets. */
export async function loadOpus({
  channels,
}: {
  readonly channels: 1 | 2;
}): Promise<OpenDecoder<readonly Float32Array[], AudioPacketDecoder>> {
  const make = () => createDecoder({ channels, sampleRate: SAMPLE_RATE, maxFrameSize: MAX_FRAMES });
  const spares = await Promise.all(Array.from({ length: SPARES }, make));
  return (events) => new OpusDecoder(events, channels, spares, make);
}

class OpusDecoder implements AudioPacketDecoder {
  readonly pending = 0;
  readonly #events: DecoderEvents<readonly Float32Array[]>;
  readonly #channels: number;
  readonly #spares: OpusDecoderHandle[];
  readonly #make: () => Promise<OpusDecoderHandle>;
  #handle: OpusDecoderHandle;
  #fresh = true;
  #closed = false;

  constructor(
    events: DecoderEvents<readonly Float32Array[]>,
    channels: number,
    spares: OpusDecoderHandle[],
    make: () => Promise<OpusDecoderHandle>,
  ) {
    this.#events = events;
    this.#channels = channels;
    this.#spares = spares;
    this.#make = make;
    const first = spares.shift();
    if (!first) throw new MediaError("DECODER_EXHAUSTED", "No Opus decoder is ready.");
    this.#handle = first;
    this.#refill();
  }

  framesOf(payload: Uint8Array): number | undefined {
    return opusFrames(payload);
  }

  decode(payload: Uint8Array, ticket: Ticket): void {
    if (this.#closed) return;
    this.#fresh = false;
    this.#deliver(this.#handle.decodeFloat(payload), ticket);
  }

  /** The last packet's length comes from the redundancy in `next`, where present; the rest is extrapolated. */
  conceal(frames: number, next: Uint8Array, ticket: Ticket): void {
    if (this.#closed) return;
    const whole = frames - (frames % STEP_FRAMES);
    const repaired = Math.min(whole, opusFrames(next) ?? 0);
    let position = 0;
    const deliver = (samples: Float32Array) => {
      const timestamp = timestampAt((ticket.timestamp * SAMPLE_RATE) / 1e6 + position);
      this.#deliver(samples, { ...ticket, timestamp });
      position += samples.length / this.#channels;
    };
    while (position < whole - repaired)
      deliver(this.#handle.decodePacketLossFloat(Math.min(960, whole - repaired - position)));
    if (repaired > 0) deliver(this.#handle.decodeFloat(next, { decodeFec: true, frameSize: repaired }));
  }

  reset(): void {
    if (this.#closed || this.#fresh) return;
    // Without a spare the old decoder continues: its memory of a few milliseconds is audible, but nothing else breaks.
    const spare = this.#spares.shift();
    if (!spare) return;
    this.#handle.free();
    this.#handle = spare;
    this.#fresh = true;
    this.#refill();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#handle.free();
    for (const spare of this.#spares.splice(0)) spare.free();
  }

  #refill(): void {
    void this.#make().then((spare) => {
      if (this.#closed || this.#spares.length >= SPARES) spare.free();
      else this.#spares.push(spare);
    });
  }

  #deliver(interleaved: Float32Array, ticket: Ticket): void {
    const { length } = interleaved;
    const channels = Array.from({ length: this.#channels }, (_, channel) => {
      const samples = new Float32Array(length / this.#channels);
      for (let index = 0; index < samples.length; index++)
        samples[index] = interleaved[index * this.#channels + channel]!;
      return samples;
    });
    this.#events.output(channels, ticket);
  }
}
