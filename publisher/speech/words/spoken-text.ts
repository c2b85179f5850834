/** A sound of speech, as far as letters and a microphone agree on it. */
export type Sound = "vowel" | "sonorant" | "fricative" | "stop";

/** A word of a text. */
export interface SpokenWord {
  /** Where it begins and ends in the text, without the punctuation around it. */
  readonly start: number;
  readonly end: number;
  readonly sounds: readonly Sound[];
  /** How many of them, at its end, are probably not said. */
  readonly silent: number;
  /** What follows: a speaker stops at the end of a sentence, and often at a comma. */
  readonly pause: "none" | "comma" | "stop";
}

/** Scripts without spaces between words, with their marks and punctuation: a long vowel or a full stop has no script. */
export const UNSPACED =
  /[\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}\u3000-\u303F\uFF01-\uFF65]/u;
const STOP = /[.!?…:;\n\p{Sentence_Terminal}；：]/u;
const COMMA = /[,—–()[\]"“”«»、，]/u;
const CAPITALS = /^\p{Lu}{2,}$/u;
/** An "e" that English and French do not say. */
const SILENT_E = /(?<=\p{L}{2}[^\P{L}aeiouyß])e(?=s?$)/gu;
/**
 * Elisions and words of French that its neighbours do not share: German has "du" and "des", Spanish "la" and "que", Dutch
 * "je" and "pas", Italian "il" and "le". A text is French that has two of them, and more than this share.
 */
const FRENCH =
  /(?<!\p{L})(?:(?:[cdjlmnst]|qu)['’](?=\p{L})|(?:au|aux|avec|ce|cette|dans|elle|est|et|ils|les|nous|par|pour|qui|sont|sur|une|vous)(?!\p{L}))/giu;
const FRENCH_SHARE = 0.12;
/** What French writes at the end of a word and rarely says. */
const FRENCH_END = /(?<=\p{L}{2})(?:ent|[dpstxz]+)$/u;
const FRENCH_H = /(?<![cp])h/gu;
/** Letters to sounds, the longest match first. */
const SPELLING: readonly (readonly [RegExp, readonly Sound[]])[] = [
  [/^(th|sh|ch|ph|sch|c(?=[eiy])|[szfxvhßçθφχσςζфсзшщжчцхв])/u, ["fricative"]],
  [/^gh/u, []],
  [/^(ng|[mnlrwjyñλμνρлмнрй])/u, ["sonorant"]],
  [/^(ck|qu|[ptbdkgcqβγδκπτбгдкпт])/u, ["stop"]],
  [/^[ьъ]/u, []],
  // Digits are read in more ways than one; most have this shape.
  [/^\p{N}/u, ["fricative", "vowel", "sonorant", "vowel"]],
];
/** The name of a letter, and a character that stands for a syllable. */
const SYLLABLE: readonly Sound[] = ["stop", "vowel"];
const segmenter = new Intl.Segmenter(undefined, { granularity: "word" });

/** Splits a text into words, between which it can be cut, and spells out how they sound. */
export function spokenWords(text: string): readonly SpokenWord[] {
  const ending = isInFrench(text) ? FRENCH_END : undefined;
  const spans = [...text.matchAll(/\S+/gu)].flatMap((match) => divide(match[0], match.index));
  return spans.map(({ start, end }, index) => {
    const pause = pauseIn(text.slice(end, spans[index + 1]?.start ?? text.length));
    return { start, end, ...soundsOf(text.slice(start, end), ending), pause };
  });
}

interface Span {
  readonly start: number;
  readonly end: number;
}

// "twenty-four" and "don't" are one word, as between spaces; scripts without spaces are divided by a dictionary.
function divide(token: string, at: number): readonly Span[] {
  const parts = [...segmenter.segment(token)].filter(({ isWordLike }) => isWordLike === true);
  const spans = parts.map(({ segment, index }) => ({ start: at + index, end: at + index + segment.length }));
  if (spans.length === 0 || UNSPACED.test(token)) return spans;
  return [{ start: spans[0]!.start, end: spans.at(-1)!.end }];
}

function pauseIn(between: string): SpokenWord["pause"] {
  if (STOP.test(between)) return "stop";
  return COMMA.test(between) ? "comma" : "none";
}

function isInFrench(text: string): boolean {
  const words = text.match(/\p{L}+/gu)?.length ?? 0;
  const found = (text.match(FRENCH) ?? []).map((word) => word.toLowerCase());
  return new Set(found).size > 1 && found.length > FRENCH_SHARE * words;
}

function soundsOf(word: string, ending?: RegExp): Pick<SpokenWord, "sounds" | "silent"> {
  const written = word.replaceAll(/[^\p{L}\p{N}]/gu, "");
  if (CAPITALS.test(written) || UNSPACED.test(written))
    return { sounds: [...written].flatMap(() => SYLLABLE), silent: 0 };
  const letters = written.toLowerCase().replaceAll("ç", "s").normalize("NFD").replaceAll(/\p{M}/gu, "");
  const said = letters.replaceAll(SILENT_E, "");
  if (ending === undefined) return { sounds: spell(said || "a"), silent: 0 };
  const body = spell(said.replace(ending, "").replaceAll(FRENCH_H, ""));
  const sounds = [...body, ...spell(ending.exec(said)?.[0] ?? "")];
  return { sounds, silent: sounds.length - body.length };
}

function spell(letters: string): readonly Sound[] {
  const sounds: Sound[] = [];
  for (let rest = letters; rest !== ""; ) {
    const [pattern, added] = SPELLING.find(([each]) => each.test(rest)) ?? [/^./u, ["vowel"] as const];
    rest = rest.slice(pattern.exec(rest)?.[0].length ?? 1);
    for (const sound of added) if (added.length > 1 || sounds.at(-1) !== sound) sounds.push(sound);
  }
  return sounds;
}
