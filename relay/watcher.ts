import { type Clock, fromMilliseconds, fromSeconds, type Microseconds, microseconds } from "../base/index.js";
import {
  Delivery as DeliveryControl,
  type ListenerState,
  Pacer,
  type SkipCounters,
  SkipPolicy,
  type StampedReport,
} from "../flow/index.js";
import type { SendStream, Session } from "../transport/index.js";
import type { Counters } from "./counters.js";
import type { GroupRecord } from "./group.js";
import { type Waiting, WatcherQueue } from "./queue.js";
import { Code } from "./wire/code.js";
import type { FrameForm } from "./wire/group.js";
import { hasTimestamps, type Version } from "./wire/version.js";

// A stream is remembered this long after it was finished, so that a rewind can still reset what lies unsent in it.
const REMEMBERED: Microseconds = fromSeconds(12);
// More than a second of audio; each one keeps its native stream alive, which costs about 2 KB.
const MAX_REMEMBERED = 64;
const PRIORITY_SPAN = 2 ** 22;
// What is further ahead of the playhead is in no hurry. It goes at twice the speed it plays at, because what waits in a
// narrow link's queue can't be taken back, and the news that takes it back waits behind it.
const COMFORTABLE: Microseconds = fromSeconds(1);
const PACE = 2;
// How much later than its turn a group may go without the next one waiting for it: timers are no finer.
const PACE_SLACK: Microseconds = fromMilliseconds(20);
const LONGEST_GROUP: Microseconds = fromMilliseconds(100);
/** Datagrams have no backpressure: so many go to one watcher back to back, and so many a second in the long run. */
const DATAGRAM_PACE = { burst: 24, perSecond: 800 };
/**
 * Fastest track whose objects are repeated by themselves: what loses shrinks QUIC's window to a few packets a round trip,
 * and twice a faster one would not fit.
 */
const MAX_REPEATED_BPS = 80_000;
/** How long the lower rendition may fall behind before the watcher gets the full one again. */
const LOW_PATIENCE: Microseconds = fromMilliseconds(300);

/** How a watcher gets its groups. */
export type DeliveryMode =
  /** Streams only: its version or carrier has no datagrams. */
  | "stream"
  /** As the publisher sent them: a stock client reads the two as different things. */
  | "mirror"
  /** Whatever is best: it reports, so it is a player of ours, which merges datagrams and streams by sequence. */
  | "native";

/** What a watcher asks of a track. */
export interface Delivery {
  /** 0 to 255, higher goes first among the session's tracks. */
  readonly priority: number;
  /** Older groups first. */
  readonly ordered: boolean;
  /** Last group wanted, or undefined for no end. */
  readonly endGroup: number | undefined;
}

/** Limits of one watcher; see `RelayLimits`. */
export interface WatcherLimits {
  readonly queueGroups: number;
  readonly queueBytes: number;
  readonly queueAge: Microseconds;
  readonly pendingStreams: number;
}

/** What a watcher needs to know of its track. */
export interface WatchedTrack {
  /** Whether its groups have had one frame each so far, at least one of them whole, and come thick and fast. */
  readonly singleFrames: boolean;
  /** Its bits per second; 0 while unknown. */
  readonly bitrateBps: number;
  /** What it holds above a group, in sequence order. */
  after(sequence: number): readonly GroupRecord[];
  /** Follows its lower rendition, where there may be one: whole groups with the same sequences and timestamps. */
  followLow(take: (record: GroupRecord) => void, onEnd: () => void): LowRendition | undefined;
}

/** A lower rendition that a watcher follows. */
export interface LowRendition {
  /** Its bits per second; 0 while unknown. */
  readonly bitrateBps: number;
  /** Ends it; idempotent. */
  leave(): void;
}

/** Options for {@link Watcher}. */
export interface WatcherOptions {
  readonly clock: Clock;
  readonly session: Session;
  readonly version: Version;
  /** Subscribe id of the session. */
  readonly subscribe: number;
  readonly delivery: Delivery;
  readonly track: WatchedTrack;
  readonly limits: WatcherLimits;
  /** Media in flight beyond the round trip, in milliseconds, to a watcher that reports. */
  readonly windowMs: number;
  readonly counters: Counters;
  /** What its session reported of the broadcast; undefined while it never did. */
  readonly listener: () => ListenerState | undefined;
  /** Hands a datagram to the transport, at once or spread over the tick. */
  readonly sendDatagram: (body: Uint8Array) => void;
  /** Repeat every datagram once, one object later; `auto` where the path loses some and is not full. */
  readonly repeat: boolean | "auto";
  /** Told the sequence of the first group it will get. */
  readonly onStart: (sequence: number) => void;
  /** Told what was skipped since the last call, every five seconds at most. */
  readonly onSkips?: (skips: SkipCounters) => void;
}

