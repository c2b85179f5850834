import { background, type Clock, fromMilliseconds, guard, type Microseconds } from "../../base/index.js";
import { isLowRendition, lowRenditionOf } from "../../container/index.js";
import {
  type Aggregate,
  broadcastHash,
  encodeAggregate,
  type ListenerState,
  type Report,
  ReportAggregator,
} from "../../flow/report/index.js";
import type { RelayLimits } from "../limits.js";
import type { RelayCounters } from "../relay-counters.js";
import { Code } from "../wire/code.js";
import type { ByteBudget } from "./byte-budget.js";
import { CATALOG_TRACK, isLive } from "./legacy-time.js";
import { Track, type TrackSource } from "./track.js";
import { CacheBudget, type Classifier } from "./track-cache.js";

/** Unanswered tracks that a session gets even when the others have all places: what a player requests at once. */
const FAIR_SHARE = 4;
// One aggregate ten times a second; rewinds bring them forward, but never closer together than this.
const AGGREGATE_SPACING: Microseconds = fromMilliseconds(5);

/** The source of a broadcast: a session, ours or another relay's. */
export interface BroadcastSource {
  /** Id of the session, for the log. */
  readonly id: string;
  /** Where one of the broadcast's tracks comes from; `catalog` is the broadcast's newest, as far as it is held here. */
  track(broadcast: string, name: string, catalog: Uint8Array | undefined): TrackSource;
  /** Sends the listeners' aggregate for one of its broadcasts; false when it can't. */
  sendAggregate(broadcast: string, body: Uint8Array): boolean;
  /** Whether it sends anything; called ten times a second while another publisher of one of its names waits. */
  alive(): boolean;
}

/** State that every broadcast of a relay shares. */
export interface BroadcastEnvironment {
  readonly clock: Clock;
  readonly counters: RelayCounters;
  /** For the caches of all broadcasts together. */
  readonly budget: CacheBudget;
  readonly limits: RelayLimits;
  /** For the incomplete frames of all sessions. */
  readonly partial: ByteBudget;
  readonly classifier: (() => Classifier) | undefined;
  /** Whether the age of a report counts as measured. */
  readonly estimateStaleness: boolean;
}

/** Options for {@link Broadcast}. */
export interface BroadcastOptions {
  /** Full path at this relay. */
  readonly path: string;
  /** The source's own path. */
  readonly sourcePath: string;
  readonly source: BroadcastSource;
  /** Its hops, the publisher's first. */
  readonly hops: readonly bigint[];
  readonly environment: BroadcastEnvironment;
}

/** One broadcast at this relay: its tracks, and the reports of its listeners. */
export class Broadcast {
  readonly path: string;
  readonly sourcePath: string;
  readonly source: BroadcastSource;
  readonly hops: readonly bigint[];
  readonly #environment: BroadcastEnvironment;
  readonly #tracks = new Map<string, Track>();
  readonly #askers = new WeakMap<Track, string>();
  readonly #aggregator: ReportAggregator;
  readonly #budget: CacheBudget;
  #lastAggregate = Number.NEGATIVE_INFINITY;
  #aggregateTimer: NodeJS.Timeout | undefined;
  /** Whether the publisher may count listeners here. */
  #listened = false;
  #closed = false;
  /** Only its identity counts. */
  #opening: object = {};

