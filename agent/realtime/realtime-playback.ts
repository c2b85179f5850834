import type { Publisher, Speech, WordTiming } from "../../publisher/index.js";
import { DEFAULT_FORMAT, type RealtimeFormat } from "./audio-format.js";
import { type PartPlace, RealtimePart, type Truncation } from "./realtime-part.js";

/** Texts that wait for their audio; beyond this the oldest is dropped. */
const MAX_TEXTS = 16;
/** Characters and words of such a text that are kept. */
const MAX_EARLY = { characters: 100_000, words: 10_000 };
/** Responses that are remembered: cancelled ones, to drop their late audio, and the formats of the latest ones. */
const MAX_RESPONSES = 256;
/** Parts that were heard and may still continue; beyond this the oldest is forgotten. */
const MAX_HEARD = 16;

/**
 * Says the audio of Realtime responses, each content part of an item as a speech, and determines where an interrupt cut
 * them. Drops late audio of a cancelled response.
 */
export class RealtimePlayback {
  readonly #publisher: Pick<Publisher, "say">;
  #parts: RealtimePart[] = [];
  /** Texts that arrived before their audio. */
  #texts: (PartPlace & { readonly text: string; readonly words: readonly WordTiming[] })[] = [];
  /** Those in progress, as they began. More than one may be: beside a response that speaks, others may only write. */
  readonly #inProgress = new Set<string>();
  readonly #cancelled = new Set<string>();
  /** A response keeps the format that it began with. */
  readonly #formats = new Map<string, RealtimeFormat>();
  #format: RealtimeFormat = DEFAULT_FORMAT;
  /** Speeches of a session that is over, and still play. */
  #left: readonly Speech[] = [];

  constructor(publisher: Pick<Publisher, "say">) {
    this.#publisher = publisher;
  }

  /** Whether any speech plays or waits. */
  get playing(): boolean {
    this.#forget();
    return this.#parts.some(({ isAudible }) => isAudible) || this.#left.length > 0;
  }

