import type { Speech, Weather } from "./history.js";
import type { Flush } from "./processes/listener.js";
import { RATE, signal } from "./signal.js";
import type { Deed, Fault, Recording, Run } from "./stage.js";
import { type Heard, transcribe } from "./transcript.js";

/** A promise that a run broke. */
export interface Violation {
  /**
   * `whole`: audio is missing or repeated. `stale`: audio was heard after an interrupt had taken it back. `level`: it
   * was heard at another level. `position`: the heard position differs from the speaker's. `end`: a speech has no end
   * or several. `back`: all is well again and a listener still hears too little or too late. `truth`: a listener says
   * `playing` of silence or the opposite. `alive`: a process ended by itself.
   */
  readonly promise: "whole" | "stale" | "level" | "position" | "end" | "back" | "truth" | "alive";
  /** One sentence. */
  readonly what: string;
}

type Say = Extract<Deed, { readonly do: "say" }>;
type Interrupt = Extract<Deed, { readonly do: "interrupt" }>;

/** A stretch heard, with its times on the shared clock, in microseconds. */
interface Piece extends Heard {
  readonly startsAt: number;
  readonly endsAt: number;
}

/** The audio of one life of a listener, and the faults that could reach it. */
interface Ear {
  readonly name: string;
  readonly recording: Recording;
  /** When it could hear something for the first time. */
  readonly readyAt: number;
  readonly pieces: readonly Piece[];
  readonly hard: readonly Fault[];
  readonly weather: readonly Fault[];
}

const MS = 1000;
/** Some time after a fault is over, nothing of it may be heard any more. */
const RECOVERY_US = 3500 * MS;
/** A listener may miss this much after it has said for the first time that it is ready. */
const JOIN_US = 300 * MS;
/** Edges of a piece are known to 5 ms, and a crossfade hides as much again. */
const EDGE_MS = 10;
/** Two pieces this far apart are parted by a pause. */
const PAUSE_MS = 20;
/** Audio that a resume or a knob may repeat. */
const REPEAT_MS = 20;
/** Transit on the loopback, one turn of a speaker, one fade. */
const SILENCE_US = 100 * MS;
const LEVEL_DB = 3;
/** Where a knob turns, the old audio fades out and the new one in: one step may be this far off. */
const SEAM_DB = 9;
/** How long a turned knob may take until it is heard. */
const KNOB_US = 3000 * MS;
const POSITION_US = 25 * MS;
/** From a call to its first sample once all is well; most of it is allowance for a busy machine. */
const START_US = 1500 * MS;
/** How long `playing` may be untrue, and how often it is asked. */
const UNTRUE_MS = 1500;
const CLAIM_MS = 100;
/** Lossy weather may take this much of a speech, plus a multiple of the expected loss. Delay alone takes nothing. */
const LOSS_MS = 80;
const LOSS_FACTOR = 3;
/**
 * QUIC takes packets that overtake three others for losses, and keeps its window small: on a path this long, less than
 * a voice. That counts as this loss.
 */
const REORDERED = { delayMs: 100, loss: 0.05 };

/** Everything in a run that breaks a promise. */
export function check(run: Run): Violation[] {
  const says = run.deeds.filter((deed): deed is Say => deed.do === "say");
  const said = new Map(says.map(({ speech }) => [speech.utterance, signal(speech.utterance, samplesOf(speech))]));
  const ears = run.recordings.map((recording) => listen(recording, said, run.faults));
  return [
    ...run.deaths.map((what): Violation => ({ promise: "alive", what })),
    ...checkEnds(run, says),
    ...checkPositions(run),
    ...ears.flatMap((ear) => says.flatMap((say) => checkSpeech(run, ear, say))),
    ...ears.flatMap(checkTruth),
  ];
}

function samplesOf({ lengthMs }: Speech): number {
  return Math.round((lengthMs * RATE) / 1000);
}

