/** Recognises something that happens again and again over a while, without a break. */
export class Streak {
  readonly #least: { readonly times: number; readonly span: number };
  #times = 0;
  #since = 0;

  /** @param least How often it has to happen, and over how long; `span` has the unit of {@link note}'s time. */
  constructor(least: { readonly times: number; readonly span: number }) {
    this.#least = least;
  }

  /** It happened; returns whether it has happened often enough and for long enough. */
  note(now: number): boolean {
    if (this.#times++ === 0) this.#since = now;
    return this.#times >= this.#least.times && now - this.#since >= this.#least.span;
  }

  /** It did not happen. */
  break(): void {
    this.#times = 0;
  }
}
