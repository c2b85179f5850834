import type { Logger } from "pino";
import type { AudioSource, Interruption, Publisher, Speech } from "../../publisher/index.js";
import type { HeardReply, PageRecording, SpokenPiece, SpokenStats } from "../page/replies.js";

/** Options of {@link Speaker}. */
export interface SpeakerOptions {
  readonly publisher: Publisher;
  readonly outline: PageRecording;
  /** Opens the recording again. */
  readonly open: () => Promise<AudioSource>;
  readonly logger: Logger;
}

/** One plays and one waits, so that there is no gap between them. */
const AHEAD = 2;

/** Says the recording over and over, falls silent at an interrupt, and continues at a resume. */
export class Speaker {
  readonly #options: SpeakerOptions;
  #speeches: readonly Speech[] = [];
  #interruption: Promise<Interruption> | undefined;
  #heard: HeardReply | undefined;
  #opening = false;
  #closed = false;

  constructor(options: SpeakerOptions) {
    this.#options = options;
  }

  /** Whether it fell silent at an interrupt. */
  get isInterrupted(): boolean {
    return this.#interruption !== undefined;
  }

  /** Starts to speak. */
  async start(): Promise<void> {
    while (!this.#closed && !this.#opening && this.#interruption === undefined && this.#speeches.length < AHEAD)
      await this.#say();
  }

  /** Takes back what was not heard and falls silent; before a resume, a second call returns the same result. */
  interrupt(): Promise<Interruption> {
    this.#interruption ??= this.#interrupt();
    return this.#interruption;
  }

  /** Continues with the first sample that was not heard; after too long a silence, with the start of the recording. */
  async resume(): Promise<void> {
    if (this.#interruption === undefined) return;
    this.#interruption = undefined;
    this.#heard = undefined;
    const first = this.#options.publisher.resume();
    this.#speeches = this.#speeches.flatMap(({ resumedAs }) => (first && resumedAs ? [resumedAs] : []));
    for (const speech of this.#speeches) this.#follow(speech);
    await this.start();
  }

  /** The page's view of the current speech. */
  stats(): SpokenStats {
    const pieces = this.#speeches.flatMap((speech): SpokenPiece[] =>
      speech.pieces.map(({ timestamp, fromMs, lengthMs }) => ({ speech: speech.id, timestamp, fromMs, lengthMs })),
    );
    return { isInterrupted: this.isInterrupted, pieces, ...(this.#heard && { heard: this.#heard }) };
  }

  /** Stops speaking. */
  close(): void {
    this.#closed = true;
  }

  async #interrupt(): Promise<Interruption> {
    const interruption = await this.#options.publisher.interrupt();
    const [first] = interruption.speeches;
    // Unless it was resumed meanwhile.
    if (this.isInterrupted && first)
      this.#heard = { speech: first.speech.id, ms: first.heardMs, text: first.heardText };
    return interruption;
  }

  async #say(): Promise<void> {
    const { publisher, outline, open } = this.#options;
    this.#opening = true;
    const source = await open().finally(() => {
      this.#opening = false;
    });
    if (this.#closed || this.#interruption !== undefined) return source.close();
    const speech = publisher.say(source, { text: outline.text, words: outline.words });
    this.#speeches = [...this.#speeches, speech];
    this.#follow(speech);
  }

  #follow(speech: Speech): void {
    void speech.done.then(async ({ outcome }) => {
      if (outcome === "interrupted" || this.#closed) return;
      this.#speeches = this.#speeches.filter((one) => one !== speech);
      await this.start().catch((error: unknown) => {
        this.#options.logger.warn({ err: error }, "The recording can't be said.");
      });
    });
  }
}
