/** A page's audio, compared with the tone of {@link TONE_HZ} that is its source. */
export interface ToneHeard {
  readonly seconds: number;
  /** Silence in place of the tone, and how often it began. */
  readonly missingMs: number;
  readonly gaps: number;
  /** Times that the tone went on at another place. */
  readonly jumps: number;
}

/** Cycles of a window of 10 ms do not come out even, so that a frame too many or too few shows in the phase. */
export const TONE_HZ = 437;

/**
 * A script for the page: `toneWatch(node)` resolves with a function that returns what was heard of a node since it was
 * called before, as {@link ToneHeard}. It counts in the audio thread, which a busy or throttled page does not delay.
 */
export const TONE_WATCH = `globalThis.toneWatch = async (node) => {
  const { context } = node;
  const script = \`registerProcessor("tone-watch", class extends AudioWorkletProcessor {
    constructor() {
      super();
      this.clear();
      this.port.onmessage = () => {
        this.port.postMessage({ seconds: this.seen / sampleRate, missingMs: 10 * this.missing, gaps: this.gaps, jumps: this.jumps });
        this.clear();
      };
    }
    clear() { this.seen = this.missing = this.gaps = this.jumps = 0; }
    process([[samples]]) {
      const turn = (2 * Math.PI * ${TONE_HZ}) / sampleRate;
      const length = sampleRate / 100;
      for (let at = 0; at < 128; at++) {
        const sample = samples ? samples[at] : 0;
        this.position = (this.position ?? -1) + 1;
        this.cosine = (this.cosine ?? 0) + sample * Math.cos(turn * this.position);
        this.sine = (this.sine ?? 0) + sample * Math.sin(turn * this.position);
        if ((this.position + 1) % length === 0) this.judge(length);
      }
      this.seen += 128;
      return true;
    }
    judge(length) {
      const isMissing = (2 * Math.hypot(this.cosine, this.sine)) / length < 0.15;
      const phase = Math.atan2(this.sine, this.cosine);
      if (isMissing) {
        this.missing++;
        if (!this.wasMissing) this.gaps++;
      } else if (this.phase !== undefined) {
        const off = Math.abs(phase - this.phase) % (2 * Math.PI);
        if (Math.min(off, 2 * Math.PI - off) > 0.3) this.jumps++;
      }
      this.wasMissing = isMissing;
      this.phase = isMissing ? undefined : phase;
      this.cosine = this.sine = 0;
    }
  });\`;
  await context.audioWorklet.addModule(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
  const ear = new AudioWorkletNode(context, "tone-watch", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
  node.connect(ear);
  return () => new Promise((resolve) => {
    ear.port.onmessage = ({ data }) => resolve(data);
    ear.port.postMessage("read");
  });
};`;