interface WaitingGroup extends Waiting {
  readonly record: GroupRecord;
}

/** One subscription of one session: queues the track's groups and sends them as its state allows. */
export class Watcher {
  readonly #options: WatcherOptions;
  readonly #form: FrameForm;
  readonly #queue: WatcherQueue<WaitingGroup>;
  readonly #control: DeliveryControl;
  readonly #skips: SkipPolicy;
  readonly #pacer = new Pacer(DATAGRAM_PACE);
  // By sequence, oldest sent first.
  readonly #outgoing = new Map<number, Outgoing>();
  readonly #sending: Sending;
  #delivery: Delivery;
  #busy = 0;
  #serial = 0;
  #floor: number | undefined;
  #lastDatagram: GroupRecord | undefined;
  #lastTimestamp: Microseconds | undefined;
  /** When the next group that is in no hurry may go. */
  #turnAt: Microseconds = microseconds(0);
  #turnTimer: NodeJS.Timeout | undefined;
  #skipped = false;
  /** Newest group that was offered. */
  #newest = -1;
  #low: FollowedLow | undefined;
  #closed = false;

  constructor(options: WatcherOptions) {
    this.#options = options;
    this.#delivery = options.delivery;
    this.#form = hasTimestamps(options.version) ? "timed" : "plain";
    const { limits, counters, windowMs } = options;
    this.#control = new DeliveryControl({ spanMs: windowMs });
    this.#skips = new SkipPolicy({ maxAge: limits.queueAge });
    this.#queue = new WatcherQueue({
      maxGroups: limits.queueGroups,
      maxBytes: limits.queueBytes,
      maxAge: limits.queueAge,
      maxBusyStreams: limits.pendingStreams,
      onDrop: (_, reason) => {
        counters.dropped[reason]++;
        this.#skips.count(reason);
        this.#skipped = true;
      },
    });
    this.#sending = {
      form: this.#form,
      subscribe: options.subscribe,
      counters,
      clock: options.clock,
      onBusy: (change) => {
        this.#busy += change;
        if (change < 0 && this.#queue.length > 0) this.pump();
      },
      onFailed: (outgoing) => {
        const { sequence } = outgoing.record;
        if (this.#outgoing.get(sequence) === outgoing) this.#outgoing.delete(sequence);
      },
    };
  }

  /** How it gets its groups now. */
  get mode(): DeliveryMode {
    const { session, version, listener } = this.#options;
    if (!hasTimestamps(version) || session.datagrams === undefined) return "stream";
    if (listener() === undefined) return "mirror";
    // Over TCP a datagram is no faster, and is shed when the connection backs up.
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

  /** Groups it was not sent, by reason. */
  get skips(): SkipCounters {
    return this.#skips.counters;
  }

  /** What its reports tell of the way to it. */
  get control(): DeliveryControl {
    return this.#control;
  }

  /** Bytes that may be in flight to it while it reports. */
  get windowBytes(): number {
    const low = this.#low?.from === undefined ? undefined : this.#low.rendition;
    return this.#control.windowBytes((low ?? this.#options.track).bitrateBps);
  }

  /** Changes what it asks for. */
  update(delivery: Delivery): void {
    this.#delivery = delivery;
  }

  /** Takes a group that has a frame now, in the way the publisher sent it. */
  offer(record: GroupRecord, via: "stream" | "datagram"): void {
    const { endGroup } = this.#delivery;
    if (this.#closed || (endGroup !== undefined && record.sequence > endGroup)) return;
    if (this.#floor === undefined) {
      this.#floor = record.sequence;
      this.#options.onStart(record.sequence);
    }
    if (record.sequence < this.#floor) return;
    const low = this.#low;
    if (low?.from !== undefined && record.sequence >= low.from && !record.urgent) {
      if (this.#options.clock() - low.at > LOW_PATIENCE) this.#leaveLow();
      return;
    }
    this.#newest = Math.max(this.#newest, record.sequence);
    const mode = this.mode;
    if (mode === "mirror" && via === "datagram") {
      this.#sendDatagram(record);
      return;
    }
    this.#enqueue(record);
  }

  #enqueue(record: GroupRecord): void {
    this.#queue.push({
      record,
      sequence: record.sequence,
      timestamp: record.timestamp,
      bytes: record.bytes,
      since: this.#options.clock(),
      urgent: record.urgent,
    });
    this.pump();
  }

  // The lower rendition takes over with the first of its groups that the watcher was not offered in full yet.
  #offerLow(record: GroupRecord): void {
    const low = this.#low;
    if (this.#closed || low === undefined) return;
    low.at = this.#options.clock();
    low.from ??= this.#newest + 1;
    const { endGroup } = this.#delivery;
    if (record.sequence < low.from || record.sequence === low.urgent) return;
    if (endGroup !== undefined && record.sequence > endGroup) return;
    this.#newest = Math.max(this.#newest, record.sequence);
    this.#options.counters.lowOut++;
    this.#enqueue(record);
  }

  #followLow(): void {
    const { track, clock, counters } = this.#options;
    const onEnd = () => {
      if (this.#low?.rendition === rendition) this.#leaveLow();
    };
    const rendition = track.followLow((record) => this.#offerLow(record), onEnd);
    if (rendition === undefined) return;
    counters.lowSwitches++;
    this.#low = { rendition, from: undefined, urgent: undefined, at: clock() };
  }

  // The full rendition goes on behind the last group of the lower one.
  #leaveLow(): void {
    const low = this.#low;
    if (low === undefined) return;
    this.#low = undefined;
    low.rendition.leave();
    if (low.from === undefined) return;
    for (const record of this.#options.track.after(this.#newest)) {
      this.offer(record, "stream");
      this.progress(record);
    }
  }

  /** Takes note that a group has more frames, or has ended. */
  progress(record: GroupRecord): void {
    const outgoing = this.#outgoing.get(record.sequence);
    if (outgoing) outgoing.progress();
    // It went as a datagram in the belief that one frame is all; now it has to go whole.
    else if (record === this.#lastDatagram && record.frames.length > 1) this.#sendStream(record, false);
  }

  /** Drops and resets all that a rewind took back. */
  takeBack(isStale: (record: GroupRecord) => boolean): void {
    this.#queue.takeBack(({ record }) => isStale(record));
    for (const [sequence, outgoing] of this.#outgoing) {
      if (!isStale(outgoing.record)) continue;
      this.#outgoing.delete(sequence);
      if (outgoing.cancel(Code.STALE_GROUP)) this.#options.counters.staleStreamsReset++;
      this.#control.writeOff(sequence);
    }
    if (this.#lastDatagram && isStale(this.#lastDatagram)) {
      this.#control.writeOff(this.#lastDatagram.sequence);
      this.#lastDatagram = undefined;
    }
  }

  /** Resets a group that the publisher gave up. */
  abort(record: GroupRecord, code: number): void {
    this.#queue.takeBack((waiting) => waiting.record === record);
    const outgoing = this.#outgoing.get(record.sequence);
    // In its place there may be the same group of the lower rendition.
    if (outgoing?.record !== record) return;
    this.#outgoing.delete(record.sequence);
    outgoing.cancel(code);
  }

  /** Takes note of a new report of its session: what was received leaves room for more. */
  reported(): void {
    const listener = this.#options.listener();
    const received = listener?.receivedGroup;
    if (listener?.latest && this.#options.track.singleFrames) this.#acknowledge(listener, listener.latest);
    if (received !== undefined) {
      for (const [sequence, outgoing] of this.#outgoing)
        if (sequence <= received && outgoing.record.ended && !outgoing.busy) this.#outgoing.delete(sequence);
    }
    this.pump();
  }

  #acknowledge(listener: ListenerState, { report, arrival, staleness }: StampedReport): void {
    this.#control.acknowledged({
      session: report.session,
      receivedGroup: listener.receivedGroup,
      receivedBytes: listener.receivedBytes,
      at: microseconds(arrival - staleness),
      staleness,
    });
    const wantsLow = this.#control.level === "low";
    if (wantsLow && this.#low === undefined && !this.#closed) this.#followLow();
    else if (!wantsLow) this.#leaveLow();
  }

  /** Sends what may go now. */
  pump(): void {
    while (this.#queue.length > 0 && !this.#closed) {
      const now = this.#options.clock();
      const listener = this.#options.listener();
      const playhead = listener?.playheadAt(now);
      const hasTurn = playhead === undefined || now >= this.#turnAt;
      const paced = listener !== undefined && this.mode === "native" && this.#pacer.nextAt(now) > now;
      const next = this.#queue.take({
        now,
        playhead,
        until: paced ? microseconds(-1) : hasTurn ? undefined : microseconds(playhead + COMFORTABLE),
        inFlightBytes: listener ? this.#control.inFlight(now) : 0,
        windowBytes: listener ? this.windowBytes : undefined,
        busyStreams: this.#busy,
      });
      if (next === undefined) {
        if (paced) this.#pumpAt(this.#pacer.nextAt(now), now);
        else if (!hasTurn) this.#pumpAt(this.#turnAt, now);
        return;
      }
      this.#takeTurn(next, now);
      this.#send(next, now);
    }
  }

  /** Looks after what waits, called several times a second. */
  sweep(): void {
    this.pump();
    const { clock, limits, counters, onSkips } = this.#options;
    const now = clock();
    const skips = this.#skipped ? this.#skips.takeLog(now) : undefined;
    if (skips) {
      this.#skipped = false;
      onSkips?.(skips);
    }
    for (const [sequence, outgoing] of this.#outgoing) {
      const age = now - outgoing.since;
      if (outgoing.busy && age > limits.queueAge && outgoing.idleSince(now) > limits.queueAge) {
        this.#outgoing.delete(sequence);
        outgoing.cancel(Code.LAGGED);
        counters.streamsLagged++;
      } else if (age <= REMEMBERED) break;
      else if (!outgoing.busy && outgoing.record.ended) this.#outgoing.delete(sequence);
    }
  }

  /** Lets go of everything; groups already on their way may still arrive unless a code resets them. */
  close(code?: number): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#turnTimer);
    this.#low?.rendition.leave();
    this.#low = undefined;
    this.#queue.clear();
    if (code !== undefined) for (const outgoing of this.#outgoing.values()) outgoing.cancel(code);
    this.#outgoing.clear();
    this.#lastDatagram = undefined;
  }

  #takeTurn({ timestamp }: WaitingGroup, now: Microseconds): void {
    if (timestamp === undefined) return;
    const duration = Math.min(Math.max(timestamp - (this.#lastTimestamp ?? timestamp), 0), LONGEST_GROUP);
    this.#lastTimestamp = timestamp;
    this.#turnAt = microseconds(Math.max(this.#turnAt, now - PACE_SLACK) + duration / PACE);
  }

  #pumpAt(at: Microseconds, now: Microseconds): void {
    this.#turnTimer ??= setTimeout(
      () => {
        this.#turnTimer = undefined;
        this.pump();
      },
      Math.ceil((at - now) / 1000),
    );
  }

  #send({ record, urgent }: WaitingGroup, now: Microseconds): void {
    if (record.abortCode !== undefined) return;
    const native = this.mode === "native";
    const { track, listener } = this.#options;
    // Reports tell the newest group of sound, one frame each; of longer groups nothing would ever be acknowledged.
    if (track.singleFrames && listener() !== undefined) this.#control.sent(record.sequence, record.bytes, now);
    if (urgent && this.#low) this.#low.urgent = record.sequence;
    if (native && (urgent || track.singleFrames) && this.#sendDatagram(record)) {
      this.#pacer.take(now);
      if (!urgent) return;
    }
    this.#sendStream(record, urgent);
  }

  #sendDatagram(record: GroupRecord): boolean {
    const { session, subscribe, counters, sendDatagram } = this.#options;
    const body = record.datagram(subscribe, session.datagrams?.maxSize ?? 0);
    if (body === undefined) return false;
    sendDatagram(body);
    counters.datagramsOut++;
    counters.objectsOut++;
    counters.bytesOut += body.length;
    const previous = this.#lastDatagram;
    if (previous !== undefined && previous !== record && this.#repeats) {
      const again = previous.datagram(subscribe, session.datagrams?.maxSize ?? 0);
      if (again !== undefined) {
        sendDatagram(again);
        counters.datagramsOut++;
        counters.repeatsOut++;
        counters.bytesOut += again.length;
      }
    }
    this.#lastDatagram = record;
    return true;
  }

  get #repeats(): boolean {
    const { repeat, track } = this.#options;
    return repeat === "auto" ? this.#control.repeats && track.bitrateBps <= MAX_REPEATED_BPS : repeat;
  }

  #sendStream(record: GroupRecord, urgent: boolean): void {
    const { session, clock } = this.#options;
    const { priority, ordered } = this.#delivery;
    const position = this.#serial++ % (PRIORITY_SPAN - 1);
    const rank = urgent ? PRIORITY_SPAN - 1 : ordered ? PRIORITY_SPAN - 2 - position : position;
    const outgoing = new Outgoing(record, clock(), this.#sending);
    this.#outgoing.set(record.sequence, outgoing);
    if (this.#outgoing.size > MAX_REMEMBERED) this.#forgetOldest();
    outgoing.open(session, priority * PRIORITY_SPAN + rank);
  }

  #forgetOldest(): void {
    for (const [sequence, outgoing] of this.#outgoing) {
      if (outgoing.busy || !outgoing.record.ended) continue;
      this.#outgoing.delete(sequence);
      return;
    }
  }
}

