/** Settings of a {@link SpeechDetector}. */
export interface SpeechDetectorOptions {
  /** Minimum voice probability of a voiced hop, 0 to 1. */
  readonly threshold: number;
  /** Minimum level of a voiced hop, in dBFS: an echo of the agent is a voice, but a quiet one. */
  readonly level: { readonly minDb: number };
  /** Voice that counts as speech, in milliseconds; clear voice counts twice. */
  readonly minSpeechMs: number;
  /** Time without voice that ends speech, in milliseconds. */
  readonly minSilenceMs: number;
}

/** Voice activity and level of ten milliseconds of a caller's audio. */
export interface VoiceHop {
  /** Probability of a voice, 0 to 1; undefined where the process is too busy to denoise. */
  readonly voiceActivity: number | undefined;
  /** In dBFS. */
  readonly levelDb: number;
  /** The same before it was denoised. */
  readonly inputDb: number;
}

/** Speech began or ended. */
export interface SpeechChange {
  readonly kind: "speech" | "silence";
  /** Its start, in milliseconds of the caller's audio. */
  readonly startMs: number;
  /** Voice so far in the speech that began or ended, in milliseconds. */
  readonly voicedMs: number;
}

/** Length of a hop, in milliseconds. */
export const HOP_MS = 10;
/** A stop consonant is silent for 30 to 80 ms, so that shorter gaps belong to the word around them. */
const GAP_HOPS = 8;
/** While a caller speaks, half the probability and 10 dB less are enough: syllables end quietly. */
const HOLD = { share: 0.5, levelDb: 10 };
/** Voice this far above the minimum level is clear, in decibels: an echo rarely is, even for 20 ms. */
const CLEAR_DB = 6;

/**
 * Without a probability the level decides, and more strictly: clear voice of twice the length, this far above the noise,
 * which is the quietest hop of the last second. Every syllable ends quieter than that.
 */
const LOUD = { aboveDb: 10, hops: 100, evidence: 0.5 };

/** Detects a caller's speech, hop by hop. Pure: it counts hops, without a clock. */
export class SpeechDetector {
  readonly #options: SpeechDetectorOptions;
  #hops = 0;
  #isSpeaking = false;
  /** First hop and number of voiced hops, and what they count, while speech may be beginning. */
  #run: { readonly from: number; voiced: number; evidence: number } | undefined;
  /** Voiced hops of the current speech. */
  #voiced = 0;
  /** The hop behind the last voiced one. */
  #silentFrom = 0;
  /** Levels of the last hops, before they were denoised. */
  readonly #inputs = new Float64Array(LOUD.hops).fill(Number.POSITIVE_INFINITY);

  constructor(options: SpeechDetectorOptions) {
    this.#options = options;
  }

  /** Whether the caller speaks. */
  get speaking(): boolean {
    return this.#isSpeaking;
  }

  /** Voice in the current speech, in milliseconds; 0 while the caller is silent. */
  get voicedMs(): number {
    return this.#isSpeaking ? this.#voiced * HOP_MS : 0;
  }

  /** Takes the next hop. Returns a change of speech, if any. */
  take(hop: VoiceHop): SpeechChange | undefined {
    const index = this.#hops++;
    this.#inputs[index % LOUD.hops] = hop.inputDb;
    const isVoice = this.#isVoice(hop);
    if (index - this.#silentFrom >= GAP_HOPS) this.#run = undefined;
    if (isVoice) {
      this.#silentFrom = index + 1;
      this.#voiced++;
    }
    if (this.#isSpeaking) return this.#end(index);
    return isVoice ? this.#begin(index, hop) : undefined;
  }

  /** The audio is over, and speech with it. Returns a change of speech, if any. */
  finish(): SpeechChange | undefined {
    return this.#isSpeaking ? this.#fallSilent() : undefined;
  }

  #begin(index: number, hop: VoiceHop): SpeechChange | undefined {
    const { minSpeechMs } = this.#options;
    this.#run ??= { from: index, voiced: 0, evidence: 0 };
    this.#run.voiced++;
    this.#run.evidence += this.#evidenceOf(hop);
    if (this.#run.evidence * HOP_MS < minSpeechMs) return undefined;
    const { from, voiced } = this.#run;
    this.#voiced = voiced;
    this.#run = undefined;
    this.#isSpeaking = true;
    return { kind: "speech", startMs: from * HOP_MS, voicedMs: voiced * HOP_MS };
  }

  #end(index: number): SpeechChange | undefined {
    const silentMs = (index + 1 - this.#silentFrom) * HOP_MS;
    if (silentMs === 0 || silentMs < this.#options.minSilenceMs) return undefined;
    return this.#fallSilent();
  }

  #fallSilent(): SpeechChange {
    this.#isSpeaking = false;
    return { kind: "silence", startMs: this.#silentFrom * HOP_MS, voicedMs: this.#voiced * HOP_MS };
  }

  #evidenceOf({ voiceActivity, levelDb }: VoiceHop): number {
    if (voiceActivity === undefined) return LOUD.evidence;
    return levelDb >= this.#options.level.minDb + CLEAR_DB ? 2 : 1;
  }

  #isVoice({ voiceActivity, levelDb, inputDb }: VoiceHop): boolean {
    const { threshold, level } = this.#options;
    const minDb = this.#isSpeaking ? level.minDb - HOLD.levelDb : level.minDb;
    if (voiceActivity !== undefined)
      return voiceActivity >= threshold * (this.#isSpeaking ? HOLD.share : 1) && levelDb >= minDb;
    return inputDb >= minDb + CLEAR_DB && inputDb >= Math.min(...this.#inputs) + LOUD.aboveDb;
  }
}