function listen(recording: Recording, said: ReadonlyMap<number, Float32Array>, faults: readonly Fault[]): Ear {
  const name = `listener-${recording.listener}`;
  const reaching = faults.filter(({ role, kind }) => {
    return kind !== "jump" && [name, "publisher", "relay", recording.at].includes(role);
  });
  return {
    name,
    recording,
    readyAt: recording.claims.find(({ state }) => state === "ready" || state === "playing")?.at ?? Infinity,
    pieces: transcribe(recording.samples, said).map((heard) => ({
      ...heard,
      startsAt: clockAt(recording, heard.at),
      endsAt: clockAt(recording, heard.at + heard.to - heard.from),
    })),
    hard: reaching.filter(({ kind }) => kind !== "weather"),
    weather: reaching.filter(({ kind }) => kind === "weather"),
  };
}

/** The shared clock when the speaker pulled a place of its recording, given in milliseconds. */
function clockAt({ index }: Recording, atMs: number): number {
  const sample = (atMs * RATE) / 1000;
  let low = 0;
  let high = index.length / 2 - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (index[2 * middle + 1]! < sample) low = middle + 1;
    else high = middle;
  }
  return index[2 * low] ?? 0;
}

function overlaps(faults: readonly Fault[], from: number, until: number): boolean {
  return faults.some((fault) => fault.from < until && fault.until + RECOVERY_US > from);
}

/** The interrupts that could reach a speech, each with the time at which a resume undid it. */
function interruptsOf(run: Run, say: Say): { interrupt: Interrupt; resumedAt: number | undefined }[] {
  const later = run.deeds.filter(({ at, life }) => at > say.at && life === say.life);
  return later
    .filter((deed): deed is Interrupt => deed.do === "interrupt")
    .map((interrupt) => {
      const next = later.find((deed) => deed.at > interrupt.at && deed.do === "interrupt")?.at ?? Infinity;
      const resume = later.find((deed) => {
        return deed.do === "resume" && deed.answer === true && deed.at > interrupt.at && deed.at < next;
      });
      return { interrupt, resumedAt: resume?.at };
    });
}

function checkSpeech(run: Run, ear: Ear, say: Say): Violation[] {
  const { speech } = say;
  const pieces = ear.pieces.filter(({ utterance }) => utterance === speech.utterance);
  const interrupts = interruptsOf(run, say);
  const slow = speech.firstAfterMs + Math.max(speech.lengthMs, speech.lengthMs / speech.pace);
  const queued = run.deeds.filter((deed): deed is Say => deed.do === "say" && deed.at <= say.at);
  const backlogMs = queued.reduce((left, { at, speech: { lengthMs, pace, firstAfterMs } }, i) => {
    const before = i === 0 ? 0 : Math.max(0, left - (at - queued[i - 1]!.at) / MS);
    return before + firstAfterMs + Math.max(lengthMs, lengthMs / pace);
  }, 0);
  const lastMs = Math.max(slow, backlogMs) + 1500;
  const until = Math.max(say.at + lastMs * MS, ...pieces.map(({ endsAt }) => endsAt));
  const isProbe = run.probes.includes(speech.utterance);
  const present = say.answeredAt !== undefined && ear.readyAt + JOIN_US < say.at && ear.recording.life.until > until;
  const disturbed = !isProbe && overlaps(ear.hard, say.at - RECOVERY_US, until);
  const wet = !isProbe && overlaps(ear.weather, say.at, until);
  const violations = checkStale(run, ear, say, pieces, interrupts);
  if (!present && !(isProbe && ear.recording.life.until > run.calmAt)) return violations;
  if (!disturbed) violations.push(...checkWhole(ear, say, pieces, interrupts, wet, isProbe));
  if (!disturbed && !wet) violations.push(...checkLevel(run, ear, say, pieces));
  return violations;
}

