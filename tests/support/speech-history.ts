import fc from "fast-check";
import type { Speech } from "../../publisher/index.js";
import { VirtualStage } from "./virtual-stage.js";

/**
 * Samples come in pairs, and each pair says which one it is: the first, positive, counts through a band of its source,
 * and the second, negative, through all of it.
 */
const BAND = 3000;
const LEAST = 1000;
const MOST_SPEECHES = 10;
const SAMPLES_PER_MS = 48;
/** A report's rounding, and what a listener plays between two of its reports. */
const WITHIN_MS = 20;
/** Around a cut some samples are faded, and look like others. */
const UNSURE_MS = 3;
/** How much of a speech's end may be lost unnoticed, and how long a listener without reports counts as playing on. */
const CONCEALED_MS = 120;
/** What was heard has been reported after this time, if reports go. */
const REPORTED_MS = 200;

/** Actions of an application on its speeches. */
export type SpeechStep =
  | { readonly do: "say"; readonly ms: number; readonly gapMs: number; readonly drop: boolean }
  | { readonly do: "interrupt" | "pause" | "resume"; readonly which: number }
  | { readonly do: "interruptAll" | "resumeAll" }
  | { readonly do: "wait" | "lose"; readonly ms: number }
  | { readonly do: "stop"; readonly what: "audioStopped" | "relayStopped" | "stopped"; readonly ms: number }
  | { readonly do: "report"; readonly on: boolean };

const say: fc.Arbitrary<SpeechStep> = fc.record({
  do: fc.constant("say" as const),
  ms: fc.integer({ min: 40, max: 700 }),
  gapMs: fc.constantFrom(0, 0, 0, 60),
  drop: fc.boolean(),
});

const step: fc.Arbitrary<SpeechStep> = fc.oneof(
  { weight: 4, arbitrary: say },
  { weight: 7, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 350 }) }) },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constantFrom("interrupt", "pause", "resume"), which: fc.nat(MOST_SPEECHES) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom("interruptAll" as const, "resumeAll" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("report" as const), on: fc.boolean() }) },
);

/** The part of one source that the speaker played. */
class Played {
  /** When each pair was heard last. */
  readonly #heardAt: number[] = [];
  /** For each pair that came again, when it was heard before. */
  readonly repeats: number[] = [];

  take(pair: number, at: number): void {
    const since = this.#heardAt[pair];
    if (since !== undefined) this.repeats.push(since);
    this.#heardAt[pair] = at;
  }

  /** Samples up to the furthest one heard, or heard until a moment. */
  reached(until = Number.POSITIVE_INFINITY): number {
    return 2 * (this.#heardAt.findLastIndex((at) => at <= until) + 1);
  }

  /** Of these, the ones that were never heard. */
  get missing(): number {
    return this.reached() - 2 * this.#heardAt.filter((at) => at !== undefined).length;
  }
}

interface Said {
  readonly speech: Speech;
  readonly source: number;
  readonly samples: number;
  readonly saidAt: number;
  readonly ends: string[];
  isInterrupted: boolean;
  /** Whether no listener reported its end. */
  isEstimate: boolean;
  /** The listeners' last reported position. */
  measuredMs: number;
}

const timed = <D extends "wait" | "lose">(act: D, max: number) =>
  fc.record({ do: fc.constant(act), ms: fc.integer({ min: 10, max }) });
const stop: fc.Arbitrary<SpeechStep> = fc.record({
  do: fc.constant("stop" as const),
  what: fc.constantFrom("audioStopped" as const, "relayStopped" as const, "stopped" as const),
  ms: fc.integer({ min: 10, max: 2500 }),
});

/** Histories without interrupts, in which audio is lost or held up once something was heard. */
export const lossyHistories: fc.Arbitrary<SpeechStep[]> = fc
  .array(
    fc.oneof(
      { weight: 4, arbitrary: say },
      { weight: 4, arbitrary: timed("wait", 700) },
      { weight: 2, arbitrary: timed("lose", 1200) },
      { weight: 1, arbitrary: stop },
    ),
    { minLength: 3, maxLength: 14 },
  )
  .map((steps) => [{ do: "say", ms: 200, gapMs: 0, drop: false }, { do: "wait", ms: 700 }, ...steps]);

/** Histories of up to ten speeches. */
export const speechHistories: fc.Arbitrary<SpeechStep[]> = fc.array(step, { minLength: 2, maxLength: 18 });

/** A publisher, a listener and what an application does, on a virtual clock; it finds where an end or a sample is wrong. */
export class SpeechPlay {
  readonly said: Said[] = [];
  readonly played = Array.from({ length: MOST_SPEECHES }, () => new Played());
  readonly faults: string[] = [];
  readonly stage: VirtualStage;
  /** Whether what is left out may have been lost on the way. */
  readonly #isLossy: boolean;
  /** When reports began to be lost, or to arrive again. */
  readonly #reports: { readonly at: number; readonly on: boolean }[] = [];
  #before = 0;
  #sources = 0;