interface FollowedLow {
  readonly rendition: LowRendition;
  /** First group that comes from it; undefined until it has sent one. */
  from: number | undefined;
  /** A group that went in full because it starts an epoch. */
  urgent: number | undefined;
  /** When it was heard of last. */
  at: Microseconds;
}

/** What all groups on their way to one watcher share. */
interface Sending {
  readonly form: FrameForm;
  readonly subscribe: number;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly onBusy: (change: 1 | -1) => void;
  readonly onFailed: (outgoing: Outgoing) => void;
}

/** One group on its way to one watcher on a stream: one native write for whatever has come since the last one. */
class Outgoing {
  readonly record: GroupRecord;
  /** When it was started. */
  readonly since: Microseconds;
  readonly #sending: Sending;
  #stream: SendStream | undefined;
  #sentFrames = 0;
  #busy = false;
  #busySince: Microseconds;
  #finished = false;
  #cancelCode: number | undefined;

  constructor(record: GroupRecord, since: Microseconds, sending: Sending) {
    this.record = record;
    this.since = since;
    this.#sending = sending;
    this.#busySince = since;
  }

  /** Whether it waits for the transport. */
  get busy(): boolean {
    return this.#busy;
  }

  /** How long it has waited for the transport. */
  idleSince(now: Microseconds): number {
    return this.#busy ? now - this.#busySince : 0;
  }

