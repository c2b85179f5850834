import { openAudio, type Publisher, type Speech, type WordTiming } from "../../publisher/index.js";
import { type RealtimeFormat, realtimeFormat } from "./audio-format.js";

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

interface Part extends PartPlace {
  readonly speech: Speech;
  /** A session may change its format between two parts, not within one. */
  readonly format: RealtimeFormat;
  /** Milliseconds of its audio. */
  ms: number;
  isEnded: boolean;
  /** Whether another response of the same name has begun since. */
  isPast: boolean;
}

/** Texts that wait for their audio; beyond this the oldest is dropped. */
const MAX_TEXTS = 16;
/** Characters and words of such a text that are kept. */
const MAX_EARLY = { characters: 100_000, words: 10_000 };
/** Responses that are remembered: cancelled ones, to drop their late audio, and the formats of the latest ones. */
const MAX_RESPONSES = 256;

/**
 * Says the audio of Realtime responses, each content part of an item as a speech, and determines where an interrupt cut
 * them. Drops late audio of a cancelled response.
 */
export class RealtimePlayback {
  readonly #publisher: Pick<Publisher, "say">;
  #parts: Part[] = [];
  /** Texts that arrived before their audio. */
  #texts: (PartPlace & { readonly text: string; readonly words: readonly WordTiming[] })[] = [];
  /** Those in progress, as they began. More than one may be: beside a response that speaks, others may only write. */
  readonly #inProgress = new Set<string>();
  readonly #cancelled = new Set<string>();
  /** A response keeps the format that it began with. */
  readonly #formats = new Map<string, RealtimeFormat>();
  #format: RealtimeFormat = realtimeFormat(undefined);
  /** What still plays of a session that is over. */
  #left: readonly Speech[] = [];

  constructor(publisher: Pick<Publisher, "say">) {
    this.#publisher = publisher;
  }

  /** Whether any speech plays or waits. */
  get playing(): boolean {
    this.#forget();
    return this.#parts.length > 0 || this.#left.length > 0;
  }

  /** The response of the part that plays, or plays next. */
  get current(): string | undefined {
    this.#forget();
    return this.#parts[0]?.responseId;
  }

