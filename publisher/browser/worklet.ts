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

  /** Called by the browser for every quantum of 128 frames; true keeps the node. */
  process([input]: Float32Array[][]): boolean {
    const samples = input?.[0];
    if (!samples) return true;
    for (let used = 0; used < samples.length; ) {
      const part = samples.subarray(used, used + this.#length - this.#filled);
      this.#block.set(part, this.#filled);
      this.#filled += part.length;
      used += part.length;
      if (this.#filled === this.#length) this.#send();
    }
    return true;
  }

  #send(): void {
    const block: CapturedBlock = { samples: this.#block, at: Date.now() };
    this.port.postMessage(block, [this.#block.buffer]);
    this.#block = new Float32Array(this.#length);
    this.#filled = 0;
  }
}

registerProcessor(CAPTURE, CaptureProcessor);
