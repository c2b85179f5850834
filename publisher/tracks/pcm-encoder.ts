import { SAMPLE_RATE } from "../source/resample.js";
import type { AudioEncoder } from "./opus.js";

/** Bits per second of a channel. */
export const PCM_BITRATE_BPS = SAMPLE_RATE * 16;

/** No compression: interleaved 16-bit little-endian samples at 48 kHz, 768 kbit/s for each channel. */
export class PcmEncoder implements AudioEncoder {
  readonly codec = "pcm-s16";
  readonly channels: 1 | 2;
  readonly frameSize: number;
  readonly lookahead = 0;
  readonly historyFrames = 0;
  readonly silence: Uint8Array;

  constructor({ channels, frameMs }: { channels: 1 | 2; frameMs: number }) {
    this.channels = channels;
    this.frameSize = (SAMPLE_RATE / 1000) * frameMs;
    this.silence = new Uint8Array(this.frameSize * channels * 2);
  }

  encode(samples: Float32Array): Uint8Array {
    const bytes = new Uint8Array(samples.length * 2);
    const data = new DataView(bytes.buffer);
    for (let i = 0; i < samples.length; i++) {
      const value = Math.min(1, Math.max(-1, samples[i]!));
      data.setInt16(i * 2, Math.round(value * 32_767), true);
    }
    return bytes;
  }

  reset(): void {}

  close(): void {}
}
