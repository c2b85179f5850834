import { fromMilliseconds, type Microseconds } from "../../base/index.js";
import { openAudio, type Publisher, type Speech, type SpeechProgress } from "../../publisher/index.js";
import { MarkQueue } from "./mark-queue.js";

/** A stretch of the bot's audio, said as one speech. */
interface Stretch {
  readonly speech: Speech;
  /** Its start in the bot's audio, in milliseconds. */
  readonly startMs: number;
  lengthMs: number;
  /** Whether it is complete. */
  isEnded: boolean;
}

/** Bytes of a millisecond of mu-law. */
const BYTES_PER_MS = 8;
/** A stretch ends after this long without media. */
const IDLE = fromMilliseconds(100);
/** A bot that sends as it speaks waits for as long as its last audio is before it sends more, and a little longer. */
const LATE = fromMilliseconds(50);
/** A stretch ends this long before its audio can have been heard, so that its last samples arrive in time. */
const LEAD = fromMilliseconds(100);
/** How long to wait for the first report of a listener before marks follow the clock. */
const PATIENCE = fromMilliseconds(1000);

/**
 * Plays a bot's audio as speeches of a publisher and returns the marks to answer: those whose audio was heard, and all
 * of them when the audio is cleared. Positions count the bot's audio from the start of the call.
 */
export class CallPlayback {
  readonly #publisher: Pick<Publisher, "say">;
  readonly #listener: "first" | "all";
  readonly #marks = new MarkQueue();
  #stretches: Stretch[] = [];
  #writtenMs = 0;
  #heardMs = 0;
  #isByClock = false;
  /** Since when audio plays without a listener's report. */
  #unreportedSince: Microseconds | undefined;
  /** When the last stretch may end, unless more media comes: until then, what comes belongs to it. */
  #endsAt = 0;
  /** When its audio can have been heard at the earliest. */
  #soundsUntil = 0;

  /** `listener`: whether a mark is heard when the first listener has heard the audio before it, or when all have. */
  constructor(publisher: Pick<Publisher, "say">, listener: "first" | "all") {
    this.#publisher = publisher;
    this.#listener = listener;
  }

  /** Milliseconds of the bot's audio so far. */
  get writtenMs(): number {
    return this.#writtenMs;
  }

  /** Milliseconds heard or cleared, as of the last tick. */
  get heardMs(): number {
    return this.#heardMs;
  }

  /** Number of pending marks. */
  get pendingMarks(): number {
    return this.#marks.size;
  }

  /** Whether positions come from the clock, because no listener reports. */
  get isByClock(): boolean {
    return this.#isByClock;
  }

  /** Plays mu-law audio behind the audio before. @throws StateError `BUFFER_FULL`, `QUEUE_FULL`. */
  media(audio: Uint8Array, now: Microseconds): void {
    if (audio.length === 0) return;
    const stretch = this.#open();
    stretch.speech.write(audio);
    stretch.lengthMs += audio.length / BYTES_PER_MS;
    this.#writtenMs += audio.length / BYTES_PER_MS;
    this.#expect(audio.length / BYTES_PER_MS, now);
  }

  /** Records a mark. Returns the names to answer now. */
  mark(name: string): readonly string[] {
    return this.#marks.add(name, this.#writtenMs, this.#heardMs);
  }

  /** Takes back all audio that was not heard. Returns the names to answer now. */
  clear(): readonly string[] {
    for (const { speech } of this.#stretches) void speech.interrupt();
    this.#stretches = [];
    this.#heardMs = this.#writtenMs;
    this.#soundsUntil = 0;
    this.#unreportedSince = undefined;
    return this.#marks.clear();
  }

  /** Advances the time. Returns the names to answer now. */
  tick(now: Microseconds): readonly string[] {
    if (now >= this.#endsAt) this.end();
    this.#follow(now);
    return this.#marks.heard(this.#heardMs);
  }

  /** No more audio follows for now: plays the received audio to its last sample. */
  end(): void {
    const last = this.#stretches.at(-1);
    if (last === undefined || last.isEnded) return;
    last.isEnded = true;
    last.speech.end();
  }

  /** Resolves when all audio was heard, or cleared. */
  async finished(): Promise<void> {
    await Promise.all(this.#stretches.map(({ speech }) => speech.done));
  }

  #open(): Stretch {
    const last = this.#stretches.at(-1);
    if (last !== undefined && !last.isEnded && last.speech.phase !== "done") return last;
    const speech = this.#publisher.say(openAudio({ sampleRate: 8000, format: "mulaw", name: "the bot" }));
    const stretch = { speech, startMs: this.#writtenMs, lengthMs: 0, isEnded: false };
    this.#stretches.push(stretch);
    return stretch;
  }

  // A bot never says that its audio is complete, and the last samples, less than a frame of Opus, wait for more. A
  // stretch that ends too early leaves a hole of a frame before the next one.
  #expect(ms: number, now: Microseconds): void {
    const length = fromMilliseconds(ms);
    this.#soundsUntil = Math.max(this.#soundsUntil, now) + length;
    this.#endsAt = Math.max(now + Math.max(IDLE, length + LATE), this.#soundsUntil - LEAD);
  }

  #follow(now: Microseconds): void {
    for (const { speech, startMs, lengthMs } of this.#stretches) {
      const isDone = speech.phase === "done";
      const { ms, measured } = this.#heardOf(speech);
      if ((!isDone && ms === 0) || !this.#isKnown(measured, now)) break;
      this.#heardMs = Math.max(this.#heardMs, startMs + (isDone ? lengthMs : Math.min(lengthMs, ms)));
      // The first listener may be ahead by more than a stretch.
      if (!isDone && this.#listener === "all") break;
    }
    while (this.#stretches[0]?.speech.phase === "done" && this.#isPast(this.#stretches[0])) this.#stretches.shift();
  }

  #isPast({ startMs, lengthMs }: Stretch): boolean {
    return startMs + lengthMs <= this.#heardMs;
  }

  // A new listener reports only after it has begun to play: until then its position is unknown.
  #isKnown(measured: boolean, now: Microseconds): boolean {
    if (measured) this.#unreportedSince = undefined;
    else this.#unreportedSince ??= now;
    this.#isByClock = this.#unreportedSince !== undefined && now - this.#unreportedSince >= PATIENCE;
    return measured || this.#isByClock;
  }

  #heardOf({ heardMs, measured, perListener }: Speech): SpeechProgress {
    const first = this.#listener === "first" ? perListener.filter((each) => each.measured) : [];
    return { ms: Math.max(heardMs, ...first.map((each) => each.heardMs)), measured: measured || first.length > 0 };
  }
}
