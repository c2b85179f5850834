import type { Group, Track } from "@kixelated/moq";
import { type Clock, fromMilliseconds, guard, type Microseconds, microseconds } from "../../base/index.js";
import { decodeLegacyFrame, type Frame, RewindConsumer } from "../../container/index.js";
import type { AudioPipeline } from "../audio/audio-pipeline.js";
import { ReceiveLog } from "../report/receive-log.js";

/** Options for {@link TrackFeed}. */
export interface TrackFeedOptions {
  readonly clock: Clock;
  /** Whether nothing is being heard and nothing is missing: at the start of a broadcast or of an utterance. */
  readonly resting: () => boolean;
  /** Media time of the next sample. */
  readonly playhead: () => Microseconds | undefined;
  /** Called after every frame that came, with the time it was for and whether it is the first of its group. */
  readonly onFrame: (timestamp: Microseconds, sequence: number, first: boolean) => void;
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
  /** Frames that were none. */
  readonly malformed: number;
  /** Times the track's numbers began anew. */
  readonly restarts: number;
}

/**
 * How long to wait for a lost packet while newer ones are there. In the middle of an utterance, half the least delay, so
 * that the rest still sounds. At its start nothing sounds yet: time for the packet to be sent again over a path of
 * 100 ms, because a start a little later is worth more than one without its first word.
 */
const GAP = { start: fromMilliseconds(250), middle: fromMilliseconds(40) };

/** The same, by whether nothing is being heard and nothing is missing. */
export function gapOf(resting: boolean): Microseconds {
  return resting ? GAP.start : GAP.middle;
}

/** Streams of one track that are read at once; more are refused and counted as aborted. */
const MAX_OPEN_GROUPS = 1024;

/**
 * Reads audio subscriptions, streams and datagrams alike, one after the other into a pipeline. A new subscription
 * continues the track where the numbers do, and replaces it where they begin anew or the track is another one.
 */
export class TrackFeed {
  readonly #clock: Clock;
  readonly #resting: () => boolean;
  readonly #playhead: () => Microseconds | undefined;
  readonly #onFrame: TrackFeedOptions["onFrame"];
  #consumer: RewindConsumer;
  #received: ReceiveLog;
  #pipeline: AudioPipeline | undefined;
  #name: string | undefined;
  #track: Track.Subscriber | undefined;
  /** Whether the next frame decides if the track is the one known. */
  #undecided = false;
  /** The publisher's run that the track known so far is of. */
  #publisherRun: string | undefined;
  #replaced = false;
  #wakeTimer: ReturnType<typeof setTimeout> | undefined;
  #wakeAt: Microseconds | undefined;
  #openGroups = 0;
  #receivedBytes = 0;
  #receivedFrames = 0;
  #datagrams = 0;
  #abortedGroups = 0;
  #malformed = 0;
  #restarts = 0;

  constructor({ clock, resting, playhead, onFrame }: TrackFeedOptions) {
    this.#clock = clock;
    this.#resting = resting;
    this.#playhead = playhead;
    this.#onFrame = onFrame;
    this.#consumer = this.#newConsumer();
    this.#received = new ReceiveLog({ clock });
  }

  /** The consumer that is fed now. */
  get consumer(): RewindConsumer {
    return this.#consumer;
  }

