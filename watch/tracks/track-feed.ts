import { type Clock, fromMilliseconds, type Microseconds, microseconds } from "../../base/index.js";
import { type Catalog, decodeLegacyFrame, type Frame, RewindConsumer } from "../../container/index.js";
import type { TrackEvent } from "../../transport/moq.js";
import { ReceiveLog } from "../report/receive-log.js";

/** The part of the output that a feed looks at. */
export interface FedOutput {
  /** Whether nothing is audible and nothing is missing: at the start of a broadcast or of an utterance. */
  readonly resting: boolean;
  /** The jitter delay, in milliseconds. */
  readonly targetMs: number;
  /** Media time of the next sample. */
  readonly playhead: Microseconds | undefined;
}

/** A frame that a feed has received. */
export interface Arrival {
  readonly sequence: number;
  readonly timestamp: Microseconds;
  /** Whether it is the first of its group. */
  readonly first: boolean;
  /** Whether it is the first of its group once more. */
  readonly copy: boolean;
  /** Whether it restarted the track, in a new {@link TrackFeed.consumer}. */
  readonly restarted: boolean;
}

/** Running totals of a {@link TrackFeed}. */
export interface FeedCounters {
  /** Bytes of media received, repeats included. */
  readonly receivedBytes: number;
  /** Frames received, repeats included. */
  readonly receivedFrames: number;
  /** Of those, the ones that came as datagrams. */
  readonly datagrams: number;
  /** Groups that were reset before their end. */
  readonly abortedGroups: number;
  /** Invalid frames. */
  readonly malformed: number;
}

/**
 * How long to wait for a lost packet once newer ones are there. In the middle of an utterance, half the least delay, so
 * that the rest still sounds. At its start there is no audio yet: time to retransmit the packet over a path of 100 ms,
 * because a slightly later start is worth more than one without its first word.
 */
const GAP = { start: fromMilliseconds(250), middle: fromMilliseconds(40) };

/** The same for an output. Where packets may take longer than that, as its delay shows, an utterance waits as long. */
export function gapOf({ resting, targetMs }: Pick<FedOutput, "resting" | "targetMs">): Microseconds {
  return resting ? microseconds(Math.max(GAP.start, fromMilliseconds(targetMs))) : GAP.middle;
}

/**
 * Feeds audio subscriptions, one after the other, to a consumer. A new subscription continues the track where the
 * numbers do, and replaces it where they restart or the track is another one.
 */
export class TrackFeed {
  readonly #clock: Clock;
  readonly #output: FedOutput;
  #consumer: RewindConsumer;
  #received: ReceiveLog;
  #name: string | undefined;
  /** Whether the next frame decides if this is the known track. */
  #undecided = false;
  /** The publisher's run that the known track belongs to. */
  #publisherRun: string | undefined;
  #replaced = false;
  #hasEpochs = true;
  /** Whether the track restarted since the last arrival. */
  #restarted = false;
  #receivedBytes = 0;
  #receivedFrames = 0;
  #datagrams = 0;
  #abortedGroups = 0;
  #malformed = 0;

  constructor({ clock, output }: { readonly clock: Clock; readonly output: FedOutput }) {
    this.#clock = clock;
    this.#output = output;
    this.#consumer = this.#newConsumer();
    this.#received = new ReceiveLog({ clock });
  }

  /** The current consumer. */
  get consumer(): RewindConsumer {
    return this.#consumer;
  }

  /** Groups received of the track so far. */
  get received(): ReceiveLog {
    return this.#received;
  }

  get counters(): FeedCounters {
    return {
      receivedBytes: this.#receivedBytes,
      receivedFrames: this.#receivedFrames,
      datagrams: this.#datagrams,
      abortedGroups: this.#abortedGroups,
      malformed: this.#malformed,
    };
  }

  /** Milliseconds of media waiting in the consumer. */
  get waitingMs(): number {
    const { groups, span } = this.#consumer.buffered;
    return groups === 0 ? 0 : span / 1e3;
  }

  /**
   * Sets the publisher of the next subscriptions, by our section of its catalog: another run is another timeline, and
   * without the section the publisher is not ours and its group numbers have no epochs.
   */
  follow(unsay: Catalog["unsay"]): void {
    const publisherRun = unsay?.run;
    this.#replaced ||= this.#publisherRun !== undefined && this.#publisherRun !== publisherRun;
    this.#publisherRun = publisherRun;
    this.#hasEpochs = unsay !== undefined;
  }

  /** A subscription to the track of that name begins. */
  begin(name: string): void {
    const isOther = this.#replaced || this.#name !== name;
    this.#replaced = false;
    if (this.#name !== undefined && isOther) this.#restart();
    else this.#undecided = this.#name !== undefined;
    this.#name = name;
  }

  /** Takes a frame. Returns undefined when it is malformed. */
  receive({ sequence, index, payload, via }: Extract<TrackEvent, { kind: "frame" }>): Arrival | undefined {
    if (via === "datagram") this.#datagrams++;
    this.#receivedFrames++;
    this.#receivedBytes += payload.byteLength;
    let frame: Frame;
    try {
      frame = decodeLegacyFrame(payload, { keyframe: true });
    } catch {
      this.#malformed++;
      return undefined;
    }
    if (this.#undecided && !this.#continues(sequence, frame)) this.#restart();
    this.#undecided = false;
    const { timestamp } = frame;
    const first = this.#received.received(sequence, timestamp);
    this.#consumer.receive(sequence, frame);
    const copy = index === 0 && !first;
    const arrival = { sequence, timestamp, first, copy, restarted: this.#restarted };
    this.#restarted = false;
    return arrival;
  }

  /** Takes the end of a group. */
  end({ sequence, whole }: Extract<TrackEvent, { kind: "end" }>): void {
    this.#received.finished(sequence);
    if (whole) this.#consumer.finish(sequence);
    else {
      this.#abortedGroups++;
      this.#consumer.abort(sequence);
    }
  }

  #continues(sequence: number, { timestamp }: Frame): boolean {
    const sameRun = this.#publisherRun !== undefined;
    return this.#received.continues(sequence, timestamp, { playhead: this.#output.playhead, sameRun });
  }

  #restart(): void {
    this.#undecided = false;
    this.#restarted = true;
    this.#consumer = this.#newConsumer();
    this.#received = new ReceiveLog({ clock: this.#clock });
  }

  #newConsumer(): RewindConsumer {
    return new RewindConsumer({
      clock: this.#clock,
      gap: () => gapOf(this.#output),
      maxSpanUs: microseconds(30_000_000),
      hasEpochs: () => this.#hasEpochs,
    });
  }
}
