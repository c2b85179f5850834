import { ReadableStream } from "node:stream/web";
import { AudioInput as LiveKitInput } from "@livekit/agents";
import { AudioFrame } from "@livekit/rtc-node";
import { z } from "zod";
import { validate } from "../../base/index.js";
import type { Caller } from "../caller/caller.js";
import type { CallerFrame } from "../caller/frame-reader.js";
import { partSchemas } from "../options.js";

/** `Caller.frames` checks the values. */
const optionsSchema = z.strictObject({
  caller: partSchemas.caller,
  sampleRate: z.unknown().optional(),
  frameMs: z.unknown().optional(),
});

/** The audio input of a LiveKit `AgentSession` that hears a {@link Caller}. */
export class AudioInput extends LiveKitInput {
  readonly #caller: Caller;
  readonly #frames: AsyncIterableIterator<CallerFrame, undefined>;
  #isAttached = true;
  /** Where the caller was when it was attached again, in milliseconds: what waits from before is not for the session. */
  #fromMs = 0;

  /** `sampleRate`: of the frames, in Hz. Default 24,000. `frameMs`: their length. Default 20. The caller stays open. */
  constructor(caller: Caller, options: { readonly sampleRate?: number; readonly frameMs?: number } = {}) {
    validate("AudioInput", optionsSchema, { caller, ...options });
    super();
    const { sampleRate = 24_000, frameMs = 20 } = options;
    this.#caller = caller;
    this.#frames = caller.frames({ sampleRate, frameMs, format: "s16le" });
    this.multiStream.addInputStream(this.#stream());
  }

  override setAttached(attached: boolean): void {
    super.setAttached(attached);
    if (attached && !this.#isAttached) this.#fromMs = this.#caller.stats().heardMs;
    this.#isAttached = attached;
  }

  override async close(): Promise<void> {
    await this.#frames.return?.();
    await super.close();
  }

  #stream(): ReadableStream<AudioFrame> {
    return new ReadableStream<AudioFrame>({
      pull: async (controller) => {
        for (;;) {
          const { done, value } = await this.#frames.next();
          if (done) return controller.close();
          if (!this.#isAttached || value.startMs < this.#fromMs) continue;
          const { bytes, sampleRate } = value;
          const samples = new Int16Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
          return controller.enqueue(new AudioFrame(samples, sampleRate, 1, samples.length));
        }
      },
      cancel: async () => void (await this.#frames.return?.()),
    });
  }
}
