import { background, fromMilliseconds, guard, type Microseconds, microseconds } from "../../base/index.js";
import { CongestionController, type SkipCounters, SkipPolicy, TokenBucket } from "../../flow/congestion/index.js";
import type { ListenerState, StampedReport } from "../../flow/report/index.js";
import type { CachedGroup } from "../broadcast/cached-group.js";
import { hasTimestamps } from "../wire/version.js";
import { CopySource } from "./copy-source.js";
import { DatagramSender } from "./datagram-sender.js";
import { ExpectedPlayhead } from "./expected-playhead.js";
import { LookaheadPacer } from "./lookahead-pacer.js";
import { RenditionSwitch } from "./rendition-switch.js";
import { StreamSender } from "./stream-sender.js";
import type { LowFollower } from "./watched-track.js";
import type { DeliveryMode, WatcherDelivery, WatcherOptions } from "./watcher-options.js";
import { type Waiting, WatcherQueue } from "./watcher-queue.js";

/** Datagrams have no backpressure: limits for one watcher, back to back and per second in the long run. */
const DATAGRAM_PACE = { burst: 24, perSecond: 800 };
/** Delay before the signal of a rewind is repeated: its datagram and its stream may share a lost packet. */
const URGENT_AGAIN_MS = 10;

/** Groups before the first arrival that a track may begin with: a reply sent 30 s ahead, and some more. */
const MAX_REORDERED_START = 2048;
/**
 * How long live media waits for a full path. A player goes back for late audio, so its playhead alone would let the
 * queue and the delay grow as long as more arrives than the path carries. A player waits for a second, and half a
 * second is its largest jitter buffer.
 */
const LIVE_WAIT: Microseconds = fromMilliseconds(1500);

interface WaitingGroup extends Waiting {
  readonly record: CachedGroup;
}

/** One subscription of one session: queues the track's groups and sends them as its state allows. */
export class Watcher implements LowFollower {
  /** Resolves with the sequence of its first group. */
  readonly started: Promise<number>;
  readonly #options: WatcherOptions;
  readonly #queue: WatcherQueue<WaitingGroup>;
  readonly #control: CongestionController;
  readonly #skips: SkipPolicy;
  readonly #renditions: RenditionSwitch;
  readonly #copies: CopySource;
  readonly #datagrams: DatagramSender;
  readonly #bucket = new TokenBucket(DATAGRAM_PACE);
  readonly #outgoing: StreamSender;
  readonly #lookahead = new LookaheadPacer();
  readonly #expected = new ExpectedPlayhead(() => !this.#options.track.live);
  #delivery: WatcherDelivery;
  /** Its first group; undefined until one came. */
  #floor: number | undefined;
  #start!: (sequence: number) => void;
  #reordered = 0;
  #pumpTimer: NodeJS.Timeout | undefined;
  #skipped = false;
  #closed = false;

