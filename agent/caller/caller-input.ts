import { type Clock, type Microseconds, microseconds, race } from "../../base/index.js";
import { type AudioSource, readSource } from "../../publisher/index.js";
import type { AudioSink } from "../../watch/index.js";

/** Consecutive samples of a caller: one channel at 48 kHz. */
export interface CallerBlock {
  readonly samples: Float32Array;
  /** Arrival of its last sample. */
  readonly at: Microseconds;
}

/** A reader of a caller's audio, from any source. */
export interface CallerInput {
  blocks(): AsyncGenerator<CallerBlock, void, undefined>;
  /** Milliseconds of audio dropped because it was not read in time. */
  readonly droppedMs: number;
  close(): Promise<void>;
}

/** Samples that may wait for the denoiser: beyond this the oldest are dropped. */
const MAX_WAITING = 2 * 48_000;

/** A live caller that sends nothing for this long is silent; packets hold 20 ms and come unevenly. */
const QUIET: Microseconds = microseconds(40_000);
/** A listener plays every 5 ms; in a process that stalled for longer, packets may be waiting. */
const TURN: Microseconds = microseconds(15_000);
/** Silence that is made up for at once, at most. */
const MAX_FILLED: Microseconds = microseconds(200_000);
/** Played audio that did not come early for this long: the broadcast is not live any more. */
const NOT_LIVE: Microseconds = microseconds(500_000);

/**
 * A listener's output as a caller's audio. Of a live caller it takes the samples as they are decoded, a jitter delay
 * before they are played: a detector and a recogniser need no even pace. What is played then only shows that time passes
 * while nothing comes. Of a broadcast that is sent ahead it takes what is played, since the rest may be taken back.
 */
export class HeardInput implements CallerInput, AudioSink {
  readonly #clock: Clock;
  #blocks: CallerBlock[] = [];
  #waiting = 0;
  #dropped = 0;
  #isClosed = false;
  /** When samples last came early, and up to when silence has stood in for them since. */
  #earlyAt: Microseconds | undefined;
  #filledTo: Microseconds = microseconds(0);
  /** How long nothing has come since, as far as this process looked. */
  #quiet = 0;
  #playedAt: Microseconds = microseconds(0);
  #stir = Promise.withResolvers<void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get droppedMs(): number {
    return this.#dropped / 48;
  }

  early([samples]: readonly Float32Array[]): void {
    if (samples === undefined) return;
    this.#earlyAt = this.#clock();
    this.#filledTo = this.#earlyAt;
    this.#quiet = 0;
    this.#add(samples.slice());
  }

  write([samples]: readonly Float32Array[]): void {
    if (samples === undefined) return;
    const now = this.#clock();
    this.#quiet += Math.min(TURN, now - Math.max(this.#playedAt, this.#earlyAt ?? 0));
    this.#playedAt = now;
    if (this.#earlyAt === undefined) this.#add(samples.slice());
    else if (this.#quiet > QUIET) this.#follow(samples, now);
  }

  #follow(samples: Float32Array, now: Microseconds): void {
    if (samples.every((sample) => sample === 0)) {
      const passed = Math.min(now - this.#filledTo, MAX_FILLED);
      this.#filledTo = now;
      this.#add(new Float32Array(Math.round((passed * 48) / 1000)));
    } else if (now - this.#earlyAt! > NOT_LIVE) {
      this.#earlyAt = undefined;
      this.#add(samples.slice());
    }
  }

  #add(samples: Float32Array): void {
    if (this.#isClosed || samples.length === 0) return;
    this.#blocks.push({ samples, at: this.#clock() });
    this.#waiting += samples.length;
    while (this.#waiting > MAX_WAITING) {
      const { length } = this.#blocks.shift()!.samples;
      this.#waiting -= length;
      this.#dropped += length;
    }
    this.#stir.resolve();
  }

  async *blocks(): AsyncGenerator<CallerBlock, void, undefined> {
    while (!this.#isClosed) {
      const block = this.#blocks.shift();
      if (block !== undefined) {
        this.#waiting -= block.samples.length;
        yield block;
        continue;
      }
      this.#stir = Promise.withResolvers();
      await this.#stir.promise;
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#blocks = [];
    this.#stir.resolve();
  }
}

/** A source of audio that is read as fast as it delivers, such as one that an application pushes to. */
export class SourceInput implements CallerInput {
  readonly droppedMs = 0;
  readonly #source: AudioSource;
  readonly #clock: Clock;
  readonly #closing = Promise.withResolvers<undefined>();

  constructor(source: AudioSource, clock: Clock) {
    this.#source = source;
    this.#clock = clock;
  }

  async *blocks(): AsyncGenerator<CallerBlock, void, undefined> {
    for (;;) {
      // A read may never end, even of a closed source: that of a stream without data.
      const samples = await race([this.#closing.promise, readSource(this.#source)]);
      if (samples === undefined) return;
      yield { samples, at: this.#clock() };
    }
  }

  async close(): Promise<void> {
    this.#closing.resolve(undefined);
    await this.#source.close();
  }
}

/** Splits blocks into hops of `length` samples; drops a rest at the end. */
export async function* cutHops(
  blocks: AsyncIterable<CallerBlock>,
  length: number,
): AsyncGenerator<CallerBlock, void, undefined> {
  let hop = new Float32Array(length);
  let filled = 0;
  for await (const { samples, at } of blocks)
    for (let used = 0; used < samples.length; ) {
      const part = samples.subarray(used, used + length - filled);
      hop.set(part, filled);
      used += part.length;
      filled += part.length;
      if (filled < length) break;
      yield { samples: hop, at: microseconds(at - ((samples.length - used) * 1e6) / 48_000) };
      hop = new Float32Array(length);
      filled = 0;
    }
}
