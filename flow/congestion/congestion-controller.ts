import { fromMilliseconds, fromSeconds, type Microseconds, microseconds } from "../../base/index.js";
import { BytesInFlight } from "./bytes-in-flight.js";
import { type CongestionLevel, DelayBasedEstimator } from "./delay-based-estimator.js";
import { ackDelayMs, REPORT_MS, UNKNOWN_BASE_MS, Window } from "./window.js";

/** The part of the newest report that concerns delivery. */
export interface Acknowledgement {
  /** The player's run; a new one resets everything. */
  readonly session: number;
  readonly receivedGroup: number | undefined;
  readonly receivedBytes: number;
  /** Arrival of the report, less its own staleness: this excludes queueing on the way up. */
  readonly at: Microseconds;
  /** The report's staleness: groups sent within it can't be acked yet, however well they arrive. */
  readonly staleness: Microseconds;
}

/** A report without a group this long after it was due shows it missing: players give up after 300 ms. */
const HELD: Microseconds = fromMilliseconds(150);
/** Acks in a row held up by holes: beyond this number, a full queue drops, and the acks count all the same. */
const MAX_HELD = 2;
/**
 * Sends must span this much before their silence counts as a blocked path: the lost end of an utterance does not, nor
 * does a burst of losses on a lossy path, since a full queue keeps delivering.
 */
const BLOCKED = { clean: fromMilliseconds(300), lossy: fromMilliseconds(1000) };
/**
 * A group without an ack this long after one was possible was lost or waits in a queue: the timer of a probe. Beyond
 * the delay of the path and of its reports it leaves room for a hiccup at either end.
 */
const SLACK_MS = 50;
/** Probes that follow the first one at every report: together they outlive a burst of losses, even a sparse one. */
const QUICK_PROBES = 4;
/**
 * On a path that loses, this many probes go this often. They are small, so that a burst of losses ends before they fill
 * the carrier's window, which would then wait for its timeouts.
 */
const BURST_PROBES = { count: 20, every: fromMilliseconds(40) };
/**
 * A listener reports 50 ms after its last group, and the next one should have come 20 ms after that: it is 30 ms late by
 * then, less 5 ms of jitter.
 */
const OVERDUE: Microseconds = fromMilliseconds(25);
/** Every probe after those, be they quick ones or a burst's, doubles the time to the next one, up to this multiple. */
const MAX_BACKOFF = 4;
/**
 * How long a hole makes a path a lossy one. The first may be a hiccup of the machine; copies fill the holes that would
 * show further losses, so each further hole counts for much longer.
 */
const LOSSY_FOR = { first: fromSeconds(30), most: fromSeconds(3600), growth: 8 };
/** Queueing delay below which the path itself caused a hole. */
const CALM: Microseconds = fromMilliseconds(50);
/** In the time of a report, what was sent before counts this much less: it covers the last second. */
const FADE = 0.9;
/** What was lost counts as in flight until the player gives it up after 300 ms, and until its next report. */
const GIVEN_UP_MS = 400;
/**
 * The shortest of this many delays counts, at ten reports a second the minimum of 300 ms; more on a lossy path, where
 * the carrier slows down briefly after every loss.
 */
const SAMPLES = { clean: 4, lossy: 6 };
/** How much longer than those samples a delay must last. */
const SUSTAIN: Microseconds = fromMilliseconds(150);

/**
 * Decides how much of one track one receiver gets: its bytes in flight, a window that follows the bit rate and the
 * round trip, a rate that follows its queueing delay, and whether its path loses datagrams. The acks of its reports
 * provide all of it.
 */
export class CongestionController {
  readonly #inFlight = new BytesInFlight();
  readonly #rate = new DelayBasedEstimator({ sustain: SUSTAIN });
  readonly #window: Window;
  #session: number | undefined;
  #ack: number | undefined;
  #bytes = 0;
  /** Bytes received when the ack last rose. */
  #ackBytes = 0;
  #staleness = 0;
  /** Whether bytes arrived without a higher ack. */
  #held = false;
  #heldInRow = 0;
  /** Whether a report without the group behind the ack was made long after that was due. */
  #missing = false;
  /** Whether bytes arrived in the meantime. */
  #overtaken = false;
  /** Newest delays from send to ack, in microseconds. */
  #delays: number[] = [];
  #lossyFor: Microseconds = LOSSY_FOR.first;
  #lossyUntil: Microseconds | undefined;
  #lossy = false;
  /** Bytes sent lately, and bytes of copies among them. */
  #recent = { groups: 0, copies: 0 };
  #reportedAt: Microseconds | undefined;
  /** When bytes were last sent. */
  #sentAt: Microseconds = microseconds(0);
  /** When the first group after the last pause was sent. */
  #resumedAt: Microseconds = microseconds(0);
  /** Whether the newest report brought nothing new. */
  #silent = false;
  /** Probes since the path last delivered. */
  #probes = 0;
  /** Queueing delay as of the newest ack; silence does not raise it. */
  #queueing = 0;

