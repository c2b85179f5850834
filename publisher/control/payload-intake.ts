import type { Broadcast } from "@kixelated/moq";
import { type Clock, guard, type Microseconds, microseconds } from "../../base/index.js";
import type { BulkReceiver } from "../../flow/bulk/index.js";
import { payloadTrack } from "../../flow/control/index.js";
import { readTrack } from "../send/track-reader.js";

/** Options of {@link PayloadIntake}. */
export interface PayloadIntakeOptions {
  readonly requestId: string;
  readonly receiver: BulkReceiver;
  readonly clock: Clock;
  /** What the sender is to be told. */
  readonly onAck: (ack: NonNullable<ReturnType<BulkReceiver["takeAck"]>>) => void;
  /** So much of it came. */
  readonly onBytes: (bytes: number) => void;
}

/** How often payloads are looked after. */
const TICK_MS = 5;

/** Reads one payload's track, over as many sessions of its controller as it takes. */
export class PayloadIntake {
  /** Settles when the payload is whole, or rejects with why it never will be. */
  readonly done: Promise<void>;
  readonly #options: PayloadIntakeOptions;
  readonly #timer: NodeJS.Timeout;
  readonly #stopAll = new AbortController();
  #stop: AbortController | undefined;
  #settle!: (error?: unknown) => void;

  constructor(options: PayloadIntakeOptions) {
    this.#options = options;
    this.done = new Promise((resolve, reject) => {
      this.#settle = (error) => (error === undefined ? resolve() : reject(error));
    });
    this.#timer = setInterval(
      guard("publisher.payload", () => this.#tick()),
      TICK_MS,
    );
  }

  /** Reads from this broadcast of the controller. */
  follow(broadcast: Broadcast.Consumer): void {
    this.#stop?.abort();
    const stop = new AbortController();
    this.#stop = stop;
    void readTrack(
      broadcast,
      payloadTrack(this.#options.requestId),
      {
        priority: 0,
        isWanted: () => !stop.signal.aborted && !this.#options.receiver.whole,
        signal: AbortSignal.any([stop.signal, this.#stopAll.signal]),
      },
      (bytes) => this.#receive(bytes),
    );
  }

  /** Stops reading; idempotent. */
  cancel(): void {
    clearInterval(this.#timer);
    this.#stopAll.abort();
    this.#stop?.abort();
  }

  #receive(bytes: Uint8Array): void {
    const { receiver, clock, onBytes } = this.#options;
    if (receiver.whole) return;
    try {
      receiver.receive(bytes, clock());
      onBytes(bytes.length);
      if (receiver.whole) this.#tick();
    } catch (error) {
      this.#settle(error);
    }
  }

  #tick(): void {
    const { receiver, clock, onAck } = this.#options;
    const now: Microseconds = microseconds(clock());
    const ack = receiver.takeAck(now);
    if (ack) onAck(ack);
    try {
      receiver.checkIdle(now);
      if (receiver.whole) this.#settle();
    } catch (error) {
      this.#settle(error);
    }
  }
}
