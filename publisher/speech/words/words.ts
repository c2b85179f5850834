import { InputError, showValue } from "../../../base/index.js";
import { STEP_MS, type VoiceTrace } from "./spoken-audio.js";
import { spokenWords, UNSPACED } from "./spoken-text.js";
import { TextAlignment } from "./text-alignment.js";
import { type Place, placesOf } from "./word-places.js";

/** Time of a word, a single character or a whole sentence, as text-to-speech services deliver it. */
export interface WordTiming {
  /** The word with or without the space around it; one character, spaces included; or several words. */
  readonly text: string;
  /** Milliseconds from the first sample of the source. */
  readonly startMs: number;
  /** Its end; without this and `durationMs` it ends where the next word starts. */
  readonly endMs?: number;
  readonly durationMs?: number;
}

/** The part of a text that was heard. */
export interface HeardText {
  readonly text: string;
  /** True with word timings; false for an estimate. */
  readonly exact: boolean;
}

/** How much of a source was heard, for {@link Words.heard}. */
export interface HeardAudio {
  /** Up to here, from the first sample of the source. */
  readonly ms: number;
  /** From here on: more than 0 when the first listener joined in mid-speech. Default 0. */
  readonly fromMs?: number;
  /** Whether the source was heard to its end. */
  readonly isWhole: boolean;
  /** Whether the audio so far is all of it. Default false. */
  readonly isComplete?: boolean;
}

interface Word {
  readonly text: string;
  readonly startMs: number;
  readonly endMs: number | undefined;
}

/** A place in a text, and whether it is that of the last word. */
interface Cut {
  readonly at: number;
  readonly exact: boolean;
}

/** An hour of characters at a fast speaker's pace. */
const MAX_WORDS = 65_536;
const MAX_TEXT = 1_000_000;
/**
 * Without timings, a word counts once it is this likely that it was heard to its end this long ago: an alignment is
 * sure to some hundredths of a second only.
 */
const CERTAINTY = 0.995;
const MARGIN_MS = 40;
/** Services round times to milliseconds, and positions are rounded too. */
const ROUNDING_MS = 1;
const CLOSING = /^[\p{Pe}\p{Pf}.,;:!?…%。、，！？]/u;
const OPENING = /[\p{Ps}\p{Pi}¿¡]$/u;

const ENDS_UNSPACED = new RegExp(`${UNSPACED.source}$`, "u");
const STARTS_UNSPACED = new RegExp(`^${UNSPACED.source}`, "u");

/** Longer than any character, and than nearly any word. */
const LONGEST = 64;
/** A letter of a script with spaces between words, and what may stand between two of a word, as in "1,250" or "it's". */
const OF_WORD = `(?!${UNSPACED.source})[\\p{L}\\p{N}\\p{M}]`;
const JOINER = "['\u2019.,:\u05F4\u200C]?";
const WORD_BEFORE = new RegExp(`(?:${JOINER}${OF_WORD})+${JOINER}$`, "u");
const WORD_AFTER = new RegExp(`^(?:${JOINER}${OF_WORD})+`, "u");
const ENDS_IN_WORD = new RegExp(`${OF_WORD}${JOINER}$`, "u");
const STARTS_IN_WORD = new RegExp(`^${JOINER}${OF_WORD}`, "u");
const CHARACTERS = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/**
 * The words of a speech and when each is spoken. A word counts as heard once its last sample was heard, so a word whose
 * audio did not arrive never counts. When the source was heard to its end, the text counts to its end. Without timings,
 * and within a sentence that has one for all its words, the text is laid on the audio, and a word counts that was almost
 * certainly heard.
 */
export class Words {
  #text: string | undefined;
  #words: readonly Word[] = [];
  /** When each word is over: at its end, or where a later word starts. */
  #overMs: readonly number[] = [];
  #places: readonly (Place | undefined)[] | undefined;
  #isBrokenOff = false;
  readonly #trace: VoiceTrace | undefined;
  /** Finds the words that are over, and those from before the first listener joined; none until they are asked for. */
  #alignments: { readonly heard: TextAlignment; readonly missed: TextAlignment } | undefined;
  /** The text that the alignments have. */
  #aligned = "";
  #spoken: ReturnType<typeof spokenWords> = [];

  /** `text`: the whole text as written; without it the words are joined. `trace`: the audio that says it. */
  constructor(text?: string, trace?: VoiceTrace) {
    this.#trace = trace;
    if (text !== undefined) this.addText(text, "text");
  }

  /** Its source failed: the audio ends before the text does. */
  breakOff(): void {
    this.#isBrokenOff = true;
  }

  /** The text so far. */
  get text(): string | undefined {
    return this.#text;
  }

