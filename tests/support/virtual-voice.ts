import type { VoiceTrace } from "../../publisher/speech/words/spoken-audio.js";
import { type Sound, spokenWords } from "../../publisher/speech/words/spoken-text.js";
import { randomFrom } from "./signal.js";

const STEP_MS = 10;
/** Level relative to the loudest sounds in decibels, and frequency, as phoneticians measure them. */
const SOUNDS: Record<Sound | "pause", { readonly db: number; readonly hertz: number; readonly ms: number }> = {
  vowel: { db: -4, hertz: 800, ms: 90 },
  sonorant: { db: -11, hertz: 450, ms: 60 },
  fricative: { db: -18, hertz: 3500, ms: 90 },
  stop: { db: -28, hertz: 1500, ms: 70 },
  pause: { db: -60, hertz: 1300, ms: 0 },
};
const LOUDEST_DB = -18;

/** Something that was said: what an alignment hears of it, and when each word really ended. */
export interface Said {
  /** Its first `steps` can be set: audio that has not arrived is not known. */
  readonly trace: VoiceTrace & { steps: number };
  readonly endsMs: readonly number[];
  readonly lengthMs: number;
}

/** How a speaker says one sound: louder by `db`, higher by `octaves`, and unsteadily. */
interface Manner {
  readonly db: number;
  readonly octaves: number;
  readonly random: () => number;
}

const PLAIN: Manner = { db: 0, octaves: 0, random: () => 0.5 };

class Tape implements VoiceTrace {
  readonly loudDb = LOUDEST_DB;
  readonly quietDb = LOUDEST_DB - 60;
  readonly #levels: number[] = [];
  readonly #octaves: number[] = [];
  steps = 0;

  levelDb(step: number): number {
    return this.#levels[step]!;
  }

  octave(step: number): number {
    return this.#octaves[step]!;
  }

  /** Adds a sound up to `untilMs`. */
  say(sound: Sound | "pause", untilMs: number, { db, octaves, random }: Manner = PLAIN): void {
    while (this.#levels.length * STEP_MS < untilMs - STEP_MS / 2) {
      this.#levels.push(Math.round(LOUDEST_DB + SOUNDS[sound].db + db + 6 * (random() - 0.5)));
      this.#octaves.push(Math.log2(SOUNDS[sound].hertz) + octaves + random() - 0.5);
    }
    this.steps = this.#levels.length;
  }
}

/** Words of the same length, without pauses. */
export function sayWords(words: readonly string[], wordMs: number): VoiceTrace {
  const tape = new Tape();
  words.forEach((word, index) => {
    const { sounds } = spokenWords(word)[0]!;
    sounds.forEach((sound, at) => {
      tape.say(sound, (index + (at + 1) / sounds.length) * wordMs);
    });
  });
  return tape;
}

/**
 * A speaker with a pace, pauses, levels and a pitch of their own, who lengthens one word and shortens the next, leaves
 * letters out and does not stop at every comma.
 */
export function say(text: string, seed: number): Said {
  const random = randomFrom(seed);
  const about = (spread: number) => Math.exp(spread * (random() + random() + random() - 1.5) * 2);
  const tape = new Tape();
  const pace = 0.8 + 0.45 * random();
  const speaker = Object.fromEntries(
    Object.keys(SOUNDS).map((sound) => [sound, { db: 6 * (random() - 0.5), octaves: 0.8 * (random() - 0.5), random }]),
  );
  const endsMs: number[] = [];
  let ms = 0;
  const add = (sound: Sound | "pause", length: number) => {
    ms += Math.max(STEP_MS, length);
    tape.say(sound, ms, speaker[sound]);
  };
  add("pause", 200 * random());
  for (const { sounds, pause } of spokenWords(text)) {
    const tempo = pace * about(0.2);
    const said = sounds.filter((_, index) => index === 0 || random() > 0.05);
    said.forEach((sound, index) => {
      const isFinal = pause !== "none" && index === said.length - 1;
      add(sound, SOUNDS[sound].ms * tempo * about(0.3) * (isFinal ? 1.5 : 1));
    });
    endsMs.push(Math.round(ms / STEP_MS) * STEP_MS);
    const share = { none: 0.05, comma: 0.7, stop: 0.95 }[pause];
    if (random() < share) add("pause", (pause === "stop" ? 450 : 200) * about(0.4));
  }
  return { trace: tape, endsMs, lengthMs: tape.steps * STEP_MS };
}
