import { EventEmitter } from "node:events";
import { z } from "zod";
import {
  attachLogger,
  endWith,
  guardHandlers,
  InputError,
  type Logger,
  type Microseconds,
  StateError,
  validate,
} from "../base/index.js";
import type { ControlEvent } from "../flow/control/index.js";
import { validateClient } from "../transport/index.js";
import { Loop, type PublisherEvents, type PublisherState } from "./loop.js";
import { type PublisherAblation, type PublisherOptions, publisherOptionsSchema } from "./options.js";
import { makeParts, type PublisherParts } from "./parts.js";
import type { Interruption } from "./speech/interrupts.js";
import type { SayOptions, SpeechSource } from "./speech/renderer.js";
import type { Speech } from "./speech/speech.js";
import { type PublisherStats, statsOf } from "./stats.js";
import type { Knobs } from "./tracks/mixer.js";
import { toPosition } from "./tracks/position.js";

const playedLevelSchema = z.strictObject({ withinMs: z.number().min(10).max(2000) });
const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {} };

/**
 * Publishes one broadcast to a relay: reads sources, denoises, encodes and sends them. It reconnects by itself, except
 * after a refusal that another attempt cannot change: `closed` then resolves with the relay's reason, such as
 * `UNAUTHORIZED`, `NOT_GRANTED` or `CERTIFICATE_UNTRUSTED`.
 *
 * Of several publishers with one name, listeners hear the newest. The others become `displaced` and emit one `problem`
 * with the code `NAME_TAKEN`. They are heard again when the newer ones have left.
 *
 * The timeline starts with 0 at construction and follows the clock: a pause between two speeches is a hole.
 *
 * @throws InputError `INVALID_OPTION` that names the option.
 */
export class Publisher extends EventEmitter<PublisherEvents> implements AsyncDisposable {
  /**
   * Resolves when the publisher has ended: with null after {@link close}, else with the error that ended it, which may
   * be the reason of `signal`. Never rejects.
   */
  readonly closed: Promise<Error | null>;
  readonly #parts: PublisherParts;
  readonly #loop: Loop;