function checkWhole(
  ear: Ear,
  { speech, at }: Say,
  pieces: readonly Piece[],
  interrupts: ReturnType<typeof interruptsOf>,
  wet: boolean,
  isProbe: boolean,
): Violation[] {
  const { utterance, lengthMs } = speech;
  const name = `${ear.name}, utterance ${utterance} (${lengthMs} ms)`;
  const promise = isProbe ? "back" : "whole";
  const cut = interrupts.some(({ resumedAt }) => resumedAt === undefined);
  const end = cut ? Math.max(0, ...pieces.map(({ to }) => to)) : lengthMs;
  let reached = 0;
  let missing = 0;
  let repeated = 0;
  let pausedAt = 0;
  for (const { from, to, at: heardAt } of pieces) {
    // Where the audio paused, both edges are faded and known to 5 ms only.
    missing += Math.max(0, from - reached - (reached > 0 ? EDGE_MS : 0));
    const edge = heardAt - pausedAt >= PAUSE_MS ? EDGE_MS : 0;
    // Pieces that overlap in time as well are edges known too wide: nothing sounds twice at once.
    const shared = Math.max(0, pausedAt - heardAt);
    repeated += Math.max(0, Math.min(to, reached) - from - edge - shared);
    reached = Math.max(reached, to);
    pausedAt = Math.max(pausedAt, heardAt + to - from);
  }
  missing += Math.max(0, end - reached);
  const seams = 1 + interrupts.length;
  // The match needs windows of 20 ms: a shorter utterance cannot be recognised.
  if (lengthMs < 40) return [];
  const loss = Math.max(0, ...ear.weather.map(({ event }) => (event.do === "weather" ? lossOf(event.weather) : 0)));
  const allowed = EDGE_MS * seams + (wet && loss > 0 ? LOSS_MS + LOSS_FACTOR * loss * lengthMs : 0);
  const violations: Violation[] = [];
  const heard = pieces.map(({ from, to }) => `${from.toFixed(0)}..${to.toFixed(0)}`).join(" ") || "nothing";
  if (missing > allowed) {
    violations.push({ promise, what: `${name}: ${missing.toFixed(0)} ms are missing; heard ${heard}.` });
  }
  const behind = interrupts.reduce((sum, { interrupt, resumedAt }) => {
    return resumedAt === undefined ? sum : sum + spreadMs(interrupt.answer);
  }, 0);
  if (repeated > REPEAT_MS + EDGE_MS * seams + behind) {
    violations.push({ promise, what: `${name}: ${repeated.toFixed(0)} ms were repeated; heard ${heard}.` });
  }
  const first = pieces[0];
  if (isProbe && first !== undefined && first.startsAt - at > START_US) {
    const late = ((first.startsAt - at) / MS).toFixed(0);
    violations.push({ promise, what: `${name}: it was first heard ${late} ms after the call.` });
  }
  return violations;
}

function lossOf({ loss, reorder, delayMs, jitterMs }: Weather): number {
  return reorder && jitterMs > 0 && delayMs >= REORDERED.delayMs ? Math.max(loss, REORDERED.loss) : loss;
}

/** How far the listeners of an interrupt were apart: a resume continues where the earliest of them fell silent. */
function spreadMs(answer: Interrupt["answer"]): number {
  const heard = answer?.listeners.map(({ heardUntilUs }) => heardUntilUs) ?? [];
  return heard.length === 0 ? 0 : (Math.max(...heard) - Math.min(...heard)) / MS;
}

