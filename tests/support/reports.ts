import { microseconds } from "../../base/index.js";
import type { Aggregate, ListedListener, Report } from "../../flow/report/index.js";

/** A report of a listener that plays at the start of broadcast 1 and has received nothing, but for `changes`. */
export function reportWith(changes: Partial<Report> = {}): Report {
  return {
    broadcast: 1,
    session: 1,
    reportId: 0,
    clientTimeMs: 0,
    playhead: microseconds(0),
    playing: true,
    discontinuity: 0,
    from: undefined,
    heardUntil: undefined,
    receivedBytes: 0,
    receivedGroup: undefined,
    worstLead: undefined,
    worstLeadGroup: undefined,
    bufferedMs: 0,
    bleedMs: 0,
    staleMs: 0,
    ...changes,
  };
}

/** An aggregate that names all its listeners, who play, but for `changes`. A listener without a playhead is at 0. */
export function aggregateOf(
  listeners: readonly (Pick<ListedListener, "session"> & Partial<ListedListener>)[],
  changes: Partial<Aggregate> = {},
): Aggregate {
  const listed = listeners.map((listener) => ({
    playhead: microseconds(0),
    discontinuity: 0,
    heardUntil: undefined,
    receivedUntil: undefined,
    isOverdue: false,
    ...listener,
  }));
  const playheads = listed.length === 0 ? [0] : listed.map(({ playhead }) => playhead);
  return {
    broadcast: 1,
    aggregateId: 0,
    relayTimeMs: 0,
    listeners: listed.length,
    overflow: 0,
    playing: true,
    earliest: microseconds(Math.min(...playheads)),
    latest: microseconds(Math.max(...playheads)),
    worstLead: undefined,
    worstLeadGroup: undefined,
    ingestAck: undefined,
    ingestBytes: 0,
    discontinuity: Math.max(0, ...listed.map(({ discontinuity }) => discontinuity)),
    bleedMs: 0,
    staleMs: 0,
    listed,
    missed: [],
    ...changes,
  };
}
