import { Inbox, type Logger, TransportError } from "../base/index.js";
import type { ListenerState, PlayerEvent } from "./options.js";

/** The events of a player, and what they say last. */
export class PlayerEvents {
  /** Ends with {@link close}. */
  readonly inbox = new Inbox<PlayerEvent>();
  readonly #broadcast: string;
  readonly #logger: Logger | undefined;
  #state: ListenerState = "connecting";
  #lastProblem: Error | undefined;
  readonly #reported = new WeakSet<Error>();
  /** Errors that were emitted in the current state. */
  readonly #said = new Set<Error>();

  constructor({ broadcast, logger }: { readonly broadcast: string; readonly logger?: Logger | undefined }) {
    this.#broadcast = broadcast;
    this.#logger = logger;
  }

  /** The state that was emitted last. */
  get state(): ListenerState {
    return this.#state;
  }

  /** The last error. */
  get lastProblem(): Error | undefined {
    return this.#lastProblem;
  }

  /** Emits an error that ends nothing; as a `retry` where the same was a problem before, in the same outage. */
  problem(cause: unknown, isRepeated: boolean): void {
    if (this.#state === "closed") return;
    const error = cause instanceof Error ? cause : new TransportError("BROKEN", String(cause));
    this.#lastProblem = error;
    this.#logger?.warn({ err: error }, "The listener recovers by itself.");
    this.inbox.push({ kind: isRepeated ? "retry" : "problem", detail: error });
  }

  /** Emits an error that lasts, if there is one, once in each state, however often it is found. */
  lasting(error: Error | undefined): void {
    if (error === undefined || this.#said.has(error)) return;
    this.#said.add(error);
    this.problem(error, this.#reported.has(error));
    this.#reported.add(error);
  }

  /** Emits a state, unless it is the same as before. */
  become(state: ListenerState): void {
    if (state === this.#state || this.#state === "closed") return;
    this.#state = state;
    this.#said.clear();
    this.#logger?.info({ state, broadcast: this.#broadcast }, "The listener changed its state.");
    this.inbox.push({ kind: "state", detail: state });
  }

  /** Emits the last state; idempotent. */
  close(): void {
    this.become("closed");
    this.inbox.end();
  }
}