function checkStale(
  run: Run,
  ear: Ear,
  { speech, life }: Say,
  pieces: readonly Piece[],
  interrupts: ReturnType<typeof interruptsOf>,
): Violation[] {
  const violations: Violation[] = [];
  for (const { interrupt, resumedAt } of interrupts) {
    if (interrupt.answeredAt === undefined) continue;
    const newer = new Set(
      run.deeds
        .filter((deed): deed is Say => deed.do === "say" && (deed.at > interrupt.at || deed.life > life))
        .map((say) => say.speech.utterance),
    );
    const heardNewer = ear.pieces.find(({ utterance }) => newer.has(utterance))?.startsAt ?? Infinity;
    const disturbed = overlaps(
      [...ear.hard, ...ear.weather],
      interrupt.at - RECOVERY_US,
      interrupt.answeredAt + SILENCE_US,
    );
    const limit = disturbed ? heardNewer : Math.min(heardNewer, interrupt.answeredAt + SILENCE_US);
    const until = resumedAt ?? Infinity;
    const stale = pieces.filter(({ startsAt, endsAt }) => endsAt > limit + EDGE_MS * MS && startsAt < until);
    const ms = stale.reduce((sum, one) => sum + (Math.min(until, one.endsAt) - Math.max(limit, one.startsAt)) / MS, 0);
    // The speaker's last turn and the edge of what is recognised.
    if (ms > 2 * EDGE_MS) {
      violations.push({
        promise: "stale",
        what: `${ear.name}, utterance ${speech.utterance}: ${ms.toFixed(0)} ms were heard after the interrupt at ${clock(run, interrupt.at)} had taken them back.`,
      });
    }
  }
  return violations;
}

function checkLevel(run: Run, ear: Ear, { speech, life }: Say, pieces: readonly Piece[]): Violation[] {
  // A publisher that was restarted has its knobs where they were at first.
  const gains = run.deeds.flatMap((deed) => {
    return deed.do === "gain" && deed.life === life && deed.answeredAt !== undefined ? [deed] : [];
  });
  const wrong: string[] = [];
  for (const { from, levels, startsAt, endsAt } of pieces) {
    let seams = gains.filter((gain) => gain.at > startsAt - KNOB_US && gain.at < endsAt).length;
    // The first step fades in and the last one out; a crossfade at a seam takes both.
    for (let step = 1; step < levels.length - 1; step++) {
      const at = startsAt + step * 10 * MS;
      const before = gains.findLast((gain) => gain.at <= at - KNOB_US)?.db ?? 0;
      const possible = [before, ...gains.filter((gain) => gain.at > at - KNOB_US && gain.at < at).map(({ db }) => db)];
      const db = levels[step];
      if (db === undefined) continue;
      const off = Math.min(...possible.map((gain) => Math.abs(db - gain)));
      if (off <= LEVEL_DB || (off <= SEAM_DB && seams-- > 0)) continue;
      wrong.push(`${db.toFixed(1)} dB at ${(from + step * 10).toFixed(0)} ms`);
    }
  }
  if (wrong.length === 0) return [];
  const some = wrong.slice(0, 4).join(", ");
  return [
    { promise: "level", what: `${ear.name}, utterance ${speech.utterance}: ${wrong.length} steps off, ${some}.` },
  ];
}

function checkEnds(run: Run, says: readonly Say[]): Violation[] {
  const lastLife = Math.max(...says.map(({ life }) => life));
  return says.flatMap(({ speech: { utterance }, life, answeredAt }): Violation[] => {
    const ends = run.outcomes[utterance] ?? [];
    if (answeredAt === undefined) return [];
    if (ends.length > 1) return [{ promise: "end", what: `Speech ${utterance} ended ${ends.length} times.` }];
    if (ends[0] === "failed") return [{ promise: "end", what: `Speech ${utterance} failed.` }];
    if (ends.length === 0 && life === lastLife && !run.probes.includes(utterance))
      return [{ promise: "end", what: `Speech ${utterance} has no end.` }];
    return [];
  });
}

