import { InputError, type Microseconds, StateError } from "../../base/index.js";
import type { DenoiserState } from "../denoise/denoiser.js";
import type { AudioSource } from "../source/source.js";
import type { TimelineCut } from "../tracks/timeline-buffer.js";
import type { SourceRenderer } from "./source-renderer.js";

/** One thing to say, made by `play`. */
export interface Speech {
  readonly id: number;
  /**
   * How it ended: as far as is known heard to its end, or taken back, all or in part, perhaps before it began. Rejects
   * when its source can't be read.
   */
  readonly done: Promise<"finished" | "interrupted">;
}

/** Where rendering can start anew. */
export interface Checkpoint {
  /** In samples per channel since the start of the broadcast. */
  readonly position: number;
  readonly states: readonly DenoiserState[];
}

/** A source on its way to the timeline. */
export interface QueuedSpeech {
  readonly id: number;
  source: AudioSource;
  renderer: SourceRenderer | undefined;
  /** Position of its first sample; after a resume, of the first one that was taken back. */
  start: number;
  /** Position behind its last sample, once that is rendered. */
  end: number | undefined;
  /** By position, at most {@link MAX_CHECKPOINTS}. */
  checkpoints: Checkpoint[];
  readonly resolve: (how: "finished" | "interrupted") => void;
  readonly reject: (error: Error) => void;
}

/** What an interrupt took back, kept so that it can be said after all. */
export interface Tail {
  readonly at: Microseconds;
  /** Where it was cut, in samples. */
  readonly position: number;
  readonly cut: TimelineCut;
  readonly current: QueuedSpeech | undefined;
  readonly queue: readonly QueuedSpeech[];
}

/** Options of {@link SpeechQueue}. */
export interface SpeechQueueOptions {
  readonly channels: 1 | 2;
  /** How long after a cut it can still be resumed. */
  readonly resumeWindow: Microseconds;
  /** A source that is let go of could not be closed. */
  readonly onCloseError: (error: unknown) => void;
}

const MAX_QUEUE = 256;
/** One for every 100 ms of what the buffer remembers, and some. */
export const MAX_CHECKPOINTS = 512;
/** Utterances rendered to their ends and not yet heard; of more the oldest count as heard. */
const MAX_ENDED = 64;

/** What is being said, what comes next, and what was interrupted. */
export class SpeechQueue {
  readonly #options: SpeechQueueOptions;
  #queue: QueuedSpeech[] = [];
  #ended: QueuedSpeech[] = [];
  #current: QueuedSpeech | undefined;
  #muted: QueuedSpeech | undefined;
  #tail: Tail | undefined;
  #nextId = 1;

  constructor(options: SpeechQueueOptions) {
    this.#options = options;
  }

  /** What is being rendered. */
  get current(): QueuedSpeech | undefined {
    return this.#current;
  }

  /** What is being said or was said last. */
  get last(): QueuedSpeech | undefined {
    return this.#current ?? this.#ended.at(-1);
  }

  /** A live source that is read on but not heard. */
  get muted(): QueuedSpeech | undefined {
    return this.#muted;
  }

  /** The next to begin. */
  get next(): QueuedSpeech | undefined {
    return this.#queue[0];
  }

  /** How many wait. */
  get queued(): number {
    return this.#queue.length;
  }

  /** Whether nothing is being said and nothing waits. */
  get idle(): boolean {
    return this.#current === undefined && this.#queue.length === 0;
  }

  /**
   * Queues a source; what was interrupted before can't be resumed any more.
   *
   * @throws InputError `INVALID_OPTION` for a source with other channels; StateError `QUEUE_FULL`.
   */
  add(source: AudioSource, renderer?: SourceRenderer): Speech {
    const { channels } = this.#options;
    if (source.channels !== channels) {
      throw new InputError(
        "INVALID_OPTION",
        `The source ${source.name} has ${source.channels} channel(s), but the option channels is ${channels}.`,
      );
    }
    if (this.#queue.length >= MAX_QUEUE) {
      throw new StateError("QUEUE_FULL", `${MAX_QUEUE} utterances wait already; wait for one to be done.`);
    }
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<"finished" | "interrupted">();
    promise.catch(() => {});
    this.#queue.push({ id, source, renderer, start: 0, end: undefined, checkpoints: [], resolve, reject });
    this.dropTail();
    return { id, done: promise };
  }

