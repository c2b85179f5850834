import type { Broadcast } from "@kixelated/moq";
import { background, guard } from "../../base/index.js";
import type { BulkReceiver } from "../../flow/bulk/index.js";
import { payloadTrack } from "../../flow/control/index.js";
import { followTrack } from "../../transport/index.js";
import type { ControllerHost } from "./remote-controller.js";

/** Options of {@link PayloadIntake}. */
export interface PayloadIntakeOptions {
  readonly requestId: string;
  /** Id of the controller that sends the payload. */
  readonly controller: string;
  readonly receiver: BulkReceiver;
  /** Receives acknowledgements and counts. */
  readonly host: ControllerHost;
}

/** Interval between two looks at the payloads. */
const TICK_MS = 5;
/** Delays before subscribing to its track again, which may appear a moment later. */
const RETRY_MS = { first: 250, most: 250 };

/** Reads one payload's track, over as many sessions of its controller as needed. */
export class PayloadIntake {
  /** Settles when the payload is complete, or rejects with the reason why it never will be. */
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
    background("publisher.payload", this.#read(broadcast, AbortSignal.any([stop.signal, this.#stopAll.signal])));
  }

  /** Stops reading; idempotent. */
  cancel(): void {
    clearInterval(this.#timer);
    this.#stopAll.abort();
    this.#stop?.abort();
  }

  async #read(broadcast: Broadcast.Consumer, signal: AbortSignal): Promise<void> {
    const { requestId, receiver } = this.#options;
    const options = { priority: 0, signal, persistent: true, retryMs: RETRY_MS };
    for await (const event of followTrack(broadcast, payloadTrack(requestId), options)) {
      if (event.kind === "frame") this.#receive(event.payload);
      if (receiver.whole) return;
    }
  }

  #receive(bytes: Uint8Array): void {
    const { receiver, host } = this.#options;
    if (receiver.whole) return;
    try {
      receiver.receive(bytes, host.clock());
      host.counts.payloadBytes += bytes.length;
      if (receiver.whole) this.#tick();
    } catch (error) {
      this.#settle(error);
    }
  }

  #tick(): void {
    const { receiver, host, controller, requestId } = this.#options;
    const now = host.clock();
    const ack = receiver.takeAck(now);
    if (ack) host.answer(controller, { kind: "ack", requestId, ack });
    try {
      receiver.checkIdle(now);
      if (receiver.whole) this.#settle();
    } catch (error) {
      this.#settle(error);
    }
  }
}
