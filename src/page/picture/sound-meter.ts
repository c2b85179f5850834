/** Samples that the analyser remembers: 85 ms, longer than any frame that a page is late by. */
const WINDOW = 4096;
/** Below this is digital silence, not a quiet voice. */
const SILENT = 1e-5;

/** Measures the audio for the speakers: its level, and when it was last audible. */
export class SoundMeter {
  readonly #samples = new Float32Array(WINDOW);
  #node: AudioNode | undefined;
  #analyser: AnalyserNode | undefined;
  #lastSoundAt = Number.NEGATIVE_INFINITY;
  #readAt = 0;

  /** When the last audible sample was rendered, in the page's time. */
  get lastSoundAt(): number {
    return this.#lastSoundAt;
  }

  /** Root mean square of the audio rendered since the last call, 0 to 1. */
  read(node: AudioNode | undefined, now: number): number {
    if (node !== this.#node) this.#connect(node);
    const analyser = this.#analyser;
    if (analyser?.context.state !== "running") return 0;
    analyser.getFloatTimeDomainData(this.#samples);
    const perMs = analyser.context.sampleRate / 1000;
    const last = this.#samples.findLastIndex((sample) => Math.abs(sample) > SILENT);
    if (last >= 0) this.#lastSoundAt = Math.max(this.#lastSoundAt, now - (WINDOW - 1 - last) / perMs);
    const count = Math.min(WINDOW, Math.max(128, Math.round((now - this.#readAt) * perMs)));
    this.#readAt = now;
    let power = 0;
    for (let index = WINDOW - count; index < WINDOW; index++) power += this.#samples[index]! ** 2;
    return Math.sqrt(power / count);
  }

  #connect(node: AudioNode | undefined): void {
    this.#analyser?.disconnect();
    this.#node = node;
    this.#analyser = node && new AnalyserNode(node.context, { fftSize: WINDOW });
    if (node && this.#analyser) node.connect(this.#analyser);
  }
}
