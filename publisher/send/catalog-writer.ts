import { randomBytes } from "node:crypto";
import { fromMilliseconds, type Microseconds } from "../../base/index.js";
import { encodeCatalog, lowRenditionOf, rewindField, type VideoRendition } from "../../container/index.js";
import { SAMPLE_RATE } from "../source/resample.js";

/** Constant parts of a broadcast's catalog. */
export interface CatalogWriterOptions {
  readonly audio: boolean;
  readonly channels: 1 | 2;
  readonly codec: "opus" | "pcm";
  readonly frameMs: number;
  readonly bitrateBps: number;
  readonly lowBitrateBps: number | false;
  readonly rewindBy: "group" | "track";
  readonly mode: "live" | "ahead";
  /** Maximum lead over a listener's playhead. */
  readonly aheadMs: number;
}

/** Variable parts of a broadcast's catalog. */
export interface CatalogState {
  /** Name of the audio track. */
  readonly track: string;
  readonly video: Record<string, VideoRendition> | undefined;
  /** Name of the voice track, if there is one. */
  readonly voice: string | undefined;
  /** Audio that passed undenoised so far. */
  readonly bleedMs: number;
}

/** Minimum interval between two catalogs that differ only by bleed. */
const BLEED_SPACING = fromMilliseconds(1000);

/** Encodes a new catalog whenever something in it changed. */
export class CatalogWriter {
  readonly #options: CatalogWriterOptions;
  readonly #run = randomBytes(8).toString("hex");
  #names: string | undefined;
  #bleed = { ms: 0, at: Number.NEGATIVE_INFINITY };

  constructor(options: CatalogWriterOptions) {
    this.#options = options;
  }

  /** The encoded catalog, if it differs from the last one. Bleed alone changes it once a second at most. */
  update(state: CatalogState, now: Microseconds): Uint8Array | undefined {
    const names = [state.track, ...Object.keys(state.video ?? {}), state.voice].join();
    const ms = Math.round(state.bleedMs);
    const isBleeding = ms !== this.#bleed.ms && now - this.#bleed.at >= BLEED_SPACING;
    if (names === this.#names && !isBleeding) return undefined;
    this.#names = names;
    if (isBleeding) this.#bleed = { ms, at: now };
    return this.#encode(state);
  }

  #encode({ track, video, voice }: CatalogState): Uint8Array {
    const { audio, channels, codec, frameMs, bitrateBps, lowBitrateBps, rewindBy, mode, aheadMs } = this.#options;
    const rendition = {
      codec: codec === "pcm" ? "pcm-s16" : "opus",
      container: { kind: "legacy" as const },
      sampleRate: SAMPLE_RATE,
      numberOfChannels: channels,
      bitrate: bitrateBps,
      jitter: frameMs,
    };
    const renditions = {
      [track]: rendition,
      ...(lowBitrateBps !== false && { [lowRenditionOf(track)]: { ...rendition, bitrate: lowBitrateBps } }),
    };
    return encodeCatalog({
      ...(audio && { audio: { renditions } }),
      ...(video !== undefined && { video: { renditions: video } }),
      unsay: {
        ...rewindField(rewindBy),
        mode,
        run: this.#run,
        ...(mode === "ahead" && { aheadMs }),
        ...(this.#bleed.ms > 0 && { bleedMs: this.#bleed.ms }),
        ...(voice && { voice }),
      },
    });
  }
}
