import { EventEmitter } from "node:events";
import { z } from "zod";
import { background, guard, guardHandlers, validate } from "../base/index.js";
import type { Publisher, SayOptions, Speech, SpeechResult, SpeechSource } from "../publisher/index.js";
import { BargeIn, type BargeInAction } from "./barge-in.js";
import type { Caller, CallerChange } from "./caller/caller.js";
import { partSchemas } from "./options.js";

/** How a {@link Conversation} reacts when the caller speaks over the agent. */
export interface BargeInOptions {
  /**
   * `interrupt` takes back what was not heard; `pause` holds it until it is known whether the caller meant it. Default
   * `interrupt`.
   */
  readonly action?: "interrupt" | "pause";
  /** Minimum voice of the caller, in milliseconds. Default 0: any detected speech suffices. */
  readonly minDurationMs?: number;
  /**
   * With `pause`: how long after the caller's silence the agent continues where it stopped, in milliseconds, unless
   * something decides before. Default 2,000, or 10,000 with `isFalseAlarm`.
   */
  readonly falseAlarmMs?: number;
  /**
   * With `pause`: called when the caller is silent again, to decide. With true the agent continues; with false the rest
   * is taken back. When it rejects, or has not answered after `falseAlarmMs`, the agent continues.
   */
  readonly isFalseAlarm?: (speeches: readonly Speech[]) => boolean | Promise<boolean>;
}

/** Options of {@link Conversation}. */
export interface ConversationOptions {
  /** The person; not closed with the conversation. */
  readonly caller: Caller;
  /** The agent's voice; not closed with the conversation. */
  readonly publisher: Publisher;
  readonly bargeIn?: BargeInOptions;
}

/** Events of a {@link Conversation}. */
export interface ConversationEvents {
  /** The caller spoke over these speeches, which are paused or being taken back by now. */
  bargein: [readonly Speech[]];
  /** A false alarm: these speeches continue. */
  resumed: [readonly Speech[]];
  /** Results of the interrupted speeches. */
  interrupted: [readonly SpeechResult[]];
}

const bargeInSchema = z.strictObject({
  action: z.enum(["interrupt", "pause"]).default("interrupt"),
  minDurationMs: z.number().min(0).max(60_000).default(0),
  falseAlarmMs: z.number().min(0).max(60_000).optional(),
  isFalseAlarm: z
    .custom<NonNullable<BargeInOptions["isFalseAlarm"]>>((value) => typeof value === "function", "be a function")
    .optional(),
});
const optionsSchema = z.strictObject({
  caller: partSchemas.caller,
  publisher: partSchemas.publisher,
  bargeIn: bargeInSchema.prefault({}),
});
const TICK_MS = 10;
/** A recogniser or a language model may have to be asked. */
const FALSE_ALARM_MS = { unasked: 2000, asked: 10_000 };
/** As many as a publisher's queue holds. */
const MAX_INTERRUPTED = 256;

/**
 * An agent and a caller who may speak over it. The agent speaks through {@link say}; a speech said after the caller
 * began is never taken for one that the caller interrupts.
 */
