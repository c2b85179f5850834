import { EventEmitter } from "node:events";
import { guardHandlers, type Microseconds, StateError } from "../../base/index.js";
import type { PushAudio } from "../source/push-audio.js";
import type { SpeechListener, SpeechProgress, SpeechResult, SpeechState } from "./speech-state.js";
import type { WordTiming } from "./words/words.js";

/** Events of a {@link Speech}. */
export interface SpeechEvents {
  /** A listener reported its first sample; with `measured: false` it is the clock's estimate. */
  started: [{ readonly measured: boolean }];
  /** Progress, about ten times a second. */
  progress: [SpeechProgress];
  /** The speech paused, with the position up to which it was heard. */
  paused: [SpeechProgress];
  resumed: [];
  /** Its one end, whatever the outcome. */
  finished: [SpeechResult];
}

/** Phase of a speech: `queued` until its audio is sent for the first time. */
export type SpeechPhase = "queued" | "speaking" | "paused" | "done";

/** A stretch of a speech on the broadcast's timeline. */
export interface SpeechPiece {
  /** Media time of its first sample. */
  readonly timestamp: Microseconds;
  /** Position of that sample in the source. */
  readonly fromMs: number;
  readonly lengthMs: number;
}

/** Actions of a speech on its publisher. */
export interface SpeechControl {
  interrupt(id: number): void;
  pause(id: number): boolean;
  resume(id: number): Speech | undefined;
  phase(id: number): SpeechPhase;
  pieces(id: number): readonly SpeechPiece[];
}

/** Parts of a {@link Speech}. */
export interface SpeechParts {
  readonly id: number;
  readonly state: SpeechState;
  readonly push: PushAudio | undefined;
  readonly control: SpeechControl;
  /** The interrupted speech that it continues. */
  readonly continues?: Speech;
}

/**
 * One thing to say, created by `publisher.say`. Positions are milliseconds of its source, from the first sample:
 * pauses, underruns and delays of the broadcast don't count, and audio that is sent again doesn't count twice.
 */
export class Speech extends EventEmitter<SpeechEvents> {
  readonly id: number;
  readonly #parts: Omit<SpeechParts, "continues">;
  #resumedAs: Speech | undefined;

  /** @internal Use `publisher.say`. */
  constructor({ continues, ...parts }: SpeechParts) {
    super();
    guardHandlers(this);
    this.id = parts.id;
    this.#parts = parts;
    // Not kept: of a source that is interrupted and resumed for days, each handle would keep all those before it.
    if (continues !== undefined) continues.#resumedAs = this;
  }

  /**
   * Its one end. Never rejects: when the source can't be read the outcome is `failed`, with the error. A paused speech
   * keeps it pending until the speech is resumed and heard, or interrupted.
   */
  get done(): Promise<SpeechResult> {
    return this.#parts.state.done;
  }

  get phase(): SpeechPhase {
    return this.#parts.state.result === undefined ? this.#parts.control.phase(this.id) : "done";
  }

  /** Milliseconds of the source heard so far, by the earliest listener that reports. */
  get heardMs(): number {
    return this.#parts.state.progress.ms;
  }

  /** Listeners that reported during the speech, at most 24 at a time, and how far each heard. */
  get perListener(): readonly SpeechListener[] {
    return this.#parts.state.listeners;
  }

  /** True when a listener reported `heardMs`; false for the clock's estimate. */
  get measured(): boolean {
    return this.#parts.state.measured;
  }

  /** The text up to `heardMs`, without words from before the first listener joined: exact with word timings, else an estimate; see `exact` of the result. */
  get heardText(): string {
    return this.#parts.state.text.text;
  }

  /**
   * Where its audio lies on the broadcast's timeline, as far as rendered and remembered: pauses, underruns and resumes
   * leave gaps. Empty after the end.
   */
  get pieces(): readonly SpeechPiece[] {
    return this.#parts.control.pieces(this.id);
  }

  /** The speech that continues this interrupted one, once resumed. */
  get resumedAs(): Speech | undefined {
    return this.#resumedAs;
  }

  /** Resolves when there is room for more pushed audio, or when no more is wanted. */
  get ready(): Promise<void> {
    return this.#parts.push?.ready ?? Promise.resolve();
  }

  /**
   * Adds audio to a pushed source, in portions of any size. Returns whether there is room for more: after `false` a
   * caller that can wait awaits `ready`. After an interrupt, listeners hear none of it unless the speech is resumed, and
   * with 64 MiB waiting already it is dropped.
   *
   * @throws InputError `INVALID_OPTION` for anything but bytes, or samples of the source's own format; StateError
   * `NOT_PUSHED` for a source that is pulled, `SPEECH_ENDED` after `end`, `BUFFER_FULL` with 64 MiB waiting already.
   */
  write(samples: ArrayBufferView): boolean {
    const push = this.#push("write");
    if (this.#parts.state.result !== undefined && !push.accepts(samples.byteLength)) return false;
    return push.write(samples);
  }

  /** Ends the audio of a pushed source. @throws StateError `NOT_PUSHED`. */
  end(): void {
    this.#push("end").end();
  }

  /**
   * Adds word or character timings, in any order and also while the audio streams. Does nothing after the end.
   *
   * @throws InputError `INVALID_OPTION` that names the fault of a timing.
   */
  addWords(words: readonly WordTiming[]): void {
    this.#parts.state.addWords(words);
  }

  /**
   * Appends to the text, as a language model delivers it while the audio streams. Does nothing after the end.
   *
   * @throws InputError `INVALID_OPTION` for anything but a string, or for more than a million characters in all.
   */
  addText(text: string): void {
    this.#parts.state.addText(text);
  }

  /**
   * Takes back what the listeners have not heard of this speech. Other speeches stay, and the next one begins at once.
   * Resolves like `done`, when the listeners have reported how far they heard, after a second at most. Does nothing
   * after the end, and after a resume as another speech.
   */
  interrupt(): Promise<SpeechResult> {
    if (this.#parts.state.result === undefined && this.#resumedAs === undefined) this.#parts.control.interrupt(this.id);
    return this.done;
  }

  /**
   * Pauses this speech where the listeners are; it and the queue behind it wait until `resume` or `interrupt`. False
   * when it is paused already, or over.
   */
  pause(): boolean {
    return this.#parts.state.result === undefined && this.#parts.control.pause(this.id);
  }

  /**
   * Continues a paused speech from the first sample that was not heard, and returns it. An interrupted speech can be
   * resumed too, within the publisher's `resumeWindowMs` and as long as no other speech was said since. It then
   * continues as another speech, which is returned and whose positions continue those of this one. Undefined when there
   * is nothing to resume.
   */
  resume(): Speech | undefined {
    return this.#parts.control.resume(this.id);
  }

  /**
   * Yields the progress while listeners hear the speech; ends with the speech. A slow reader gets the latest position.
   */
  async *progress(): AsyncGenerator<SpeechProgress, void, undefined> {
    const { state } = this.#parts;
    let reached = 0;
    for (;;) {
      const { changed, result, progress } = state;
      if (progress.ms > reached) {
        reached = progress.ms;
        yield progress;
      } else if (result !== undefined) return;
      else await changed;
    }
  }

  #push(verb: string): PushAudio {
    const { push } = this.#parts;
    if (push === undefined) {
      throw new StateError("NOT_PUSHED", `Speech.${verb} needs audio opened by openAudio({ sampleRate, format }).`);
    }
    return push;
  }
}
