import { MediaError } from "../../base/index.js";
import type { AudioRendition, VideoRendition } from "../../container/index.js";
import {
  type AudioPacketDecoder,
  type Decoder,
  type DecoderEvents,
  type OpenDecoder,
  type Ticket,
  TicketQueue,
} from "../audio/audio-pipeline.js";
import { SAMPLE_RATE } from "../audio/samples.js";
import type { VideoDecoders } from "../video/video-player.js";
import { openPcm, playsPcm } from "./pcm.js";
import type { AudioDecoders } from "./switchable-decoder.js";

/** The common part of the two decoders of WebCodecs. */
interface CodecPort<Chunk> {
  decode(chunk: Chunk): void;
  close(): void;
  readonly state: CodecState;
}

interface CodecKind<Chunk, Raw extends { readonly timestamp: number; close(): void }, Output> {
  readonly open: (init: { output: (raw: Raw) => void; error: (error: unknown) => void }) => CodecPort<Chunk>;
  readonly wrap: (init: { type: "key" | "delta"; timestamp: number; data: Uint8Array<ArrayBuffer> }) => Chunk;
  /** Records the tickets of packets, and finds the ticket of an output. */
  readonly tickets: () => Pick<TicketQueue, "push" | "take" | "size">;
  /** Converts the codec's output for the pipeline, and closes it. */
  readonly convert: (raw: Raw) => Output;
}

/**
 * A WebCodecs decoder behind the pipelines' interface. Every reset replaces the codec and its queue of tickets, so that
 * an output from before a reset is neither lost nor taken for a later one.
 */
function openWith<Chunk, Raw extends { readonly timestamp: number; close(): void }, Output>(
  kind: CodecKind<Chunk, Raw, Output>,
  events: DecoderEvents<Output>,
): Decoder {
  let current:
    | { readonly codec: CodecPort<Chunk>; readonly tickets: Pick<TicketQueue, "push" | "take" | "size"> }
    | undefined;

  const start = (): NonNullable<typeof current> => {
    const tickets = kind.tickets();
    const codec = kind.open({
      output: (raw) => {
        const ticket = tickets.take(raw.timestamp);
        if (!ticket) return raw.close();
        try {
          events.output(kind.convert(raw), ticket);
        } catch (error) {
          events.error(error);
        }
      },
      error: (error) => {
        if (current?.codec === codec) current = undefined;
        events.error(error);
      },
    });
    return { codec, tickets };
  };
  const discard = (): void => {
    if (current && current.codec.state !== "closed") current.codec.close();
    current = undefined;
  };

  return {
    decode(payload, ticket, keyframe) {
      current ??= start();
      const { codec, tickets } = current;
      const { timestamp } = ticket;
      codec.decode(kind.wrap({ type: keyframe ? "key" : "delta", timestamp, data: payload.slice() }));
      tickets.push(ticket);
    },
    reset: discard,
    get pending() {
      return current?.tickets.size ?? 0;
    },
    close: discard,
  };
}

function planes(data: AudioData): Float32Array[] {
  try {
    if (data.sampleRate !== SAMPLE_RATE) {
      throw new MediaError("SAMPLE_RATE", `The audio decodes to ${data.sampleRate} Hz instead of ${SAMPLE_RATE} Hz.`);
    }
    return Array.from({ length: Math.min(data.numberOfChannels, 2) }, (_, planeIndex) => {
      const samples = new Float32Array(data.numberOfFrames);
      data.copyTo(samples, { planeIndex, format: "f32-planar" });
      return samples;
    });
  } finally {
    data.close();
  }
}

/**
 * Tickets in the order of the packets. Chromium stamps decoded audio by counting samples from a decoder's first packet
 * on, so its timestamps are useless after a gap. But every audio packet gives exactly one output, in order.
 */
class TicketLine {
  readonly #tickets: Ticket[] = [];

  get size(): number {
    return this.#tickets.length;
  }

  push(ticket: Ticket): void {
    this.#tickets.push(ticket);
  }