  constructor({ path, sourcePath, source, hops, environment }: BroadcastOptions) {
    this.path = path;
    this.sourcePath = sourcePath;
    this.source = source;
    this.hops = hops;
    this.#environment = environment;
    const { estimateStaleness, limits, counters } = environment;
    this.#budget = new CacheBudget(limits.cacheBytesPerBroadcast, {
      parent: environment.budget,
      cacheFull: counters.cacheFull,
    });
    this.#aggregator = new ReportAggregator({ broadcast: broadcastHash(sourcePath), estimateStaleness });
  }

  /** Its tracks that sessions requested lately. */
  get tracks(): ReadonlyMap<string, Track> {
    return this.#tracks;
  }

  /** Stands for its present tracks: another one each time it is opened. */
  get opening(): object {
    return this.#opening;
  }

  /** Sessions that report on it. */
  get listeners(): number {
    return this.#aggregator.listeners;
  }

  /**
   * A track by name, requested by `asker`; undefined when the broadcast is over, has too many tracks, or when too many
   * requested ones are unanswered.
   */
  track(name: string, asker: string): Track | undefined {
    const known = this.#tracks.get(name);
    if (known !== undefined) return known;
    const { clock, counters, limits, classifier } = this.#environment;
    if (this.#closed || !this.#hasRoom(asker)) return undefined;
    const track = new Track({
      name,
      live: isLive(this.#catalog),
      clock,
      counters,
      budget: this.#budget,
      classifier,
      source: this.source.track(this.sourcePath, name, this.#catalog),
      cacheAge: fromMilliseconds(limits.cacheMs),
      cacheBytes: limits.cacheBytesPerTrack,
      cacheGroups: limits.cacheGroupsPerTrack,
      ...(!isLowRendition(name) && { low: () => this.track(lowRenditionOf(name), asker) }),
      latestPlayhead: () => this.#aggregator.latestPlayhead(clock()),
    });
    this.#tracks.set(name, track);
    this.#askers.set(track, asker);
    background(
      "relay.track",
      track.closed.then(() => {
        if (this.#tracks.get(name) === track) this.#tracks.delete(name);
      }),
    );
    return track;
  }

  get #catalog(): Uint8Array | undefined {
    return this.#tracks.get(CATALOG_TRACK)?.cache?.newest?.frames[0]?.payload;
  }

  /** The reporting sessions and the state of their listeners. */
  get reporting(): Iterable<readonly [session: number | string, state: ListenerState]> {
    return this.#aggregator.states();
  }

  /** A session's reported state. */
  listener(session: string): ListenerState | undefined {
    return this.#aggregator.listener(session);
  }

  /** Takes a report of a session; false without room for another listener. */
  report(session: string, report: Report): boolean {
    this.#aggregator.bound = this.#media()?.bound;
    const folded = this.#aggregator.fold(report, this.#environment.clock(), session);
    if (folded !== undefined) this.#listened = true;
    if (folded?.rewindApplied) this.#aggregateSoon();
    return folded !== undefined;
  }

  /** Takes the aggregate of an edge, which names listeners of its own. */
  reportEdge(session: string, aggregate: Aggregate): void {
    this.#aggregator.bound = this.#media()?.bound;
    const before = this.#aggregator.listeners;
    const rewindApplied = this.#aggregator.foldEdge(aggregate, this.#environment.clock(), session);
    if (this.#aggregator.listeners > 0) this.#listened = true;
    if (rewindApplied || this.#isDeserted(before)) this.#aggregateSoon();
  }

  /** Forgets the listeners of a session that watches it no more: its own, or those of an edge. */
  forget(session: string): void {
    const before = this.#aggregator.listeners;
    this.#aggregator.forget(session);
    if (this.#isDeserted(before)) this.#aggregateSoon();
  }

  /** Sweeps its tracks and sends the aggregate; called ten times a second. */
  sweep(): void {
    const { clock, limits } = this.#environment;
    const now = clock();
    for (const track of this.#tracks.values()) {
      track.sweep();
      if (track.idleSince !== undefined && now - track.idleSince > fromMilliseconds(limits.trackIdleMs)) track.close();
    }
    // Once more when the last listener has left: the aggregate that said so may be lost.
    if (this.#listened) this.#aggregate();
    this.#listened = this.#aggregator.listeners > 0;
  }

  /** Ends it and all its tracks. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#aggregateTimer);
    this.#aggregateTimer = undefined;
    for (const track of [...this.#tracks.values()]) track.close(Code.DROPPED);
    this.#tracks.clear();
    this.#aggregator.clear();
    this.#listened = false;
  }

  /** Reopens it, with new tracks, when its replacement has left. */
  restore(): void {
    if (!this.#closed) return;
    this.#closed = false;
    this.#opening = {};
  }

  // A track that the publisher answered counts towards the broadcast, any other towards the session that requested it,
  // so that made-up names block no other session.
  #hasRoom(asker: string): boolean {
    const { counters, limits } = this.#environment;
    const unanswered = [...this.#tracks.values()].filter((track) => !track.answered);
    const own = unanswered.filter((track) => this.#askers.get(track) === asker).length;
    const most = limits.unansweredPerBroadcast * (own < FAIR_SHARE ? 2 : 1);
    if (own >= limits.unansweredPerSession || unanswered.length >= most) counters.capped.unanswered++;
    else if (this.#tracks.size - unanswered.length >= limits.tracksPerBroadcast) counters.capped.tracks++;
    else return true;
    return false;
  }

  /** Whether the last listener has left since there were `before`. */
  #isDeserted(before: number): boolean {
    return before > 0 && this.#aggregator.listeners === 0;
  }

  #aggregateSoon(): void {
    const wait = AGGREGATE_SPACING - (this.#environment.clock() - this.#lastAggregate);
    if (wait <= 0) this.#aggregate();
    else
      this.#aggregateTimer ??= setTimeout(
        guard("relay.aggregate", () => {
          this.#aggregateTimer = undefined;
          if (!this.#closed) this.#aggregate();
        }),
        Math.ceil(wait / 1000),
      );
  }

  #aggregate(): void {
    const now = this.#environment.clock();
    this.#lastAggregate = now;
    const media = this.#media();
    this.#aggregator.bound = media?.bound;
    const ingest = { group: media?.cache?.newest?.sequence, bytes: media?.ingestBytes ?? 0 };
    const body = encodeAggregate(this.#aggregator.aggregate(now, ingest));
    if (this.source.sendAggregate(this.sourcePath, body)) this.#environment.counters.aggregatesOut++;
  }

  // The reported track is the one with the most groups; a catalog has few.
  #media(): Track | undefined {
    let busiest: Track | undefined;
    // Tracks of JSON describe the broadcast and are not media.
    for (const track of this.#tracks.values())
      if (!track.name.endsWith(".json") && (track.cache?.groups.length ?? 0) > (busiest?.cache?.groups.length ?? 0))
        busiest = track;
    return busiest;
  }
}
