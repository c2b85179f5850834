/** Signs that one writer sets and another does not, or sets in another form. */
const FORMS: readonly (readonly [RegExp, string])[] = [
  [/[\u2018\u2019\u201B\u02BC\u2032\u0060\u00B4]/gu, "'"],
  [/[\u201C\u201D\u201E\u201F\u00AB\u00BB\u2033]/gu, '"'],
  [/[\p{Pd}\u2212]/gu, "-"],
  [/\u2026/gu, "..."],
  [/\p{Zs}/gu, " "],
  // Soft hyphens, joiners, and marks of direction.
  [/\p{Cf}/gu, ""],
];

/**
 * A text as it is compared: services send words back with plain quotes for typographic ones, in another case, composed
 * or not.
 */
export class FoldedText {
  readonly text: string;
  /** Where each code unit, and the end, comes from. */
  readonly #origins: Uint32Array;

  constructor(original: string) {
    const folded: string[] = [];
    const origins: number[] = [];
    const known = new Map<string, string>();
    let at = 0;
    for (const character of original) {
      const each = known.get(character) ?? fold(character);
      known.set(character, each);
      folded.push(each);
      for (let unit = 0; unit < each.length; unit++) origins.push(at);
      at += character.length;
    }
    this.text = folded.join("");
    this.#origins = Uint32Array.from([...origins, at]);
  }

  /** A place in the original; one within a character is its start. */
  original(place: number): number {
    return this.#origins[place]!;
  }
}

/** Folds a part of a text. */
export function fold(text: string): string {
  let folded = text.normalize("NFD").toUpperCase().toLowerCase().replaceAll("\u03C2", "\u03C3");
  for (const [form, plain] of FORMS) folded = folded.replace(form, plain);
  return folded;
}
