import type { RealFft } from "./fft.js";
import { Lru } from "./lru.js";
import type { BandContract } from "./model-contract.js";

/** Square-root Hann window, periodic: applied before and after, with half a window's overlap, it adds up to one. */
function squareRootHann(size: number): Float32Array {
  return Float32Array.from({ length: size }, (_, i) => Math.sqrt(0.5 - 0.5 * Math.cos((2 * Math.PI * i) / size)));
}

/** Windows by their size, which is all they depend on. */
const windows = new Lru<number, Float32Array>(256);

/** Assigns power bins to bands, and turns band power into the network's input. */
export class Bands {
  /** Number of bands. */
  readonly count: number;
  /** Mean power of each band in the last spectrum of {@link features}. */
  readonly power: Float32Array;
  readonly #edges: Int32Array;
  readonly #feature: BandContract["feature"];

  constructor({ bands, feature }: Pick<BandContract, "bands" | "feature">) {
    this.#edges = Int32Array.from([...Array(bands.low).keys(), ...bands.edges]);
    this.count = this.#edges.length - 1;
    this.power = new Float32Array(this.count);
    this.#feature = feature;
  }

  /** First bin of a band, and the bin behind its last. */
  range(band: number): { readonly start: number; readonly end: number } {
    return { start: this.#edges[band]!, end: this.#edges[band + 1]! };
  }

  /** Log-power features of a packed spectrum: `(log10(mean power of the band + floor) + offset) * scale`. */
  features(spectrum: Float32Array, features: Float32Array): void {
    const edges = this.#edges;
    const { floor, offset, scale } = this.#feature;
    const nyquist = spectrum.length / 2;
    for (let band = 0; band < this.count; band++) {
      const start = edges[band]!;
      const end = edges[band + 1]!;
      let sum = 0;
      for (let bin = start; bin < end; bin++) {
        if (bin === 0) sum += spectrum[0]! * spectrum[0]!;
        else if (bin === nyquist) sum += spectrum[1]! * spectrum[1]!;
        else sum += spectrum[2 * bin]! ** 2 + spectrum[2 * bin + 1]! ** 2;
      }
      const mean = sum / (end - start);
      this.power[band] = mean;
      features[band] = (Math.log10(mean + floor) + offset) * scale;
    }
  }

  /** Multiplies every bin of a packed spectrum by its band's gain. */
  apply(gains: Float32Array, spectrum: Float32Array): void {
    const edges = this.#edges;
    const nyquist = spectrum.length / 2;
    for (let band = 0; band < this.count; band++) {
      const gain = gains[band]!;
      for (let bin = edges[band]!; bin < edges[band + 1]!; bin++) {
        if (bin === 0) spectrum[0]! *= gain;
        else if (bin === nyquist) spectrum[1]! *= gain;
        else {
          spectrum[2 * bin]! *= gain;
          spectrum[2 * bin + 1]! *= gain;
        }
      }
    }
  }
}

/** Short-time Fourier analysis and overlap-add synthesis of one channel, one hop (half a window) at a time. */
export class Stft {
  readonly hop: number;
  /** The spectrum of the last analysis, packed as in {@link RealFft}; change it in place before {@link synthesise}. */
  readonly spectrum: Float32Array;
  readonly #fft: RealFft;
  readonly #window: Float32Array;
  readonly #frame: Float32Array;
  readonly #previous: Float32Array;
  readonly #overlap: Float32Array;
  /** State carried over to the next hop: the last hop, and the half window to be added. */
  readonly state: readonly [previous: Float32Array, overlap: Float32Array];

  constructor(fft: RealFft) {
    this.#fft = fft;
    this.hop = fft.size / 2;
    this.spectrum = new Float32Array(fft.size);
    this.#window = windows.get(fft.size, () => squareRootHann(fft.size));
    this.#frame = new Float32Array(fft.size);
    this.#previous = new Float32Array(this.hop);
    this.#overlap = new Float32Array(this.hop);
    this.state = [this.#previous, this.#overlap];
  }

  /** Takes the next hop; the window covers it and the one before. */
  analyse(samples: Float32Array): void {
    const { hop } = this;
    for (let i = 0; i < hop; i++) {
      this.#frame[i] = this.#previous[i]! * this.#window[i]!;
      this.#frame[i + hop] = samples[i]! * this.#window[i + hop]!;
    }
    this.#previous.set(samples);
    this.#fft.forward(this.#frame, this.spectrum);
  }

  /** Writes the finished hop: the one *before* the last hop taken, so the output runs one hop late. */
  synthesise(samples: Float32Array): void {
    const { hop } = this;
    this.#fft.inverse(this.spectrum, this.#frame);
    for (let i = 0; i < hop; i++) {
      samples[i] = this.#overlap[i]! + this.#frame[i]! * this.#window[i]!;
      this.#overlap[i] = this.#frame[i + hop]! * this.#window[i + hop]!;
    }
  }
}
