import { StateError } from "../../base/index.js";
import type { Caller } from "../caller/caller.js";
import { DEFAULT_FORMAT, type RealtimeFormat } from "./audio-format.js";

/** A caller's audio for one Realtime session, in the input format that the session has by then. */
export class CallerAudio {
  readonly #caller: Pick<Caller, "frames">;
  readonly #frameMs: number;
  #format: RealtimeFormat = DEFAULT_FORMAT;
  #frames: ReturnType<Caller["frames"]> | undefined;
  #isStopped = false;

  constructor(caller: Pick<Caller, "frames">, { frameMs }: { readonly frameMs: number }) {
    this.#caller = caller;
    this.#frameMs = frameMs;
  }

  /** The format from the next frame on. Returns whether a caller's audio can have it. */
  setFormat(format: RealtimeFormat): boolean {
    const { sampleRate } = format;
    if (!Number.isInteger(sampleRate)) return false;
    if (sampleRate === this.#format.sampleRate && format.format === this.#format.format) return true;
    this.#format = format;
    void this.#frames?.return?.();
    return true;
  }

  /** Yields frames until `stop`, or until the caller is over. */
  async *frames(): AsyncGenerator<Uint8Array, void, undefined> {
    for (let before: RealtimeFormat | undefined; !this.#isStopped && before !== this.#format; ) {
      before = this.#format;
      const frames = this.#open(before);
      if (frames === undefined) return;
      this.#frames = frames;
      for await (const { bytes } of frames) {
        if (this.#isStopped || before !== this.#format) break;
        yield bytes;
      }
    }
  }

  // Undefined once the caller is over: they may have left before the session began.
  #open({ format, sampleRate }: RealtimeFormat): ReturnType<Caller["frames"]> | undefined {
    try {
      return this.#caller.frames({ sampleRate, frameMs: this.#frameMs, format });
    } catch (error) {
      if (error instanceof StateError) return undefined;
      throw error;
    }
  }

  /** The session is over. */
  stop(): void {
    this.#isStopped = true;
    void this.#frames?.return?.();
  }
}
