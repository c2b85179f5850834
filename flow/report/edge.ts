import { microseconds, toMilliseconds } from "../../base/index.js";
import type { Aggregate } from "./aggregate.js";
import type { Report } from "./report.js";

/** Turns the listeners named in an edge relay's aggregate into reports of their own, for the next relay's aggregate. */
export function reportsOf(aggregate: Aggregate): Report[] {
  const { broadcast, aggregateId, relayTimeMs, playing, bleedMs, staleMs, ingestAck, worstLead, worstLeadGroup } =
    aggregate;
  const missed = aggregate.missed.map(({ from, to, ...one }) => ({
    ...one,
    playhead: to,
    heardUntil: undefined,
    receivedUntil: from,
    clientTimeMs: 0,
  }));
  const listed = aggregate.listed.map((one) => ({ ...one, clientTimeMs: relayTimeMs }));
  return [...listed, ...missed].map(
    ({ session, playhead, discontinuity, heardUntil, receivedUntil, clientTimeMs }) => ({
      broadcast,
      session,
      reportId: aggregateId,
      clientTimeMs,
      playhead,
      playing,
      discontinuity,
      // The aggregate does not carry the start of the rewind, but the heard position, which lies at or before it.
      from: heardUntil,
      heardUntil,
      // Only whether they rise matters: then `bufferedMs` says exactly what the listener had.
      receivedBytes: receivedUntil === undefined ? 0 : relayTimeMs,
      receivedGroup: ingestAck,
      worstLead,
      worstLeadGroup,
      // Negative behind a playhead that ran on through silence.
      bufferedMs: toMilliseconds(microseconds((receivedUntil ?? playhead) - playhead)),
      bleedMs,
      staleMs,
    }),
  );
}
