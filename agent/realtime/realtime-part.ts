import { openAudio, type Publisher, type Speech, type WordTiming } from "../../publisher/index.js";
import type { RealtimeFormat } from "./audio-format.js";

/** Identifies a part of a response. */
export interface PartPlace {
  readonly responseId: string;
  readonly itemId: string;
  readonly contentIndex: number;
}

/** A part that was taken back, wholly or from some point on. */
export interface Truncation extends PartPlace {
  /** Whole milliseconds of the part that were heard; never beyond its audio. */
  readonly audioEndMs: number;
  /** The words that were heard; exact with word timings. */
  readonly heardText: string;
  readonly exact: boolean;
}

/** A stretch of a part, said as one speech. */
interface Stretch {
  readonly speech: Speech;
  /** Its start in the part, in milliseconds. */
  readonly startMs: number;
  lengthMs: number;
}

/** Options of {@link RealtimePart}. */
export interface PartOptions {
  readonly place: PartPlace;
  /** A session may change its format between two parts, not within one. */
  readonly format: RealtimeFormat;
  /** Whether its response said that it began: then its name is its own until it is complete. */
  readonly isAnnounced: boolean;
}

/** A part that another one waits for is over after this long without audio. */
const PATIENCE_MS = 1000;

/**
 * A content part of an item. It is one speech, or several where it continued after another part had taken its turn:
 * positions always count from the start of the part.
 */
export class RealtimePart {
  readonly place: PartPlace;
  /** Whether another response of the same name has begun since. */
  isPast = false;
  readonly #format: RealtimeFormat;
  readonly #isAnnounced: boolean;
  readonly #publisher: Pick<Publisher, "say">;
  readonly #stretches: Stretch[] = [];
  #bytes = 0;
  #isOpen = false;
  #isEnded = false;
  #isRefused = false;
  #patience: NodeJS.Timeout | undefined;

  constructor(publisher: Pick<Publisher, "say">, { place, format, isAnnounced }: PartOptions) {
    this.#publisher = publisher;
    this.place = place;
    this.#format = format;
    this.#isAnnounced = isAnnounced;
  }

  get speeches(): readonly Speech[] {
    return this.#stretches.map(({ speech }) => speech);
  }

  /** The newest of its speeches. */
  get speech(): Speech | undefined {
    return this.speeches.at(-1);
  }

  /** Whether its speech waits for more audio. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Whether its end was said. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Whether more of it may come although it was heard. */
  get mayContinue(): boolean {
    return this.#isAnnounced && !this.#isEnded;
  }

  /** Whether it plays or waits. */
  get isAudible(): boolean {
    return this.#stretches.some(({ speech }) => speech.phase !== "done");
  }

  /** Whether it lacks audio that the publisher refused: what comes later would sound as if it followed what was heard. */
  get isRefused(): boolean {
    return this.#isRefused;
  }

  /** Says more of it, behind all that is said before. @throws StateError, InputError: it is refused from here on. */
  write(audio: Uint8Array): void {
    try {
      const stretch = this.#isOpen ? this.#stretches.at(-1)! : this.#begin();
      stretch.speech.write(this.#whole(audio, stretch));
      stretch.lengthMs += audio.length / this.#format.bytesPerMs;
      this.#bytes += audio.length;
    } catch (error) {
      this.#isRefused = true;
      this.pause();
      throw error;
    }
    this.#patience?.refresh();
  }

  /** @throws InputError for text that can't be used. */
  addText(text: string, words: readonly WordTiming[]): void {
    this.speech?.addText(text);
    for (const [index, { speech, startMs }] of this.#stretches.entries()) {
      const endMs = this.#stretches[index + 1]?.startMs ?? Number.POSITIVE_INFINITY;
      const own = words.filter((word) => (word.startMs >= startMs || index === 0) && word.startMs < endMs);
      if (own.length > 0) speech.addWords(own.map((word) => shift(word, startMs)));
    }
  }

  /** Another part waits for it: calls `act` when it has had no audio for a second. */
  expect(act: () => void): void {
    const check = () => {
      const bytes = this.#bytes;
      // After a stall of the process, what came meanwhile is read first.
      setImmediate(() => this.#isOpen && bytes === this.#bytes && act());
    };
    this.#patience ??= setTimeout(check, PATIENCE_MS).unref();
  }

  /** Another part takes its turn; this one may continue behind it. */
  pause(): void {
    clearTimeout(this.#patience);
    this.#patience = undefined;
    if (this.#isOpen) this.speech?.end();
    this.#isOpen = false;
  }

  /** It is complete. */
  end(): void {
    this.pause();
    this.#isEnded = true;
  }

  /** Takes back what was not heard. Undefined if all of it was heard. */
  async interrupt(): Promise<Truncation | undefined> {
    this.end();
    const results = await Promise.all(
      this.#stretches.map(async (stretch) => ({ ...stretch, ...(await stretch.speech.interrupt()) })),
    );
    const cut = results.findIndex(({ outcome }) => outcome !== "finished");
    if (cut < 0 && !this.#isRefused) return undefined;
    const last = results.at(cut);
    if (last === undefined) return { ...this.place, audioEndMs: 0, heardText: "", exact: false };
    const audioEndMs = Math.floor(last.startMs + Math.min(last.lengthMs, last.heardMs));
    // Text that came with one stretch may have been said in a later one.
    const isWhole = results.length === 1;
    return { ...this.place, audioEndMs, heardText: isWhole ? last.heardText : "", exact: isWhole && last.exact };
  }

  #begin(): Stretch {
    const { sampleRate, format } = this.#format;
    const speech = this.#publisher.say(openAudio({ sampleRate, format, name: this.place.itemId }));
    const stretch = { speech, startMs: this.#bytes / this.#format.bytesPerMs, lengthMs: 0 };
    this.#stretches.push(stretch);
    this.#isOpen = true;
    return stretch;
  }

  /** Without the second half of a sample whose first half was the end of the stretch before. */
  #whole(audio: Uint8Array, { startMs, lengthMs }: Stretch): Uint8Array {
    const half = startMs > 0 && lengthMs === 0 && this.#format.format === "s16le" ? this.#bytes % 2 : 0;
    return audio.subarray(half);
  }
}

function shift({ startMs, endMs, durationMs, ...word }: WordTiming, by: number): WordTiming {
  return {
    ...word,
    startMs: startMs - by,
    ...(endMs !== undefined && { endMs: endMs - by }),
    ...(durationMs !== undefined && { durationMs }),
  };
}