  /** The next becomes what is being said, from `start` on. */
  begin(start: number): void {
    const item = this.#queue.shift();
    this.#current = item;
    if (item !== undefined) item.start = start;
  }

  /** What is being said was rendered to its end. */
  finish(end: number): void {
    const item = this.#current;
    if (item === undefined) return;
    this.#current = undefined;
    item.end = end;
    this.#ended.push(item);
    (item.renderer?.closeSource() ?? item.source.close()).catch(this.#options.onCloseError);
    if (this.#ended.length > MAX_ENDED) this.#heard(this.#ended.shift()!);
  }

  /** Nobody hears anything before `position` any more. */
  settle(position: number): void {
    while (this.#ended.length > 0 && this.#ended[0]!.end! <= position) this.#heard(this.#ended.shift()!);
  }

  /** What is being said; where nothing is, what was rendered last and goes on after `position`, to be rendered again. */
  revive(position: number): QueuedSpeech | undefined {
    const last = this.#ended.at(-1);
    if (this.#current !== undefined || last === undefined || last.end! <= position) return this.#current;
    this.#ended.pop();
    this.#current = last;
    return last;
  }

  /** Everything that may still be rendered, but what is being said and what ended. */
  get waiting(): readonly QueuedSpeech[] {
    const tail = this.#tail;
    return [this.#muted, tail?.current, ...(tail?.queue ?? []), ...this.#queue].filter((item) => item !== undefined);
  }

  /** The muted source ended. */
  finishMuted(): void {
    this.#muted = undefined;
  }

  /** Interrupts all that is said and queued, keeps it for `resume`, and reads on unheard what can't wait. */
  cut(cut: TimelineCut, position: number, now: Microseconds, { mute }: { mute: boolean }): void {
    const current = this.#current;
    const queue = this.#queue;
    this.dropTail();
    this.#tail = { at: now, position, cut, current, queue };
    this.settle(position);
    for (const item of this.#ended.splice(0)) this.abandon(item);
    for (const item of [current, ...queue]) item?.resolve("interrupted");
    this.#current = undefined;
    this.#queue = [];
    if (mute) this.#muted = current;
  }

  /** Takes back the last cut and returns it; undefined when there is none or it is too old. */
  resume(now: Microseconds): Tail | undefined {
    const tail = this.#tail;
    if (tail === undefined || this.#expired(tail, now)) return undefined;
    this.#tail = undefined;
    this.#muted = undefined;
    this.#current = tail.current;
    this.#queue.unshift(...tail.queue);
    return tail;
  }

  /** A cut that was to be resumed is not, with all that was queued since: it can be resumed again. */
  restore(tail: Tail, now: Microseconds): void {
    for (const item of this.#queue) item.resolve("interrupted");
    this.#tail = { ...tail, at: now, queue: this.#queue };
    this.#current = undefined;
    this.#queue = [];
  }

  /** Forgets a cut that is too old to resume. */
  expire(now: Microseconds): void {
    if (this.#tail !== undefined && this.#expired(this.#tail, now)) this.dropTail();
  }

  /** Forgets the last cut. */
  dropTail(): void {
    const tail = this.#tail;
    this.#tail = undefined;
    this.#muted = undefined;
    for (const item of [tail?.current, ...(tail?.queue ?? [])]) if (item !== undefined) this.abandon(item);
  }

  /** Lets go of an item. */
  abandon(item: QueuedSpeech): void {
    item.resolve("interrupted");
    (item.renderer?.close() ?? item.source.close()).catch(this.#options.onCloseError);
  }

  /** Lets go of everything. */
  close(): void {
    this.dropTail();
    for (const item of this.#ended.splice(0)) this.#heard(item);
    for (const item of [this.#current, ...this.#queue]) if (item !== undefined) this.abandon(item);
    this.#current = undefined;
    this.#queue = [];
  }

  #heard(item: QueuedSpeech): void {
    item.resolve("finished");
    this.abandon(item);
  }

  #expired(tail: Tail, now: Microseconds): boolean {
    return now - tail.at > this.#options.resumeWindow;
  }
}