  constructor(options: WatcherOptions) {
    this.#options = options;
    this.#delivery = options.delivery;
    this.started = new Promise((resolve) => {
      this.#start = resolve;
    });
    const { clock, session, version, subscribe, track, limits, windowMs, counters, pending, queued } = options;
    this.#control = new CongestionController({ spanMs: windowMs });
    this.#skips = new SkipPolicy({ maxAge: limits.queueAge });
    this.#queue = new WatcherQueue({
      maxGroups: limits.queueGroups,
      maxBytes: limits.queueBytes,
      session: queued,
      maxAge: limits.queueAge,
      maxBusyStreams: limits.pendingStreams,
    });
    this.#renditions = new RenditionSwitch({ track, clock, counters });
    this.#copies = new CopySource({ track, anyRate: options.repeat === true });
    this.#datagrams = new DatagramSender({
      clock,
      session,
      subscribe,
      counters,
      smoother: options.smoother,
      copies: this.#copies,
      control: this.#control,
    });
    this.#outgoing = new StreamSender({
      session,
      form: hasTimestamps(version) ? "timed" : "plain",
      subscribe,
      counters,
      clock,
      pending,
    });
    background("relay.watcher", this.#pumpWhenFreed());
  }

  /** Current mode of delivery. */
  get mode(): DeliveryMode {
    const { session, version } = this.#options;
    if (!hasTimestamps(version) || session.datagrams === undefined) return "stream";
    if (this.#listener === undefined) return "mirror";
    // Over TCP a datagram is no faster, and is dropped when the connection backs up.
    return session.backend === "quic" ? "native" : "stream";
  }

  /** Bytes that wait. */
  get queuedBytes(): number {
    return this.#queue.bytes;
  }

  /** Groups that wait. */
  get queuedGroups(): number {
    return this.#queue.length;
  }

  /** Groups not sent to it, by reason. */
  get skips(): SkipCounters {
    return this.#skips.counters;
  }

  /** State of the path to it, by its reports. */
  get control(): CongestionController {
    return this.#control;
  }

  /** Maximum bytes in flight while it reports, for the next group: full ones may still wait before the lower ones. */
  get windowBytes(): number {
    return this.#control.windowBytes(this.#renditions.bitrateOf(this.#queue.next?.sequence));
  }

  /** Changes its request. */
  update(delivery: WatcherDelivery): void {
    this.#delivery = delivery;
  }

  /** The track has only begun, and any group of a burst may arrive first: it gets the earlier ones, too. */
  startAnywhere(): void {
    this.#reordered = MAX_REORDERED_START;
  }

  /** Takes a group that has a frame now, the way the publisher sent it. */
  offer(record: CachedGroup, via: "stream" | "datagram"): void {
    if (this.#closed || this.#isBeyondEnd(record.sequence)) return;
    if (this.#floor === undefined) {
      // A publisher may number its groups by time, so that the one before has a far lower number.
      this.#floor = this.#reordered > 0 ? 0 : record.sequence;
      this.#start(Math.max(0, record.sequence - this.#reordered));
    }
    if (record.sequence < this.#floor) return;
    const records = this.#renditions.takeFull(record);
    if (records.length !== 1 || records[0] !== record) this.#catchUp(records);
    else if (via === "datagram" && this.mode === "mirror") this.#datagrams.send(record, this.#repeats);
    else this.#enqueue(record);
  }

  takeLow(record: CachedGroup): void {
    if (!this.#isBeyondEnd(record.sequence) && this.#renditions.takesLow(record)) this.#enqueue(record);
  }

  lowEnded(): void {
    this.#catchUp(this.#renditions.toFull());
  }

  /** Handles a group that has more frames, or has ended. */
  progress(record: CachedGroup): void {
    if (this.#outgoing.progress(record.sequence)) {
      this.#sendNews(record);
      return;
    }
    // It went as a datagram because one frame seemed to be all; now it has to go completely.
    if (record === this.#datagrams.newest && record.frames.length > 1) this.#sendStream(record, false);
  }

  /** Drops and resets all stale groups. */
  discard(isStale: (record: CachedGroup) => boolean): void {
    this.#queue.discard(({ record }) => isStale(record));
    for (const sequence of this.#outgoing.discard(isStale)) this.#control.writeOff(sequence);
    const sequence = this.#datagrams.discard(isStale);
    if (sequence !== undefined) this.#control.writeOff(sequence);
  }

  /** Resets a group that the publisher gave up. */
  abort(record: CachedGroup, code: number): void {
    this.#queue.discard((waiting) => waiting.record === record);
    this.#outgoing.abort(record, code);
  }

  /** Handles a new report of its session: received groups leave room for more. */
  reported(): void {
    const listener = this.#listener;
    const received = listener?.receivedGroup;
    if (listener?.latest && this.#options.track.singleFrames) this.#acknowledge(listener, listener.latest);
    if (received !== undefined) this.#outgoing.received(received);
    this.pump();
  }

  /** Sends the groups that may go now. */
  pump(): void {
    this.#sendAll();
    this.#countDropped();
  }

  #sendAll(): void {
    // Groups held up by another watcher of the session go with the next sweep.
    while (this.#queue.length > 0 && !this.#closed && !this.#options.pending.exceeded) {
      const now = this.#options.clock();
      const listener = this.#listener;
      const playhead = this.#expected.at(now, listener?.playheadAt(now));
      const waitsFrom = this.#lookahead.waitsFrom({ now, playhead });
      const paced = listener !== undefined && this.mode === "native" && this.#bucket.nextAt(now) > now;
      const next = this.#queue.take({
        now,
        playhead: this.#expected.passed(playhead, listener?.receivedUntil(now)),
        until: paced ? microseconds(-1) : waitsFrom,
        inFlightBytes: listener ? this.#control.inFlight(now) : 0,
        windowBytes: listener ? (this.#control.holds(now) ? -1 : this.windowBytes) : undefined,
        maxWait: this.#options.track.live ? LIVE_WAIT : undefined,
        busyStreams: this.#outgoing.busy,
      });
      if (next === undefined) {
        if (this.#control.holds(now)) this.#pumpAt(this.#control.probeAt, now);
        else if (paced) this.#pumpAt(this.#bucket.nextAt(now), now);
        else if (waitsFrom !== undefined) this.#pumpAt(this.#lookahead.nextAt, now);
        return;
      }
      this.#lookahead.take(next.timestamp, { now, playhead, lossy: this.#control.lossy });
      this.#send(next, now);
    }
  }

  /** Checks waiting groups; called several times a second. */
  sweep(): void {
    this.#queue.measure(({ record }) => record.cost);
    this.pump();
    const { clock, limits, log } = this.#options;
    const now = clock();
    const skips = this.#skipped ? this.#skips.takeLog(now) : undefined;
    if (skips) {
      this.#skipped = false;
      log.info({ ...skips }, "Groups were skipped for a watcher.");
    }
    this.#outgoing.sweep(now, limits.queueAge);
  }

  /** Ends it; groups in flight may still arrive unless a code resets them. */
  close(code?: number): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#pumpTimer);
    this.#renditions.close();
    this.#copies.leave();
    this.#queue.clear();
    this.#outgoing.clear(code);
    this.#datagrams.close();
  }

  get #listener(): ListenerState | undefined {
    return this.#options.listeners.listener(this.#options.sessionId);
  }

  get #repeats(): boolean {
    const { repeat } = this.#options;
    return repeat === "auto" ? this.#control.repeats : repeat;
  }

  #isBeyondEnd(sequence: number): boolean {
    const { endGroup } = this.#delivery;
    return endGroup !== undefined && sequence > endGroup;
  }

  #acknowledge(listener: ListenerState, { report, arrival, staleness }: StampedReport): void {
    this.#control.acknowledged({
      session: report.session,
      receivedGroup: listener.receivedGroup,
      receivedBytes: listener.receivedBytes,
      at: microseconds(arrival - staleness),
      staleness,
    });
    if (this.#control.level === "low") this.#renditions.toLow(this);
    else this.#catchUp(this.#renditions.toFull());
    const { repeat } = this.#options;
    if (!this.#closed && (repeat === true || (repeat === "auto" && this.#control.lossy))) this.#copies.follow();
    else this.#copies.leave();
  }

  /** Takes groups of the full rendition that the lower one lacks. */
  #catchUp(records: readonly CachedGroup[]): void {
    for (const record of records) if (!this.#isBeyondEnd(record.sequence)) this.#enqueue(record);
  }

  #countDropped(): void {
    for (const { reason } of this.#queue.takeDropped()) {
      this.#options.counters.dropped[reason]++;
      this.#skips.count(reason);
      this.#skipped = true;
    }
  }

  async #pumpWhenFreed(): Promise<void> {
    const pump = guard("relay.pump", () => this.pump());
    while (!this.#closed) {
      await this.#outgoing.freed;
      pump();
    }
  }

  #enqueue(record: CachedGroup): void {
    const now = this.#options.clock();
    this.#expected.arrived(record, { now, playhead: this.#listener?.playheadAt(now) });
    this.#queue.push({
      record,
      sequence: record.sequence,
      timestamp: record.timestamp,
      bytes: record.cost,
      since: now,
      urgent: record.urgent,
    });
    this.pump();
  }

  #pumpAt(at: Microseconds, now: Microseconds): void {
    clearTimeout(this.#pumpTimer);
    const pump = guard("relay.pump", () => this.pump());
    this.#pumpTimer = setTimeout(pump, Math.max(1, Math.ceil((at - now) / 1000)));
  }

  #send({ record, urgent }: WaitingGroup, now: Microseconds): void {
    if (record.abortCode !== undefined) return;
    const { track } = this.#options;
    // Reports name the newest group of audio, one frame each; longer groups would never be acknowledged.
    if (track.singleFrames && this.#listener !== undefined) this.#control.sent(record.sequence, record.bytes, now);
    if (urgent) this.#renditions.wentUrgently(record.sequence);
    if (urgent) this.#sendNews(record);
    else if (this.mode === "native" && track.singleFrames && this.#datagrams.send(record, this.#repeats)) {
      this.#bucket.take(now);
      return;
    }
    this.#sendStream(record, urgent);
  }

  /**
   * A rewind's first group also goes as a datagram, twice, once it is known to be complete: receivers take it as
   * complete.
   */
  #sendNews(record: CachedGroup): void {
    if (!record.urgent || !record.ended || this.mode !== "native" || record === this.#datagrams.newest) return;
    if (!this.#datagrams.send(record, this.#repeats)) return;
    this.#bucket.take(this.#options.clock());
    this.#datagrams.sendAgain(record, URGENT_AGAIN_MS);
  }

  #sendStream(record: CachedGroup, urgent: boolean): void {
    const { priority, ordered } = this.#delivery;
    this.#outgoing.send(record, { priority, ordered, urgent });
  }
}
