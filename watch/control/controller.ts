import "../../base/polyfills.js";
import { EventEmitter } from "node:events";
import * as Moq from "@kixelated/moq";
import {
  attachLogger,
  background,
  broadcastPath,
  endWith,
  guard,
  guardHandlers,
  InputError,
  type Logger,
  race,
  StateError,
  TransportError,
  validate,
} from "../../base/index.js";
import { MAX_PAYLOAD_BYTES } from "../../flow/bulk/index.js";
import {
  ANSWERS_TRACK,
  type ControlAnswer,
  type ControlEvent,
  controlPath,
  decodeControlAnswer,
  encodeControlRequest,
  OPERATIONS_TRACK,
  parseOperation,
} from "../../flow/control/index.js";
import { REPORT_RECORDS } from "../../flow/report/index.js";
import {
  FrameTrackWriter,
  followTrack,
  openMoq,
  Reconnector,
  reach,
  type Session,
  validateClient,
} from "../../transport/index.js";
import {
  CONTROLLER_RULES,
  type ControllerEvents,
  type ControllerOperation,
  type ControllerOptions,
  type ControllerState,
  type ControllerStats,
} from "./controller-options.js";
import { PendingRequests } from "./pending-requests.js";

const TICK_MS = 25;
/** How long a relay should keep a request that a newer one has replaced. */
const RETAIN_MS = 2000;
/** A publisher that has just started remote control offers its track of answers a moment later. */
const RETRY_MS = { first: 250, most: 250 };

interface Live {
  readonly broadcast: Moq.Broadcast.Producer;
  readonly operations: FrameTrackWriter;
}

/**
 * Controls a publisher remotely, through the relay that both are connected to. It publishes its operations as groups of
 * a small broadcast of its own, which the publisher finds, and reads the answers from the publisher's broadcast. The
 * publisher must allow it (`control: true`), and the relay must let this session publish under `<broadcast>.control/`.
 * Reconnects by itself.
 */
export class Controller extends EventEmitter<ControllerEvents> implements AsyncDisposable {
  /** The last part of the path under which it publishes. */
  readonly id: string;
  /** Resolves when it has ended: with null after {@link close}, else with the error that ended it. Never rejects. */
  readonly closed: Promise<Error | null>;
  readonly #name: string;
  readonly #url: URL;
  readonly #timeoutMs: number;
  readonly #reconnector: Reconnector;
  readonly #requests = new PendingRequests();
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #detachLogger: () => void;
  #settle!: (error: Error | null) => void;
  #live: Live | undefined;
  #state: ControllerState = "connecting";
  #sessions = 0;
  #sent = 0;
  #malformed = 0;
  #lastProblem: Error | undefined;
  /** The error that ended it. */
  #error: Error | null = null;

  /**
   * Starts at once.
   *
   * @throws InputError `INVALID_OPTION` on invalid options.
   */
  constructor(options: ControllerOptions) {
    super();
    guardHandlers(this);
    validate("Controller", CONTROLLER_RULES, options);
    validateClient("Controller", options);
    const { url, broadcast, id = randomHex(8), timeoutMs = 10_000, logger, signal } = options;
    this.#detachLogger = logger ? attachLogger(logger) : () => {};
    this.#url = new URL(url);
    this.#name = broadcast;
    this.#timeoutMs = timeoutMs;
    this.id = id;
    this.closed = new Promise((resolve) => {
      this.#settle = resolve;
    });
    this.#reconnector = new Reconnector({
      ...reach(this.#url, options.connect),
      serve: (session) => this.#run(session),
      ...(options.backoff && { backoff: options.backoff }),
    });
    background("watch.retries", this.#followRetries(logger));
    background(
      "watch.ended",
      this.#reconnector.closed.then((error) => this.#end(error ?? null)),
    );
    this.#timer = setInterval(
      guard("watch.controller", () => this.#tick()),
      TICK_MS,
    );
    endWith(signal, this.closed, (reason) => this.#end(reason));
  }

  async #followRetries(logger: Logger | undefined): Promise<void> {
    for await (const { reason, isRepeated, waitMs } of this.#reconnector.retries) {
      const details = { err: reason, waitMs: Math.round(waitMs) };
      logger?.warn(details, "The controller has no session to the relay; it tries again.");
      if (reason && !isRepeated) this.#problem(reason);
    }
  }

  /** Current numbers. */
  stats(): ControllerStats {
    return {
      state: this.#state,
      connected: this.#live !== undefined,
      problem: this.#lastProblem,
      heard: this.#live?.operations.used ?? false,
      sessions: this.#sessions,
      pending: this.#requests.size,
      sent: this.#sent,
      malformed: this.#malformed,
      payloads: this.#requests.payloads,
    };
  }

