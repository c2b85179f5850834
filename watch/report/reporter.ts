import { type Clock, fromSeconds, type Microseconds, microseconds, toMilliseconds } from "../../base/index.js";
import {
  broadcastHash,
  decodeReceipt,
  encodeReport,
  type Receipt,
  type Report,
  ReportSchedule,
} from "../../flow/report/index.js";
import type { AppliedRewind, MissedTime, PlayoutCounters } from "../audio/playout.js";

/** Input of a report. */
export interface ListenerReading {
  /** Media time of the next sample; undefined while there is no timeline. */
  readonly playhead: Microseconds | undefined;
  /** Whether the playhead moves, with audio or through a pause. */
  readonly moving: boolean;
  /** The last rewind applied. */
  readonly applied: AppliedRewind | undefined;
  readonly receivedBytes: number;
  readonly receivedGroup: number | undefined;
  /** Milliseconds of audio ready to play, decoded or not. */
  readonly bufferedMs: number;
  /** The last stretch without audio, once audio began again behind it. */
  readonly missed: MissedTime | undefined;
  readonly bleedMs: number;
  readonly counters: Pick<PlayoutCounters, "staleMs" | "stalls">;
}

/** Transport of one session's reports. */
export interface ReportCarrier {
  /** Sends a record beside the protocol; false when it can't. */
  send(record: Uint8Array): boolean;
  /** Publishes a record on the listener's own broadcast. */
  publish(path: string, record: Uint8Array): void;
  /** Ends that broadcast; idempotent. */
  unpublish(): void;
  /** Whether sent data queues up. */
  readonly backedUp: boolean;
}

/** After this long without an answer, a relay counts as one that does not read reports. */
const UNANSWERED: Microseconds = fromSeconds(3);
/** Reports of the last stretch without audio: any of them may be lost. */
const MISSED_TIMES = 3;
/** So long after a stall, what lands late may only have waited for this process. */
const BACKLOG: Microseconds = fromSeconds(1);

/** Options for {@link Reporter}. */
export interface ReporterOptions {
  readonly clock: Clock;
  /** True sends every report on the listener's own broadcast too, whether the relay answers or not. Default false. */
  readonly alwaysPublish?: boolean;
}

/**
 * Reports to the relay ten times a second, more often while a path that loses delivers nothing, and at once after a
 * rewind and when audio starts: what was received and what was played. Reports begin with the first frame. Our relay
 * answers them. After 3 s without an answer they also go on the listener's own broadcast, which the publisher looks
 * for, until the relay answers.
 */
export class Reporter {
  #path: string | undefined;
  #broadcast: number | undefined;
  readonly #clock: Clock;
  readonly #alwaysPublish: boolean;
  readonly #schedule = new ReportSchedule();
  #session = randomSession();
  #wasMoving = false;
  #stalls = 0;
  #stalledAt: number = Number.NEGATIVE_INFINITY;
  #lastPlayhead: Microseconds | undefined;
  #missed: MissedTime | undefined;
  #missedTimes = 0;
  #carrier: ReportCarrier | undefined;
  #receipt: Receipt | undefined;
  #firstSentAt: Microseconds | undefined;
  #publishing = false;
  #sent = 0;
  #feedbacks = 0;

  constructor({ clock, alwaysPublish = false }: ReporterOptions) {
    this.#clock = clock;
    this.#alwaysPublish = alwaysPublish;
  }

  /** The random id of this run of the player. */
  get session(): number {
    return this.#session;
  }

  /** Reports sent. */
  get sent(): number {
    return this.#sent;
  }

  /** Of these, the ones on the listener's own broadcast. */
  get feedbacks(): number {
    return this.#feedbacks;
  }

