import { type Clock, fromMilliseconds, type Microseconds, microseconds, monotonicClock } from "../../base/index.js";
import type { Delivery } from "../../container/index.js";
import type { Decoder, DeliverySource, OpenDecoder, Ticket } from "../audio/audio-pipeline.js";
import { Generations } from "../audio/generations.js";
import type { PlaybackClock } from "../audio/playback-clock.js";
import { Refusals } from "../decoders/refusals.js";

/** A decoded picture, such as a `VideoFrame`. */
export interface VideoImage {
  /** Frees its memory. */
  close(): void;
}

/** Clock of the video. */
export type VideoClock = Pick<PlaybackClock, "arrive" | "rewind" | "playhead">;

/** Options for {@link VideoPipeline}. */
export interface VideoPipelineOptions<P extends VideoImage> {
  readonly consumer: DeliverySource;
  readonly openDecoder: OpenDecoder<P>;
  /** The playback clock, shared with audio. */
  readonly clock: VideoClock;
  /** Whether video sets the playhead: true only where there is no audio. */
  readonly master: boolean;
  /** Clock of arrivals, not of media. Default: the process's own. */
  readonly now?: Clock;
}

/** Counters of a video pipeline. */
export interface VideoCounters {
  /** Packets handed to the decoder. */
  readonly decoded: number;
  /** Pictures shown. */
  readonly shown: number;
  /** Pictures dropped because a later one was due. */
  readonly late: number;
  /** Pictures dropped because they became stale. */
  readonly stale: number;
  /** Pictures decoded only for a later one within a millisecond, and never shown. */
  readonly hidden: number;
  /** Packets that could not be decoded for lack of a keyframe. */
  readonly undecodable: number;
  /** Packets the decoder refused. */
  readonly errors: number;
}

/**
 * A publisher that starts over between two keyframes stamps the frames up to the first picture closer together than
 * this; on the screen they would flicker.
 */
const HIDDEN = fromMilliseconds(1);
/** Maximum pictures decoded and not yet shown. */
const MAX_IMAGES = 8;
/** Maximum packets inside the decoder. */
const MAX_PENDING = 8;
/** Keyframes refused in a row that are no accident: after each refusal the decoder needs another. */
const MOST_REFUSED = 2;
/** How long after the newest of these the next may come, before it counts as the last. */
const SETTLE = fromMilliseconds(100);

interface Waiting<P> {
  readonly timestamp: Microseconds;
  readonly generation: number;
  readonly picture: P;
}

/**
 * Moves packets from the consumer through the decoder to pictures; {@link present} returns the one that is due. After a
 * rewind the last picture stays until one of the new timeline is due.
 */
export class VideoPipeline<P extends VideoImage> {
  readonly #consumer: DeliverySource;
  readonly #decoder: Decoder;
  readonly #clock: VideoClock;
  readonly #master: boolean;
  readonly #now: Clock;
  #waiting: Waiting<P>[] = [];
  #shown: Waiting<P> | undefined;
  /** Pictures at or before this are late; undefined right after a rewind. */
  #guard: Microseconds | undefined;
  readonly #cuts = new Generations();
  #before: Ticket | undefined;
  readonly #hidden = new WeakSet<Ticket>();
  /** Since the start or the last rewind, only pictures have come that may lead up to another. */
  #leadingUp = true;
  /** When the newest of them counts as the last. */
  #settled = microseconds(0);
  #discontinuity: number;
  #from: Microseconds | undefined;
  #needsKeyframe = true;
  #pumping = false;
  #closed = false;
  #decoded = 0;
  #shownCount = 0;
  #late = 0;
  #stale = 0;
  #hiddenCount = 0;
  #undecodable = 0;
  #errors = 0;
  readonly #refusals = new Refusals("video", MOST_REFUSED);

