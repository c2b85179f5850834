import { createHash } from "node:crypto";
import type { Broadcast } from "@kixelated/moq";
import { background, type Clock, fromMilliseconds, guard, type Logger, UnsayError } from "../../base/index.js";
import { BULK_OPERATIONS, BulkReceiver } from "../../flow/bulk/index.js";
import { TokenBucket } from "../../flow/congestion/index.js";
import {
  type ControlAnswer,
  type ControlEvent,
  type ControlRequest,
  decodeControlRequest,
  OPERATIONS_TRACK,
} from "../../flow/control/index.js";
import { followTrack } from "../../transport/index.js";
import { PayloadIntake } from "./payload-intake.js";
import type { Counts } from "./remote-counts.js";
import type { RemoteControlLimits } from "./remote-limits.js";
import { RequestOrder } from "./request-order.js";

/** Parts that all controllers of a publisher share. */
export interface ControllerHost {
  readonly clock: Clock;
  readonly limits: RemoteControlLimits;
  readonly logger: Logger;
  readonly counts: Counts;
  /** Runs a request; rejects, or resolves with its end. */
  control(request: ControlRequest, payload?: Uint8Array): Promise<ControlEvent>;
  /** Answers a controller, by its id. */
  answer(controller: string, answer: ControlAnswer): void;
}

/** Ended requests remembered per controller, to answer a repeat with the same event. */
const REMEMBERED_REQUESTS = 256;
/** How long a request waits for an earlier one that is missing. */
const ORDER_WAIT_MS = 500;
/** Delays before subscribing to a controller's track again, which may appear a moment later. */
const RETRY_MS = { first: 250, most: 250 };
/** Maximum characters of a reason in an answer. */
const MAX_REASON = 1000;

/** One controller: its requests in order, each run once. */
export class RemoteController {
  readonly #id: string;
  readonly #host: ControllerHost;
  readonly #bucket: TokenBucket;
  /** The end of each request, undefined while pending; in order of arrival. */
  readonly #requests = new Map<string, ControlEvent | undefined>();
  readonly #order = new RequestOrder<ControlRequest>();
  readonly #intakes = new Set<PayloadIntake>();
  #orderTimer: NodeJS.Timeout | undefined;
  #broadcast: Broadcast.Consumer | undefined;
  #stop: AbortController | undefined;
  #pending = 0;

  constructor(id: string, host: ControllerHost) {
    this.#id = id;
    this.#host = host;
    const { requestsPerSecond } = host.limits;
    this.#bucket = new TokenBucket({ perSecond: requestsPerSecond, burst: requestsPerSecond });
  }

  /** Whether its broadcast is announced. */
  get present(): boolean {
    return this.#broadcast !== undefined;
  }

  /** Whether it has pending requests. */
  get busy(): boolean {
    return this.#pending > 0;
  }