  constructor(options: PublisherOptions, /** @internal */ ablation: PublisherAblation = {}) {
    super();
    guardHandlers(this);
    const settings = validate("Publisher", publisherOptionsSchema, options);
    validateClient("Publisher", options);
    if (!settings.audio && (settings.video === undefined || settings.source !== undefined)) {
      throw new InputError("INVALID_OPTION", "With audio false there must be a video and no source.");
    }
    const logger = settings.logger ?? silent;
    const detachLogger = settings.logger ? attachLogger(settings.logger) : () => {};
    this.#parts = makeParts(settings, logger, ablation);
    this.#loop = new Loop(this.#parts, this);
    this.closed = this.#loop.run().finally(detachLogger);
    endWith(settings.signal, this.closed, (reason) => this.#loop.close(reason));
    if (settings.source !== undefined) this.#sayFirst(settings.source);
  }

  get state(): PublisherState {
    return this.#loop.state;
  }

  /** Knobs that are in force, or about to be. */
  get knobs(): Knobs {
    return this.#parts.controls.knobs;
  }

  /**
   * Sets the named knobs. Listeners hear the change from just behind their playhead: the publisher rewinds and sends
   * that audio again, without running the model again.
   *
   * @throws InputError `INVALID_OPTION` that names the knob; StateError `CLOSED`.
   */
  set(knobs: Partial<Knobs>): void {
    this.#assertOpen();
    this.#parts.controls.set(knobs);
  }

  /**
   * Applies one control operation: `set`, `noise_profile`, `model`, `swap_source`, `write_audio`, `loop_band`,
   * `interrupt` or `resume`. Slow preparation runs beside the broadcast; the operation applies at the start of a turn.
   * Resolves with the operation's one end: applied, superseded by a later one, or failed.
   *
   * @param payload For `noise_profile`: a WAV file, or mono 32-bit floats at 48 kHz. For `write_audio`: the samples.
   * For `model` without a name: see `modelPayload`.
   * @throws InputError `INVALID_OPERATION` or `DUPLICATE_REQUEST`; StateError `CLOSED`.
   */
  async control(operation: unknown, payload?: Uint8Array): Promise<ControlEvent> {
    this.#assertOpen();
    return this.#parts.controls.request(operation, payload);
  }

  /**
   * Queues a speech behind all others: audio opened by `openAudio`, a source of your own, or a stream of samples.
   * Returns at once; an error in the audio fails the speech.
   *
   * @throws InputError `INVALID_OPTION` for an invalid source or option, or a source with other channels; StateError `QUEUE_FULL`,
   * `SOURCE_USED` or `CLOSED`.
   */
  say(source: SpeechSource, options: SayOptions = {}): Speech {
    this.#assertOpen();
    const { settings, renderer, wake } = this.#parts;
    if (!settings.audio) throw new InputError("INVALID_OPTION", "The broadcast has no audio: audio is false.");
    const speech = renderer.say(source, options);
    wake.ring();
    return speech;
  }

  /**
   * Interrupts every speech that plays or waits: the listeners fall silent at once. Nothing said after the call is
   * affected. Resolves when the listeners have reported how far they heard, after a second at most. A second call
   * before a new speech returns the same result.
   */
  async interrupt(): Promise<Interruption> {
    this.#assertOpen();
    return this.#parts.interrupts.interruptAll();
  }

  /**
   * Rewinds to `to` (microseconds of media time): interrupts everything at or after it, and everything queued. A time
   * beyond the sent audio only clears the queue.
   *
   * @throws InputError `INVALID_TIMESTAMP` when `to` is not a whole number from 0 on; StateError `CLOSED`.
   */
  rewind(to: Microseconds): { readonly to: Microseconds; readonly rewound: boolean } {
    this.#assertOpen();
    return this.#parts.interrupts.rewind(to);
  }

  /**
   * Resumes what the last interrupt or rewind cut off, from where the listeners fell silent; waits for their reports, a
   * second at most. With several listeners it resumes where the first fell silent, so none misses a word; the others
   * hear the difference twice. Without reports it resumes at the sample of the cut. With `mode: "live"` the source is
   * audible again from now on.
   *
   * Returns the first speech that continues; the others are the `resumedAs` of the interrupted ones. Undefined when
   * there is no speech to resume: video alone, no interrupt, too long ago, resumed already, or another speech since.
   */
  resume(): Speech | undefined {
    this.#assertOpen();
    return this.#parts.interrupts.resumeAll()?.[0];
  }

  /**
   * Level of the loudest 10 ms that listeners played within the last `withinMs` milliseconds, in dBFS; -120 for silence.
   * Without reports the clock stands for the playhead. Default 100.
   *
   * @throws InputError `INVALID_OPTION` when `withinMs` is not from 10 to 2,000.
   */
  playedLevelDb(withinMs = 100): number {
    const ms = validate("Publisher.playedLevelDb", playedLevelSchema, { withinMs }).withinMs;
    const { clock, deadlines, audioTrack } = this.#parts;
    const to = Math.max(0, toPosition(deadlines.presumed(clock())));
    return audioTrack.loudestDb(Math.max(0, to - Math.round(ms * 48)), to);
  }

  /** Resolves when everything said so far was sent and, as far as the publisher knows, heard; or when closed. */
  async drained(): Promise<void> {
    await this.#loop.drained();
  }

  /** A snapshot of the counters. */
  stats(): PublisherStats {
    return statsOf(this.#parts, this.#loop.sessions);
  }

  /** @internal The control epoch of a group: 0 before the first change; undefined when the group is too old. */
  controlEpochOf(sequence: number): number | undefined {
    return this.#parts.audioTrack.controlEpochOf(sequence);
  }

  /** @internal Monotonic times of the last 1024 group writes. */
  get writeTimes(): readonly Microseconds[] {
    return this.#parts.sender.writeTimes;
  }

  /** Ends the broadcast and closes sources and encoders; idempotent. */
  async close(): Promise<void> {
    this.#loop.close();
    await this.closed;
  }

  /** The same as {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  // A publisher that its constructor refuses must not stay connected.
  #sayFirst(source: SpeechSource): void {
    try {
      this.say(source);
    } catch (error) {
      this.#loop.close();
      throw error;
    }
  }

  #assertOpen(): void {
    if (this.#loop.closing) throw new StateError("CLOSED", "The publisher was used after close().");
  }
}