  take(): Ticket | undefined {
    return this.#tickets.shift();
  }
}

/** Decodes audio with the browser's AudioDecoder. */
export function audioDecoder(config: AudioDecoderConfig): OpenDecoder<readonly Float32Array[], AudioPacketDecoder> {
  return (events) => {
    const decoder = openWith<EncodedAudioChunk, AudioData, readonly Float32Array[]>(
      {
        open: (init) => {
          const codec = new AudioDecoder(init);
          codec.configure(config);
          return codec;
        },
        wrap: (init) => new EncodedAudioChunk(init),
        tickets: () => new TicketLine(),
        convert: planes,
      },
      events,
    );
    const { decode, reset, close } = decoder;
    return {
      decode,
      reset,
      close,
      get pending() {
        return decoder.pending;
      },
      framesOf: () => undefined,
    };
  };
}

/** Decodes video with the browser's VideoDecoder. */
function videoDecoder(config: VideoDecoderConfig): OpenDecoder<VideoFrame> {
  return (events) =>
    openWith<EncodedVideoChunk, VideoFrame, VideoFrame>(
      {
        open: (init) => {
          const codec = new VideoDecoder(init);
          codec.configure({ optimizeForLatency: true, ...config });
          return codec;
        },
        wrap: (init) => new EncodedVideoChunk(init),
        tickets: () => new TicketQueue(),
        convert: (picture) => picture,
      },
      events,
    );
}

/** Configuration of the browser's AudioDecoder for a catalog's audio rendition. */
function audioConfig({ codec, sampleRate, numberOfChannels, description }: AudioRendition): AudioDecoderConfig {
  return { codec, sampleRate, numberOfChannels, ...describe(description) };
}

/** Configuration of the browser's VideoDecoder for a catalog's video rendition. */
function videoConfig(rendition: VideoRendition): VideoDecoderConfig {
  const { codec, codedWidth, codedHeight, displayAspectWidth, displayAspectHeight, description } = rendition;
  const coded = codedWidth && codedHeight ? { codedWidth, codedHeight } : {};
  const aspect = displayAspectWidth && displayAspectHeight ? { displayAspectWidth, displayAspectHeight } : {};
  return { codec, ...coded, ...aspect, ...describe(description) };
}

/** Audio decoders of this browser. PCM needs no AudioDecoder, and not every one supports it. */
export const browserDecoders: AudioDecoders = {
  async canDecode(rendition) {
    const { codec, sampleRate, numberOfChannels, description } = rendition;
    if (codec === "pcm-s16") return playsPcm({ from: numberOfChannels, sampleRate });
    // Opus decodes to 48 kHz whatever its catalog says. Chromium counts more than two channels as supported, and then fails.
    const isPlayable =
      codec === "opus" ? numberOfChannels <= 2 || description !== undefined : sampleRate === SAMPLE_RATE;
    if (!isPlayable) return false;
    const answer = await AudioDecoder.isConfigSupported(audioConfig(rendition)).catch(() => undefined);
    return answer?.supported ?? false;
  },
  async load(rendition) {
    const { codec, sampleRate, numberOfChannels } = rendition;
    if (codec === "pcm-s16") return openPcm({ from: numberOfChannels, channels: 2, sampleRate });
    return audioDecoder(audioConfig(rendition));
  },
};

/** Video decoders of this browser. */
export const browserVideoDecoders: VideoDecoders<VideoFrame> = {
  async canDecode(rendition) {
    if (typeof VideoDecoder === "undefined") return false;
    const answer = await VideoDecoder.isConfigSupported(videoConfig(rendition)).catch(() => undefined);
    return answer?.supported ?? false;
  },
  open: (rendition) => videoDecoder(videoConfig(rendition)),
};

/** The catalog has bytes in hexadecimal. */
function describe(hex: string | undefined): { description?: Uint8Array<ArrayBuffer> } {
  if (!hex) return {};
  return { description: Uint8Array.from(hex.match(/../g)!, (pair) => Number.parseInt(pair, 16)) };
}