  constructor({ isLossy = false } = {}) {
    this.#isLossy = isLossy;
    this.stage = new VirtualStage({ aheadMs: 600, heard: (values) => this.#hear(values) });
  }

  async run(steps: readonly SpeechStep[]): Promise<void> {
    for (const one of steps) await this.#do(one);
    this.stage.unreported = false;
    const isOpen = () => this.said.some(({ ends }) => ends.length === 0);
    for (let i = 0; i < 60 && isOpen(); i++) {
      for (const { speech } of this.said) if (speech.phase === "paused") this.#add(speech.resume(), speech);
      await this.stage.runTo(this.stage.now + 300);
    }
    for (const one of this.said) this.#check(one);
    for (const [source, { missing, repeats }] of this.played.entries()) {
      const limit = UNSURE_MS * SAMPLES_PER_MS * (1 + steps.length / 2);
      if (missing > limit && !this.#isLossy)
        this.faults.push(`${missing / SAMPLES_PER_MS} ms of source ${source} were left out`);
      // Audio that was heard but not reported may be sent again.
      const repeated = 2 * repeats.filter((since) => !this.#wereReportsLost(since, since + REPORTED_MS)).length;
      if (repeated > limit) this.faults.push(`${repeated / SAMPLES_PER_MS} ms of source ${source} were heard twice`);
    }
  }

  async #do(one: SpeechStep): Promise<void> {
    const { stage, said } = this;
    switch (one.do) {
      case "wait":
        return stage.runTo(stage.now + one.ms);
      case "lose": {
        const end = stage.now + one.ms;
        stage.loses = () => stage.now < end;
        return stage.runTo(end);
      }
      case "stop":
        stage[one.what] = true;
        await stage.runTo(stage.now + one.ms);
        stage[one.what] = false;
        return;
      case "say":
        return this.#say(one.ms, one.gapMs, one.drop);
      case "report":
        if (one.on === stage.unreported) this.#reports.push({ at: stage.now, on: one.on });
        stage.unreported = !one.on;
        return;
      case "interruptAll":
        for (const each of said) each.isInterrupted ||= each.speech.phase !== "done";
        void stage.interrupt();
        return;
      case "resumeAll":
        for (const speech of stage.interrupts.resumeAll() ?? []) this.#add(speech);
        return;
      default:
        if (said.length > 0) this.#act(one.do, said[one.which % said.length]!);
    }
  }

  #act(act: "interrupt" | "pause" | "resume", said: Said): void {
    const { speech } = said;
    if (act === "interrupt") {
      said.isInterrupted ||= speech.phase !== "done";
      void speech.interrupt();
    } else if (act === "pause") {
      const isOpen = speech.phase === "queued" || speech.phase === "speaking";
      const done = speech.pause();
      if (done && !isOpen) this.faults.push(`speech ${speech.id} was paused although it was ${speech.phase}`);
    } else {
      this.#add(speech.resume(), speech);
      // Others that were interrupted with it continue as well.
      for (const { speech: other } of [...this.said]) this.#add(other.resumedAs);
    }
  }

  #say(ms: number, gapMs: number, drop: boolean): void {
    if (this.#sources === MOST_SPEECHES) return;
    const source = this.#sources++;
    const code = (index: number) => {
      const pair = Math.floor(index / 2);
      return index % 2 === 0 ? LEAST + source * BAND + (pair % BAND) : -LEAST - pair;
    };
    const chunks = Array.from({ length: Math.ceil(ms / 40) }, () => ({ afterMs: gapMs, ms: 40 }));
    if (drop) for (const each of this.said) each.isInterrupted ||= each.speech.phase === "paused";
    this.#add(
      this.stage.say(chunks, 0, { code, after: drop ? "drop" : "queue" }),
      undefined,
      source,
      chunks.length * 40,
    );
  }

  #add(speech: Speech | undefined, from?: Speech, source?: number, ms = 0): void {
    if (speech === undefined || speech === from || this.said.some((each) => each.speech === speech)) return;
    const same = this.said.find((each) => each.speech.id === speech.id);
    const said: Said = {
      speech,
      source: source ?? same!.source,
      samples: source === undefined ? same!.samples : ms * SAMPLES_PER_MS,
      saidAt: this.stage.now,
      ends: [],
      isInterrupted: false,
      isEstimate: false,
      measuredMs: 0,
    };
    this.said.push(said);
    speech.on("progress", ({ ms: heardMs, measured }) => {
      if (!measured) return;
      if (heardMs < said.measuredMs) this.faults.push(`progress fell from ${said.measuredMs} to ${heardMs}`);
      said.measuredMs = heardMs;
    });
    speech.on("finished", ({ outcome, heardMs, measured }) => {
      said.ends.push(outcome);
      said.isEstimate = !measured;
      if (!measured) return;
      const lostAt = this.#reports.find(
        ({ at, on }, index) => !on && (this.#reports[index + 1]?.at ?? at) >= said.saidAt,
      );
      const reached = this.played[said.source]!.reached((lostAt?.at ?? Number.POSITIVE_INFINITY) - REPORTED_MS);
      if (heardMs < reached / SAMPLES_PER_MS - WITHIN_MS)
        this.faults.push(
          `speech ${speech.id} was ${outcome} at ${heardMs} ms, but ${reached / SAMPLES_PER_MS} were heard`,
        );
      if (heardMs < said.measuredMs) this.faults.push(`the end fell from ${said.measuredMs} to ${heardMs}`);
      said.measuredMs = heardMs;
    });
  }

