import { type Microseconds, microseconds } from "../../base/index.js";
import {
  distance,
  Flag,
  flagged,
  header,
  Kind,
  limited,
  MAX_ID,
  MAX_NUMBER,
  open,
  type ReportErrorCode,
  readLead,
  saturated,
  within,
  word,
  writeLead,
} from "./record.js";
import type { RecordWriter } from "./record-bytes.js";

/** Maximum bytes of a relay's aggregate, including the MoQ datagram header: every path carries that much. */
export const MAX_AGGREGATE_BYTES = 1200;
/** Maximum listeners that one aggregate names. */
export const MAX_LISTED = 24;

/** Flags of one listener in an aggregate. */
const Present = { HEARD: 1, RECEIVED: 2, PAST: 4, OVERDUE: 8 } as const;

/** One listener in an aggregate. */
export interface ListedListener {
  /** The player's random session id. */
  readonly session: number;
  /** Its playhead, projected to the aggregate's `relayTimeMs`. */
  readonly playhead: Microseconds;
  /** Number of rewinds that it has applied. */
  readonly discontinuity: number;
  /** How far it heard the old timeline at its last rewind. */
  readonly heardUntil: Microseconds | undefined;
  /** Media time up to which it may have heard audio; undefined while that is unknown. */
  readonly receivedUntil: Microseconds | undefined;
  /** Whether its next report is overdue: then the playhead is only a projection. */
  readonly isOverdue: boolean;
}

/** The last stretch of media time that a listener had no audio for, between audio that it heard. */
export interface MissedAudio {
  readonly session: number;
  /** Where the audio before ended, and where it began again. */
  readonly from: Microseconds;
  readonly to: Microseconds;
  /** Number of rewinds that the listener had applied. */
  readonly discontinuity: number;
}

/** A relay's report to the publisher about all listeners of one broadcast. */
export interface Aggregate {
  /** {@link broadcastHash} of the broadcast's path. */
  readonly broadcast: number;
  /** Rises by one with every aggregate, under 2^30. */
  readonly aggregateId: number;
  /** The relay's monotonic clock at send, in whole milliseconds, under 2^35. */
  readonly relayTimeMs: number;
  /** Listeners that report. */
  readonly listeners: number;
  /** Listeners refused because the relay's table was full, since its start. */
  readonly overflow: number;
  /** Whether any listener plays. */
  readonly playing: boolean;
  /** Earliest playhead of the playing listeners (of all when none plays) at `relayTimeMs`; 0 with no listeners. */
  readonly earliest: Microseconds;
  /** Latest playhead of the playing listeners (of all when none plays) at `relayTimeMs`; 0 with no listeners. */
  readonly latest: Microseconds;
  /** Smallest landing lead since the last aggregate. */
  readonly worstLead: Microseconds | undefined;
  /** The group that had `worstLead`. */
  readonly worstLeadGroup: number | undefined;
  /** Every group up to this one has reached the relay or was lost. */
  readonly ingestAck: number | undefined;
  /** Bytes of media that reached the relay, saturating at 2^42 - 1. */
  readonly ingestBytes: number;
  /** Largest number of rewinds that any listener has applied. */
  readonly discontinuity: number;
  /** Largest `bleedMs` of any listener. */
  readonly bleedMs: number;
  /** Largest `staleMs` of any listener. */
  readonly staleMs: number;
  /** Some listeners by name, at most {@link MAX_LISTED}. */
  readonly listed: readonly ListedListener[];
  /** What some of them missed, if it ended a moment ago and there is room. */
  readonly missed: readonly MissedAudio[];
}

/** Whether an aggregate is older than one that arrived first: by its sender's clock, because a count may restart. */
export function isOvertaken(
  { relayTimeMs, aggregateId }: Pick<Aggregate, "relayTimeMs" | "aggregateId">,
  last: Pick<Aggregate, "relayTimeMs" | "aggregateId">,
): boolean {
  return relayTimeMs === last.relayTimeMs ? aggregateId <= last.aggregateId : relayTimeMs < last.relayTimeMs;
}

/** Result of {@link decodeAggregate}. */
export type DecodedAggregate =
  | { readonly ok: true; readonly aggregate: Aggregate }
  | { readonly ok: false; readonly code: ReportErrorCode };

/**
 * Encodes an aggregate as a whole MoQ datagram body of at most {@link MAX_AGGREGATE_BYTES}. It clamps numbers out of
 * range and omits listeners beyond {@link MAX_LISTED}, so it never throws.
 */
export function encodeAggregate(aggregate: Aggregate): Uint8Array {
  const { worstLead, worstLeadGroup } = aggregate;
  const latest = limited(aggregate.latest, MAX_NUMBER);
  const ack = aggregate.ingestAck === undefined ? undefined : limited(aggregate.ingestAck, MAX_NUMBER);
  const listed = aggregate.listed.slice(0, MAX_LISTED);
  const lead = worstLead !== undefined && worstLeadGroup !== undefined;
  const writer = header(aggregate.aggregateId, latest, Kind.AGGREGATE);
  writer.byte(
    flagged((aggregate.playing ? Flag.PLAYING : 0) | (ack === undefined ? 0 : Flag.RECEIVED) | (lead ? Flag.LEAD : 0)),
  );
  writer.uint32(word(aggregate.broadcast));
  writer.compact(saturated(aggregate.relayTimeMs, 35));
  if (ack !== undefined) writer.compact(ack);
  writer.compact(saturated(aggregate.ingestBytes, 42));
  writer.compact(saturated(aggregate.listeners, 21));
  writer.compact(saturated(aggregate.overflow, 21));
  writer.compact(saturated(aggregate.bleedMs, 14));
  writer.compact(saturated(aggregate.staleMs, 14));
  writer.compact(saturated(aggregate.discontinuity, 21));
  writer.compact(latest - limited(aggregate.earliest, latest));
  if (lead) writeLead(writer, worstLead, worstLeadGroup, ack);
  const missed = aggregate.missed.slice(0, MAX_LISTED - listed.length);
  writer.byte(listed.length + missed.length);
  for (const one of listed) writeListed(writer, one, latest);
  for (const one of missed) writeListed(writer, pastOf(one), latest, Present.PAST);
  return writer.finish();
}