export class Conversation extends EventEmitter<ConversationEvents> {
  readonly #caller: Caller;
  readonly #publisher: Publisher;
  readonly #options: z.output<typeof bargeInSchema>;
  readonly #bargeIn: BargeIn;
  readonly #speeches = new Map<number, Speech>();
  /** Those that it has paused: what the application paused stays so. */
  #paused: ReadonlySet<Speech> = new Set();
  /** Interrupted speeches that the application may resume as others. */
  #interrupted: readonly Speech[] = [];
  readonly #speech = ({ voicedMs }: CallerChange) => {
    this.#adopt();
    this.#apply(this.#bargeIn.speech(voicedMs));
  };
  readonly #silence = ({ voicedMs }: CallerChange) => this.#apply(this.#bargeIn.silence(performance.now(), voicedMs));
  #timer: ReturnType<typeof setInterval> | undefined;
  #isClosed = false;

  /** @throws InputError `INVALID_OPTION`. */
  constructor(options: ConversationOptions) {
    super();
    guardHandlers(this);
    const { caller, publisher, bargeIn } = validate("Conversation", optionsSchema, options);
    this.#caller = caller;
    this.#publisher = publisher;
    this.#options = bargeIn;
    const asks = bargeIn.isFalseAlarm !== undefined;
    const { falseAlarmMs = asks ? FALSE_ALARM_MS.asked : FALSE_ALARM_MS.unasked } = bargeIn;
    this.#bargeIn = new BargeIn({ ...bargeIn, falseAlarmMs, asks });
    caller.on("speech", this.#speech);
    caller.on("silence", this.#silence);
  }

  /** Whether the agent is paused because the caller spoke. */
  get held(): boolean {
    return this.#bargeIn.holds;
  }

  /** The agent's current and queued speeches, in order. */
  get speeches(): readonly Speech[] {
    this.#adopt();
    return [...this.#speeches.values()].map(latest);
  }

  /**
   * Queues a speech, like `publisher.say`. It answers the speeches that the caller has paused, and they are taken back.
   */
  say(source: SpeechSource, options: SayOptions = {}): Speech {
    const speech = this.#publisher.say(source, options);
    const actions = this.#bargeIn.said(speech.id);
    // A new speech leaves none to resume.
    this.#interrupted = [];
    this.#follow(speech);
    this.#apply(actions);
    return speech;
  }

  /** Takes back everything that was not heard; resolves when the listeners have reported. */
  interrupt(): Promise<readonly SpeechResult[]> {
    this.#apply(this.#bargeIn.decide(false));
    return Promise.all(this.speeches.map((speech) => speech.interrupt()));
  }

  /** The caller meant it: takes back the paused speeches. No effect while none is paused. */
  confirm(): void {
    this.#apply(this.#bargeIn.decide(false));
  }

  /** It was a false alarm: the paused speeches continue. No effect while none is paused. */
  dismiss(): void {
    this.#apply(this.#bargeIn.decide(true));
  }

  /** Stops listening to the caller; current speeches play to their end, paused ones continue. Idempotent. */
  close(): void {
    this.#isClosed = true;
    this.#caller.off("speech", this.#speech);
    this.#caller.off("silence", this.#silence);
    this.dismiss();
    clearInterval(this.#timer);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #follow(speech: Speech): void {
    const { id } = speech;
    this.#speeches.set(id, speech);
    background(
      "agent.conversation",
      speech.done.then(({ outcome }) => {
        if (speech.resumedAs !== undefined) return this.#follow(speech.resumedAs);
        this.#speeches.delete(id);
        this.#bargeIn.ended(id);
        if (outcome === "interrupted") this.#interrupted = [...this.#interrupted.slice(1 - MAX_INTERRUPTED), speech];
      }),
    );
  }

  // A speech that the application resumed after an interrupt belongs to this conversation, too.
  #adopt(): void {
    const before = this.#interrupted;
    this.#interrupted = before.filter(({ resumedAs }) => resumedAs === undefined);
    for (const { resumedAs } of before) {
      if (resumedAs === undefined) continue;
      this.#bargeIn.resumed(resumedAs.id);
      this.#follow(resumedAs);
    }
  }

  #apply(actions: readonly BargeInAction[]): void {
    for (const { kind, ids } of actions) {
      const speeches = ids.flatMap((id) => this.#speeches.get(id) ?? []).map(latest);
      if (kind === "ask") background("agent.conversation", this.#ask(speeches, this.#bargeIn.question));
      else this.#act(kind, speeches);
    }
    this.#keepTime();
  }

  #act(kind: "pause" | "resume" | "interrupt", speeches: readonly Speech[]): void {
    if (kind === "resume") {
      const held = speeches.filter((speech) => this.#paused.has(speech) && speech.phase === "paused");
      for (const speech of held) speech.resume();
      if (held.length > 0) this.emit("resumed", held);
      return;
    }
    // The first one is audible now; those behind wait for it, so they are paused first.
    if (kind === "pause") this.#paused = new Set(speeches.toReversed().filter((speech) => speech.pause()));
    else {
      const results = Promise.all(speeches.map((speech) => speech.interrupt()));
      background(
        "agent.conversation",
        results.then((each) => this.emit("interrupted", each)),
      );
    }
    // An interrupt that ends a pause is not another barge-in. A handler may decide at once, or say the reply.
    if (kind === this.#options.action) this.emit("bargein", speeches);
  }

  async #ask(speeches: readonly Speech[], question: number): Promise<void> {
    let isFalseAlarm = true;
    try {
      isFalseAlarm = (await this.#options.isFalseAlarm?.(speeches)) ?? true;
    } finally {
      this.#apply(this.#bargeIn.answered(question, isFalseAlarm));
    }
  }

  #keepTime(): void {
    if (this.#isClosed || this.#bargeIn.waits === (this.#timer !== undefined)) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    if (!this.#bargeIn.waits) return;
    const tick = guard("agent.conversation", () =>
      this.#apply(this.#bargeIn.tick(performance.now(), this.#caller.voicedMs)),
    );
    this.#timer = setInterval(tick, TICK_MS);
  }
}

/** The speech that continues this one, if any: it may do so before this one's end is reported. */
function latest(speech: Speech): Speech {
  return speech.resumedAs === undefined ? speech : latest(speech.resumedAs);
}
