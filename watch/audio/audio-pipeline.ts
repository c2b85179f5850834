import { type Microseconds, microseconds } from "../../base/index.js";
import { type Delivery, epochStart, type RewindConsumer } from "../../container/index.js";
import { Refusals } from "../decoders/refusals.js";
import { Generations } from "./generations.js";
import type { Playout, PlayoutRewind } from "./playout.js";
import { framesAt, timestampAt } from "./samples.js";

/** The next frame of a consumer; `afterGap`: an earlier one may still come. */
type Coming = NonNullable<ReturnType<RewindConsumer["peek"]>>;

/** The part of a `RewindConsumer` that a pipeline needs. */
export interface DeliverySource {
  read(): Delivery | undefined;
  readonly discontinuity: number;
  readonly from: Microseconds | undefined;
  /** The next frame, also while {@link read} withholds it. */
  peek?(): Coming | undefined;
  /** Whether more may still come of the group that was read last. */
  readonly unfinished?: boolean;
  /** Whether playback should wait, because more may follow about a rewind. */
  readonly holding?: boolean;
}

/** Travels with a packet through the decoder, to identify its output. */
export interface Ticket {
  readonly timestamp: Microseconds;
  readonly sequence: number;
  readonly epoch: number;
  /** The rewind, counted from 1, that started its timeline, as known when the packet entered the decoder. */
  readonly generation: number;
}

/** Receives a decoder's outputs, each with the ticket of its packet. */
export interface DecoderEvents<Output> {
  output(output: Output, ticket: Ticket): void;
  error(error: unknown): void;
}

/**
 * A decoder for the pipelines. Outputs come in the order of their packets, at once or later. An output from before a
 * `reset()` may still come after it, if it carries its old ticket. A decoder that loses count of its outputs on reset
 * has to be replaced on reset.
 */
export interface Decoder {
  /** Takes a packet. */
  decode(payload: Uint8Array, ticket: Ticket, keyframe: boolean): void;
  /** Forgets all state; the next packet starts afresh. */
  reset(): void;
  /** Packets whose output is still to come. */
  readonly pending: number;
  /** Frees the decoder; idempotent. */
  close(): void;
}

/** A decoder of audio; outputs are planar samples at 48 kHz. */
export interface AudioPacketDecoder extends Decoder {
  /** Frames at 48 kHz that a packet will decode to, or undefined where unknown. */
  framesOf(payload: Uint8Array): number | undefined;
  /** Conceals `frames` missing frames before the packet `next`; absent where the codec cannot. */
  readonly conceal?: ((frames: number, next: Uint8Array, ticket: Ticket) => void) | undefined;
}

/** Creates a decoder that delivers to `events`. */
export type OpenDecoder<Output, D extends Decoder = Decoder> = (events: DecoderEvents<Output>) => D;

/** The part of a {@link Playout}, perhaps in another thread, that an audio pipeline needs. */
export type AudioOutput = Pick<Playout, "arrive" | "write" | "playhead"> &
  Partial<Pick<Playout, "hold" | "due" | "patient" | "canWait">> & { rewind(rewind: PlayoutRewind): void };

/** Counters of a pipeline. */
export interface PipelineCounters {
  /** Packets handed to the decoder. */
  readonly decoded: number;
  /** Gaps that were concealed. */
  readonly concealed: number;
  /** Decoder outputs dropped because a rewind made them stale. */
  readonly stale: number;
  /** Packets so late that they were not decoded. */
  readonly late: number;
  /** Packets the decoder refused. */
  readonly errors: number;
}

/** Options for {@link AudioPipeline}. */
export interface AudioPipelineOptions {
  readonly consumer: DeliverySource;
  readonly openDecoder: OpenDecoder<readonly Float32Array[], AudioPacketDecoder>;
  readonly output: AudioOutput;
  /** How far ahead of the playhead to decode; later packets stay in the consumer. Default 200. */
  readonly horizonMs?: number;
  /** Maximum packets inside the decoder. Default 16. */
  readonly maxPending?: number;
}