  /**
   * Appends to the text.
   *
   * @throws InputError `INVALID_OPTION` for anything but a string, or for more than a million characters.
   */
  addText(text: string, name = "addText"): void {
    if (typeof text !== "string")
      throw new InputError("INVALID_OPTION", `Speech.${name} must be a string, but is ${showValue(text)}.`);
    const joined = (this.#text ?? "") + text;
    if (joined.length > MAX_TEXT) {
      throw new InputError(
        "INVALID_OPTION",
        `Speech.${name} must have at most ${MAX_TEXT} characters in all, but has ${joined.length}.`,
      );
    }
    this.#text = joined;
    this.#places = undefined;
  }

  get timed(): boolean {
    return this.#words.length > 0;
  }

  /**
   * Adds timings. One that is there already, by its text and start, is replaced: some services send all of them again.
   *
   * @throws InputError `INVALID_OPTION` for an invalid time, or for more than 65,536 words.
   */
  add(words: readonly WordTiming[]): void {
    if (!Array.isArray(words))
      throw new InputError("INVALID_OPTION", `Speech.words must be an array, but is ${showValue(words)}.`);
    const added = words.map(parse);
    const kept = without(this.#words, added);
    if (kept.length + added.length > MAX_WORDS) {
      throw new InputError("INVALID_OPTION", `Speech.words must hold at most ${MAX_WORDS} words, not more.`);
    }
    this.#words = [...kept, ...added].sort((one, other) => one.startMs - other.startMs);
    this.#overMs = overMsOf(this.#words);
    this.#places = undefined;
  }

  heard(given: HeardAudio): HeardText {
    const audio = this.#isBrokenOff ? { ...given, isWhole: false, isComplete: false } : given;
    if (this.#words.length === 0) return this.#estimate(audio);
    const { fromMs = 0, isWhole, ms } = audio;
    const count = isWhole ? this.#words.length : this.#count(ms);
    const missed = this.#words.filter(({ startMs }) => startMs < fromMs - ROUNDING_MS).length;
    if (missed > 0 && missed >= count) return { text: "", exact: true };
    const isWithin = !isWhole && this.#isWithin(count, ms);
    const text = this.#text ?? join(this.#words);
    this.#places ??= placesOf(
      this.#words.map((word) => word.text),
      text,
    );
    const start = this.#start(this.#places, missed, text);
    const from = start.at;
    if (isWhole) return { text: text.slice(from).trimStart(), exact: start.exact };
    const end = this.#end(this.#places, count);
    // Timings may be those of characters: a word counts once all of it was heard.
    const to = Math.max(from, wordStart(text, end.at));
    if (!isWithin) return { text: text.slice(from, to).trim(), exact: start.exact && end.exact };
    const at = Math.max(end.at, Math.min(this.#estimatedEnd(text, audio), this.#places[count]?.end ?? end.at));
    return { text: text.slice(from, at).trimStart(), exact: false };
  }

  // Whether the first timing that is not over has several words and has begun: some services time sentences.
  #isWithin(count: number, ms: number): boolean {
    const next = this.#words[count];
    return next !== undefined && next.startMs < ms && spokenWords(next.text).length > 1;
  }

  // Where the text begins that `missed` words leave over.
  #start(places: readonly (Place | undefined)[], missed: number, text: string): Cut {
    if (missed === 0) return { at: 0, exact: true };
    const last = places[missed - 1];
    if (last !== undefined) return { at: wordEnd(text, last.end), exact: true };
    const next = places.find((place, index) => index >= missed && place !== undefined);
    return { at: next === undefined ? text.length : wordEnd(text, next.start), exact: false };
  }

  // Where the first `count` words end in the text.
  #end(places: readonly (Place | undefined)[], count: number): Cut {
    const last = places.slice(0, count).findLastIndex((place) => place !== undefined);
    return { at: places[last]?.end ?? 0, exact: count === 0 || last === count - 1 };
  }

  #estimate(audio: HeardAudio): HeardText {
    const { fromMs = 0, isWhole, isComplete = false } = audio;
    const text = this.#text ?? "";
    const end = isWhole ? text.length : this.#estimatedEnd(text, audio);
    const missed =
      fromMs > 0 ? (this.#align(text)?.missed.at(Math.ceil(fromMs / STEP_MS), isComplete, CERTAINTY).begun ?? 0) : 0;
    const start = missed === 0 ? 0 : (this.#spoken[missed]?.start ?? text.length);
    return { text: text.slice(start, end), exact: false };
  }

  // Where the last word that is almost certainly over ends in the text.
  #estimatedEnd(text: string, { ms, isComplete = false }: HeardAudio): number {
    const heardMs = Math.max(0, ms - MARGIN_MS);
    const count = this.#align(text)?.heard.at(Math.floor(heardMs / STEP_MS), isComplete, CERTAINTY).ended ?? 0;
    return this.#spoken[count - 1]?.end ?? 0;
  }

  #align(text: string) {
    const trace = this.#trace;
    if (trace === undefined || text === this.#aligned) return this.#alignments;
    this.#alignments ??= { heard: new TextAlignment(trace), missed: new TextAlignment(trace) };
    const alignments = this.#alignments;
    this.#aligned = text;
    this.#spoken = spokenWords(text);
    alignments.heard.setWords(this.#spoken);
    alignments.missed.setWords(this.#spoken);
    return alignments;
  }

  #count(ms: number): number {
    const first = this.#overMs.findIndex((overMs) => overMs > ms + ROUNDING_MS);
    return first < 0 ? this.#words.length : first;
  }
}

// Timings as they were, without those that come again. Most come behind all others.
function without(words: readonly Word[], again: readonly Word[]): readonly Word[] {
  const firstMs = again.reduce((least, { startMs }) => Math.min(least, startMs), Number.POSITIVE_INFINITY);
  const from = words.findIndex(({ startMs }) => startMs >= firstMs);
  if (from < 0) return words;
  const keys = new Set(again.map(keyOf));
  return [...words.slice(0, from), ...words.slice(from).filter((word) => !keys.has(keyOf(word)))];
}

function keyOf({ text, startMs }: Word): string {
  return `${startMs} ${text}`;
}

// Words are sorted by their start, and several may have the same.
function overMsOf(words: readonly Word[]): readonly number[] {
  const overMs = new Array<number>(words.length);
  let nextMs = Number.POSITIVE_INFINITY;
  for (let i = words.length - 1; i >= 0; i--) {
    const { startMs, endMs } = words[i]!;
    const after = words[i + 1]?.startMs ?? startMs;
    if (after > startMs) nextMs = after;
    overMs[i] = endMs ?? nextMs;
  }
  return overMs;
}

function parse(word: WordTiming): Word {
  if (typeof word !== "object" || word === null)
    throw new InputError("INVALID_OPTION", `Speech.words[] must be an object, but is ${showValue(word)}.`);
  const { text, startMs, endMs, durationMs } = word;
  // JSON has null where a field is unknown: an end of its own would be the word's start.
  const end = endMs ?? (durationMs == null ? undefined : startMs + durationMs);
  if (typeof text !== "string") throw invalid("text", text, "a string");
  if (!Number.isFinite(startMs) || startMs < 0) throw invalid("startMs", startMs, "a number of milliseconds from 0 on");
  if (end !== undefined && !(Number.isFinite(end) && end >= startMs)) {
    const [name, value] = endMs == null ? ["durationMs", durationMs] : ["endMs", endMs];
    throw invalid(name, value, "a number of milliseconds that does not end before startMs");
  }
  return { text, startMs, endMs: end };
}

function invalid(name: string, value: unknown, allowed: string): InputError {
  return new InputError("INVALID_OPTION", `Speech.words[].${name} must be ${allowed}, not ${showValue(value)}.`);
}

// A place in a text, or the start of the word that it lies in; without words, of the character.
function wordStart(text: string, at: number): number {
  const place = characterStart(text, at);
  if (!isInWord(text, place)) return place;
  return place - (WORD_BEFORE.exec(text.slice(Math.max(0, place - LONGEST), place))?.[0].length ?? 0);
}

// The same for the end.
function wordEnd(text: string, at: number): number {
  const place = characterStart(text, at);
  if (!isInWord(text, place)) return place;
  return place + (WORD_AFTER.exec(text.slice(place, place + LONGEST))?.[0].length ?? 0);
}

// What a reader takes for one character may have several code units, and several timings.
function characterStart(text: string, at: number): number {
  if (at <= 0 || at >= text.length) return at;
  const from = Math.max(0, at - LONGEST);
  return from + (CHARACTERS.segment(text.slice(from, at + LONGEST)).containing(at - from)?.index ?? at - from);
}

function isInWord(text: string, at: number): boolean {
  return ENDS_IN_WORD.test(text.slice(Math.max(0, at - 3), at)) && STARTS_IN_WORD.test(text.slice(at, at + 3));
}

function join(words: readonly Word[]): string {
  const areCharacters = words.every(({ text }) => [...text].length <= 1);
  let joined = "";
  // The last code point alone: a pattern that ends the text would search all of it, for every word.
  let last = "";
  for (const { text } of words) {
    const isApart =
      !areCharacters &&
      last !== "" &&
      !/\s$/u.test(last) &&
      !/^\s/u.test(text) &&
      !CLOSING.test(text) &&
      !OPENING.test(last);
    const isUnspaced = ENDS_UNSPACED.test(last) && STARTS_UNSPACED.test(text);
    joined += isApart && !isUnspaced ? ` ${text}` : text;
    last = (last + text.slice(-2)).slice(-2);
  }
  return joined.trim();
}
