import { MediaError } from "../../base/index.js";
import type { AudioRendition } from "../../container/index.js";
import { loadOpus } from "./opus.js";
import { openPcm } from "./pcm.js";
import type { AudioDecoders } from "./switchable-decoder.js";

/** Decodes audio without a browser: Opus and 16-bit PCM, delivered in this many channels. */
export function softwareDecoders(channels: 1 | 2): AudioDecoders {
  return {
    canDecode: ({ codec }) => codec === "opus" || codec === "pcm-s16",
    async load({ codec, sampleRate, numberOfChannels }: AudioRendition) {
      if (codec === "opus") return loadOpus({ channels });
      if (codec === "pcm-s16") return openPcm({ from: numberOfChannels, channels, sampleRate });
      throw new MediaError("UNSUPPORTED_CODEC", `Audio in the codec ${codec} can't be decoded here.`);
    },
  };
}