/** Rewinds kept for {@link AudioPipeline.takeRewinds}; the oldest is dropped first. */
const MAX_REWINDS = 64;
const NO_REWINDS: readonly PlayoutRewind[] = [];
/** Longest gap that is concealed; a longer one is a pause. */
const MAX_CONCEALED: Microseconds = microseconds(120_000);

/** Packets refused in a row that are no accident: a tenth of a second of audio, usually. */
const MOST_REFUSED = 5;
/** How long before its time a packet is decoded although an earlier one is missing: time to conceal that. */
const LAST_CALL: Microseconds = microseconds(40_000);
/** A packet later than this, with the playhead where the packet put it, is not worth decoding. */
const TOO_LATE: Microseconds = microseconds(1_200_000);

/**
 * Moves packets from the consumer through the decoder to the output, and rewinds through all of them in one step, even
 * while it waits for the playhead or the decoder.
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
  /** Whether the consumer is a new one whose first frame makes older audio stale. */
  #switched = false;
  /** The last packet decoded, for the state of the decoder. */
  #before: Ticket | undefined;
  /** The packet that is furthest ahead, for the horizon. */
  #last: Ticket | undefined;
  /** End of the last packet's audio, in frames; the next packet continues it or leaves a gap. */
  #end: number | undefined;
  /** The first frame received. */
  #opening: Microseconds | undefined;
  #rewinds: PlayoutRewind[] = [];
  #pumping = false;
  #closed = false;
  #decoded = 0;
  #concealed = 0;
  #stale = 0;
  #late = 0;
  #errors = 0;
  readonly #refusals = new Refusals("audio", MOST_REFUSED);

  constructor(options: AudioPipelineOptions) {
    this.#consumer = options.consumer;
    this.#output = options.output;
    this.#horizon = microseconds((options.horizonMs ?? 200) * 1000);
    this.#maxPending = options.maxPending ?? 16;
    this.#discontinuity = options.consumer.discontinuity;
    this.#from = options.consumer.from;
    this.#decoder = options.openDecoder({
      output: (samples, ticket) => this.#receive(samples, ticket),
      error: (error) => {
        this.#errors++;
        this.#refusals.add(error);
        this.#decoder.reset();
      },
    });
  }

  /** Number of rewinds applied. */
  get generation(): number {
    return this.#cuts.generation;
  }

  get counters(): PipelineCounters {
    const decoded = { decoded: this.#decoded, concealed: this.#concealed };
    return { ...decoded, stale: this.#stale, late: this.#late, errors: this.#errors };
  }

  /** Why nothing can be decoded; undefined where something can. */
  get refusal(): Error | undefined {
    return this.#refusals.error;
  }

  /** The rewinds applied since the last call. */
  takeRewinds(): readonly PlayoutRewind[] {
    if (this.#rewinds.length === 0) return NO_REWINDS;
    const rewinds = this.#rewinds;
    this.#rewinds = [];
    return rewinds;
  }

  /**
   * Continues with another consumer, of a track that replaces this one or of a restarted publisher: its first frame
   * makes the remaining audio at or after it stale.
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
   * Advances everything that can advance. Call it after every frame given to the consumer, when the consumer's
   * `nextWake()` has come, and every few milliseconds while playing. Applies a rewind even where nothing else can
   * advance.
   */
  pump(): void {
    // A synchronous decoder's output may lead back here.
    if (this.#pumping || this.#closed) return;
    this.#pumping = true;
    try {
      this.#obey(this.#consumer);
      this.#foresee();
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

  /** Frees the decoder and stops. */
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

  /** A missing packet may come until a later one is due, and so may packets before the very first frame. */
  #mayWait(): boolean {
    const next = this.#consumer.peek?.();
    if (next === undefined) return false;
    if (this.#before === undefined) return this.#mayPrecede(next);
    if (!next.afterGap) return false;
    if (this.#output.patient === true || next.timestamp > (this.#output.due ?? next.timestamp) + LAST_CALL) return true;
    // The rest of an open group is on its way, and would be lost behind the next group.
    const isHole = this.#end !== undefined && framesAt(next.timestamp) > this.#end + 1;
    return isHole && this.#consumer.unfinished === true && this.#output.canWait === true;
  }

  /**
   * Whether a packet may come that precedes the earliest frame so far: until shortly before the first frame received is
   * due, since an earlier one arriving after it shows that the path reorders.
   */
  #mayPrecede({ sequence, epoch, timestamp }: Coming): boolean {
    if (this.#output.due === undefined) this.#output.arrive(timestamp, sequence === epochStart(epoch));
    this.#opening ??= timestamp;
    return this.#opening > (this.#output.due ?? timestamp) + LAST_CALL;
  }

  /** An epoch's first frame cuts older audio before its own turn comes, as when it waits for groups that may be missing. */
  #foresee(): void {
    const next = this.#consumer.peek?.();
    if (next === undefined || this.#before === undefined || this.#switched) return;
    const { sequence, epoch, timestamp } = next;
    const opens = sequence === epochStart(epoch) && sequence > this.#before.sequence + 1;
    // Numbers that merely continue, with a group still missing, leave nothing to cut.
    if (this.#end === undefined || framesAt(timestamp) >= this.#end) return;
    if (opens && this.#cuts.generationOf(timestamp) === this.#before.generation) this.#rewind(timestamp, true);
  }

  #obey({ discontinuity, from }: Pick<Delivery, "discontinuity" | "from">): void {
    if (from === undefined) return;
    const fresh = discontinuity !== this.#discontinuity;
    if (!fresh && from >= (this.#from ?? from)) return;
    this.#discontinuity = discontinuity;
    this.#from = from;
    // No frame of a new consumer was played yet, so its own rewinds have no effect.
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
    // A jump to a later epoch is a rewind even where no stale frame had arrived: the publisher waits for the report.
    const isJump = before !== undefined && epoch > before.epoch && sequence > before.sequence + 1;
    if (isJump && this.#cuts.generationOf(timestamp) === before.generation) this.#rewind(timestamp, true);
    const ticket: Ticket = { timestamp, sequence, epoch, generation: this.#cuts.generationOf(timestamp) };
    // An epoch whose groups are used up continues in the next one.
    const continues = before !== undefined && (before.epoch === epoch || sequence === before.sequence + 1);
    if (before && !(continues && before.generation === ticket.generation)) {
      this.#decoder.reset();
      this.#end = undefined;
    }
    this.#before = ticket;
    this.#last = ticket;
    const start = framesAt(timestamp);
    const hole = this.#end === undefined ? 0 : start - this.#end;
    // Where no group is missing, the publisher left the time out: its encoder continued, and so does the decoder.
    const isLost = before !== undefined && sequence > before.sequence + 1;
    const lead = this.#output.arrive(timestamp, hole > 0 && !isLost);
    if (lead < -TOO_LATE) {
      this.#late++;
      this.#end = undefined;
      return;
    }
    const gap = isLost ? hole : 0;
    try {
      if (gap > 0 && gap <= framesAt(MAX_CONCEALED) && this.#decoder.conceal) {
        this.#decoder.conceal(gap, payload, { ...ticket, timestamp: timestampAt(this.#end ?? start) });
        this.#concealed++;
      }
      this.#decoder.decode(payload, ticket, keyframe);
      this.#decoded++;
      const frames = this.#decoder.framesOf(payload);
      this.#end = frames === undefined ? undefined : start + frames;
    } catch (error) {
      this.#errors++;
      this.#refusals.add(error);
    }
  }

  #receive(samples: readonly Float32Array[], ticket: Ticket): void {
    if (this.#closed) return;
    this.#refusals.clear();
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
 * Returns the ticket of each output of a decoder that keeps only timestamps, like those of WebCodecs. One queue serves
 * one decoder object between two resets.
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

  /** Records a packet. */
  push(ticket: Ticket): void {
    this.#tickets.push(ticket);
    if (this.#tickets.length > this.#limit) this.#tickets.shift();
  }

  /** The ticket of the output with this timestamp; packets before it had no output. Undefined when unknown. */
  take(timestamp: number): Ticket | undefined {
    const index = this.#tickets.findIndex((ticket) => ticket.timestamp === timestamp);
    return index < 0 ? undefined : this.#tickets.splice(0, index + 1).at(-1);
  }
}
