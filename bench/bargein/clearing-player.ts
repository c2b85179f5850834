import { WebSocket } from "ws";
import { sharedClock } from "../support/clock.js";

/** Samples of a millisecond of what comes: PCM at 24 kHz, 16 bit. */
const BYTES_PER_MS = 48;
const PULL_MS = 2;

/** The part of an answer that was played. */
export interface Cleared {
  /** When the last sample was pulled, on the shared clock; undefined while it goes on. */
  readonly silentAt: number | undefined;
  readonly playedMs: number;
}

/**
 * The player of today's stacks: it buffers the audio of a WebSocket, plays it at its pace, and drops its buffer when a
 * message says `clear`. A message `answer` begins a new answer.
 */
export class ClearingPlayer {
  readonly #socket: WebSocket;
  readonly #timer: NodeJS.Timeout;
  #waitingMs = 0;
  #playedMs = 0;
  #pulledAt: number | undefined;
  #silentAt: number | undefined;

  constructor(port: number) {
    this.#socket = new WebSocket(`ws://127.0.0.1:${port}`, { perMessageDeflate: false });
    this.#socket.on("message", (data: Buffer, isBinary) => (isBinary ? this.#take(data) : this.#obey(String(data))));
    this.#timer = setInterval(() => this.#pull(), PULL_MS);
  }

  cleared(): Cleared {
    return { silentAt: this.#silentAt, playedMs: this.#playedMs };
  }

  close(): void {
    clearInterval(this.#timer);
    this.#socket.terminate();
  }

  #take(data: Buffer): void {
    this.#waitingMs += data.length / BYTES_PER_MS;
    this.#pulledAt ??= sharedClock();
  }

  #obey(message: string): void {
    this.#pull();
    if (message === "clear") this.#silentAt ??= this.#pulledAt;
    else {
      this.#playedMs = 0;
      this.#silentAt = undefined;
    }
    this.#waitingMs = 0;
    this.#pulledAt = undefined;
  }

  #pull(): void {
    if (this.#pulledAt === undefined) return;
    const now = sharedClock();
    const ms = Math.min(this.#waitingMs, (now - this.#pulledAt) / 1000);
    this.#waitingMs -= ms;
    this.#playedMs += ms;
    this.#pulledAt = now;
  }
}