  // Without an interrupt a speech is heard to its end; with one, to its end at most.
  #check({ speech, ends, isInterrupted, isEstimate, samples, source, measuredMs }: Said): void {
    const reached = this.played[source]!.reached();
    const isWhole = reached >= samples - WITHIN_MS * SAMPLES_PER_MS;
    const mostMs = WITHIN_MS + (this.#isLossy ? CONCEALED_MS : 0);
    // What is before a cut is still heard after it was reported, a jitter buffer later at most.
    if (measuredMs > reached / SAMPLES_PER_MS + mostMs) {
      this.faults.push(`speech ${speech.id} reported ${measuredMs} ms, but ${reached / SAMPLES_PER_MS} were heard`);
    }
    const mayBreakOff = isInterrupted || this.#isLossy;
    const isNearlyWhole = reached >= samples - mostMs * SAMPLES_PER_MS;
    const mayFinish = isWhole || (this.#isLossy && (isEstimate || isNearlyWhole));
    const allowed = mayBreakOff ? (mayFinish ? ["interrupted", "finished"] : ["interrupted"]) : ["finished"];
    if (ends.length !== 1) this.faults.push(`speech ${speech.id} ended ${ends.length} times: ${ends.join(", ")}`);
    else if (!allowed.includes(ends[0]!))
      this.faults.push(`speech ${speech.id} was ${ends[0]}, not ${allowed.join(" or ")}`);
    if (!mayBreakOff && !isWhole) this.faults.push(`speech ${speech.id} was not heard to its end`);
  }

  /** Whether reports were lost at some time from `from` to `to`. */
  #wereReportsLost(from: number, to: number): boolean {
    const isOn = this.#reports.findLast(({ at }) => at <= from)?.on ?? true;
    return !isOn || this.#reports.some(({ at, on }) => !on && at > from && at <= to);
  }

  #hear(values: Float32Array): void {
    for (const value of values) {
      const [first, second] = [this.#before - LEAST, -value - LEAST];
      this.#before = value;
      // In a fade a sample is not what it was.
      if (first < 0 || second < 0 || first % BAND !== second % BAND) continue;
      this.played[Math.floor(first / BAND)]?.take(second, this.stage.now);
    }
  }
}
