import { InputError, type Microseconds, StateError } from "../base/index.js";
import type { Renderer } from "./renderer.js";
import type { AudioSource } from "./source.js";
import type { TapeCut } from "./tape.js";

/** One thing to say, made by `play`. */
export interface Utterance {
  readonly id: number;
  /** How it ended: rendered to its end, or taken back (also before it began). Rejects when its source can't be read. */
  readonly done: Promise<"finished" | "interrupted">;
}

/** A source on its way to the timeline. */
export interface Item {
  readonly id: number;
  readonly source: AudioSource;
  renderer: Renderer | undefined;
  readonly resolve: (how: "finished" | "interrupted") => void;
  readonly reject: (error: Error) => void;
}

/** What an interrupt took back, kept so that it can be said after all. */
export interface Tail {
  readonly at: Microseconds;
  readonly cut: TapeCut;
  readonly current: Item | undefined;
  readonly queue: readonly Item[];
}

/** Options of {@link Playlist}. */
export interface PlaylistOptions {
  readonly channels: 1 | 2;
  /** How long after a cut it can still be resumed. */
  readonly resumeWindow: Microseconds;
  /** A source that is let go of could not be closed. */
  readonly onCloseError: (error: unknown) => void;
}

const MAX_QUEUE = 256;

/** What is being said, what comes next, and what was interrupted. */
export class Playlist {
  readonly #options: PlaylistOptions;
  #queue: Item[] = [];
  #current: Item | undefined;
  #muted: Item | undefined;
  #tail: Tail | undefined;
  #nextId = 1;

  constructor(options: PlaylistOptions) {
    this.#options = options;
  }

  /** What is being rendered. */
  get current(): Item | undefined {
    return this.#current;
  }

  /** A live source that is read on but not heard. */
  get muted(): Item | undefined {
    return this.#muted;
  }

  /** The next to begin. */
  get next(): Item | undefined {
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
  add(source: AudioSource): Utterance {
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
    this.#queue.push({ id, source, renderer: undefined, resolve, reject });
    this.dropTail();
    return { id, done: promise };
  }

  /** The next becomes what is being said. */
  begin(): Item | undefined {
    this.#current = this.#queue.shift();
    return this.#current;
  }

  /** What is being said was rendered to its end. */
  finish(): void {
    const item = this.#current;
    this.#current = undefined;
    item?.resolve("finished");
    if (item !== undefined) this.abandon(item);
  }

  /** The muted source ended. */
  finishMuted(): void {
    this.#muted = undefined;
  }

  /** Interrupts all that is said and queued, keeps it for `resume`, and reads on unheard what can't wait. */
  cut(cut: TapeCut, now: Microseconds, { mute }: { mute: boolean }): void {
    const current = this.#current;
    const queue = this.#queue;
    this.dropTail();
    this.#tail = { at: now, cut, current, queue };
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

  /** Lets go of an item's source. */
  abandon(item: Item): void {
    item.resolve("interrupted");
    (item.renderer?.close() ?? item.source.close()).catch(this.#options.onCloseError);
  }

  /** Lets go of everything. */
  close(): void {
    this.dropTail();
    for (const item of [this.#current, ...this.#queue]) if (item !== undefined) this.abandon(item);
    this.#current = undefined;
    this.#queue = [];
  }

  #expired(tail: Tail, now: Microseconds): boolean {
    return now - tail.at > this.#options.resumeWindow;
  }
}