function checkPositions(run: Run): Violation[] {
  return run.deeds.flatMap((deed): Violation[] => {
    if (deed.do !== "interrupt" || deed.answer === undefined || deed.answeredAt === undefined) return [];
    const { at, answeredAt, answer } = deed;
    // Without a cut, what a speaker flushed belongs to another interrupt.
    if (!answer.rewound) return [];
    const cutAt = firstOfCut(run, deed).at;
    const played = run.recordings.flatMap(({ flushes }) =>
      flushes
        .map((flush, index) => ({ ...flush, leastUs: leastUs(run, deed, flushes[index - 1], flush) }))
        .filter((flush) => flush.at >= cutAt && flush.at <= answeredAt + SILENCE_US),
    );
    if (played.length === 0) return [];
    const heard = played.map(({ playedUntilUs }) => (playedUntilUs / MS).toFixed(0)).join(", ");
    return answer.listeners
      .filter(({ measured }) => measured)
      .filter(
        ({ heardUntilUs }) => Math.min(...played.map((truth) => offUs(heardUntilUs, truth, answer))) > POSITION_US,
      )
      .map(({ heardUntilUs }) => ({
        promise: "position",
        what: `The interrupt at ${clock(run, at)} reported ${(heardUntilUs / MS).toFixed(0)} ms as heard; speakers played until ${heard} ms.`,
      }));
  });
}

/**
 * The least that a listener may report for a flush. Where it played nothing since the flush of an interrupt before this
 * one, it reports no more than that one's cut: what it had played beyond the cut was stale.
 */
function leastUs({ deeds }: Run, { at, life }: Interrupt, before: Flush | undefined, flush: Flush): number {
  const { playedUntilUs } = flush;
  if (before === undefined || Math.abs(playedUntilUs - before.playedUntilUs) > EDGE_MS * MS) return playedUntilUs;
  const isOfIt = (deed: Deed): deed is Interrupt =>
    deed.do === "interrupt" &&
    deed.life === life &&
    deed.at < at &&
    deed.at <= before.at &&
    deed.answer?.rewound === true &&
    before.at <= (deed.answeredAt ?? 0) + SILENCE_US;
  return Math.min(playedUntilUs, deeds.findLast(isOfIt)?.answer?.toUs ?? playedUntilUs);
}

/** An interrupt whose cut is not answered yet gets its answer, too: speakers may have flushed before the second one. */
function firstOfCut({ deeds }: Run, interrupt: Interrupt): Interrupt {
  const isSame = (deed: Deed): deed is Interrupt =>
    deed.do === "interrupt" &&
    deed.life === interrupt.life &&
    deed.answer?.toUs === interrupt.answer?.toUs &&
    deed.at <= interrupt.at &&
    (deed.answeredAt ?? 0) >= interrupt.at;
  return deeds.find(isSame) ?? interrupt;
}

/** How far a reported position is off. A speaker that had not reached the cut plays on until there. */
function offUs(
  heardUntilUs: number,
  { leastUs, playedUntilUs }: { readonly leastUs: number; readonly playedUntilUs: number },
  { toUs }: NonNullable<Interrupt["answer"]>,
): number {
  return Math.max(leastUs - heardUntilUs, heardUntilUs - Math.max(playedUntilUs, toUs));
}

/** `playing` means that audio is being heard: looks for stretches where a listener claims the opposite. */
function checkTruth(ear: Ear): Violation[] {
  const { claims } = ear.recording;
  const sounding = (at: number) => ear.pieces.some(({ startsAt, endsAt }) => startsAt <= at && endsAt >= at);
  let untrueMs = 0;
  let last = 0;
  for (const { at, playing } of claims) {
    // A process that stood still could not say anything.
    const gap = (at - last) / MS > 3 * CLAIM_MS;
    last = at;
    untrueMs = gap || playing === sounding(at) ? 0 : untrueMs + CLAIM_MS;
    if (untrueMs > UNTRUE_MS) {
      const what = playing ? "said that it was playing, and was silent" : "played, and said that it was not playing";
      return [{ promise: "truth", what: `${ear.name} ${what} for more than ${UNTRUE_MS} ms.` }];
    }
  }
  return [];
}

function clock({ startedAt }: Run, at: number): string {
  return `${((at - startedAt) / 1e6).toFixed(3)} s`;
}