  /** Opens the stream and sends what there is. */
  open(session: Session, priority: number): void {
    this.#setBusy(true);
    session.openUnidirectional({ priority }).then(
      (stream) => {
        if (this.#cancelCode !== undefined) {
          stream.reset(this.#cancelCode);
          this.#setBusy(false);
          return;
        }
        this.#stream = stream;
        this.#setBusy(false);
        this.progress();
      },
      () => this.#fail(),
    );
  }

  /** Sends what has come since the last write; waits while that one is under way. */
  progress(): void {
    const stream = this.#stream;
    if (stream === undefined || this.#busy || this.#finished || this.#cancelCode !== undefined) return;
    const { record } = this;
    const { form, subscribe, counters } = this.#sending;
    const count = record.frames.length;
    if (count > this.#sentFrames) {
      const bytes = this.#sentFrames === 0 ? record.opening(form, subscribe) : record.following(form, this.#sentFrames);
      counters.objectsOut += count - this.#sentFrames;
      counters.bytesOut += bytes.length;
      this.#sentFrames = count;
      this.#setBusy(true);
      stream.write(bytes).then(
        () => {
          this.#setBusy(false);
          this.progress();
        },
        () => this.#fail(),
      );
    }
    if (record.ended && this.#sentFrames >= record.frames.length) {
      this.#finished = true;
      void stream.finish();
    }
  }

  /** Resets the stream, also after its end; false when it had failed or was cancelled before. */
  cancel(code: number): boolean {
    if (this.#cancelCode !== undefined) return false;
    this.#cancelCode = code;
    this.#stream?.reset(code);
    return true;
  }

  #setBusy(busy: boolean): void {
    if (this.#busy === busy) return;
    this.#busy = busy;
    if (busy) this.#busySince = this.#sending.clock();
    this.#sending.onBusy(busy ? 1 : -1);
  }

  #fail(): void {
    if (this.#cancelCode === undefined) this.#sending.counters.streamsFailed++;
    this.#cancelCode ??= Code.CANCEL;
    this.#sending.onFailed(this);
    this.#setBusy(false);
  }
}