// The listener once more, as it was when its audio began again: a publisher that knows none of this sees it twice.
function pastOf({ session, from, to, discontinuity }: MissedAudio): ListedListener {
  return { session, playhead: to, discontinuity, heardUntil: undefined, receivedUntil: from, isOverdue: false };
}

function writeListed(writer: RecordWriter, one: ListedListener, latest: number, past = 0): void {
  const { heardUntil, receivedUntil, isOverdue } = one;
  const heard = heardUntil === undefined ? 0 : Present.HEARD;
  const received = receivedUntil === undefined ? 0 : Present.RECEIVED;
  writer.byte(heard | received | past | (isOverdue ? Present.OVERDUE : 0));
  writer.uint32(word(one.session));
  const offset = distance(limited(one.playhead, MAX_NUMBER), latest);
  writer.signed(offset);
  writer.compact(saturated(one.discontinuity, 21));
  for (const time of [heardUntil, receivedUntil])
    if (time !== undefined) writer.signed(distance(limited(time, MAX_NUMBER), latest + offset));
}

/** Decodes an aggregate; never throws, whatever the bytes. */
export function decodeAggregate(bytes: Uint8Array): DecodedAggregate {
  const opened = open(bytes, Kind.AGGREGATE, MAX_AGGREGATE_BYTES);
  if (typeof opened === "string") return { ok: false, code: opened };
  const { reader, id, timestamp: latest, flags } = opened;
  const broadcast = reader.uint32();
  const relayTimeMs = reader.compact();
  const ingestAck = flags & Flag.RECEIVED ? reader.compact() : undefined;
  const ingestBytes = reader.compact();
  const listeners = reader.compact();
  const overflow = reader.compact();
  const bleedMs = reader.compact();
  const staleMs = reader.compact();
  const discontinuity = reader.compact();
  const earliest = latest - reader.compact();
  const lead = flags & Flag.LEAD ? readLead(reader, ingestAck) : undefined;
  const count = reader.byte();
  if (count > MAX_LISTED) return { ok: false, code: "OUT_OF_RANGE" };
  const listed: ListedListener[] = [];
  const missed: MissedAudio[] = [];
  for (let index = 0; index < count; index++) {
    const present = reader.byte();
    const session = reader.uint32();
    const playhead = latest + reader.signed();
    const applied = reader.compact();
    const heardUntil = present & Present.HEARD ? playhead + reader.signed() : undefined;
    const receivedUntil = present & Present.RECEIVED ? playhead + reader.signed() : undefined;
    if (reader.failed) return { ok: false, code: "TRUNCATED" };
    const valid =
      within(playhead, MAX_NUMBER) &&
      applied < 2 ** 21 &&
      within(heardUntil, MAX_NUMBER) &&
      within(receivedUntil, MAX_NUMBER);
    if (!valid) return { ok: false, code: "OUT_OF_RANGE" };
    if (present & Present.PAST) {
      const [from, to] = [microseconds(receivedUntil ?? playhead), microseconds(playhead)];
      missed.push(Object.freeze({ session, from, to, discontinuity: applied }));
      continue;
    }
    listed.push(
      Object.freeze({
        session,
        playhead: microseconds(playhead),
        discontinuity: applied,
        heardUntil: heardUntil === undefined ? undefined : microseconds(heardUntil),
        receivedUntil: receivedUntil === undefined ? undefined : microseconds(receivedUntil),
        isOverdue: (present & Present.OVERDUE) !== 0,
      }),
    );
  }
  if (reader.failed) return { ok: false, code: "TRUNCATED" };
  const valid =
    reader.remaining === 0 &&
    id < MAX_ID &&
    relayTimeMs < 2 ** 35 &&
    within(ingestAck, MAX_NUMBER) &&
    ingestBytes < 2 ** 42 &&
    listeners < 2 ** 21 &&
    overflow < 2 ** 21 &&
    bleedMs < 2 ** 14 &&
    staleMs < 2 ** 14 &&
    discontinuity < 2 ** 21 &&
    earliest >= 0 &&
    within(lead?.group, MAX_NUMBER);
  if (!valid) return { ok: false, code: "OUT_OF_RANGE" };
  return {
    ok: true,
    aggregate: Object.freeze({
      broadcast,
      aggregateId: id,
      relayTimeMs,
      listeners,
      overflow,
      playing: (flags & Flag.PLAYING) !== 0,
      earliest: microseconds(earliest),
      latest: microseconds(latest),
      worstLead: lead?.lead,
      worstLeadGroup: lead?.group,
      ingestAck,
      ingestBytes,
      discontinuity,
      bleedMs,
      staleMs,
      listed: Object.freeze(listed),
      missed: Object.freeze(missed),
    }),
  };
}
