import type { Caller, Conversation } from "../../../agent/index.js";
import { background } from "../../../base/index.js";
import { openAudio, type Speech, type SpeechResult } from "../../../publisher/index.js";
import type { HeardReply, PageRecording, SpokenStats } from "../../page/index.js";
import { firstUnheard, sentenceStart, startOf, wordsFrom } from "./script.js";

/** Options of {@link ScriptedAgent}. */
export interface ScriptedAgentOptions {
  readonly conversation: Conversation;
  readonly caller: Caller;
  /** The recording that it says over and over. */
  readonly outline: PageRecording;
  /** Its samples at 48 kHz. */
  readonly samples: Float32Array;
}

const SAMPLES_PER_MS = 48;
/** How long it waits once the caller is silent. */
const THINK_MS = 600;

/**
 * An agent without a service: it says a recording, falls silent when the caller speaks, and then repeats the sentence
 * that the caller cut.
 */
export class ScriptedAgent {
  readonly #options: ScriptedAgentOptions;
  #said: { readonly speech: Speech; readonly fromMs: number } | undefined;
  #isInterrupted = false;
  #heard: HeardReply | undefined;
  #thinking: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;

  constructor(options: ScriptedAgentOptions) {
    this.#options = options;
    const { caller, conversation } = options;
    conversation.on("bargein", () => {
      this.#isInterrupted = true;
    });
    caller.on("speech", () => clearTimeout(this.#thinking));
    caller.on("silence", () => {
      clearTimeout(this.#thinking);
      this.#thinking = setTimeout(() => background("demo.agent", this.#takeUp("sentence")), THINK_MS);
    });
  }

  /** The current or interrupted speech. */
  get speech(): Speech | undefined {
    return this.#said?.speech;
  }

  /** Starts to speak. */
  start(): void {
    this.#say(0);
  }

  /** Falls silent until it is resumed or the caller has spoken; resolves with what was heard. */
  async interrupt(): Promise<HeardReply | undefined> {
    this.#isInterrupted = true;
    await this.#options.conversation.interrupt();
    return this.#heard;
  }

  /** Continues with the first word that was not heard. */
  resume(): Promise<void> {
    return this.#takeUp("word");
  }

  /** The page's view of the current speech. */
  stats(): SpokenStats {
    const { speech, fromMs = 0 } = this.#said ?? {};
    const pieces = (speech?.pieces ?? []).map((piece) => ({
      speech: speech!.id,
      timestamp: piece.timestamp,
      fromMs: fromMs + piece.fromMs,
      lengthMs: piece.lengthMs,
    }));
    const heard = this.#isInterrupted ? this.#heard : undefined;
    return { isInterrupted: this.#isInterrupted, pieces, ...(heard && { heard }) };
  }

  /** Stops speaking. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#thinking);
  }

  #say(fromMs: number): void {
    const { conversation, samples, outline } = this.#options;
    const words = wordsFrom(outline.words, fromMs);
    const rest = samples.subarray(Math.round(fromMs * SAMPLES_PER_MS));
    const text = words.map((word) => word.text).join(" ");
    this.#isInterrupted = false;
    this.#heard = undefined;
    const speech = conversation.say(openAudio({ samples: rest, sampleRate: 48_000 }), { text, words });
    const said = { speech, fromMs };
    this.#said = said;
    background(
      "demo.agent",
      speech.done.then((result) => this.#over(said, result)),
    );
  }

  #over(
    said: { readonly speech: Speech; readonly fromMs: number },
    { outcome, heardMs, heardText }: SpeechResult,
  ): void {
    if (this.#isClosed || this.#said !== said) return;
    if (outcome === "finished") {
      this.#say(0);
      return;
    }
    const before = this.#options.outline.words.filter(({ startMs }) => startMs < said.fromMs);
    const text = [...before.map((word) => word.text), heardText].join(" ").trim();
    this.#heard = { speech: said.speech.id, ms: said.fromMs + heardMs, text };
  }

  async #takeUp(from: "sentence" | "word"): Promise<void> {
    if (this.#isInterrupted) await this.#said?.speech.done;
    if (!this.#isInterrupted || this.#isClosed) return;
    const { words } = this.#options.outline;
    const unheard = firstUnheard(words, this.#heard?.text.split(" ").filter(Boolean).length ?? 0);
    if (unheard === undefined) return this.#say(0);
    this.#say(startOf(words, from === "word" ? unheard : sentenceStart(words, unheard)));
  }
}