  constructor({ spanMs }: { /** Media in flight beyond the base delay, in milliseconds. */ readonly spanMs: number }) {
    this.#window = new Window({ bitrateBps: 0, spanMs });
  }

  /** Whether to send everything, less, or another rendition. */
  get level(): CongestionLevel {
    return this.#rate.level;
  }

  /** Queueing delay on the way to the receiver, as of its newest ack. */
  get queueing(): Microseconds {
    return this.#rate.queueing;
  }

  /** Whether the path loses datagrams: for a while after a hole, and longer after each further one. */
  get lossy(): boolean {
    return this.#lossy;
  }

  /** Whether to send copies: where a path loses and is not full, since a full one would only fill up further. */
  get repeats(): boolean {
    return this.#lossy && this.#rate.queueing <= this.#rate.threshold;
  }

  /**
   * Whether a path that loses delivers nothing of what should have arrived, by the newest report. A pause ends it: what
   * was lost before says nothing about the path after it.
   */
  silent(now: Microseconds): boolean {
    return this.#isOverdue && !this.#isPause(now);
  }

  /** Whether nothing may go now: what a burst of losses takes still counts against the carrier's window. */
  holds(now: Microseconds): boolean {
    return this.silent(now) && !this.#isProbeDue(now);
  }

  /** When `holds` ends, unless a report ends it before. */
  get probeAt(): Microseconds {
    return microseconds(this.#sentAt + this.#probeAfter);
  }

  /** Bytes that may be in flight at a bit rate. */
  windowBytes(bitrateBps: number): number {
    this.#window.bitrateBps = bitrateBps;
    this.#window.baseDelayMs = this.#ackDelayMs + (this.#lossy ? GIVEN_UP_MS : 0);
    this.#window.factor = this.#rate.factor;
    return this.#window.bytes;
  }

  /** Records bytes handed to the transport. */
  sent(group: number, bytes: number, at: Microseconds): void {
    this.#goes(at);
    this.#inFlight.sent(group, bytes, at);
    this.#recent.groups += bytes;
  }

  /** Records bytes of a copy: the receiver counts them beside those of its group. By itself, a copy is a probe. */
  copied(bytes: number, at: Microseconds): void {
    this.#goes(at);
    this.#recent.copies += bytes;
  }

  /** Records that a group became stale. */
  writeOff(group: number): void {
    this.#inFlight.writeOff(group);
  }

  /**
   * Bytes in flight now; 0 when a probe is due. Bytes that arrived behind a hole are not in flight (a part of them were
   * copies), nor are overdue ones on a path that delivers.
   */
  inFlight(now: Microseconds): number {
    const all = this.#inFlight.inFlight(now);
    if (this.#isProbeDue(now)) return 0;
    if (!this.#held) return all;
    const { groups, copies } = this.#recent;
    const arrived = ((this.#bytes - this.#ackBytes) * groups) / Math.max(1, groups + copies);
    const recent = this.#inFlight.sentSince(microseconds(now - this.#patience));
    return Math.max(0, Math.min(all - arrived, recent));
  }

  /** Takes the acknowledgement of a newest report. */
  acknowledged({ session, receivedGroup, receivedBytes, at, staleness }: Acknowledgement): void {
    if (session !== this.#session) this.#restart(session);
    this.#staleness = staleness;
    this.#silent = receivedBytes <= this.#bytes;
    if (!this.#silent) this.#probes = 0;
    this.#bytes = Math.max(this.#bytes, receivedBytes);
    this.#fade(at);
    this.#lossy = this.#lossyUntil !== undefined && at < this.#lossyUntil;
    this.#rate.lossy = this.#lossy;
    if (receivedGroup === undefined) return;
    if (this.#ack !== undefined && receivedGroup <= this.#ack) {
      this.#observeMissing(at);
      if (this.#silent) this.#observeSilence(at);
      else this.#held = true;
      return;
    }
    // Without new bytes, the ack rose over what had arrived before: the player gave the missing group up.
    const givenUp = this.#missing && this.#silent;
    if (givenUp || this.#overtaken) this.#lost(at);
    const held = this.#held || givenUp;
    this.#heldInRow = held ? this.#heldInRow + 1 : 0;
    const sentAt = this.#inFlight.acked(receivedGroup);
    // An ack that a hole held up moves on to the next hole, however old that is.
    if (sentAt !== undefined && (!held || this.#heldInRow > MAX_HELD)) this.#sample(sentAt, at);
    this.#held = false;
    this.#missing = false;
    this.#overtaken = false;
    this.#ackBytes = this.#bytes;
    this.#ack = receivedGroup;
  }

  #goes(at: Microseconds): void {
    if (this.#isPause(at)) this.#resumedAt = at;
    if (this.#isProbeDue(at)) this.#probes++;
    this.#sentAt = at;
  }

  /** Nothing waited that could have gone as a probe. */
  #isPause(now: Microseconds): boolean {
    return now - this.probeAt > fromMilliseconds(SLACK_MS);
  }

  get #isOverdue(): boolean {
    if (!this.#lossy || !this.#silent || this.#reportedAt === undefined) return false;
    const before = this.#reportedAt - (this.#rate.base ?? fromMilliseconds(UNKNOWN_BASE_MS)) - OVERDUE;
    return this.#inFlight.isAnySent(this.#resumedAt, microseconds(before));
  }

  /** A listener reports more often while nothing arrives. */
  #fade(at: Microseconds): void {
    const factor = FADE ** (Math.max(0, at - (this.#reportedAt ?? at)) / fromMilliseconds(REPORT_MS));
    this.#recent = { groups: this.#recent.groups * factor, copies: this.#recent.copies * factor };
    this.#reportedAt = at;
  }

  /** Time from a send to its ack on the idle path, including the wait for a report. */
  get #ackDelayMs(): number {
    return ackDelayMs(this.#rate.base) + this.#staleness / 1000;
  }

  /** Time after which a group is acked or lost, in microseconds. */
  get #patience(): number {
    return fromMilliseconds(this.#ackDelayMs + SLACK_MS) + this.#queueing;
  }

  /**
   * Whether a group may go into a full window. A window that was lost whole is never acked, and without that group no
   * report would ever show it. A full queue keeps delivering, and its reports show progress.
   */
  #isProbeDue(now: Microseconds): boolean {
    return this.#silent && this.#inFlight.first !== undefined && now - this.#sentAt >= this.#probeAfter;
  }

  /** Time from the last group to the next probe, in microseconds. */
  get #probeAfter(): number {
    const inBurst = this.#isOverdue;
    if (inBurst && this.#probes < BURST_PROBES.count) return BURST_PROBES.every;
    if (this.#probes > 0 && this.#probes <= QUICK_PROBES) return fromMilliseconds(REPORT_MS);
    const further = this.#probes - (inBurst ? BURST_PROBES.count : QUICK_PROBES);
    return this.#patience * Math.min(2 ** Math.max(0, further), MAX_BACKOFF);
  }

  /**
   * The time of a report without the group counts, not that of the next one with it: that may come late for a loss of
   * reports. Bytes beyond the ack alone mean nothing either: they may be of video, or of a group that went twice.
   */
  #observeMissing(at: Microseconds): void {
    const { first } = this.#inFlight;
    if (first?.group !== this.#ack! + 1 || at - first.sentAt < (this.#rate.base ?? 0) + HELD) return;
    this.#missing = true;
    if (!this.#silent) this.#overtaken = true;
  }

  #observeSilence(at: Microseconds): void {
    const { first, last } = this.#inFlight;
    const blocked = this.#lossy ? BLOCKED.lossy : BLOCKED.clean;
    if (!first || !last || last.sentAt - first.sentAt < blocked) return;
    // An unacked group is at least as late as it is old.
    this.#rate.suspect(first.sentAt, at);
    this.#delays = [];
  }

  #sample(sentAt: Microseconds, at: Microseconds): void {
    this.#delays.push(at - sentAt);
    const samples = this.#lossy ? SAMPLES.lossy : SAMPLES.clean;
    if (this.#delays.length > samples) this.#delays.shift();
    this.#rate.observe(microseconds(at - Math.min(...this.#delays)), at);
    this.#queueing = this.#rate.queueing;
  }

  #lost(at: Microseconds): void {
    // A full queue drops too, and copies would only fill it: the path is lossy when it drops without a queue. A single
    // delay after a silence is no queue: a burst of losses may have held up its ack.
    if (this.#queueing > CALM && this.#delays.length > 1) return;
    this.#lossyUntil = microseconds(Math.max(this.#lossyUntil ?? 0, at + this.#lossyFor));
    this.#lossyFor = microseconds(Math.min(this.#lossyFor * LOSSY_FOR.growth, LOSSY_FOR.most));
    this.#lossy = true;
    this.#rate.lossy = true;
  }

  #restart(session: number): void {
    if (this.#session !== undefined) {
      this.#inFlight.clear();
      this.#rate.reset();
    }
    this.#session = session;
    this.#ack = undefined;
    this.#bytes = 0;
    this.#ackBytes = 0;
    this.#held = false;
    this.#heldInRow = 0;
    this.#missing = false;
    this.#overtaken = false;
    this.#delays = [];
    this.#lossyFor = LOSSY_FOR.first;
    this.#lossyUntil = undefined;
    this.#lossy = false;
    this.#silent = false;
    this.#recent = { groups: 0, copies: 0 };
    this.#reportedAt = undefined;
    this.#probes = 0;
    this.#queueing = 0;
  }
}
