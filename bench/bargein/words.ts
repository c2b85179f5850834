import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { readSamples } from "../../tests/support/caller-sounds.js";

const SAMPLES_PER_MS = 48;
/** A word of the caller is cut from the recording with what follows, up to this length, in milliseconds. */
const WORD_MS = 700;
/** Only words behind a pause begin as words do that open a sentence, in milliseconds. */
const PAUSE_MS = 90;
/** A voice is there from this level on, in decibels under full scale. */
const VOICE_DB = -42;
const WINDOW = 240;

/** A word with when it is said. */
export interface Word {
  readonly text: string;
  readonly startMs: number;
  readonly endMs: number;
}

/** A reply with the times of its words. */
export interface Reply {
  readonly samples: Float32Array;
  readonly text: string;
  readonly words: readonly Word[];
}

/** Something that a caller says: its first sample is the first of the voice. */
export type Utterance = Float32Array;

const folder = fileURLToPath(new URL("../../examples/audio/", import.meta.url));

/** The shipped recording with its words. */
export async function readReply(): Promise<Reply> {
  const [samples, json] = await Promise.all([
    readSamples(`${folder}demo-clean.wav`),
    readFile(`${folder}demo-words.json`, "utf8"),
  ]);
  return { samples, ...(JSON.parse(json) as { text: string; words: Word[] }) };
}

/** Words for callers: of another recording, and of this one, each behind a pause. */
export async function readUtterances({ samples, words }: Reply): Promise<readonly Utterance[]> {
  const other = await readSamples(`${folder}clean-speech.wav`);
  const own = words.flatMap(({ startMs }, index) => {
    const before = words[index - 1]?.endMs ?? 0;
    return startMs - before < PAUSE_MS ? [] : [samples.subarray(before * SAMPLES_PER_MS)];
  });
  return [other, ...own].map(fromVoice);
}

function fromVoice(samples: Float32Array): Utterance {
  for (let at = 0; at < samples.length; at += WINDOW) {
    const window = samples.subarray(at, at + WINDOW);
    const power = window.reduce((sum, sample) => sum + sample * sample, 0) / window.length;
    if (10 * Math.log10(power + 1e-12) > VOICE_DB) return samples.slice(at, at + WORD_MS * SAMPLES_PER_MS);
  }
  throw new Error("There is no voice in the recording.");
}

/** Counts the words of a text. */
export function countWords(text: string): number {
  return text.split(/\s+/).filter(Boolean).length;
}

/** Counts the words that were heard to their end within `ms` of the speech. */
export function wordsWithin({ words }: Reply, ms: number): number {
  return words.filter(({ endMs }) => endMs <= ms).length;
}
