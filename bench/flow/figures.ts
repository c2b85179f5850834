import { microseconds } from "../../base/index.js";
import { SAMPLE_RATE } from "../../watch/index.js";
import type { FarLanding, FarNotes, FarRun, FarSample } from "./far-end.js";
import { type LeadBucket, LeadBuckets } from "./metrics.js";

/** Estimates of a publisher and its relay at one moment of the shared clock, in microseconds. */
export interface NearSample {
  readonly at: number;
  /** Where the publisher takes the listener's playhead to be, in microseconds of media time. */
  readonly playheadUs: number;
  /** How far ahead of that it has encoded, in milliseconds. */
  readonly leadMs: number;
  /** How old the relay takes the listener's newest report to be; undefined before the first. */
  readonly stalenessMs: number | undefined;
}

/** A stretch of the shared clock, in microseconds. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** A publisher's estimate of the playhead against the speaker's. */
export interface PlayheadError {
  readonly at: number;
  /** Positive where the publisher is ahead. */
  readonly errorMs: number;
}

const inside = ({ from, to }: Span, at: number): boolean => at >= from && at < to;

/** Landing leads of a stretch by 5 s from its start. */
export function leadBuckets(landings: readonly FarLanding[], span: Span): LeadBucket[] {
  const buckets = new LeadBuckets();
  for (const { at, lead } of landings)
    if (inside(span, at)) buckets.add(microseconds(lead), microseconds(at - span.from));
  return buckets.summary();
}

/** How much silence the speaker pulled in a stretch once it had begun to play, in milliseconds. */
export function silentMs(runs: readonly FarRun[], { from, to }: Span): number {
  const begun = runs.findIndex(({ timestamp }) => timestamp !== undefined);
  let sum = 0;
  for (const { at, timestamp, frames } of begun < 0 ? [] : runs.slice(begun)) {
    if (timestamp !== undefined) continue;
    const end = at + (frames * 1e6) / SAMPLE_RATE;
    sum += Math.max(0, Math.min(end, to) - Math.max(at, from)) / 1000;
  }
  return sum;
}

/**
 * How much sound the speaker played in a stretch that had never come, or not in time, in milliseconds: made up by the
 * decoder.
 */
export function madeUpMs(notes: Pick<FarNotes, "runs" | "landings">, span: Span, frameMs: number): number {
  const frameUs = frameMs * 1000;
  const came = new Set<number>();
  for (const { lead, timestamp } of notes.landings) if (lead > -frameUs / 2) came.add(Math.round(timestamp / frameUs));
  let missing = 0;
  for (const { at, timestamp, frames } of notes.runs) {
    if (timestamp === undefined) continue;
    const last = Math.floor((timestamp + (frames * 1e6) / SAMPLE_RATE) / frameUs);
    for (let slot = Math.ceil(timestamp / frameUs); slot < last; slot++)
      if (inside(span, at + slot * frameUs - timestamp) && !came.has(slot)) missing++;
  }
  return missing * frameMs;
}

/** The publisher's estimates of a stretch against what the speaker was playing, where it was playing. */
export function playheadErrors(near: readonly NearSample[], far: readonly FarSample[], span: Span): PlayheadError[] {
  const errors: PlayheadError[] = [];
  let index = 0;
  for (const { at, playheadUs } of near) {
    if (!inside(span, at)) continue;
    while (index + 1 < far.length && far[index + 1]!.at <= at) index++;
    const [before, after] = [far[index], far[index + 1]];
    if (before?.playheadUs === undefined || after?.playheadUs === undefined || before.at > at) continue;
    if (!before.playing || !after.playing) continue;
    const share = (at - before.at) / (after.at - before.at);
    const truth = before.playheadUs + (after.playheadUs - before.playheadUs) * share;
    errors.push({ at, errorMs: (playheadUs - truth) / 1000 });
  }
  return errors;
}

/** From the first late landing of a stretch to the first one that no late one follows, in milliseconds; 0 without any. */
export function lateForMs(landings: readonly FarLanding[], span: Span): number {
  const here = landings.filter(({ at }) => inside(span, at));
  const first = here.findIndex(({ lead }) => lead < 0);
  if (first < 0) return 0;
  const last = here.findLastIndex(({ lead }) => lead < 0);
  return ((here[last + 1]?.at ?? span.to) - here[first]!.at) / 1000;
}

/** Bits per second that a link carried in a stretch, headers included. */
export function wireRateBps(samples: readonly FarSample[], span: Span): number {
  const here = samples.filter(({ at }) => inside(span, at));
  const [first, last] = [here[0], here.at(-1)];
  if (first === undefined || last === undefined || last.at === first.at) return 0;
  return ((last.downBytes - first.downBytes) * 8e6) / (last.at - first.at);
}
