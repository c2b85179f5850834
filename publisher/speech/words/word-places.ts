import { FoldedText, fold } from "./folded-text.js";
import { UNSPACED } from "./spoken-text.js";

/** Where a word lies in a text. */
export interface Place {
  readonly start: number;
  readonly end: number;
}

const LETTER = /[\p{L}\p{N}]/u;
/** What is said as one word at least: a run of anything but spaces, and each character of a script without spaces. */
const UNIT = new RegExp(`${UNSPACED.source}|(?:(?!${UNSPACED.source})\\S)+`, "gu");
/** Eight words. One found only behind these was more likely spoken differently from its spelling. */
const NEAR = /\s*(?:\S+(?:\s+|$)){0,8}/uy;
/** Eight words of a text without spaces, or with long ones, in characters. */
const MAX_NEAR = 1024;
/** A place within a word: a letter on either side of the word's start, and of its end. */
const BEFORE = /[\p{L}\p{N}\p{M}][\p{L}\p{N}]$/u;
const AFTER = /^[\p{L}\p{N}\p{M}][\p{L}\p{N}\p{M}]/u;
const REST_OF_WORD = /[\p{L}\p{N}\p{M}]*/uy;
/** Words that must follow one another behind text that has no timing, such as the address of a link. */
const RESUMED = 3;
/** A word that comes again among the next ones may be said of the text before its place. */
const AHEAD = 32;
/** Stretches without a word that are remembered. */
const MAX_GAPS = 16;

/**
 * Finds the place of each word in a text, in the order in which they are said; undefined for a word that is spoken
 * differently from its spelling, as "five" is for "5". White space shares the place of the word before it.
 */
export function placesOf(words: readonly string[], text: string): readonly (Place | undefined)[] {
  const folded = new FoldedText(text);
  const wanted = words.map((word) => fold(word).trim());
  const search = new WordSearch(
    folded.text,
    wanted.filter((word) => word !== ""),
  );
  const places = search.run().map((place) => place && originalOf(place, folded));
  let index = 0;
  let place: Place | undefined = { start: 0, end: 0 };
  return wanted.map((word) => {
    if (word !== "") place = places[index++];
    return place;
  });
}

function originalOf({ start, end }: Place, folded: FoldedText): Place {
  return { start: folded.original(start), end: folded.original(end) };
}

/** A search through a text from word to word. */
class WordSearch {
  readonly #text: string;
  readonly #words: readonly string[];
  readonly #places: (Place | undefined)[] = [];
  /** Stretches of the text between two places that have no word. */
  #gaps: readonly Place[] = [];
  /** Behind the last word that has a place. */
  #cursor = 0;
  /** Words since then: which of the text they are is not known. */
  #unplaced = 0;

  constructor(text: string, words: readonly string[]) {
    this.#text = text;
    this.#words = words;
  }

  run(): readonly (Place | undefined)[] {
    for (const word of this.#words) {
      const place = this.#next(word);
      if (place === undefined) this.#unplaced += unitsIn(word);
      this.#places.push(place);
    }
    return this.#places;
  }

  #next(word: string): Place | undefined {
    const start = find(word, this.#text, this.#cursor);
    if (start < 0 || !this.#isReached(word, start)) return this.#findBack(word);
    if (LETTER.test(this.#text.slice(this.#cursor, start)))
      this.#gaps = [...this.#gaps.slice(1 - MAX_GAPS), { start: this.#cursor, end: start }];
    this.#unplaced = 0;
    this.#cursor = start + word.length;
    return { start, end: this.#cursor };
  }

  // A word in a gap comes late: those found behind it came too early, and have no place.
  #findBack(word: string): Place | undefined {
    for (const gap of this.#gaps) {
      const at = find(word, this.#text.slice(gap.start, gap.end), 0);
      if (at < 0) continue;
      const start = gap.start + at;
      for (let index = this.#places.length - 1; index >= 0; index--) {
        const place = this.#places[index];
        if (place !== undefined && place.end > start) this.#places[index] = undefined;
        else if (place !== undefined) break;
      }
      return { start, end: start + word.length };
    }
    return undefined;
  }

  // Whether all text before a place is over once its word is said. In "2 dogs and two", the first "two" is the "2".
  #isReached(word: string, start: number): boolean {
    const skipped = this.#text.slice(this.#cursor, start);
    if (!LETTER.test(skipped)) return true;
    const end = start + word.length;
    const units = unitsIn(skipped);
    if (units > this.#unplaced) return this.#follow(end, RESUMED);
    const upcoming = this.#words.slice(this.#places.length + 1, this.#places.length + 1 + AHEAD);
    if (upcoming.length === 0) return !LETTER.test(this.#text.slice(end));
    if (!upcoming.includes(word)) return true;
    // In "25, five", both are said alike.
    const run = upcoming.findIndex((each) => each !== word);
    return units === 1 && this.#follow(end, run < 0 ? upcoming.length : run + 1);
  }

  // Whether the next `count` words stand at `at`, one behind the other.
  #follow(at: number, count: number): boolean {
    let end = at;
    for (let index = 1; index <= count; index++) {
      const word = this.#words[this.#places.length + index];
      const start = word === undefined ? -1 : find(word, this.#text, end);
      if (word === undefined || start < 0 || LETTER.test(this.#text.slice(end, start))) return false;
      end = start + word.length;
    }
    return true;
  }
}

function unitsIn(text: string): number {
  return (text.match(UNIT) ?? []).filter((unit) => LETTER.test(unit)).length;
}

// Where a word comes next in a text, -1 if not nearby. Behind a word that has no place, a short one may occur within
// others first.
function find(word: string, text: string, from: number): number {
  const window = text.slice(from, from + MAX_NEAR);
  NEAR.lastIndex = 0;
  NEAR.test(window);
  const near = text.slice(0, from + NEAR.lastIndex + word.length);
  let at = near.indexOf(word, from);
  while (at > from && LETTER.test(text.slice(from, at)) && isWithin(text, at, at + word.length))
    at = near.indexOf(word, endOfWord(near, at));
  return at;
}

function isWithin(text: string, start: number, end: number): boolean {
  if (UNSPACED.test(text.slice(start, end))) return false;
  return BEFORE.test(text.slice(start - 1, start + 1)) || AFTER.test(text.slice(end - 1, end + 2));
}

function endOfWord(text: string, at: number): number {
  REST_OF_WORD.lastIndex = at;
  REST_OF_WORD.test(text);
  return Math.max(at + 1, REST_OF_WORD.lastIndex);
}
