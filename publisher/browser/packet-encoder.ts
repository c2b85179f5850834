import { Inbox, MediaError, type Microseconds } from "../../base/index.js";
import { SAMPLE_RATE } from "../source/resample.js";
import { PCM_BITRATE_BPS, PcmEncoder } from "../tracks/pcm-encoder.js";

/** Milliseconds in a packet. */
export const PACKET_MS = 20;
/** Bits per second of a voice in Opus. */
const OPUS_BITRATE_BPS = 32_000;
/** Packets that wait for a reader: one second. */
const MAX_PACKETS = 50;

/** TypeScript's libraries lack the two newer fields. */
interface VoiceConfig extends AudioEncoderConfig {
  readonly opus: OpusEncoderConfig & { readonly application: "voip"; readonly signal: "voice" };
}

const OPUS: VoiceConfig = {
  codec: "opus",
  sampleRate: SAMPLE_RATE,
  numberOfChannels: 1,
  bitrate: OPUS_BITRATE_BPS,
  opus: { application: "voip", signal: "voice", frameDuration: PACKET_MS * 1000 },
};

/** One encoded packet of 20 ms. */
export interface EncodedPacket {
  readonly timestamp: Microseconds;
  readonly payload: Uint8Array;
}

/** Makes packets of 20 ms of samples. */
export interface PacketEncoder {
  /** As the catalog names it. */
  readonly codec: "opus" | "pcm-s16";
  /** Bits per second. */
  readonly bitrate: number;
  /** The packets until {@link close}; it throws where the browser's encoder fails. */
  readonly packets: AsyncIterable<EncodedPacket>;
  /** Takes exactly 20 ms. */
  write(samples: Float32Array<ArrayBuffer>, timestamp: Microseconds): void;
  close(): void;
}

/** Opus where the browser encodes it, else PCM, which every listener plays but takes 24 times the rate. */
export async function openPacketEncoder(): Promise<PacketEncoder> {
  if (typeof AudioEncoder === "undefined") return new PcmPackets();
  const { supported } = await AudioEncoder.isConfigSupported(OPUS).catch(() => ({ supported: false }));
  return supported ? new OpusPackets() : new PcmPackets();
}

class OpusPackets implements PacketEncoder {
  readonly codec = "opus";
  readonly bitrate = OPUS_BITRATE_BPS;
  readonly packets = new Inbox<EncodedPacket>({ most: MAX_PACKETS });
  readonly #encoder: AudioEncoder;
  /** Of what the encoder has not returned: it makes one packet of each block, in order, but counts time itself. */
  readonly #timestamps: Microseconds[] = [];

  constructor() {
    this.#encoder = new AudioEncoder({
      output: (chunk) => {
        const timestamp = this.#timestamps.shift();
        if (timestamp === undefined) return;
        const payload = new Uint8Array(chunk.byteLength);
        chunk.copyTo(payload);
        this.packets.push({ timestamp, payload });
      },
      error: (cause) =>
        this.packets.end(
          new MediaError("ENCODER_FAILED", `The browser's encoder of Opus failed: ${cause.message}`, { cause }),
        ),
    });
    this.#encoder.configure(OPUS);
  }

  write(samples: Float32Array<ArrayBuffer>, timestamp: Microseconds): void {
    if (this.#encoder.state !== "configured") return;
    const frame = { numberOfChannels: 1, numberOfFrames: samples.length, sampleRate: SAMPLE_RATE, timestamp };
    const data = new AudioData({ ...frame, format: "f32", data: samples });
    this.#timestamps.push(timestamp);
    this.#encoder.encode(data);
    data.close();
  }

  close(): void {
    if (this.#encoder.state !== "closed") this.#encoder.close();
    this.packets.end();
  }
}

class PcmPackets implements PacketEncoder {
  readonly codec = "pcm-s16";
  readonly bitrate = PCM_BITRATE_BPS;
  readonly packets = new Inbox<EncodedPacket>({ most: MAX_PACKETS });
  readonly #encoder = new PcmEncoder({ channels: 1, frameMs: PACKET_MS });

  write(samples: Float32Array, timestamp: Microseconds): void {
    this.packets.push({ timestamp, payload: this.#encoder.encode(samples) });
  }

  close(): void {
    this.packets.end();
  }
}
