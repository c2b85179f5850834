import { type Microseconds, microseconds } from "../../base/index.js";
import type { Delivery } from "../../container/index.js";
import { Generations } from "./generations.js";
import type { Playout, PlayoutRewind } from "./playout.js";
import { framesAt, timestampAt } from "./samples.js";

/** What a pipeline needs of a `RewindConsumer`. */
export interface DeliverySource {
  read(): Delivery | undefined;
  readonly discontinuity: number;
  readonly from: Microseconds | undefined;
  /** The next frame, also while {@link read} withholds it, and whether something before it may still come. */
  peek?(): { readonly timestamp: Microseconds; readonly afterGap: boolean } | undefined;
  /** Whether playback should wait, because what is known of a rewind may not be all. */
  readonly holding?: boolean;
}

/** Travels with a packet through the decoder, so that its output is known for what it is. */
export interface Ticket {
  readonly timestamp: Microseconds;
  readonly sequence: number;
  readonly epoch: number;
  /** The rewind, counted from 1, that its timeline began with, as known when it was handed to the decoder. */
  readonly generation: number;
}

/** Where a decoder delivers; an output carries the ticket its packet was handed over with. */
export interface DecoderEvents<Output> {
  output(output: Output, ticket: Ticket): void;
  error(error: unknown): void;
}

/**
 * A decoder as the pipelines see it. Outputs come in the order of their packets, at once or later. An output of before
 * a `reset()` may still come after it, if it carries the ticket of then: a decoder that loses count of its outputs on
 * reset has to be replaced on reset.
 */
export interface Decoder {
  /** Hands over a packet. */
  decode(payload: Uint8Array, ticket: Ticket, keyframe: boolean): void;
  /** Forgets all state; the next packet starts afresh. */
  reset(): void;
  /** Packets handed over whose output is still to come. */
  readonly pending: number;
  /** Frees the decoder; idempotent. */
  close(): void;
}

/** A decoder of audio; outputs are planar samples at 48 kHz. */
export interface AudioPacketDecoder extends Decoder {
  /** Frames at 48 kHz that a packet will decode to, or undefined when that cannot be told. */
  framesOf(payload: Uint8Array): number | undefined;
  /** Makes up audio for `frames` missing frames before the packet `next`; absent where the codec cannot. */
  readonly conceal?: ((frames: number, next: Uint8Array, ticket: Ticket) => void) | undefined;
}

/** Makes a decoder that delivers to `events`. */
export type OpenDecoder<Output, D extends Decoder = Decoder> = (events: DecoderEvents<Output>) => D;

/** What an audio pipeline needs of a {@link Playout}, which may live in another thread. */
export type AudioOutput = Pick<Playout, "arrive" | "write" | "playhead"> &
  Partial<Pick<Playout, "hold" | "due" | "patient">> & { rewind(rewind: PlayoutRewind): void };

/** What a pipeline has done. */
export interface PipelineCounters {
  /** Packets handed to the decoder. */
  readonly decoded: number;
  /** Gaps for which audio was made up. */
  readonly concealed: number;
  /** Decoder outputs dropped because a rewind after their packet took them back. */
  readonly stale: number;
  /** Packets the decoder refused. */
  readonly errors: number;
}

/** Options for {@link AudioPipeline}. */
export interface AudioPipelineOptions {
  readonly consumer: DeliverySource;
  readonly openDecoder: OpenDecoder<readonly Float32Array[], AudioPacketDecoder>;
  readonly output: AudioOutput;
  /** How far ahead of the playhead audio is decoded; what is further stays in the consumer. Default 200. */
  readonly horizonMs?: number;
  /** Most packets inside the decoder at once. Default 16. */
  readonly maxPending?: number;
}

/** Rewinds kept for {@link AudioPipeline.takeRewinds}; the oldest go first. */
const MAX_REWINDS = 64;
const NO_REWINDS: readonly PlayoutRewind[] = [];
/** Longest gap for which audio is made up; a longer one is a pause. */
const MAX_CONCEALED: Microseconds = microseconds(120_000);

/** How long before its turn a packet is decoded although something before it is missing: time to conceal that. */
const LAST_CALL: Microseconds = microseconds(40_000);
/** A packet later than that, with the playhead where the packet has put it, is not worth decoding. */
const TOO_LATE: Microseconds = microseconds(1_200_000);

