import { fromMilliseconds, fromSeconds, type Microseconds, microseconds } from "../../base/index.js";
import { LEAD_WANTED } from "../playhead/lead.js";
import type { PlayheadBound } from "../playhead/playhead-bound.js";
import { type Aggregate, isOvertaken, type ListedListener, MAX_LISTED, type MissedAudio } from "./aggregate.js";
import { reportsOf } from "./edge.js";
import { type FoldResult, type LandingLead, LISTENER_TIMEOUT, ListenerState } from "./listener-state.js";
import { isPast, type Report } from "./report.js";

/** Options for {@link ReportAggregator}. */
export interface ReportAggregatorOptions {
  /** `broadcastHash` of the broadcast it serves. */
  readonly broadcast: number;
  /** Listeners remembered at once; any more are refused and counted. Default 4096. */
  readonly maxListeners?: number;
  /** Listeners remembered at once for one peer; only an edge has several. Default 1024. */
  readonly maxPerPeer?: number;
  /** See {@link ListenerStateOptions}. */
  readonly estimateStaleness?: boolean;
}

/** The relay's own reception from the publisher. */
export interface IngestProgress {
  /** Every group up to this one has arrived or was lost. */
  readonly group: number | undefined;
  /** Bytes of media that arrived. */
  readonly bytes: number;
}

interface Entry {
  readonly state: ListenerState;
  /** The reporting peer: an edge reports for many. */
  readonly peer: number | string;
  listedAt: number;
  urgent: boolean;
  /** Rewinds of the track when one of the listener's was last counted. */
  rewinds: number;
}

/**
 * A listener this far behind the furthest one counts no more. It may be a false claim as well as a player, and its
 * audio ends where that of the others is cut.
 */
export const MAX_LAG: Microseconds = fromSeconds(5);
/**
 * A peer's landing leads count as at most this much worse than those of every other peer: beyond, it is its own path.
 */
const MAX_WORSE: Microseconds = fromMilliseconds(500);
/** How long a peer's landing lead counts. */
const LEAD_MEMORY: Microseconds = fromSeconds(2);
/** Lead of a peer in a pause, or further ahead than that. */
const LEAD_ENOUGH: Microseconds = fromSeconds(LEAD_WANTED);
/** A player with less than this to play waits for audio, rather than being paused. */
const DRY_MS = 100;
/** Reports go ten times a second: a listener without any for this long stands still. */
const STANDSTILL: Microseconds = fromSeconds(1);
/** A connection without a report for this long lost its path: its listener may have opened another one. */
const BROKEN_OFF = fromMilliseconds(500);
/** How long a listener may wait with audio left before it counts as paused. */
const WAITS = fromMilliseconds(800);

/**
 * Relay side: folds the reports of all listeners of one broadcast into one aggregate for the publisher. The relay sends
 * one ten times a second, and at once when `fold` returns that a rewind was applied.
 *
 * A report is a stranger's claim and must cost only the listener that makes it. No playhead counts beyond the {@link
 * PlayheadBound} of the sent audio, none far behind the others, no landing lead far below theirs, and no rewind that
 * the track did not have.
 */
export class ReportAggregator {
  readonly #broadcast: number;
  readonly #maxListeners: number;
  readonly #maxPerPeer: number;
  readonly #estimateStaleness: boolean;
  readonly #listeners = new Map<number | string, Entry>();
  readonly #perPeer = new Map<number | string, number>();
  readonly #leads = new Map<number | string, { readonly lead: Microseconds; readonly at: Microseconds }>();
  /** The newest aggregate of each edge. */
  readonly #edges = new Map<number | string, Aggregate>();
  #bound: PlayheadBound | undefined;
  #aggregateId = 0;
  #rewinds = 0;
  #overflow = 0;

  constructor({
    broadcast,
    maxListeners = 4096,
    maxPerPeer = 1024,
    estimateStaleness = true,
  }: ReportAggregatorOptions) {
    this.#broadcast = broadcast;
    this.#estimateStaleness = estimateStaleness;
    this.#maxListeners = maxListeners;
    this.#maxPerPeer = maxPerPeer;
  }

  /** Listeners remembered now. */
  get listeners(): number {
    return this.#listeners.size;
  }

