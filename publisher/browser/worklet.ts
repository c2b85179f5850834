import { CAPTURE, type CapturedBlock } from "./capture.js";

/** The part of the AudioWorklet's global scope used here; TypeScript's own libraries do not declare it. */
interface ProcessorBase {
  readonly port: MessagePort;
}
declare const AudioWorkletProcessor: new () => ProcessorBase;
declare function registerProcessor(name: string, processor: new () => ProcessorBase): void;
declare const sampleRate: number;

/** Blocks a second: each is one packet. */
const BLOCKS = 50;

/** Hands the microphone's audio to the page in blocks of 20 ms. */
class CaptureProcessor extends AudioWorkletProcessor {
  readonly #length = Math.round(sampleRate / BLOCKS);
  #block = new Float32Array(this.#length);
  #filled = 0;
  #open = true;

  constructor() {
    super();
    // The page sends but one message: that it closes.
    this.port.onmessage = () => {
      this.#open = false;
    };
  }

  /** Called by the browser for every quantum of 128 frames; false ends the node. */
  process([input]: Float32Array[][]): boolean {
    if (this.#open) this.#take(input?.[0] ?? new Float32Array(0));
    else this.port.postMessage(null);
    return this.#open;
  }

  #take(samples: Float32Array): void {
    for (let used = 0; used < samples.length; ) {
      const part = samples.subarray(used, used + this.#length - this.#filled);
      this.#block.set(part, this.#filled);
      this.#filled += part.length;
      used += part.length;
      if (this.#filled === this.#length) this.#send();
    }
  }

  #send(): void {
    const block: CapturedBlock = { samples: this.#block, wallMs: Date.now() };
    this.port.postMessage(block, [this.#block.buffer]);
    this.#block = new Float32Array(this.#length);
    this.#filled = 0;
  }
}

registerProcessor(CAPTURE, CaptureProcessor);