  /** The relay's last answer; undefined while it does not answer. */
  get relay(): Omit<Receipt, "broadcast" | "session" | "reportId"> | undefined {
    if (this.#receipt === undefined) return undefined;
    const { broadcast: _, session: __, reportId: ___, ...receipt } = this.#receipt;
    return receipt;
  }

  /** Reports about the broadcast at this path from now on. */
  follow(path: string): void {
    this.#path = path;
    this.#broadcast = broadcastHash(path);
  }

  /** Reports to this session from now on, or to none. */
  attach(carrier: ReportCarrier | undefined): void {
    this.#carrier?.unpublish();
    this.#carrier = carrier;
    this.#receipt = undefined;
    this.#firstSentAt = undefined;
    this.#publishing = this.#alwaysPublish;
  }

  /** Takes a record that the relay sent beside the protocol: the answer to a report, or a record for another reader. */
  receive(record: Uint8Array): void {
    const decoded = decodeReceipt(record);
    const mine =
      decoded.ok && decoded.receipt.broadcast === this.#broadcast && decoded.receipt.session === this.#session;
    if (!mine) return;
    this.#receipt = decoded.receipt;
    if (this.#publishing && !this.#alwaysPublish) this.#carrier?.unpublish();
    this.#publishing = this.#alwaysPublish;
  }

  /** Records the lead with which a group landed. */
  landed(lead: Microseconds, sequence: number): void {
    const now = this.#clock();
    if (lead < 0 && now - this.#stalledAt < BACKLOG) return;
    this.#schedule.landed(lead, sequence, now);
  }

  /** Records that a group arrived; `copy` when it had come before. */
  arrived({ copy }: { readonly copy: boolean }): void {
    this.#schedule.arrived(this.#clock(), { copy });
  }

  /** Makes the next {@link tick} report at once. */
  hurry(): void {
    this.#schedule.hurry();
  }

  /** Begins a new run, because group numbers restart. */
  restart(): void {
    this.#session = randomSession();
  }

  /** Sends a report if one is due; call it every few milliseconds. */
  tick(reading: ListenerReading): void {
    if (reading.moving && !this.#wasMoving) this.#schedule.hurry();
    this.#wasMoving = reading.moving;
    this.#noteStalls(reading.counters.stalls);
    const playhead = reading.playhead ?? reading.applied?.from ?? this.#lastPlayhead;
    if (playhead === undefined) return;
    this.#lastPlayhead = playhead;
    const now = this.#clock();
    const carrier = this.#carrier;
    if (carrier === undefined || this.#path === undefined || this.#broadcast === undefined) return;
    const due = this.#schedule.poll(now, carrier.backedUp);
    if (!due) return;
    this.#firstSentAt ??= now;
    if (this.#receipt === undefined && now - this.#firstSentAt > UNANSWERED) this.#publishing = true;
    const report = {
      broadcast: this.#broadcast,
      session: this.#session,
      reportId: due.reportId,
      clientTimeMs: Math.floor(now / 1e3),
      playhead: microseconds(Math.max(0, playhead)),
      playing: reading.moving,
      discontinuity: reading.applied?.discontinuity ?? 0,
      from: reading.applied?.from,
      heardUntil: reading.applied?.heardUntil,
      receivedBytes: reading.receivedBytes,
      receivedGroup: reading.receivedGroup,
      worstLead: due.worst?.lead,
      worstLeadGroup: due.worst?.group,
      bufferedMs: reading.bufferedMs,
      bleedMs: reading.bleedMs,
      staleMs: reading.counters.staleMs,
    };
    // First, so that no report shows audio behind a stretch that is not known to be missed.
    const missed = this.#takeMissed(reading.missed);
    if (missed) this.#send(carrier, this.#path, encodeReport(pastReport(report, missed)));
    this.#send(carrier, this.#path, encodeReport(report));
  }

  #send(carrier: ReportCarrier, path: string, record: Uint8Array): void {
    if (this.#publishing) {
      carrier.publish(path, record);
      this.#feedbacks++;
    }
    const sent = carrier.send(record);
    if (sent || this.#publishing) this.#sent++;
  }

  #takeMissed(missed: MissedTime | undefined): MissedTime | undefined {
    if (missed?.from !== this.#missed?.from || missed?.to !== this.#missed?.to) this.#missedTimes = MISSED_TIMES;
    this.#missed = missed;
    return this.#missedTimes-- > 0 ? missed : undefined;
  }

  // After a stall, the leads of the backlog show how long it was, and nothing about the path.
  #noteStalls(stalls: number): void {
    if (stalls === this.#stalls) return;
    this.#stalls = stalls;
    this.#stalledAt = this.#clock();
    this.#schedule.forgetLeads();
  }
}

/** A report as of the moment when audio began again behind a stretch without any; see `isPast`. */
export function pastReport(report: Report, { from, to }: MissedTime): Report {
  const bufferedMs = toMilliseconds(microseconds(from - to));
  return { ...report, clientTimeMs: 0, playhead: to, bufferedMs, worstLead: undefined, worstLeadGroup: undefined };
}

function randomSession(): number {
  return Math.floor(Math.random() * 2 ** 32);
}
