import { MediaError } from "../../base/index.js";
import type { AudioRendition } from "../../container/index.js";
import { loadOpus } from "./opus.js";
import { openPcm, playsPcm } from "./pcm.js";
import type { AudioDecoders } from "./switchable-decoder.js";

// More channels are several streams in one packet.
function isOpus({ codec, numberOfChannels }: AudioRendition): boolean {
  return codec === "opus" && numberOfChannels <= 2;
}

/** Decodes audio without a browser: Opus and 16-bit PCM, delivered in this many channels. */
export function softwareDecoders(channels: 1 | 2): AudioDecoders {
  return {
    canDecode: (rendition) => {
      const { codec, sampleRate, numberOfChannels } = rendition;
      return isOpus(rendition) || (codec === "pcm-s16" && playsPcm({ from: numberOfChannels, sampleRate }));
    },
    async load(rendition) {
      const { codec, sampleRate, numberOfChannels } = rendition;
      if (isOpus(rendition)) return loadOpus({ channels });
      if (codec === "pcm-s16") return openPcm({ from: numberOfChannels, channels, sampleRate });
      throw new MediaError("UNSUPPORTED_CODEC", `${numberOfChannels} channel(s) of ${codec} can't be decoded here.`);
    },
  };
}