/**
 * Takes packets from the consumer through the decoder to the output, and rewinds through the same in one step, also
 * while it waits for the playhead or the decoder to catch up.
 */
export class AudioPipeline {
  readonly #decoder: AudioPacketDecoder;
  readonly #output: AudioOutput;
  readonly #horizon: Microseconds;
  readonly #maxPending: number;
  readonly #cuts = new Generations();
  #consumer: DeliverySource;
  #discontinuity: number;
  #from: Microseconds | undefined;
  /** Whether the consumer is a new one whose first frame takes back what came before. */
  #switched = false;
  /** The last packet handed over, for the state of the decoder. */
  #before: Ticket | undefined;
  /** The one that is furthest ahead, for the horizon. */
  #last: Ticket | undefined;
  /** Where the last packet's audio ends, in frames; the next packet continues it or leaves a gap. */
  #end: number | undefined;
  /** The frame that came first. */
  #opening: Microseconds | undefined;
  #rewinds: PlayoutRewind[] = [];
  #pumping = false;
  #closed = false;
  #decoded = 0;
  #concealed = 0;
  #stale = 0;
  #errors = 0;

  constructor(options: AudioPipelineOptions) {
    this.#consumer = options.consumer;
    this.#output = options.output;
    this.#horizon = microseconds((options.horizonMs ?? 200) * 1000);
    this.#maxPending = options.maxPending ?? 16;
    this.#discontinuity = options.consumer.discontinuity;
    this.#from = options.consumer.from;
    this.#decoder = options.openDecoder({
      output: (samples, ticket) => this.#receive(samples, ticket),
      error: () => {
        this.#errors++;
        this.#decoder.reset();
      },
    });
  }

  /** How many rewinds were applied. */
  get generation(): number {
    return this.#cuts.generation;
  }

  get counters(): PipelineCounters {
    return { decoded: this.#decoded, concealed: this.#concealed, stale: this.#stale, errors: this.#errors };
  }

  /** The rewinds applied since it was last called. */
  takeRewinds(): readonly PlayoutRewind[] {
    if (this.#rewinds.length === 0) return NO_REWINDS;
    const rewinds = this.#rewinds;
    this.#rewinds = [];
    return rewinds;
  }

  /**
   * Goes on with another consumer, of a track that replaces this one or of a publisher that started anew: its first
   * frame takes back whatever is left at or after it.
   */
  follow(consumer: DeliverySource): void {
    if (consumer === this.#consumer) return;
    this.#consumer = consumer;
    this.#discontinuity = consumer.discontinuity;
    this.#from = consumer.from;
    this.#switched = true;
    this.pump();
  }

  /**
   * Moves whatever can move. To be called after every frame given to the consumer, when the consumer's `nextWake()` has
   * come, and every few milliseconds while playing. Applies a rewind even where nothing else can move.
   */
  pump(): void {
    // A synchronous decoder's output may lead back here.
    if (this.#pumping || this.#closed) return;
    this.#pumping = true;
    try {
      this.#obey(this.#consumer);
      while (!this.#parked()) {
        const delivery = this.#consumer.read();
        this.#obey(delivery ?? this.#consumer);
        if (!delivery) break;
        this.#submit(delivery);
      }
      this.#output.hold?.(this.#consumer.holding ?? false);
    } finally {
      this.#pumping = false;
    }
  }

  /** Frees the decoder; nothing moves any more. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#decoder.close();
  }

  #parked(): boolean {
    if (this.#decoder.pending >= this.#maxPending) return true;
    if (this.#switched) return false;
    if (this.#mayWait()) return true;
    const playhead = this.#output.playhead;
    return playhead !== undefined && this.#last !== undefined && this.#last.timestamp > playhead + this.#horizon;
  }

  /** What is missing may come as long as nothing behind it is due, and so may what precedes the very first frame. */
  #mayWait(): boolean {
    const next = this.#consumer.peek?.();
    if (next === undefined) return false;
    if (this.#before === undefined) return this.#mayPrecede(next.timestamp);
    if (!next.afterGap) return false;
    return this.#output.patient === true || next.timestamp > (this.#output.due ?? next.timestamp) + LAST_CALL;
  }

  /**
   * Whether something may come that precedes the earliest frame so far: until shortly before the turn of the frame that
   * came first, as an earlier one that comes after it shows that the path does not keep the order.
   */
  #mayPrecede(timestamp: Microseconds): boolean {
    if (this.#output.due === undefined) this.#output.arrive(timestamp);
    this.#opening ??= timestamp;
    return this.#opening > (this.#output.due ?? timestamp) + LAST_CALL;
  }

  #obey({ discontinuity, from }: Pick<Delivery, "discontinuity" | "from">): void {
    if (from === undefined) return;
    const fresh = discontinuity !== this.#discontinuity;
    if (!fresh && from >= (this.#from ?? from)) return;
    this.#discontinuity = discontinuity;
    this.#from = from;
    // Nothing of a new consumer was played yet, so its own rewinds concern nobody.
    if (!this.#switched) this.#rewind(from, fresh);
  }

  #rewind(from: Microseconds, fresh: boolean): void {
    if (fresh) this.#cuts.add(from);
    else this.#cuts.lower(from);
    if (this.#last && this.#last.timestamp >= from) this.#last = undefined;
    const { generation } = this.#cuts;
    const rewind = { discontinuity: generation, from, generation };
    this.#output.rewind(rewind);
    this.#rewinds.push(rewind);
    if (this.#rewinds.length > MAX_REWINDS) this.#rewinds.shift();
  }

  #submit({ frame, sequence, epoch }: Delivery): void {
    const { timestamp, payload, keyframe } = frame;
    if (this.#switched) {
      this.#switched = false;
      this.#rewind(timestamp, true);
    }
    const before = this.#before;
    // A jump to a later epoch is a rewind also where nothing that it takes back had come: the publisher waits for the report.
    const isJump = before !== undefined && epoch > before.epoch && sequence > before.sequence + 1;
    if (isJump && this.#cuts.generationOf(timestamp) === before.generation) this.#rewind(timestamp, true);
    const ticket: Ticket = { timestamp, sequence, epoch, generation: this.#cuts.generationOf(timestamp) };
    if (before && (before.epoch !== epoch || before.generation !== ticket.generation)) {
      this.#decoder.reset();
      this.#end = undefined;
    }
    this.#before = ticket;
    this.#last = ticket;
    const lead = this.#output.arrive(timestamp);
    if (lead < -TOO_LATE) {
      this.#end = undefined;
      return;
    }
    const start = framesAt(timestamp);
    // Where no group is missing the publisher left the time out: its encoder went on, and so does the decoder.
    const isLost = before !== undefined && sequence > before.sequence + 1;
    const gap = this.#end === undefined || !isLost ? 0 : start - this.#end;
    try {
      if (gap > 0 && gap <= framesAt(MAX_CONCEALED) && this.#decoder.conceal) {
        this.#decoder.conceal(gap, payload, { ...ticket, timestamp: timestampAt(this.#end ?? start) });
        this.#concealed++;
      }
      this.#decoder.decode(payload, ticket, keyframe);
      this.#decoded++;
      const frames = this.#decoder.framesOf(payload);
      this.#end = frames === undefined ? undefined : start + frames;
    } catch {
      this.#errors++;
    }
  }

  #receive(samples: readonly Float32Array[], ticket: Ticket): void {
    if (this.#closed) return;
    const { timestamp } = ticket;
    const limit = this.#cuts.limitOf(ticket.generation);
    const good = limit === undefined ? Number.POSITIVE_INFINITY : framesAt(limit) - framesAt(timestamp);
    if (good <= 0) this.#stale++;
    else
      this.#output.write(
        timestamp,
        good < samples[0]!.length ? samples.map((each) => each.slice(0, good)) : samples,
        ticket,
      );
    this.pump();
  }
}

/**
 * Gives each output of a decoder that keeps only timestamps, as WebCodecs does, the ticket of its packet back.
 * One queue serves one decoder object between two resets.
 */
export class TicketQueue {
  readonly #tickets: Ticket[] = [];
  readonly #limit: number;

  /** Holds at most `limit` tickets, by default 256, and drops the oldest. */
  constructor(limit = 256) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#tickets.length;
  }

  /** Notes a packet handed over. */
  push(ticket: Ticket): void {
    this.#tickets.push(ticket);
    if (this.#tickets.length > this.#limit) this.#tickets.shift();
  }

  /** The ticket of the output with this timestamp; packets before it gave none. Undefined when it is unknown. */
  take(timestamp: number): Ticket | undefined {
    const index = this.#tickets.findIndex((ticket) => ticket.timestamp === timestamp);
    return index < 0 ? undefined : this.#tickets.splice(0, index + 1).at(-1);
  }
}