  constructor(options: VideoPipelineOptions<P>) {
    this.#consumer = options.consumer;
    this.#clock = options.clock;
    this.#master = options.master;
    this.#now = options.now ?? monotonicClock;
    this.#discontinuity = options.consumer.discontinuity;
    this.#from = options.consumer.from;
    this.#decoder = options.openDecoder({
      output: (picture, ticket) => this.#receive(picture, ticket),
      error: (error) => this.#fail(error),
    });
  }

  /** Number of rewinds applied. */
  get generation(): number {
    return this.#cuts.generation;
  }

  get counters(): VideoCounters {
    return {
      decoded: this.#decoded,
      shown: this.#shownCount,
      late: this.#late,
      stale: this.#stale,
      hidden: this.#hiddenCount,
      undecodable: this.#undecodable,
      errors: this.#errors,
    };
  }

  /** Why nothing can be decoded; undefined where something can. */
  get refusal(): Error | undefined {
    return this.#refusals.error;
  }

  /** Advances everything; call it like an audio pipeline's. */
  pump(): void {
    if (this.#pumping || this.#closed) return;
    this.#pumping = true;
    try {
      this.#follow(this.#consumer.discontinuity, this.#consumer.from);
      while (this.#waiting.length < MAX_IMAGES && this.#decoder.pending < MAX_PENDING) {
        const delivery = this.#consumer.read();
        this.#follow(
          delivery?.discontinuity ?? this.#consumer.discontinuity,
          delivery ? delivery.from : this.#consumer.from,
        );
        if (!delivery) break;
        this.#submit(delivery);
      }
    } finally {
      this.#pumping = false;
    }
  }

  /**
   * The picture to show now: the latest that is due, or the last one shown. The pipeline keeps it and closes it once
   * another replaces it. Undefined before the first.
   */
  present(): P | undefined {
    const playhead = this.#clock.playhead;
    if (playhead !== undefined) {
      let due: Waiting<P> | undefined;
      while (this.#waiting[0] && this.#waiting[0].timestamp <= playhead) {
        if (this.#leadingUp && this.#isNewest(this.#waiting[0]) && this.#now() < this.#settled) break;
        if (due) {
          due.picture.close();
          this.#late++;
        }
        due = this.#waiting.shift();
      }
      if (due) {
        this.#shown?.picture.close();
        this.#shown = due;
        this.#guard = due.timestamp;
        this.#shownCount++;
      }
    }
    this.pump();
    return this.#shown?.picture;
  }

  /** Frees the decoder and every picture; idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#decoder.close();
    for (const { picture } of this.#waiting) picture.close();
    this.#waiting = [];
    this.#shown?.picture.close();
    this.#shown = undefined;
  }

  #follow(discontinuity: number, from: Microseconds | undefined): void {
    if (from === undefined) return;
    const fresh = discontinuity !== this.#discontinuity;
    if (!fresh && from >= (this.#from ?? from)) return;
    this.#discontinuity = discontinuity;
    this.#from = from;
    if (this.#master) this.#clock.rewind({ discontinuity, from });
    if (fresh) {
      this.#cuts.add(from);
      this.#guard = undefined;
    } else this.#cuts.lower(from);
    this.#waiting = this.#waiting.filter((entry) => {
      if (!this.#isStale(entry.timestamp, entry.generation)) return true;
      entry.picture.close();
      this.#stale++;
      return false;
    });
  }

  #isStale(timestamp: Microseconds, generation: number): boolean {
    return timestamp >= (this.#cuts.limitOf(generation) ?? Number.POSITIVE_INFINITY);
  }

  #submit({ frame, sequence, epoch }: Delivery): void {
    const { timestamp } = frame;
    const ticket: Ticket = { timestamp, sequence, epoch, generation: this.#cuts.generationOf(timestamp) };
    const isOther = this.#before !== undefined && this.#before.generation !== ticket.generation;
    if (isOther) {
      this.#needsKeyframe = true;
      this.#decoder.reset();
      this.#leadingUp = true;
    }
    // It stands in for no picture before it.
    if (this.#needsKeyframe && !frame.keyframe) {
      this.#undecodable++;
      return;
    }
    if (this.#before && !isOther) {
      if (timestamp - this.#before.timestamp < HIDDEN) this.#hide(this.#before);
      else this.#leadingUp = false;
    }
    this.#before = ticket;
    this.#settled = microseconds(this.#now() + SETTLE);
    this.#needsKeyframe = false;
    if (this.#master) this.#clock.arrive(timestamp);
    try {
      this.#decoder.decode(frame.payload, ticket, frame.keyframe);
      this.#decoded++;
    } catch (error) {
      this.#fail(error);
    }
  }

  #isNewest({ timestamp, generation }: Waiting<P>): boolean {
    return timestamp === this.#before?.timestamp && generation === this.#before.generation;
  }

  #hide(ticket: Ticket): void {
    this.#hidden.add(ticket);
    this.#waiting = this.#waiting.filter(({ timestamp, generation, picture }) => {
      if (timestamp !== ticket.timestamp || generation !== ticket.generation) return true;
      picture.close();
      this.#hiddenCount++;
      return false;
    });
  }

  #receive(picture: P, ticket: Ticket): void {
    this.#refusals.clear();
    const { timestamp, generation } = ticket;
    if (this.#hidden.has(ticket)) {
      picture.close();
      this.#hiddenCount++;
      return;
    }
    if (this.#closed || this.#isStale(timestamp, generation)) {
      picture.close();
      this.#stale++;
      return;
    }
    if (this.#guard !== undefined && timestamp <= this.#guard) {
      picture.close();
      this.#late++;
      return;
    }
    const after = this.#waiting.findIndex((entry) => entry.timestamp > timestamp);
    this.#waiting.splice(after < 0 ? this.#waiting.length : after, 0, { timestamp, picture, generation });
    this.pump();
  }

  #fail(error: unknown): void {
    this.#errors++;
    this.#refusals.add(error);
    this.#needsKeyframe = true;
    this.#decoder.reset();
  }
}
