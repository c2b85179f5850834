import { type Clock, type Microseconds, microseconds } from "../base/index.js";
import { broadcastHash, encodeReport, ReportSchedule } from "../flow/index.js";
import type { AppliedRewind } from "./playout.js";

/** What a report is made from. */
export interface ListenerReading {
  /** Media time of the next sample; undefined while there is no timeline. */
  readonly playhead: Microseconds | undefined;
  readonly playing: boolean;
  /** The last rewind applied. */
  readonly applied: AppliedRewind | undefined;
  readonly receivedBytes: number;
  readonly receivedGroup: number | undefined;
  /** Milliseconds ready to play, decoded or not. */
  readonly bufferedMs: number;
  readonly staleMs: number;
}

/** Options for {@link Reporter}. */
export interface ReporterOptions {
  /** Path of the broadcast on the wire. */
  readonly path: string;
  readonly clock: Clock;
  readonly read: () => ListenerReading;
  /** Sends a datagram; false when there is nowhere to send it to. */
  readonly send: (datagram: Uint8Array) => boolean;
}

/**
 * Tells the relay ten times a second, and at once after a rewind and when sound starts, what was received and heard.
 * Reports begin with the first frame: before, there is nothing to tell.
 */
export class Reporter {
  readonly #broadcast: number;
  readonly #clock: Clock;
  readonly #read: () => ListenerReading;
  readonly #send: (datagram: Uint8Array) => boolean;
  readonly #schedule = new ReportSchedule();
  #session = randomSession();
  #wasPlaying = false;
  #lastPlayhead: Microseconds | undefined;
  #sent = 0;

  constructor({ path, clock, read, send }: ReporterOptions) {
    this.#broadcast = broadcastHash(path);
    this.#clock = clock;
    this.#read = read;
    this.#send = send;
  }

  /** Reports sent. */
  get sent(): number {
    return this.#sent;
  }

  /** Notes how early a group was there. */
  landed(lead: Microseconds, sequence: number): void {
    this.#schedule.landed(lead, sequence, this.#clock());
  }

  /** Reports at once. */
  hurry(): void {
    this.#schedule.hurry();
    this.tick();
  }

  /** Begins a new run, because group numbers begin anew. */
  restart(): void {
    this.#session = randomSession();
  }

  /** Sends a report if one is due; to be called every few milliseconds. */
  tick(): void {
    const reading = this.#read();
    if (reading.playing && !this.#wasPlaying) this.#schedule.hurry();
    this.#wasPlaying = reading.playing;
    const playhead = reading.playhead ?? reading.applied?.from ?? this.#lastPlayhead;
    if (playhead === undefined) return;
    this.#lastPlayhead = playhead;
    const now = this.#clock();
    const due = this.#schedule.poll(now);
    if (!due) return;
    const sent = this.#send(
      encodeReport({
        broadcast: this.#broadcast,
        session: this.#session,
        reportId: due.reportId,
        clientTimeMs: Math.floor(now / 1e3),
        playhead: microseconds(Math.max(0, playhead)),
        playing: reading.playing,
        discontinuity: reading.applied?.discontinuity ?? 0,
        from: reading.applied?.from,
        heardUntil: reading.applied?.heardUntil,
        receivedBytes: reading.receivedBytes,
        receivedGroup: reading.receivedGroup,
        worstLead: due.worst?.lead,
        worstLeadGroup: due.worst?.group,
        bufferedMs: reading.bufferedMs,
        // A listener cannot tell raw sound from denoised.
        bleedMs: 0,
        staleMs: reading.staleMs,
      }),
    );
    if (sent) this.#sent++;
  }
}

function randomSession(): number {
  return Math.floor(Math.random() * 2 ** 32);
}