  /** Bound by the sent audio of the reported track; undefined while unknown, which leaves claims unbounded. */
  set bound(bound: PlayheadBound | undefined) {
    this.#bound = bound;
  }

  /** Reports refused because the table was full. */
  get overflow(): number {
    return this.#overflow;
  }

  /**
   * Takes one report that arrived at `arrival` (the relay's clock). `connection` names its transport session, so that
   * no listener can speak for another; by default it is the report's own session id. `peer` names the session of an
   * edge that reports for many. Returns undefined when the table is full.
   */
  fold(
    report: Report,
    arrival: Microseconds,
    connection: number | string = report.session,
    peer: number | string = connection,
  ): FoldResult | undefined {
    const known = this.#listeners.get(connection);
    if (known === undefined && isPast(report)) return { newest: false, rewindApplied: false };
    const entry = known ?? this.#add(connection, peer);
    if (entry === undefined) {
      this.#overflow++;
      return undefined;
    }
    if (this.#listeners.size === 1 && known === undefined) this.#bound?.begin(report.playhead, arrival);
    const { newest, rewindApplied } = entry.state.fold(report, arrival);
    const applied = rewindApplied && (known === undefined ? peer === connection : this.#isRewind(entry));
    if (rewindApplied && known !== undefined && applied) this.#rewinds = (this.#rewinds + 1) % 2 ** 21;
    if (applied) entry.urgent = true;
    return { newest, rewindApplied: applied };
  }

  /**
   * Takes the aggregate of the edge `peer`: each of its listeners counts as if it reported itself. Where it names all of
   * them, the others have left. Returns whether one of them has applied a rewind.
   */
  foldEdge(aggregate: Aggregate, arrival: Microseconds, peer: string): boolean {
    const last = this.#edges.get(peer);
    const isNewest = last === undefined || !isOvertaken(aggregate, last);
    if (isNewest) this.#edges.set(peer, aggregate);
    let rewindApplied = false;
    const named = new Set<number | string>();
    for (const report of reportsOf(aggregate)) {
      const connection = `${peer}/${report.session}`;
      named.add(connection);
      // One that only an overtaken aggregate names may have left since.
      if (!isNewest && !this.#listeners.has(connection)) continue;
      rewindApplied = this.fold(report, arrival, connection, peer)?.rewindApplied || rewindApplied;
    }
    if (isNewest && aggregate.listeners === aggregate.listed.length) this.#forgetOf(peer, named);
    return rewindApplied;
  }

  /** State of one listener. */
  listener(connection: number | string): ListenerState | undefined {
    return this.#listeners.get(connection)?.state;
  }

  /** The reporting connections and the state of their listeners. */
  *states(): Iterable<readonly [connection: number | string, state: ListenerState]> {
    for (const [connection, { state }] of this.#listeners) yield [connection, state];
  }

  /** Drops the listeners of a peer whose connection has ended: its own, or those of an edge. */
  forget(peer: number | string): void {
    this.#edges.delete(peer);
    this.#forgetOf(peer);
  }

  /** Drops all listeners. */
  clear(): void {
    this.#edges.clear();
    for (const connection of this.#listeners.keys()) this.#drop(connection);
  }

  #forgetOf(peer: number | string, but: ReadonlySet<number | string> = new Set()): void {
    if (!this.#perPeer.has(peer)) return;
    for (const [connection, entry] of this.#listeners)
      if (entry.peer === peer && !but.has(connection)) this.#drop(connection);
  }

  #drop(connection: number | string): void {
    const entry = this.#listeners.get(connection);
    if (entry === undefined) return;
    this.#listeners.delete(connection);
    const left = (this.#perPeer.get(entry.peer) ?? 1) - 1;
    if (left > 0) this.#perPeer.set(entry.peer, left);
    else {
      this.#perPeer.delete(entry.peer);
      this.#leads.delete(entry.peer);
    }
  }

  /**
   * Latest playhead of the listeners that play or wait for audio, or of all when none does. While all of them stand
   * still, or have left, it is where a player would be that does not. Undefined before the first listener.
   */
  latestPlayhead(now: Microseconds): Microseconds | undefined {
    this.#evict(now);
    const latest = this.#ends(now)?.latest;
    if (latest === undefined) return this.#bound?.unstalled(now);
    const heardAt = Math.max(...[...this.#listeners.values()].map(({ state }) => state.lastHeard));
    if (now - heardAt <= STANDSTILL) return latest;
    const atLastReport = this.#ends(microseconds(heardAt))?.latest ?? latest;
    const moved = microseconds(atLastReport + now - heardAt);
    return microseconds(Math.max(latest, Math.min(moved, this.#bound?.unstalled(now) ?? moved)));
  }

  /** Creates the next aggregate; takes the worst leads and drops silent listeners. */
  aggregate(now: Microseconds, ingest: IngestProgress): Aggregate {
    this.#evict(now);
    let bleedMs = 0;
    let staleMs = 0;
    const present = this.#present(now);
    const playing = present.some(({ state }) => state.playing);
    const { earliest, latest } = this.#ends(now) ?? { earliest: microseconds(0), latest: microseconds(0) };
    const worst = this.#worstLead(now, ingest.group);
    for (const { state } of this.#listeners.values()) {
      bleedMs = Math.max(bleedMs, state.latest?.report.bleedMs ?? 0);
      staleMs = Math.max(staleMs, state.latest?.report.staleMs ?? 0);
    }
    const aggregateId = this.#aggregateId;
    this.#aggregateId = (aggregateId + 1) % 2 ** 30;
    return {
      broadcast: this.#broadcast,
      aggregateId,
      relayTimeMs: Math.floor(now / 1000),
      listeners: present.length,
      overflow: this.#overflow,
      playing,
      earliest,
      latest,
      worstLead: worst?.lead,
      worstLeadGroup: worst?.group,
      ingestAck: ingest.group,
      ingestBytes: ingest.bytes,
      discontinuity: this.#rewinds,
      bleedMs,
      staleMs,
      listed: this.#list(now, aggregateId),
      missed: this.#missed(present),
    };
  }

  #missed(present: readonly Entry[]): MissedAudio[] {
    // Without all of them named, nothing is known of what every one missed.
    if (present.length >= MAX_LISTED) return [];
    return present.flatMap(({ state }) => {
      const { discontinuity, latest } = state;
      if (latest === undefined) return [];
      const { session } = latest.report;
      return state.takeMissed().map(({ from, to }) => ({ session, from, to, discontinuity }));
    });
  }

  // First the listeners that just applied a rewind, then those named longest ago, so that all get their turn.
  #list(now: Microseconds, aggregateId: number): ListedListener[] {
    const entries = this.#present(now);
    if (entries.length > MAX_LISTED)
      entries.sort((a, b) => Number(b.urgent) - Number(a.urgent) || a.listedAt - b.listedAt);
    return entries.slice(0, MAX_LISTED).map((entry) => {
      entry.listedAt = aggregateId;
      entry.urgent = false;
      const { state } = entry;
      return {
        session: state.latest?.report.session ?? 0,
        playhead: this.#playhead(state, now),
        discontinuity: state.discontinuity,
        heardUntil: state.heardUntil,
        receivedUntil: state.receivedUntil(now),
        isOverdue: state.isOverdue(now),
      };
    });
  }

  #add(connection: number | string, peer: number | string): Entry | undefined {
    const ofPeer = this.#perPeer.get(peer) ?? 0;
    if (this.#listeners.size >= this.#maxListeners || ofPeer >= this.#maxPerPeer) return undefined;
    const state = new ListenerState({ estimateStaleness: this.#estimateStaleness });
    const entry = { state, peer, listedAt: -1, urgent: false, rewinds: this.#bound?.rewinds ?? 0 };
    this.#listeners.set(connection, entry);
    this.#perPeer.set(peer, ofPeer + 1);
    return entry;
  }

  // A listener applies each rewind of the track once.
  #isRewind(entry: Entry): boolean {
    if (this.#bound === undefined) return true;
    const { rewinds } = this.#bound;
    if (entry.rewinds === rewinds) return false;
    entry.rewinds = rewinds;
    return true;
  }

  #playhead(state: ListenerState, now: Microseconds): Microseconds {
    const claimed = state.playheadAt(now) ?? microseconds(0);
    return this.#bound?.limit(claimed, now) ?? claimed;
  }

  /** Range of the playheads; undefined without listeners. */
  #ends(now: Microseconds): { readonly earliest: Microseconds; readonly latest: Microseconds } | undefined {
    const all = this.#present(now).map(({ state }) => ({ state, playhead: this.#playhead(state, now) }));
    if (all.length === 0) return undefined;
    // A paused player says nothing about the others' positions, so it counts only when none plays. One that waits for
    // audio counts: otherwise a single claim to play could keep all waiting listeners from ever getting any.
    const isDry = (state: ListenerState) => (state.latest?.report.bufferedMs ?? 0) < DRY_MS;
    // One that stopped a moment ago, with audio left, only waits for more of it.
    const plays = (state: ListenerState) =>
      state.playing || (!isDry(state) && now - (state.lastPlayed ?? Number.NEGATIVE_INFINITY) < WAITS);
    const there = all.filter(({ state }) => plays(state) || isDry(state));
    const counted = there.length > 0 ? there : all;
    const latest = Math.max(...counted.map(({ playhead }) => playhead));
    const playing = counted.filter(({ state, playhead }) => plays(state) && playhead >= latest - MAX_LAG);
    const earliest = Math.min(latest, ...(playing.length > 0 ? playing : counted).map(({ playhead }) => playhead));
    return { earliest: microseconds(Math.max(earliest, latest - MAX_LAG, 0)), latest: microseconds(latest) };
  }

  /** The smallest landing lead since the last call, limited per peer. */
  #worstLead(now: Microseconds, newestGroup: number | undefined): LandingLead | undefined {
    const said = new Map<number | string, LandingLead>();
    for (const { state, peer } of this.#listeners.values()) {
      const lead = state.takeWorstLead();
      const known = said.get(peer);
      if (lead !== undefined && (known === undefined || lead.lead < known.lead)) said.set(peer, lead);
    }
    // Not every peer reports between two aggregates, so each one's recent lead is the yardstick for the others.
    for (const [peer, { lead }] of said) this.#leads.set(peer, { lead, at: now });
    for (const [peer, { at }] of this.#leads) if (now - at > LEAD_MEMORY) this.#leads.delete(peer);
    const [lowest, second] = lowestTwo(this.#leads);
    const isAlone = this.#perPeer.size === 1;
    let worst: LandingLead | undefined;
    for (const [peer, { lead, group }] of said) {
      const other = lowest?.peer === peer ? second : lowest;
      const yardstick = Math.min(LEAD_ENOUGH, other?.lead ?? LEAD_ENOUGH);
      const believed = isAlone ? lead : Math.max(lead, yardstick - MAX_WORSE);
      if (worst !== undefined && worst.lead <= believed) continue;
      worst = { lead: microseconds(believed), group: Math.min(group, newestGroup ?? group) };
    }
    return worst;
  }

  // One for each id: while a listener reconnects, it has two connections. The first counts as long as it reports, because
  // others can read an id off a feedback broadcast's path.
  #present(now: Microseconds): Entry[] {
    const found = new Map<number, Entry>();
    for (const entry of this.#listeners.values()) {
      const session = entry.state.latest?.report.session ?? 0;
      const heardAt = found.get(session)?.state.lastHeard;
      const isFirst = heardAt === undefined || (now - heardAt > BROKEN_OFF && entry.state.lastHeard > heardAt);
      if (isFirst) found.set(session, entry);
    }
    return [...found.values()];
  }

  #evict(now: Microseconds): void {
    for (const [connection, { state }] of this.#listeners)
      if (now - state.lastHeard > LISTENER_TIMEOUT) this.#drop(connection);
  }
}

interface PeerLead {
  readonly peer: number | string;
  readonly lead: Microseconds;
}

function lowestTwo(leads: ReadonlyMap<number | string, { readonly lead: Microseconds }>): PeerLead[] {
  let [lowest, second]: (PeerLead | undefined)[] = [];
  for (const [peer, { lead }] of leads) {
    if (lowest === undefined || lead < lowest.lead) [lowest, second] = [{ peer, lead }, lowest];
    else if (second === undefined || lead < second.lead) second = { peer, lead };
  }
  return [lowest, second].filter((found) => found !== undefined);
}
