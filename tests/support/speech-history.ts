import fc from "fast-check";
import type { Speech } from "../../publisher/index.js";
import { VirtualStage } from "./virtual-stage.js";

/** Every speech has a band of sample values of its own, in which its samples count. */
const RANGE = 6000;
const BANDS = 5;
const MOST_SPEECHES = 2 * BANDS;
const SAMPLES_PER_MS = 48;
/** A report's rounding, and what a listener plays between two of its reports. */
const WITHIN_MS = 20;
/** Around a cut some samples are faded, and look like others. */
const UNSURE_MS = 3;

/** Actions of an application on its speeches. */
export type SpeechStep =
  | { readonly do: "say"; readonly ms: number; readonly gapMs: number; readonly drop: boolean }
  | { readonly do: "interrupt" | "pause" | "resume"; readonly which: number }
  | { readonly do: "interruptAll" | "resumeAll" }
  | { readonly do: "wait"; readonly ms: number }
  | { readonly do: "report"; readonly on: boolean };

const step: fc.Arbitrary<SpeechStep> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("say" as const),
      ms: fc.integer({ min: 40, max: 700 }),
      gapMs: fc.constantFrom(0, 0, 0, 60),
      drop: fc.boolean(),
    }),
  },
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
  /** Samples of the source up to the furthest one. */
  reached = 0;
  missing = 0;
  repeated = 0;

  take(place: number): void {
    const ahead = (((place - this.reached) % RANGE) + RANGE) % RANGE;
    if (ahead > RANGE - 2000) {
      this.repeated++;
      return;
    }
    this.missing += ahead;
    this.reached += ahead + 1;
  }
}

interface Said {
  readonly speech: Speech;
  readonly source: number;
  readonly samples: number;
  readonly ends: string[];
  isInterrupted: boolean;
  /** The listeners' last reported position. */
  measuredMs: number;
}

/** Histories of up to ten speeches. */
export const speechHistories: fc.Arbitrary<SpeechStep[]> = fc.array(step, { minLength: 2, maxLength: 18 });

/** A publisher, a listener and what an application does, on a virtual clock; it finds where an end or a sample is wrong. */
export class SpeechPlay {
  readonly said: Said[] = [];
  readonly played = Array.from({ length: MOST_SPEECHES }, () => new Played());
  readonly faults: string[] = [];
  readonly stage: VirtualStage;
  isReported = true;
  #before = { source: -1, place: -1 };
  #sources = 0;

  constructor() {
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
    for (const [source, { missing, repeated }] of this.played.entries()) {
      const limit = UNSURE_MS * SAMPLES_PER_MS * (1 + steps.length / 2);
      if (missing > limit) this.faults.push(`${missing / SAMPLES_PER_MS} ms of source ${source} were left out`);
      // Audio that was heard but not reported may be sent again.
      if (this.isReported && repeated > limit)
        this.faults.push(`${repeated / SAMPLES_PER_MS} ms of source ${source} were heard twice`);
    }
  }

  async #do(one: SpeechStep): Promise<void> {
    const { stage, said } = this;
    switch (one.do) {
      case "wait":
        return stage.runTo(stage.now + one.ms);
      case "say":
        return this.#say(one.ms, one.gapMs, one.drop);
      case "report":
        stage.unreported = !one.on;
        this.isReported &&= one.on;
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
    const sign = source < BANDS ? 1 : -1;
    const code = (index: number) => sign * (1000 + (source % BANDS) * RANGE + (index % RANGE));
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
      ends: [],
      isInterrupted: false,
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
      if (!measured) return;
      const reached = this.played[said.source]!.reached / SAMPLES_PER_MS;
      if (this.isReported && heardMs < reached - WITHIN_MS) {
        this.faults.push(`speech ${speech.id} was ${outcome} at ${heardMs} ms, but ${reached} were heard`);
      }
      if (heardMs < said.measuredMs) this.faults.push(`the end fell from ${said.measuredMs} to ${heardMs}`);
      said.measuredMs = heardMs;
    });
  }

  // Without an interrupt a speech is heard to its end; with one, to its end at most.
  #check({ speech, ends, isInterrupted, samples, source, measuredMs }: Said): void {
    const { reached } = this.played[source]!;
    const isWhole = reached >= samples - WITHIN_MS * SAMPLES_PER_MS;
    // What is before a cut is still heard after it was reported, a jitter buffer later at most.
    if (measuredMs > reached / SAMPLES_PER_MS + WITHIN_MS) {
      this.faults.push(`speech ${speech.id} reported ${measuredMs} ms, but ${reached / SAMPLES_PER_MS} were heard`);
    }
    const allowed = isInterrupted ? (isWhole ? ["interrupted", "finished"] : ["interrupted"]) : ["finished"];
    if (ends.length !== 1) this.faults.push(`speech ${speech.id} ended ${ends.length} times: ${ends.join(", ")}`);
    else if (!allowed.includes(ends[0]!))
      this.faults.push(`speech ${speech.id} was ${ends[0]}, not ${allowed.join(" or ")}`);
    if (!isInterrupted && !isWhole) this.faults.push(`speech ${speech.id} was not heard to its end`);
  }

  #hear(values: Float32Array): void {
    for (const value of values) {
      const code = Math.abs(value) - 1000;
      const source = code < 0 ? -1 : Math.floor(code / RANGE) + (value < 0 ? BANDS : 0);
      const place = code % RANGE;
      const { source: previous, place: last } = this.#before;
      this.#before = { source, place };
      // In a fade a sample is not what it was.
      if (source < 0 || source !== previous || (place - last + RANGE) % RANGE !== 1) continue;
      this.played[source]?.take(place);
    }
  }
}
