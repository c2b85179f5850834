import { type Microseconds, microseconds } from "../base/index.js";
import { type FoldResult, type LandingLead, LISTENER_TIMEOUT, ListenerState } from "./listener.js";
import { type Aggregate, type ListedListener, MAX_LISTED, type Report } from "./report.js";
import { MAX_TIMESTAMP } from "./wire.js";

/** Options for {@link ReportAggregator}. */
export interface ReportAggregatorOptions {
  /** `broadcastHash` of the broadcast it serves. */
  readonly broadcast: number;
  /** Listeners remembered at once; more are refused and counted. Default 4096. */
  readonly maxListeners?: number;
  /** A listener silent for longer is forgotten. Default 3 s. */
  readonly timeout?: Microseconds;
  /** See {@link ListenerStateOptions}. */
  readonly estimateStaleness?: boolean;
}

/** What the relay itself received from the publisher. */
export interface Ingest {
  /** Every group at or below has arrived or was given up. */
  readonly group: number | undefined;
  /** Bytes of media that arrived. */
  readonly bytes: number;
}

interface Entry {
  readonly state: ListenerState;
  listedAt: number;
  urgent: boolean;
}

/**
 * Relay side: folds the reports of all listeners of one broadcast into one aggregate for the publisher.
 * The relay sends one ten times a second, and at once when `fold` says that a rewind was applied.
 */
export class ReportAggregator {
  readonly #broadcast: number;
  readonly #maxListeners: number;
  readonly #timeout: Microseconds;
  readonly #estimateStaleness: boolean;
  readonly #listeners = new Map<number | string, Entry>();
  #aggregateId = 0;
  #overflow = 0;

  constructor({
    broadcast,
    maxListeners = 4096,
    timeout = LISTENER_TIMEOUT,
    estimateStaleness = true,
  }: ReportAggregatorOptions) {
    this.#broadcast = broadcast;
    this.#estimateStaleness = estimateStaleness;
    this.#maxListeners = maxListeners;
    this.#timeout = timeout;
  }

  /** Listeners remembered now. */
  get listeners(): number {
    return this.#listeners.size;
  }

  /** Reports refused because the table was full. */
  get overflow(): number {
    return this.#overflow;
  }

  /**
   * Takes one report that arrived at `arrival` (the relay's clock). `connection` names the transport session it came
   * on, so that no listener can speak for another; by default the report's own session id. Returns undefined when the
   * table is full.
   */
  fold(report: Report, arrival: Microseconds, connection: number | string = report.session): FoldResult | undefined {
    let entry = this.#listeners.get(connection);
    if (entry === undefined) {
      if (this.#listeners.size >= this.#maxListeners) {
        this.#overflow++;
        return undefined;
      }
      const state = new ListenerState({ estimateStaleness: this.#estimateStaleness });
      entry = { state, listedAt: -1, urgent: false };
      this.#listeners.set(connection, entry);
    }
    const result = entry.state.fold(report, arrival);
    if (result.rewindApplied) entry.urgent = true;
    return result;
  }

  /** What is known of one listener. */
  listener(connection: number | string): ListenerState | undefined {
    return this.#listeners.get(connection)?.state;
  }

  /** The connections that report, with what is known of their listeners. */
  *states(): Iterable<readonly [connection: number | string, state: ListenerState]> {
    for (const [connection, { state }] of this.#listeners) yield [connection, state];
  }

  /** Forgets a listener whose connection has ended. */
  forget(connection: number | string): void {
    this.#listeners.delete(connection);
  }

  /** Latest projected playhead of the playing listeners, or of all when none plays; undefined with no listeners. */
  latestPlayhead(now: Microseconds): Microseconds | undefined {
    this.#evict(now);
    let latest: Microseconds | undefined;
    let latestPlaying: Microseconds | undefined;
    for (const { state } of this.#listeners.values()) {
      const playhead = state.playheadAt(now);
      if (playhead === undefined) continue;
      if (latest === undefined || playhead > latest) latest = playhead;
      if (state.playing && (latestPlaying === undefined || playhead > latestPlaying)) latestPlaying = playhead;
    }
    return latestPlaying ?? latest;
  }

  /** Makes the next aggregate; takes the worst leads and forgets silent listeners. */
  aggregate(now: Microseconds, ingest: Ingest): Aggregate {
    this.#evict(now);
    let earliest = Number.POSITIVE_INFINITY;
    let latest = 0;
    let worst: LandingLead | undefined;
    let discontinuity = 0;
    let bleedMs = 0;
    let staleMs = 0;
    // A paused player says nothing about where the others are, so it counts only when nobody plays.
    const playing = [...this.#listeners.values()].some(({ state }) => state.playing);
    for (const { state } of this.#listeners.values()) {
      if (state.playing || !playing) {
        const playhead = clampTime(state.playheadAt(now) ?? 0);
        earliest = Math.min(earliest, playhead);
        latest = Math.max(latest, playhead);
      }
      const lead = state.takeWorstLead();
      if (lead !== undefined && (worst === undefined || lead.lead < worst.lead)) worst = lead;
      discontinuity = Math.max(discontinuity, state.discontinuity);
      bleedMs = Math.max(bleedMs, state.latest?.report.bleedMs ?? 0);
      staleMs = Math.max(staleMs, state.latest?.report.staleMs ?? 0);
    }
    const aggregateId = this.#aggregateId;
    this.#aggregateId = (aggregateId + 1) % 2 ** 30;
    return {
      broadcast: this.#broadcast,
      aggregateId,
      relayTimeMs: Math.floor(now / 1000),
      listeners: this.#listeners.size,
      overflow: this.#overflow,
      playing,
      earliest: microseconds(Math.min(earliest, latest)),
      latest: microseconds(latest),
      worstLead: worst?.lead,
      worstLeadGroup: worst?.group,
      ingestAck: ingest.group,
      ingestBytes: ingest.bytes,
      discontinuity,
      bleedMs,
      staleMs,
      listed: this.#list(now, aggregateId),
    };
  }

  // Those that just applied a rewind first, then whoever was named longest ago, so that all get their turn.
  #list(now: Microseconds, aggregateId: number): ListedListener[] {
    const entries = [...this.#listeners.values()];
    if (entries.length > MAX_LISTED)
      entries.sort((a, b) => Number(b.urgent) - Number(a.urgent) || a.listedAt - b.listedAt);
    return entries.slice(0, MAX_LISTED).map((entry) => {
      entry.listedAt = aggregateId;
      entry.urgent = false;
      const { state } = entry;
      return {
        session: state.latest?.report.session ?? 0,
        playhead: clampTime(state.playheadAt(now) ?? 0),
        discontinuity: state.discontinuity,
        heardUntil: state.heardUntil,
        receivedUntil: state.receivedUntil === undefined ? undefined : clampTime(state.receivedUntil),
      };
    });
  }

  #evict(now: Microseconds): void {
    for (const [connection, { state }] of this.#listeners)
      if (now - state.lastHeard > this.#timeout) this.#listeners.delete(connection);
  }
}

// A hostile playhead next to the limit must not make an aggregate that can't be encoded.
function clampTime(value: number): Microseconds {
  return microseconds(Math.min(Math.max(value, 0), MAX_TIMESTAMP - 1));
}
