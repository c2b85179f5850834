import { InputError, StateError } from "../../base/index.js";
import type { Denoiser } from "../denoise/denoiser.js";
import { SAMPLE_RATE } from "../source/resample.js";
import type { AudioTrack } from "../tracks/audio-track.js";
import { PendingSplices, type Splice } from "./pending-splices.js";
import type { QueuedSpeech } from "./queued-speech.js";
import type { SourceRenderer } from "./source-renderer.js";
import type { SpeechQueue } from "./speech-queue.js";

/** Options of {@link Revisions}. */
export interface RevisionsOptions {
  readonly channels: 1 | 2;
  readonly speeches: SpeechQueue;
  readonly audioTrack: AudioTrack;
}

/** A stretch of the timeline, in samples, that repeats once the timeline reaches its end. */
export interface Stretch {
  readonly start: number;
  readonly end: number;
}

/** A change to audio that is rendered already. */
export interface RenderChange {
  /** Denoisers of another model, for the current speech. */
  readonly denoisers?: readonly Denoiser[] | undefined;
  /** Whether to denoise all audio rendered ahead again. */
  readonly render?: boolean;
  readonly splices?: readonly Splice[];
  /** Ends the loop. */
  readonly unloop?: boolean;
}

/** Without a checkpoint, as after a change of model, the denoiser warms up on this much audio: 300 ms. */
const WARM_UP = 0.3 * SAMPLE_RATE;

/** Changes audio that is on the timeline already: denoised by another model, spliced, or looped. */
export class Revisions {
  readonly #channels: number;
  readonly #speeches: SpeechQueue;
  readonly #audioTrack: AudioTrack;
  readonly #splices: PendingSplices;
  #band: (Stretch & { readonly item: QueuedSpeech }) | undefined;
  #wrapped = false;

  constructor({ channels, speeches, audioTrack }: RevisionsOptions) {
    this.#channels = channels;
    this.#speeches = speeches;
    this.#audioTrack = audioTrack;
    this.#splices = new PendingSplices(channels);
  }

  /**
   * Renders audio again from `from` on as `change` says, and makes the sent part stale. Returns the first position that
   * differs.
   */
  change(from: number, { denoisers, render = false, splices = [], unloop = false }: RenderChange): number {
    if (unloop) this.disarm();
    const audioTrack = this.#audioTrack;
    const item = this.#speeches.revive(from);
    const renderer = item?.renderer;
    if (item === undefined || renderer === undefined) {
      for (const denoiser of denoisers ?? []) denoiser.close();
      return Math.max(from, audioTrack.end);
    }
    const channels = this.#channels;
    const read = audioTrack.end + renderer.ahead;
    const inside = splices.filter(({ at }) => at < read);
    this.#splices.keep(splices.filter(({ at, samples }) => at + samples.length / channels > read));
    const ends = unloop && renderer.looping;
    const everything = denoisers !== undefined || (render && renderer.denoises) || ends;
    const soonest = Math.min(...splices.map(({ at }) => at), ...(everything || splices.length === 0 ? [from] : []));
    const at = Math.max(from, item.start, soonest);
    if (!everything && inside.length === 0) return at;
    this.#goBack(item, renderer, at, denoisers);
    for (const { at: position, samples, mode } of inside) {
      const late = Math.max(0, at - position);
      renderer.edit(position + late - audioTrack.end, samples.subarray(late * channels), mode);
    }
    if (ends) {
      renderer.unloop(at - audioTrack.end);
      item.timeline.cut(at);
      item.timeline.unloop(at);
    }
    return at;
  }

  /** Whether a stretch of the current speech repeats, or will once its end is reached. */
  get armed(): boolean {
    return this.#band !== undefined && this.#band.item === this.#speeches.current;
  }

  /**
   * Repeats a stretch of the timeline from its end on, or from `from` when its end has passed.
   *
   * @throws StateError `NOTHING_PLAYED` when no speech plays; InputError `BAND_TOO_OLD` when the timeline no longer
   * holds it.
   */
  arm(band: Stretch): void {
    const item = this.#speeches.current;
    if (item === undefined) throw new StateError("NOTHING_PLAYED", "Nothing is being said that could be repeated.");
    if (band.start < Math.max(this.#audioTrack.oldest, item.start) || band.end - band.start > this.#audioTrack.memory) {
      throw new InputError(
        "BAND_TOO_OLD",
        `band must lie within the current speech, and not more than ${this.#audioTrack.memory / SAMPLE_RATE} s back.`,
      );
    }
    this.#band = { ...band, item };
    this.#wrapped = false;
  }

  /** Starts the armed loop once the audio reaches its end; returns its position, in samples. */
  wrap(from: number): number | undefined {
    const band = this.#band;
    const renderer = band?.item.renderer;
    if (band === undefined || renderer === undefined || this.#wrapped || band.item !== this.#speeches.current) return;
    const audioTrack = this.#audioTrack;
    const read = audioTrack.end + renderer.ahead;
    if (read < band.end) return;
    const at = Math.min(Math.max(from, band.end), Math.max(read, band.end));
    this.#goBack(band.item, renderer, at, undefined);
    const known = audioTrack.end;
    const head = audioTrack.recall(band.start, Math.min(band.end, known));
    const tail = renderer.peek(Math.max(0, band.end - known));
    const samples = new Float32Array(head.length + tail.length);
    samples.set(head);
    samples.set(tail, head.length);
    renderer.loop(samples, at - known, (at - band.start) % (band.end - band.start));
    band.item.timeline.cut(at);
    band.item.timeline.loop(at);
    this.#wrapped = true;
    return at;
  }

  /** Applies the splices that are due to interleaved `samples` that start at `position`, in place. */
  splice(samples: Float32Array, position: number): void {
    this.#splices.apply(samples, position);
  }

  /** Disarms the loop: the timeline continues with other audio. */
  disarm(): void {
    this.#band = undefined;
  }

  /** Drops the loop and the pending splices. */
  clear(): void {
    this.disarm();
    this.#splices.clear();
  }

  // Makes the audio sent from `at` on stale, and restarts the renderer there or a little before.
  #goBack(item: QueuedSpeech, renderer: SourceRenderer, at: number, denoisers: readonly Denoiser[] | undefined): void {
    const audioTrack = this.#audioTrack;
    if (at < audioTrack.cursor) audioTrack.rewind(at);
    const checkpoint =
      denoisers === undefined ? item.checkpoints.findLast(({ position }) => position <= at) : undefined;
    const warm = renderer.denoises || denoisers !== undefined ? at - WARM_UP : at;
    const start = checkpoint?.position ?? Math.max(warm, item.start, audioTrack.oldest);
    const { dry } = audioTrack.cut(Math.min(start, audioTrack.end));
    renderer.rewind(dry, { states: checkpoint?.states, denoisers });
    item.rendersFrom(start, { keep: denoisers === undefined });
  }
}
