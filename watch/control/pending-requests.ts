import type * as Moq from "@kixelated/moq";
import { InputError, monotonicClock, StateError } from "../../base/index.js";
import { BulkSender, type BulkSenderStats, type PayloadHead } from "../../flow/bulk/index.js";
import type { ControlAnswer, ControlEvent, Operation } from "../../flow/control/index.js";
import type { ControllerProgress } from "./controller-options.js";
import { PayloadTrack } from "./payload-track.js";

/** How soon a request is repeated: first, and at most. A relay may drop a group, or its answer. */
const FIRST_REPEAT_MS = 300;
const MAX_REPEAT_MS = 2000;
/** Maximum pending requests; the publisher accepts no more from one controller. */
const MAX_PENDING = 64;
/** Minimum interval between two progress reports of one payload. */
const PROGRESS_MS = 50;

/** A request that has not ended. */
export interface PendingRequest {
  readonly order: number;
  readonly operation: Operation;
  readonly head: PayloadHead | undefined;
  readonly sender: BulkSender | undefined;
  readonly resolve: (event: ControlEvent) => void;
  readonly reject: (error: Error) => void;
  /** When to send it again; undefined before the first time. */
  repeatAt: number | undefined;
  repeatMs: number;
  /** Time of the publisher's last word on it, or when it was first due. */
  heardAt: number;
  track: PayloadTrack | undefined;
  progressAt: number;
}

/** A controller's pending requests, in the order they were sent. Times are the page's milliseconds. */
export class PendingRequests {
  readonly #requests = new Map<string, PendingRequest>();
  #nextOrder = 0;

  get size(): number {
    return this.#requests.size;
  }

  /** Payloads in transfer, by request. */
  get payloads(): Readonly<Record<string, BulkSenderStats>> {
    const payloads: Record<string, BulkSenderStats> = {};
    for (const [requestId, { sender }] of this.#requests) if (sender) payloads[requestId] = sender.stats;
    return payloads;
  }

  /** Reserves a request's place, before its payload's digest is known. */
  takeOrder(requestId: string): number {
    this.#checkNew(requestId);
    if (this.#requests.size >= MAX_PENDING)
      throw new StateError("TOO_MANY_REQUESTS", `${MAX_PENDING} requests wait already; wait for one to end.`);
    return this.#nextOrder++;
  }

  /** Adds a request at its place; resolves with its end. */
  add(
    { order, operation, head }: Pick<PendingRequest, "order" | "operation" | "head">,
    payload?: Uint8Array,
  ): Promise<ControlEvent> {
    this.#checkNew(operation.requestId);
    const { promise, resolve, reject } = Promise.withResolvers<ControlEvent>();
    this.#requests.set(operation.requestId, {
      order,
      operation,
      head,
      sender: payload && new BulkSender({ payload }),
      resolve,
      reject,
      repeatAt: undefined,
      repeatMs: FIRST_REPEAT_MS,
      heardAt: performance.now(),
      track: undefined,
      progressAt: 0,
    });
    return promise;
  }

  /** Rejects requests on which the publisher has been silent for too long. */
  expire(now: number, timeoutMs: number, error: () => Error): void {
    for (const request of [...this.#requests.values()])
      if (now - request.heardAt > timeoutMs) this.#finish(request, error());
  }

  /** Takes the requests to send now, in order, and puts their payloads on tracks of a broadcast. */
  takeDue(now: number, broadcast: Moq.Broadcast.Producer): readonly PendingRequest[] {
    const due: PendingRequest[] = [];
    for (const request of [...this.#requests.values()].sort((left, right) => left.order - right.order)) {
      request.track?.pump();
      if (request.repeatAt === undefined) request.repeatMs = FIRST_REPEAT_MS;
      else if (now < request.repeatAt) continue;
      if (request.sender) request.track ??= new PayloadTrack(broadcast, request.operation.requestId, request.sender);
      request.repeatAt = now + request.repeatMs;
      request.repeatMs = Math.min(request.repeatMs * 2, MAX_REPEAT_MS);
      due.push(request);
    }
    return due;
  }

  /** Sends all of them again, in a new session. */
  restart(): void {
    for (const request of this.#requests.values()) {
      request.repeatAt = undefined;
      request.sender?.restart(monotonicClock());
    }
  }

  /** Ends their payload tracks with a session. */
  withdraw(): void {
    for (const request of this.#requests.values()) {
      request.track?.close();
      request.track = undefined;
    }
  }

  /** Takes an answer; returns the payload's progress when it changed. */
  answered(answer: ControlAnswer): ControllerProgress | undefined {
    const requestId = answer.kind === "event" ? answer.event.requestId : answer.requestId;
    const request = this.#requests.get(requestId);
    if (request === undefined) return undefined;
    request.heardAt = performance.now();
    const { sender, head } = request;
    if (answer.kind === "event") {
      this.#finish(request, answer.event);
      // The answer arrived before the last acknowledgement did.
      const isWhole = answer.event.outcome === "applied" && head !== undefined && !sender?.finished;
      return isWhole ? { requestId, ackedBytes: head.bytes, bytes: head.bytes } : undefined;
    }
    if (answer.kind !== "ack" || !sender || !head) return undefined;
    sender.acknowledged(answer.ack, monotonicClock());
    request.track?.pump();
    if (!sender.finished && request.heardAt - request.progressAt <= PROGRESS_MS) return undefined;
    request.progressAt = request.heardAt;
    return { requestId, ackedBytes: sender.stats.ackedBytes, bytes: head.bytes };
  }

  /** Rejects all of them with an error. */
  rejectAll(error: Error): void {
    for (const request of [...this.#requests.values()]) this.#finish(request, error);
  }

  #checkNew(requestId: string): void {
    if (this.#requests.has(requestId))
      throw new InputError("DUPLICATE_REQUEST", `requestId ${requestId} is already waiting.`);
  }

  #finish(request: PendingRequest, how: ControlEvent | Error): void {
    if (!this.#requests.delete(request.operation.requestId)) return;
    request.track?.close();
    if (how instanceof Error) request.reject(how);
    else request.resolve(how);
  }
}