  /** The newest response in progress. */
  get latest(): string | undefined {
    return [...this.#inProgress].at(-1);
  }

  /** Whether a response is in progress: more of its audio may come. */
  isInProgress(responseId: string): boolean {
    return this.#inProgress.has(responseId);
  }

  /** Format of responses that begin from now on. */
  setFormat(format: RealtimeFormat): void {
    this.#format = format;
  }

  /** The speech of a part, while it plays or waits. */
  speechOf(place: PartPlace): Speech | undefined {
    return this.#find(place)?.speech;
  }

  /**
   * A response begins, in the session's format or one of its own. One of the same name, whether cancelled, heard or
   * still audible, is complete.
   */
  begin(responseId: string, format?: unknown): void {
    this.#cancelled.delete(responseId);
    this.#formats.delete(responseId);
    this.#formats.set(responseId, format == null ? this.#format : realtimeFormat(format));
    dropOldest(this.#formats);
    this.#texts = this.#texts.filter((text) => text.responseId !== responseId);
    this.complete(responseId);
    this.#inProgress.add(responseId);
    dropOldest(this.#inProgress);
    for (const part of this.#parts) if (part.responseId === responseId) part.isPast = true;
  }

  /**
   * Says more audio, with which all responses that began earlier are complete. Returns whether it was accepted: audio of
   * a cancelled response is dropped.
   *
   * @throws StateError `BUFFER_FULL`, `QUEUE_FULL`.
   */
  audio(place: PartPlace, audio: Uint8Array): boolean {
    if (this.#cancelled.has(place.responseId)) return false;
    const before = this.#find(place);
    const part = before === undefined || before.isEnded ? this.#open(place) : before;
    part.speech.write(audio);
    part.ms += audio.length / part.format.bytesPerMs;
    return true;
  }

  /** More of the text of a part; it may come before or after the audio. */
  text(place: PartPlace, text: string, words: readonly WordTiming[] = []): void {
    const part = this.#find(place);
    if (part !== undefined) {
      part.speech.addText(text);
      part.speech.addWords(words);
    } else if (!this.#cancelled.has(place.responseId)) this.#keep(place, text, words);
  }

  /** The audio of a part is complete. */
  end(place: PartPlace): void {
    const part = this.#find(place);
    if (part !== undefined) finish(part);
  }

  /** No more audio of a response follows. */
  complete(responseId: string): void {
    this.#inProgress.delete(responseId);
    for (const part of this.#parts) if (part.responseId === responseId) finish(part);
  }

  /**
   * Takes back all audio that was not heard, and accepts no more of the responses in progress and of every current
   * speech. Resolves with the cut parts, in order, when the listeners have reported; parts that were heard to their end
   * are not among them.
   */
  async interrupt(): Promise<readonly Truncation[]> {
    this.#forget();
    const parts = this.#parts;
    this.#parts = [];
    for (const speech of this.#left) void speech.interrupt();
    for (const responseId of this.#inProgress) this.#cancel(responseId);
    this.#inProgress.clear();
    for (const part of parts) this.#cancel(part.responseId);
    const results = await Promise.all(parts.map(async (part) => ({ part, result: await part.speech.interrupt() })));
    return results.flatMap(({ part: { itemId, contentIndex, responseId, ms }, result }) => {
      if (result.outcome === "finished") return [];
      const audioEndMs = Math.floor(Math.min(ms, result.heardMs));
      return [{ responseId, itemId, contentIndex, audioEndMs, heardText: result.heardText, exact: result.exact }];
    });
  }

  /** No more audio follows: the received audio is said to its end. */
  endAll(): void {
    for (const part of this.#parts) finish(part);
  }

  /** The session is over: what it said is heard to its end, or interrupted without a truncation. */
  leave(): void {
    this.endAll();
    this.#left = [...this.#left, ...this.#parts.map(({ speech }) => speech)];
    this.#parts = [];
    this.#texts = [];
    this.#inProgress.clear();
    this.#cancelled.clear();
    this.#formats.clear();
    this.#format = realtimeFormat(undefined);
  }

  #open(place: PartPlace): Part {
    this.#forget();
    // The audio of one part follows that of another: the earlier parts are complete.
    this.endAll();
    this.#endBefore(place.responseId);
    const format = this.#formats.get(place.responseId) ?? this.#format;
    const { sampleRate } = format;
    const speech = this.#publisher.say(openAudio({ sampleRate, format: format.format, name: place.itemId }));
    const part = { ...place, speech, format, ms: 0, isEnded: false, isPast: false };
    this.#parts.push(part);
    const early = this.#texts.find((each) => isSame(each, place));
    if (early !== undefined) {
      this.#texts = this.#texts.filter((each) => each !== early);
      speech.addText(early.text);
      speech.addWords(early.words);
    }
    return part;
  }

  /** Responses that began before one in progress are complete. */
  #endBefore(responseId: string): void {
    if (!this.#inProgress.has(responseId)) return;
    for (const each of this.#inProgress) {
      if (each === responseId) return;
      this.#inProgress.delete(each);
    }
  }

  #keep(place: PartPlace, text: string, words: readonly WordTiming[]): void {
    const before = this.#texts.find((each) => isSame(each, place));
    const joined = {
      ...place,
      text: ((before?.text ?? "") + text).slice(0, MAX_EARLY.characters),
      words: [...(before?.words ?? []), ...words].slice(0, MAX_EARLY.words),
    };
    this.#texts = [...this.#texts.filter((each) => each !== before), joined].slice(-MAX_TEXTS);
  }

  #find(place: PartPlace): Part | undefined {
    return this.#parts.findLast((part) => !part.isPast && isSame(part, place));
  }

  #cancel(responseId: string): void {
    this.#cancelled.add(responseId);
    dropOldest(this.#cancelled);
  }

  #forget(): void {
    this.#parts = this.#parts.filter(({ speech }) => speech.phase !== "done");
    this.#left = this.#left.filter(({ phase }) => phase !== "done");
  }
}

function dropOldest(responses: Set<string> | Map<string, unknown>): void {
  const [oldest] = responses.keys();
  if (responses.size > MAX_RESPONSES) responses.delete(oldest!);
}

function finish(part: Part): void {
  if (part.isEnded) return;
  part.isEnded = true;
  part.speech.end();
}

function isSame(one: PartPlace, other: PartPlace): boolean {
  return one.responseId === other.responseId && one.itemId === other.itemId && one.contentIndex === other.contentIndex;
}
