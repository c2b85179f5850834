import type { PageRecording } from "../replies.js";

/** The words of the recording: heard, still to come, or taken back and struck through. */
export class Transcript {
  readonly #root: HTMLElement;
  readonly #struck = document.createElement("s");
  #words: PageRecording["words"] = [];
  #spans: readonly HTMLElement[] = [];
  #states: string[] = [];
  #kept: number | undefined;

  constructor(root: HTMLElement) {
    this.#root = root;
  }

  /** Shows the words of a recording. */
  setRecording({ words }: Pick<PageRecording, "words">): void {
    this.#words = words;
    this.#spans = words.map(({ text }) => {
      const span = document.createElement("span");
      span.textContent = text;
      return span;
    });
    this.#states = words.map(() => "");
    this.restore();
  }

  /** Sets the listener's position in the recording, in milliseconds; undefined where unknown. */
  show(ms: number | undefined): void {
    const kept = this.#kept;
    this.#words.forEach(({ startMs, endMs }, index) => {
      if (kept !== undefined) this.#mark(index, index < kept ? "heard" : "unsaid");
      else if (ms === undefined || ms < startMs) this.#mark(index, "ahead");
      else this.#mark(index, ms < endMs ? "now" : "heard");
    });
  }

  /** Strikes all words behind `heardText` through. */
  strike(heardText: string): void {
    this.#kept = heardText.split(/\s+/).filter(Boolean).length;
    const struck = this.#spans.slice(this.#kept);
    struck.forEach((span, index) => {
      span.style.setProperty("--late", `${index * 30}ms`);
    });
    this.#fill(this.#struck, struck);
    this.#fill(this.#root, [...this.#spans.slice(0, this.#kept), this.#struck]);
    this.show(undefined);
  }

  /** Shows all words as still to come. */
  restore(): void {
    this.#kept = undefined;
    this.#fill(this.#root, this.#spans);
    this.show(undefined);
  }

  /** Whether words are struck. */
  get isStruck(): boolean {
    return this.#kept !== undefined;
  }

  #mark(index: number, state: string): void {
    if (this.#states[index] === state) return;
    this.#states[index] = state;
    this.#spans[index]!.dataset.state = state;
  }

  #fill(parent: HTMLElement, children: readonly HTMLElement[]): void {
    parent.replaceChildren(...children.flatMap((child) => [child, " "]));
  }
}