  /**
   * Sends one operation, with its payload, and resolves with its end; `failed` with a reason is an end like others.
   * Operations begin in the order they were sent.
   *
   * Rejects with an `InputError` (`INVALID_OPERATION`, `DUPLICATE_REQUEST`), a `StateError` (`CLOSED`,
   * `TOO_MANY_REQUESTS`), the error that ended the controller, or a `TransportError` (`CONTROL_TIMEOUT`) when the
   * publisher is silent about it for `timeoutMs`; the operation may have run all the same.
   */
  async send(operation: ControllerOperation, payload?: Uint8Array): Promise<ControlEvent> {
    this.#checkOpen();
    // Anything but an object is refused as it is.
    const isObject = typeof operation === "object" && operation !== null;
    const named = isObject ? { ...operation, requestId: operation.requestId ?? randomHex(8) } : operation;
    const parsed = parseOperation(named, payload);
    if (payload !== undefined && (payload.length === 0 || payload.length > MAX_PAYLOAD_BYTES))
      throw new InputError("INVALID_OPERATION", `The payload must have 1 to ${MAX_PAYLOAD_BYTES} bytes.`);
    // Reserves its place before the digest is ready, so that a later request can't overtake it.
    const order = this.#requests.takeOrder(parsed.requestId);
    const head = payload && { bytes: payload.length, sha256: await digest(payload) };
    this.#checkOpen();
    const ended = this.#requests.add({ order, operation: parsed, head }, payload);
    this.#tick();
    return ended;
  }

  /** Ends it; pending requests reject with a `StateError` (`CLOSED`). Idempotent. */
  async close(): Promise<void> {
    this.#end(null);
  }

  /** The same as {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #checkOpen(): void {
    // A relay may have refused it before the first send.
    if (this.#state === "closed")
      throw this.#error ?? new StateError("CLOSED", "The controller was used after close().");
  }

  #end(error: Error | null): void {
    if (this.#state === "closed") return;
    clearInterval(this.#timer);
    this.#error = error;
    this.#become("closed");
    this.#requests.rejectAll(error ?? new StateError("CLOSED", "The controller was closed."));
    this.#live?.broadcast.close();
    this.#live = undefined;
    this.#reconnector.close();
    this.#detachLogger();
    this.#settle(error);
  }

  #problem(error: Error): void {
    this.#lastProblem = error;
    if (this.#state !== "closed") this.emit("problem", error);
  }

  #become(state: ControllerState): void {
    if (state === this.#state || this.#state === "closed") return;
    this.#state = state;
    this.emit("state", state);
  }

  /** One session, until it ends. */
  async #run(session: Session): Promise<void> {
    let over = false;
    const ended = session.closed.then(() => {
      over = true;
    });
    // Records are for listeners: they are stripped and dropped.
    const { connection } = await openMoq(session, { records: REPORT_RECORDS });
    const broadcast = new Moq.Broadcast.Producer();
    const operations = new FrameTrackWriter(broadcast, { name: OPERATIONS_TRACK, priority: 100, retainMs: RETAIN_MS });
    const live: Live = { broadcast, operations };
    connection.publish(Moq.Path.from(controlPath(this.#name), this.id), broadcast);
    this.#live = live;
    this.#sessions++;
    const answers = connection.announcedBroadcast(Moq.Path.from(broadcastPath(this.#name)));
    this.#requests.restart();
    try {
      while (!over) {
        const source = answers.active.peek();
        const changed = answers.active.changed();
        const stop = new AbortController();
        const reading = source && this.#readAnswers(source, stop.signal);
        await race([ended, changed]);
        stop.abort();
        await reading;
      }
    } finally {
      if (this.#live === live) this.#live = undefined;
      this.#requests.withdraw();
      broadcast.close();
      answers.close();
      connection.close();
    }
  }

  async #readAnswers(source: Moq.Broadcast.Consumer, signal: AbortSignal): Promise<void> {
    const options = { priority: 100, signal, persistent: true, retryMs: RETRY_MS };
    for await (const event of followTrack(source, ANSWERS_TRACK, options))
      if (event.kind === "frame") this.#readAnswer(event.payload);
  }

  #readAnswer(payload: Uint8Array): void {
    let answer: ControlAnswer | undefined;
    try {
      answer = decodeControlAnswer(payload, this.id);
    } catch {
      this.#malformed++;
    }
    const progress = answer && this.#requests.answered(answer);
    if (progress) this.emit("progress", progress);
  }

  #tick(): void {
    const now = performance.now();
    this.#requests.expire(now, this.#timeoutMs, () => this.#timedOut());
    const live = this.#live;
    this.#become(live === undefined ? "connecting" : live.operations.used ? "ready" : "waiting");
    // Before the publisher reads the track, all but the newest group would be lost.
    if (!live?.operations.used) return;
    for (const { order, operation, head } of this.#requests.takeDue(now, live.broadcast)) {
      live.operations.write(encodeControlRequest({ order, operation, payload: head }));
      this.#sent++;
    }
  }

  #timedOut(): Error {
    const { host } = this.#url;
    if (this.#sessions === 0 && this.#lastProblem) return this.#lastProblem;
    const what =
      this.#sessions === 0
        ? `There was no connection to ${host}`
        : `No publisher of ${this.#name} that takes control answered at ${host}`;
    return new TransportError("CONTROL_TIMEOUT", `${what} within ${this.#timeoutMs} ms.`, { cause: this.#lastProblem });
  }
}

async function digest(payload: Uint8Array): Promise<string> {
  // The platform's own, off this thread, in Node and in browsers.
  const hash = await crypto.subtle.digest("SHA-256", payload as Uint8Array<ArrayBuffer>);
  return hex(new Uint8Array(hash));
}

function randomHex(bytes: number): string {
  return hex(crypto.getRandomValues(new Uint8Array(bytes)));
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