  /** Its broadcast is announced: reads its requests, and continues its payloads. */
  follow(broadcast: Broadcast.Consumer): void {
    this.leave();
    const stop = new AbortController();
    this.#stop = stop;
    this.#broadcast = broadcast;
    background("publisher.controller", this.#read(broadcast, stop.signal));
    for (const intake of this.#intakes) intake.follow(broadcast);
  }

  async #read(broadcast: Broadcast.Consumer, signal: AbortSignal): Promise<void> {
    const options = { priority: 100, signal, persistent: true, retryMs: RETRY_MS };
    for await (const event of followTrack(broadcast, OPERATIONS_TRACK, options))
      if (event.kind === "frame") this.#receive(event.payload);
  }

  /** Its broadcast has ended; when it comes back, its requests are still known. */
  leave(): void {
    this.#stop?.abort();
    this.#stop = undefined;
    this.#broadcast?.close();
    this.#broadcast = undefined;
  }

  close(): void {
    this.leave();
    clearTimeout(this.#orderTimer);
    this.#orderTimer = undefined;
    for (const intake of this.#intakes) intake.cancel();
  }

  #receive(bytes: Uint8Array): void {
    const { clock, counts } = this.#host;
    if (this.#bucket.take(clock()) === 0) {
      counts.tooFast++;
      return;
    }
    let request: ControlRequest;
    try {
      request = decodeControlRequest(bytes);
    } catch {
      counts.malformed++;
      return;
    }
    const { requestId } = request;
    if (this.#requests.has(requestId)) {
      counts.repeats++;
      const event = this.#requests.get(requestId);
      this.#answer(event === undefined ? { kind: "pending", requestId } : { kind: "event", event });
      return;
    }
    const { due, isCloser } = this.#order.take(request);
    for (const each of due) this.#start(each);
    if (isCloser) this.#awaitMissing();
  }

  // Later requests must not wait for a missing one for long.
  #awaitMissing(): void {
    clearTimeout(this.#orderTimer);
    if (!this.#order.isWaiting) return;
    const skip = guard("publisher.order", () => {
      if (this.#orderTimer !== timer) return;
      for (const each of this.#order.skip()) this.#start(each);
      this.#awaitMissing();
    });
    // Requests that arrived while the process stood still are read before.
    const waited = guard("publisher.order", () => setImmediate(skip));
    const timer = setTimeout(waited, ORDER_WAIT_MS);
    this.#orderTimer = timer;
  }

  #start(request: ControlRequest): void {
    const { requestId } = request;
    if (this.#requests.has(requestId)) return;
    const { counts, limits } = this.#host;
    counts.requests++;
    this.#requests.set(requestId, undefined);
    this.#pending++;
    const refusal = this.#pending > limits.pending ? "Too many requests wait already." : undefined;
    const work = refusal === undefined ? this.#perform(request) : Promise.resolve(failed(request, refusal));
    void work
      .catch((error: unknown) => {
        // A peer only sees errors that were written for it.
        if (!(error instanceof UnsayError)) this.#host.logger.warn({ err: error }, "A control request failed.");
        return failed(request, error instanceof UnsayError ? error.message : "The publisher failed to do it.");
      })
      .then((event) => this.#end(event));
  }

  async #perform(request: ControlRequest): Promise<ControlEvent> {
    const { payload: head, op, requestId } = request;
    const { limits, counts, control } = this.#host;
    if (head === undefined) return control(request);
    if (!BULK_OPERATIONS.includes(op as ControlEvent["op"]))
      return failed(request, `The operation ${op} takes no payload.`);
    if (counts.payloads >= limits.payloads)
      return failed(request, `${limits.payloads} payloads are on their way already.`);
    const { clock } = this.#host;
    const receiver = new BulkReceiver({
      head,
      now: clock(),
      hash: createHash("sha256"),
      maxBytes: limits.payloadBytes,
      idleTimeout: fromMilliseconds(limits.idleMs),
    });
    const intake = new PayloadIntake({ requestId, controller: this.#id, receiver, host: this.#host });
    counts.payloads++;
    this.#intakes.add(intake);
    try {
      if (this.#broadcast) intake.follow(this.#broadcast);
      await intake.done;
    } finally {
      counts.payloads--;
      this.#intakes.delete(intake);
      intake.cancel();
    }
    return control(request, receiver.payload());
  }

  #end({ reason, ...ended }: ControlEvent): void {
    // The reason may quote the request, and must fit into an answer however it is escaped.
    const event: ControlEvent = { ...ended, reason: reason?.slice(0, MAX_REASON) };
    this.#pending--;
    this.#host.counts[event.outcome]++;
    this.#requests.set(event.requestId, event);
    for (const [requestId, known] of this.#requests) {
      if (this.#requests.size <= REMEMBERED_REQUESTS) break;
      if (known !== undefined) this.#requests.delete(requestId);
    }
    this.#answer({ kind: "event", event });
  }

  #answer(answer: ControlAnswer): void {
    this.#host.answer(this.#id, answer);
  }
}

function failed({ op, requestId }: ControlRequest, reason: string): ControlEvent {
  return { outcome: "failed", op: op as ControlEvent["op"], requestId, controlEpoch: undefined, reason };
}
