import type { VoiceTrace } from "./spoken-audio.js";
import type { Sound, SpokenWord } from "./spoken-text.js";

/** Sounds and pauses, by their number in a {@link UnitChain}. */
export const KINDS: readonly (Sound | "pause")[] = ["vowel", "sonorant", "fricative", "stop", "pause"];
const PAUSE = 4;

interface Shape {
  /** Level relative to the speaker's loud sounds, in decibels, and its spread. */
  readonly db: readonly [mean: number, spread: number];
  /** Mean frequency in octaves from 1 Hz, and its spread. */
  readonly octave: readonly [mean: number, spread: number];
}

/** Learned without labels (Baum-Welch) from 30 recordings of espeak-ng in five languages and of a human speaker. */
const SHAPES: readonly Shape[] = [
  { db: [-4.5, 4.1], octave: [9.7, 0.8] },
  { db: [-11.8, 6.1], octave: [8.9, 1] },
  { db: [-19.6, 8.6], octave: [11.7, 0.9] },
  { db: [-25.6, 13], octave: [10.4, 1.4] },
  { db: [-49, 6], octave: [10.4, 1.1] },
];
/** How quiet a pause may be: speakers' rooms differ. */
const PAUSE_DB = { least: -49, most: -30 };
/** Audio without louder sounds than this holds no voice, in dBFS; nor does one as even as a noise, in decibels. */
const VOICE = { loudDb: -35, unevenDb: 6 };
/**
 * Weight of one step's evidence. Neighbouring steps sound alike, and speakers differ from the shapes: with the full
 * weight an alignment would be sure of what it can't know.
 */
const EVIDENCE = 0.25;
/** Mean lengths in steps of 10 ms, at a pace of 1. */
const LENGTHS = [9, 6, 9, 7];
const PAUSES = { none: 12, comma: 25, stop: 45, lead: 15 } as const;
/** Speakers lengthen the last syllable before a pause, and hurry over short words: by these factors. */
const EMPHASIS = { final: 1.4, short: 0.9 };
/** Words of up to this many sounds are short. */
const SHORT = 3;
/** Likelihood that a word is followed by a pause, and that a letter is not said. */
const PAUSE_LIKELY = { none: 0.05, comma: 0.65, stop: 0.92, lead: 0.5 } as const;
const SKIP_LIKELY = 0.08;
/** The same of a letter that its language rarely says there. */
const SILENT_LIKELY = 0.85;

/** A text as a chain of units: its sounds, with a pause before and behind each word. */
export interface UnitChain {
  readonly kinds: Uint8Array;
  /** Mean length of each, in steps. */
  readonly lengths: Float64Array;
  /** Likelihood that a unit is left out. */
  readonly skips: Float64Array;
  /** Number of words that are over when a unit begins, and that have begun by then. */
  readonly ended: Uint32Array;
  readonly begun: Uint32Array;
}

/** Spells a text out. */
export function chainOf(words: readonly SpokenWord[]): UnitChain {
  const units = words.flatMap((word, index) => [
    ...word.sounds.map((sound, at) => {
      const kind = KINDS.indexOf(sound);
      return unit(kind, LENGTHS[kind]! * emphasis(word, at), skipOf(word, at), index, index + 1);
    }),
    unit(PAUSE, PAUSES[word.pause], 1 - PAUSE_LIKELY[word.pause], index + 1, index + 1),
  ]);
  const all = [unit(PAUSE, PAUSES.lead, 1 - PAUSE_LIKELY.lead, 0, 0), ...units];
  return {
    kinds: Uint8Array.from(all, ({ kind }) => kind),
    lengths: Float64Array.from(all, ({ length }) => length),
    skips: Float64Array.from(all, ({ skip }) => skip),
    ended: Uint32Array.from(all, ({ ended }) => ended),
    begun: Uint32Array.from(all, ({ begun }) => begun),
  };
}

function emphasis({ sounds, pause }: SpokenWord, at: number): number {
  if (pause !== "none") return at >= sounds.lastIndexOf("vowel") ? EMPHASIS.final : 1;
  return sounds.length <= SHORT ? EMPHASIS.short : 1;
}

function skipOf({ sounds, silent }: SpokenWord, at: number): number {
  return at >= sounds.length - silent ? SILENT_LIKELY : SKIP_LIKELY;
}

function unit(kind: number, length: number, skip: number, ended: number, begun: number) {
  return { kind, length, skip, ended, begun };
}

/** Whether a unit is a pause, whose length does not depend on the pace. */
export function isPause(kind: number): boolean {
  return kind === PAUSE;
}

/** Writes how well a step sounds like each kind, relative to the best one; returns the logarithm of that one. */
export function likelihoods(trace: VoiceTrace, step: number, into: Float64Array): number {
  const { loudDb } = trace;
  const isVoice = loudDb >= VOICE.loudDb && loudDb - trace.quietDb >= VOICE.unevenDb;
  const floor = Math.min(PAUSE_DB.most, Math.max(PAUSE_DB.least, trace.quietDb + 1 - loudDb));
  const db = isVoice ? Math.min(5, Math.max(-50, trace.levelDb(step) - loudDb)) : floor;
  const octave = isVoice ? trace.octave(step) : SHAPES[PAUSE]!.octave[0];
  let most = Number.NEGATIVE_INFINITY;
  SHAPES.forEach((shape, kind) => {
    const mean = kind === PAUSE ? floor : shape.db[0];
    const level = kind === PAUSE ? Math.max(db, mean) : db;
    const off = ((level - mean) / shape.db[1]) ** 2 + ((octave - shape.octave[0]) / shape.octave[1]) ** 2;
    into[kind] = EVIDENCE * (-off / 2 - Math.log(shape.db[1] * shape.octave[1]));
    most = Math.max(most, into[kind]!);
  });
  for (let kind = 0; kind < SHAPES.length; kind++) into[kind] = Math.exp(into[kind]! - most);
  return most;
}
