import { type Microseconds, microseconds, monotonicClock, toMilliseconds } from "../base/index.js";
import type { Origin } from "./broadcast/origin.js";
import type { RelayEnvironment } from "./environment.js";
import type { RelayCounters } from "./relay-counters.js";

/** Result of `Relay.stats`. */
export interface RelayStats {
  readonly sessions: number;
  readonly broadcasts: number;
  /** Publishers whose name a newer one has taken. */
  readonly displaced: number;
  readonly tracks: number;
  readonly watchers: number;
  readonly listeners: number;
  /** TCP connections without a session. */
  readonly connections: number;
  readonly cachedBytes: number;
  /** Bytes of incomplete frames. */
  readonly partialBytes: number;
  /** Bytes of groups that the transport has not taken yet. */
  readonly pendingBytes: number;
  readonly queuedBytes: number;
  readonly queuedGroups: number;
  readonly counters: RelayCounters;
}

/** One reporting listener, from `Relay.listeners`. */
export interface RelayListener {
  /** Path of the broadcast it listens to. */
  readonly broadcast: string;
  /** How much longer its newest report took than the quickest recent one, in milliseconds. */
  readonly stalenessMs: number;
  /** Its playhead now, in microseconds of media time. */
  readonly playheadUs: number;
  readonly playing: boolean;
}

/** Counters outside the environment that sessions share. */
export interface RelayState {
  /** Bytes of groups that the transport has not taken yet, for each session. */
  readonly pendingBytes: readonly number[];
  /** TCP connections without a session. */
  readonly connections: number;
}

export function collectStats(
  { origin, budget, partial, counters }: RelayEnvironment,
  { pendingBytes, connections }: RelayState,
): RelayStats {
  const broadcasts = [...origin.broadcasts];
  const tracks = broadcasts.flatMap((broadcast) => [...broadcast.tracks.values()]);
  const watchers = tracks.flatMap((track) => [...track.watchers]);
  return {
    sessions: pendingBytes.length,
    broadcasts: origin.size,
    displaced: origin.displaced,
    tracks: tracks.length,
    watchers: watchers.length,
    listeners: sum(broadcasts.map(({ listeners }) => listeners)),
    connections,
    cachedBytes: budget.usedBytes,
    partialBytes: partial.usedBytes,
    pendingBytes: sum(pendingBytes),
    queuedBytes: sum(watchers.map(({ queuedBytes }) => queuedBytes)),
    queuedGroups: sum(watchers.map(({ queuedGroups }) => queuedGroups)),
    counters: structuredClone({ ...counters }),
  };
}

/** The listeners that report, by broadcast. */
export function reportingListeners(origin: Origin, now: Microseconds = monotonicClock()): RelayListener[] {
  return [...origin.broadcasts].flatMap(({ path, reporting }) =>
    [...reporting].map(([, state]) => ({
      broadcast: path,
      stalenessMs: toMilliseconds(state.latest?.staleness ?? microseconds(0)),
      playheadUs: state.playheadAt(now) ?? 0,
      playing: state.playing,
    })),
  );
}

/** Everything announced, for people to read. */
export function describeBroadcasts(origin: Origin): unknown {
  return [...origin.broadcasts].map(({ path, source, hops, listeners, tracks }) => ({
    path,
    source: source.id,
    hops: hops.map(String),
    listeners,
    tracks: [...tracks.values()].map((track) => ({
      name: track.name,
      watchers: track.watchers.size,
      subscribed: track.subscribed,
      newestGroup: track.lastSequence,
      cachedGroups: track.cache?.groups.length ?? 0,
      cachedBytes: track.cache?.bytes ?? 0,
    })),
  }));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