  /** The response of the part that plays, or plays next. */
  get current(): string | undefined {
    this.#forget();
    return this.#parts.find(({ isAudible }) => isAudible)?.place.responseId;
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

  /** The newest speech of a part, while it plays or waits. */
  speechOf(place: PartPlace): Speech | undefined {
    return this.#find(place)?.speech;
  }

  /**
   * A response begins, in the session's format or one of its own. One of the same name, whether cancelled, heard or
   * still audible, is complete.
   */
  begin(responseId: string, format: RealtimeFormat = this.#format): void {
    this.#cancelled.delete(responseId);
    this.#formats.delete(responseId);
    this.#formats.set(responseId, format);
    dropOldest(this.#formats);
    this.#texts = this.#texts.filter((text) => text.responseId !== responseId);
    this.complete(responseId);
    this.#inProgress.add(responseId);
    dropOldest(this.#inProgress);
    for (const part of this.#partsOf(responseId)) part.isPast = true;
  }

  /**
   * Says more audio of a part. Returns whether it was accepted: audio of a cancelled response is dropped, and of a part
   * whose audio was refused before. A part that another one waits for keeps its turn until its end, or until a second
   * without audio; without a `begin` of its response, or for a part of the same one, it has only up to then.
   *
   * @throws StateError `BUFFER_FULL`, `QUEUE_FULL`, `CLOSED`; InputError.
   */
  audio(place: PartPlace, audio: Uint8Array): boolean {
    if (this.#cancelled.has(place.responseId)) return false;
    const part = this.#partFor(place);
    if (part.isRefused) return false;
    if (!part.isOpen) this.#takeTurn(place.responseId);
    const isFirst = part.speech === undefined;
    part.write(audio);
    if (isFirst) this.#addEarly(part);
    return true;
  }

  /** More of the text of a part; it may come before or after the audio. */
  text(place: PartPlace, text: string, words: readonly WordTiming[] = []): void {
    const part = this.#find(place);
    if (part !== undefined) part.addText(text, words);
    else if (!this.#cancelled.has(place.responseId)) this.#keep(place, text, words);
  }

  /** The audio of a part is complete. */
  end(place: PartPlace): void {
    this.#find(place)?.end();
  }

  /** No more audio of a response follows. */
  complete(responseId: string): void {
    this.#inProgress.delete(responseId);
    for (const part of this.#partsOf(responseId)) part.end();
  }

  /** Accepts no more audio of a response that is silent so far. Returns false, and does nothing, if it speaks. */
  drop(responseId: string): boolean {
    if (this.#partsOf(responseId).some(({ isAudible }) => isAudible)) return false;
    this.complete(responseId);
    this.#cancel(responseId);
    return true;
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
    for (const part of parts) this.#cancel(part.place.responseId);
    const cut = await Promise.all(parts.map((part) => part.interrupt()));
    return cut.filter((truncation) => truncation !== undefined);
  }

  /** The session is over: what it said is heard to its end, or interrupted without a truncation. */
  leave(): void {
    for (const part of this.#parts) part.end();
    this.#left = [...this.#left, ...this.#parts.flatMap(({ speeches }) => speeches)];
    this.#parts = [];
    this.#texts = [];
    this.#inProgress.clear();
    this.#cancelled.clear();
    this.#formats.clear();
    this.#format = DEFAULT_FORMAT;
  }

  /** The part that audio of a place belongs to. */
  #partFor(place: PartPlace): RealtimePart {
    const before = this.#find(place);
    if (before !== undefined && !before.isEnded) return before;
    this.#forget();
    const format = this.#formats.get(place.responseId) ?? this.#format;
    const isAnnounced = this.isInProgress(place.responseId);
    const part = new RealtimePart(this.#publisher, { place, format, isAnnounced });
    this.#parts.push(part);
    return part;
  }

  /** A part of a response is about to wait for those before it. */
  #takeTurn(responseId: string): void {
    for (const part of this.#parts.filter(({ isOpen }) => isOpen)) {
      const other = part.place.responseId;
      if (other !== responseId && this.isInProgress(other)) part.expect(() => this.#abandon(part));
      else part.pause();
    }
    this.#endBefore(responseId);
  }

  /** No more audio of it seems to come: if another part waits, it has its turn. */
  #abandon(part: RealtimePart): void {
    if (!this.#parts.some((other) => other !== part && other.isAudible)) return;
    part.pause();
    const { responseId } = part.place;
    if (!this.#isOpen(responseId)) this.#inProgress.delete(responseId);
  }

  /** Responses that began before one in progress are complete, unless they speak. */
  #endBefore(responseId: string): void {
    if (!this.#inProgress.has(responseId)) return;
    for (const each of this.#inProgress) {
      if (each === responseId) return;
      if (!this.#isOpen(each)) this.#inProgress.delete(each);
    }
  }

  #isOpen(responseId: string): boolean {
    return this.#partsOf(responseId).some(({ isOpen }) => isOpen);
  }

  #partsOf(responseId: string): readonly RealtimePart[] {
    return this.#parts.filter(({ place }) => place.responseId === responseId);
  }

  #addEarly(part: RealtimePart): void {
    const early = this.#texts.find((each) => isSame(each, part.place));
    if (early === undefined) return;
    this.#texts = this.#texts.filter((each) => each !== early);
    part.addText(early.text, early.words);
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

  #find(place: PartPlace): RealtimePart | undefined {
    return this.#parts.findLast((part) => !part.isPast && isSame(part.place, place));
  }

  #cancel(responseId: string): void {
    this.#cancelled.add(responseId);
    dropOldest(this.#cancelled);
  }

  #forget(): void {
    const first = this.#parts.findIndex(({ isAudible }) => isAudible);
    const heard = first < 0 ? this.#parts : this.#parts.slice(0, first);
    const kept = heard.filter(({ mayContinue, isPast }) => mayContinue && !isPast).slice(-MAX_HEARD);
    this.#parts = [...kept, ...this.#parts.slice(heard.length)];
    this.#left = this.#left.filter(({ phase }) => phase !== "done");
  }
}

function dropOldest(responses: Set<string> | Map<string, unknown>): void {
  const [oldest] = responses.keys();
  if (responses.size > MAX_RESPONSES) responses.delete(oldest!);
}

function isSame(one: PartPlace, other: PartPlace): boolean {
  return one.responseId === other.responseId && one.itemId === other.itemId && one.contentIndex === other.contentIndex;
}