  /** What has come of the track so far. */
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
      restarts: this.#restarts,
    };
  }

  /** Milliseconds of media that wait in the consumer. */
  get waitingMs(): number {
    const { groups, span } = this.#consumer.buffered;
    return groups === 0 ? 0 : span / 1e3;
  }

  /** Names the pipeline that takes what is fed; it has to have been made with this feed's {@link consumer}. */
  connect(pipeline: AudioPipeline): void {
    this.#pipeline = pipeline;
  }

  /** Names the publisher's run of the subscriptions to come, where its catalog does; another run is another timeline. */
  follow(publisherRun: string | undefined): void {
    this.#replaced ||= this.#publisherRun !== undefined && this.#publisherRun !== publisherRun;
    this.#publisherRun = publisherRun;
  }

  /** Reads a subscription until it ends; the one before is closed. Rejects when the track ends with an error. */
  async run(track: Track.Subscriber): Promise<void> {
    this.#track?.close();
    this.#track = track;
    const isOther = this.#replaced || this.#name !== track.name;
    this.#replaced = false;
    if (this.#name !== undefined && isOther) this.#restart();
    else this.#undecided = this.#name !== undefined;
    this.#name = track.name;
    await Promise.all([this.#readGroups(track), this.#readDatagrams(track)]);
  }

  /** Moves what can move, and looks again when the consumer wants it. */
  pump(): void {
    this.#pipeline?.pump();
    const wake = this.#consumer.nextWake();
    if (wake === this.#wakeAt) return;
    clearTimeout(this.#wakeTimer);
    this.#wakeAt = wake;
    if (wake === undefined) return;
    const milliseconds = Math.max(0, Math.ceil((wake - this.#clock()) / 1e3));
    const wakeUp = guard("watch.feed", () => {
      this.#wakeAt = undefined;
      this.pump();
    });
    this.#wakeTimer = setTimeout(wakeUp, milliseconds);
  }

  /** Ends the subscription; idempotent. */
  close(): void {
    clearTimeout(this.#wakeTimer);
    this.#track?.close();
    this.#track = undefined;
    this.#pipeline = undefined;
  }

  async #readGroups(track: Track.Subscriber): Promise<void> {
    for (let group = await track.recvGroup(); group; group = await track.recvGroup()) {
      if (this.#openGroups < MAX_OPEN_GROUPS) void this.#readGroup(track, group);
      else {
        this.#abortedGroups++;
        group.close();
      }
    }
  }

  async #readGroup(track: Track.Subscriber, group: Group.Consumer): Promise<void> {
    const { sequence } = group;
    this.#openGroups++;
    let aborted = false;
    try {
      for (let frame = await group.readFrame(); frame; frame = await group.readFrame())
        this.#receive(track, sequence, frame.payload);
    } catch {
      aborted = true;
      this.#abortedGroups++;
    } finally {
      this.#openGroups--;
    }
    if (this.#track === track) this.#end(sequence, aborted);
  }

  async #readDatagrams(track: Track.Subscriber): Promise<void> {
    for (let each = await track.recvDatagram(); each; each = await track.recvDatagram()) {
      this.#datagrams++;
      this.#receive(track, each.sequence, each.payload);
      if (this.#track === track) this.#end(each.sequence, false);
    }
  }

  #receive(track: Track.Subscriber, sequence: number, payload: Uint8Array): void {
    if (this.#track !== track) return;
    this.#receivedFrames++;
    this.#receivedBytes += payload.byteLength;
    let frame: Frame;
    try {
      frame = decodeLegacyFrame(payload, { keyframe: true });
    } catch {
      this.#malformed++;
      return;
    }
    if (this.#undecided && !this.#continues(sequence, frame)) this.#restart();
    this.#undecided = false;
    const first = this.#received.received(sequence, frame.timestamp);
    this.#consumer.receive(sequence, frame);
    this.pump();
    this.#onFrame(frame.timestamp, sequence, first);
  }

  #continues(sequence: number, { timestamp }: Frame): boolean {
    const sameRun = this.#publisherRun !== undefined;
    return this.#received.continues(sequence, timestamp, { playhead: this.#playhead(), sameRun });
  }

  #end(sequence: number, aborted: boolean): void {
    this.#received.finished(sequence);
    if (aborted) this.#consumer.abort(sequence);
    else this.#consumer.finish(sequence);
    this.pump();
  }

  #restart(): void {
    this.#restarts++;
    this.#undecided = false;
    this.#consumer = this.#newConsumer();
    this.#received = new ReceiveLog({ clock: this.#clock });
    this.#pipeline?.follow(this.#consumer);
  }

  #newConsumer(): RewindConsumer {
    return new RewindConsumer({
      clock: this.#clock,
      gap: () => gapOf(this.#resting()),
      maxSpanUs: microseconds(30_000_000),
    });
  }
}
