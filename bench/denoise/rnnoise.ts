import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { z } from "zod";

const FRAME = 480;
/** RNNoise takes and gives samples in the range of 16-bit integers. */
const FULL_SCALE = 32_768;

/** The part of the compiled library that we use; checked when it is loaded. */
interface Library {
  readonly HEAPF32: Float32Array;
  _malloc(bytes: number): number;
  _rnnoise_create(model?: number): number;
  _rnnoise_destroy(state: number): void;
  _rnnoise_process_frame(state: number, output: number, input: number): number;
}

const library = z.custom<Library>(
  (value) => typeof value === "object" && value !== null && "_rnnoise_process_frame" in value,
  "is not a build of RNNoise",
);

/** RNNoise as compiled for Jitsi Meet: version 0.1 of 2018 or 0.2 of 2024. */
export class Rnnoise {
  readonly #library: Library;
  readonly #buffer: number;
  readonly #state: number;

  private constructor(loaded: Library) {
    this.#library = loaded;
    this.#buffer = loaded._malloc(FRAME * 4);
    this.#state = loaded._rnnoise_create();
  }

  static async create(version: "0.1" | "0.2"): Promise<Rnnoise> {
    return new Rnnoise(await load(version));
  }

  /** Takes a hop of 480 samples and writes the one before, denoised. */
  process(samples: Float32Array, output: Float32Array): void {
    const { HEAPF32: heap } = this.#library;
    const start = this.#buffer >> 2;
    for (let i = 0; i < FRAME; i++) heap[start + i] = samples[i]! * FULL_SCALE;
    this.#library._rnnoise_process_frame(this.#state, this.#buffer, this.#buffer);
    for (let i = 0; i < FRAME; i++) output[i] = heap[start + i]! / FULL_SCALE;
  }

  close(): void {
    this.#library._rnnoise_destroy(this.#state);
  }
}

async function load(version: "0.1" | "0.2"): Promise<Library> {
  const require = createRequire(import.meta.url);
  const file = version === "0.1" ? "rnnoise.js" : "rnnoise-sync.js";
  const path = require.resolve(`@jitsi/rnnoise-wasm/dist/${file}`);
  const module: { default: (options: object) => unknown } = await import(pathToFileURL(path).href);
  const options = version === "0.1" ? { wasmBinary: await readFile(path.replace(/js$/, "wasm")) } : {};
  return library.parse(await module.default(options));
}
