import "../../../base/polyfills.js";
import { setTimeout as sleep } from "node:timers/promises";
import { type AudioSource, Publisher } from "../../../publisher/index.js";
import { serve } from "../../support/remote.js";
import { ClockJump } from "../clock-jump.js";
import { type HealthCalls, watchHealth } from "../health.js";
import type { Speech } from "../history.js";
import { RATE, signal } from "../signal.js";

/** How an interrupt ended, as the publisher reports it. */
export interface Interrupted {
  readonly heardUntilUs: number;
  /** Whether listeners had to cut audio, and where. */
  readonly rewound: boolean;
  readonly toUs: number;
  readonly listeners: readonly { readonly heardUntilUs: number; readonly measured: boolean }[];
}

/** How a speech ended. */
export type Outcome = "finished" | "interrupted" | "failed";

/** Calls to a publisher's process. */
export interface PublisherCalls extends HealthCalls {
  /** Starts the publisher. */
  open(options: { readonly url: string; readonly mode: "ahead" | "live"; readonly frameMs: 5 | 10 | 20 }): void;
  /** Queues a speech. */
  say(speech: Speech): void;
  /** Interrupts, and resolves with what was heard. */
  interrupt(): Promise<Interrupted>;
  /** Resumes; false when there was nothing to resume. */
  resume(): boolean;
  /** Turns the gain. */
  gain(db: number): void;
  /** How each speech ended, by utterance; one that has not ended is missing. More than one entry is a fault. */
  outcomes(): Record<number, Outcome[]>;
  /** Resolves when all that was said has been heard. */
  drained(): Promise<void>;
  /** Ends the broadcast in order. */
  close(): Promise<void>;
  /** Moves the system clock of this process. */
  jump(milliseconds: number): void;
}

const clock = new ClockJump();
const outcomes: Record<number, Outcome[]> = {};
let publisher: Publisher | undefined;

function open(): Publisher {
  if (publisher === undefined) throw new Error("The publisher has not been opened.");
  return publisher;
}

/** A text-to-speech service or a microphone: hands out a speech in chunks, each when its time has come. */
class PacedSource implements AudioSource {
  readonly name: string;
  readonly channels = 1;
  readonly #speech: Speech;
  readonly #samples: Float32Array;
  #at = 0;
  #startedAt: number | undefined;

  constructor(speech: Speech) {
    this.name = `utterance ${speech.utterance}`;
    this.#speech = speech;
    this.#samples = signal(speech.utterance, Math.round((speech.lengthMs * RATE) / 1000));
  }

  async read(): Promise<Float32Array | undefined> {
    if (this.#at >= this.#samples.length) return undefined;
    const { chunkMs, pace, firstAfterMs } = this.#speech;
    this.#startedAt ??= performance.now() + firstAfterMs;
    const end = Math.min(this.#samples.length, this.#at + Math.round((chunkMs * RATE) / 1000));
    // A chunk exists once its last sample has been spoken, at `pace` times the speed of the clock.
    const due = this.#startedAt + (pace === Infinity ? 0 : (end * 1000) / RATE / pace);
    const wait = due - performance.now();
    if (wait > 0) await sleep(wait);
    const chunk = this.#samples.subarray(this.#at, end);
    this.#at = end;
    return chunk;
  }

  async close(): Promise<void> {}
}

serve<PublisherCalls>({
  open({ url, mode, frameMs }) {
    // The defaults carry a voice, but too little of these signals to recognise them after a gap.
    publisher = new Publisher({ url, broadcast: "history", mode, frameMs, lowBitrateBps: 32_000 });
  },
  say(speech) {
    const ends: Outcome[] = [];
    outcomes[speech.utterance] = ends;
    void open()
      .say(new PacedSource(speech))
      .done.then(({ outcome }) => ends.push(outcome));
  },
  async interrupt() {
    const { heardUntil, perListener, rewound, to } = await open().interrupt();
    return {
      heardUntilUs: heardUntil,
      rewound,
      toUs: to,
      listeners: perListener.map(({ heardUntil: heardUntilUs, measured }) => ({ heardUntilUs, measured })),
    };
  },
  resume: () => open().resume() !== undefined,
  gain: (gainDb) => open().set({ gainDb }),
  outcomes: () => outcomes,
  health: watchHealth(() => publisher?.stats() ?? {}),
  drained: () => open().drained(),
  close: () => open().close(),
  jump: (milliseconds) => clock.by(milliseconds),
});
