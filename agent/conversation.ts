import { EventEmitter } from "node:events";
import { z } from "zod";
import { background, guard, validate } from "../base/index.js";
import type { Publisher, SayOptions, Speech, SpeechResult, SpeechSource } from "../publisher/index.js";
import { BargeIn, type BargeInAction } from "./barge-in.js";
import type { Caller } from "./caller/caller.js";

/** What a {@link Conversation} does when the caller speaks over the agent. */
export interface BargeInOptions {
  /**
   * `interrupt` takes back what was not heard; `pause` holds it until it is known whether the caller meant it. Default
   * `interrupt`.
   */
  readonly action?: "interrupt" | "pause";
  /** Voice of the caller that it takes, in milliseconds. Default 0: what the caller counts as speech is enough. */
  readonly minDurationMs?: number;
  /** With `pause`: how long after the caller's silence the agent continues where it stopped, in milliseconds. Default 2,000. */
  readonly falseAlarmMs?: number;
  /**
   * With `pause`: asked when the caller is silent again, in place of `falseAlarmMs`. True, and the agent continues; false,
   * and what was not heard is taken back. Where it rejects the agent continues.
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
  /** The caller spoke over these speeches: they are being paused or interrupted. */
  bargein: [readonly Speech[]];
  /** It was a false alarm: they continue. */
  resumed: [readonly Speech[]];
  /** What was heard of the speeches that were interrupted. */
  interrupted: [readonly SpeechResult[]];
}

const bargeInSchema = z.strictObject({
  action: z.enum(["interrupt", "pause"]).default("interrupt"),
  minDurationMs: z.number().min(0).max(60_000).default(0),
  falseAlarmMs: z.number().min(0).max(60_000).default(2000),
  isFalseAlarm: z
    .custom<NonNullable<BargeInOptions["isFalseAlarm"]>>((value) => typeof value === "function", "be a function")
    .optional(),
});
const TICK_MS = 10;

/**
 * An agent and a caller who may speak over it. What the agent says goes through {@link say}; what it says after the
 * caller began is never taken for what the caller interrupts.
 */
export class Conversation extends EventEmitter<ConversationEvents> {
  readonly #caller: Caller;
  readonly #publisher: Publisher;
  readonly #options: z.output<typeof bargeInSchema>;
  readonly #bargeIn: BargeIn;
  readonly #speeches = new Map<number, Speech>();
  readonly #speech = () => this.#apply(this.#bargeIn.speech(this.#caller.voicedMs));
  readonly #silence = () => this.#apply(this.#bargeIn.silence(performance.now()));
  #timer: ReturnType<typeof setInterval> | undefined;
  #isClosed = false;

  /** @throws InputError `INVALID_OPTION`. */
  constructor({ caller, publisher, bargeIn = {} }: ConversationOptions) {
    super();
    this.#caller = caller;
    this.#publisher = publisher;
    this.#options = validate("Conversation.bargeIn", bargeInSchema, bargeIn);
    this.#bargeIn = new BargeIn({ ...this.#options, asks: this.#options.isFalseAlarm !== undefined });
    caller.on("speech", this.#speech);
    caller.on("silence", this.#silence);
  }

  /** Whether the agent is paused because the caller spoke. */
  get held(): boolean {
    return this.#bargeIn.holds;
  }

  /** What the agent says or is about to say, in order. */
  get speeches(): readonly Speech[] {
    return [...this.#speeches.values()];
  }

  /** Says something, as `publisher.say`. What the caller's speech has paused is answered by it, and taken back. */
  say(source: SpeechSource, options: SayOptions = {}): Speech {
    const speech = this.#publisher.say(source, options);
    const actions = this.#bargeIn.said(speech.id);
    this.#speeches.set(speech.id, speech);
    background(
      "agent.conversation",
      speech.done.then(() => {
        this.#speeches.delete(speech.id);
        this.#bargeIn.ended(speech.id);
      }),
    );
    this.#apply(actions);
    return speech;
  }

  /** Takes back all that was not heard; resolves when the listeners have reported. */
  interrupt(): Promise<readonly SpeechResult[]> {
    this.#apply(this.#bargeIn.decide(false));
    return Promise.all(this.speeches.map((speech) => speech.interrupt()));
  }

  /** The caller meant it: what is paused is taken back. Without effect while nothing is paused. */
  confirm(): void {
    this.#apply(this.#bargeIn.decide(false));
  }

  /** It was a false alarm: what is paused continues. Without effect while nothing is paused. */
  dismiss(): void {
    this.#apply(this.#bargeIn.decide(true));
  }

  /** Listens to the caller no more; what is said is said to its end, what is paused continues. Idempotent. */
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

  #apply(actions: readonly BargeInAction[]): void {
    for (const { kind, ids } of actions) {
      const speeches = ids.flatMap((id) => this.#speeches.get(id) ?? []);
      if (kind === "ask") background("agent.conversation", this.#ask(speeches));
      else this.#act(kind, speeches);
    }
    this.#keepTime();
  }

  #act(kind: "pause" | "resume" | "interrupt", speeches: readonly Speech[]): void {
    if (kind === "resume") {
      for (const speech of speeches) speech.resume();
      this.emit("resumed", speeches);
      return;
    }
    if (!speeches.some(({ phase }) => phase === "paused")) this.emit("bargein", speeches);
    if (kind === "pause") {
      // The first one is heard now; those behind wait for it, so that they are held first.
      for (const speech of speeches.toReversed()) speech.pause();
      return;
    }
    const results = Promise.all(speeches.map((speech) => speech.interrupt()));
    background(
      "agent.conversation",
      results.then((each) => this.emit("interrupted", each)),
    );
  }

  async #ask(speeches: readonly Speech[]): Promise<void> {
    let isFalseAlarm = true;
    try {
      isFalseAlarm = (await this.#options.isFalseAlarm?.(speeches)) ?? true;
    } finally {
      this.#apply(this.#bargeIn.answered(isFalseAlarm));
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
