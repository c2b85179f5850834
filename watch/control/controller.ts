import "../../base/polyfills.js";
import * as Moq from "@kixelated/moq";
import { z } from "zod";
import {
  attachLogger,
  BROADCAST_NAME_RULE,
  background,
  broadcastPath,
  guard,
  InputError,
  isBroadcastName,
  type Logger,
  type Microseconds,
  microseconds,
  monotonicClock,
  race,
  StateError,
  TransportError,
} from "../../base/index.js";
import {
  ANSWERS_TRACK,
  BulkSender,
  type BulkSenderStats,
  type ControlAnswer,
  type ControlEvent,
  controlPath,
  decodeControlAnswer,
  encodeControlRequest,
  isControllerId,
  isReportDatagram,
  MAX_PAYLOAD_BYTES,
  OPERATIONS_TRACK,
  type Operation,
  type PayloadHead,
  parseOperation,
  payloadTrack,
} from "../../flow/index.js";
import {
  type Backoff,
  type ConnectOptions,
  Reconnector,
  reach,
  type Session,
  toWebTransport,
} from "../../transport/index.js";

/** Options for {@link Controller}. */
export interface ControllerOptions {
  /** The relay; an `http:` URL means one with a certificate of its own making, pinned from `/certificate.sha256`. */
  readonly url: string | URL;
  /** Name of the broadcast, with or without its `.hang`. */
  readonly broadcast: string;
  /** Who this is: letters, digits, `_` and `-`, at most 64. Random by default; name it where a token names it. */
  readonly id?: string;
  /** How long the publisher may be silent about a request before it is given up, in milliseconds. Default 10,000. */
  readonly timeoutMs?: number;
  /** How to connect. */
  readonly connect?: Omit<ConnectOptions, "signal">;
  /** Waits between attempts to connect again. */
  readonly backoff?: Backoff;
  /** Takes what goes on, pino's shape. Default: nothing is logged. */
  readonly logger?: Logger;
}

type WithoutId<T> = T extends unknown ? Omit<T, "requestId"> & { readonly requestId?: string } : never;

/** An operation to send; a `requestId` is made up where there is none. */
export type ControllerOperation = WithoutId<Operation>;

/** How to send one operation. */
export interface SendOptions {
  /** Told how far a payload is, at most 20 times a second. */
  readonly onProgress?: (ackedBytes: number, bytes: number) => void;
}

/** The numbers of a {@link Controller}. */
export interface ControllerStats {
  readonly connected: boolean;
  /** Why the last attempt to connect failed or the last session ended. */
  readonly problem: Error | undefined;
  /** Whether a publisher listens to it. */
  readonly heard: boolean;
  readonly sessions: number;
  /** Requests that have not ended. */
  readonly pending: number;
  /** Requests sent, repeats included. */
  readonly sent: number;
  /** Answers that could not be read. */
  readonly malformed: number;
  /** Payloads on their way, by request. */
  readonly payloads: Readonly<Record<string, BulkSenderStats>>;
}

const optionsSchema = z.object({
  url: z.union([z.string(), z.instanceof(URL)]),
  broadcast: z.string().refine(isBroadcastName, BROADCAST_NAME_RULE),
  id: z.string().refine(isControllerId, "it must have 1 to 64 letters, digits, _ or -").optional(),
  timeoutMs: z.number().min(1).max(2_147_483_647).default(10_000),
});

/** How soon a request is repeated: first, and at most. A relay may drop a group, and its answer too. */
const FIRST_REPEAT_MS = 300;
const MAX_REPEAT_MS = 2000;
const TICK_MS = 25;
const RETRY_MS = 250;
/** How old an answer may be that is still wanted; the protocol's default, 0, asks for the newest group alone. */
const KEEP_MS = 30_000;
/** Requests at once; the publisher takes no more of one controller. */
const MAX_PENDING = 64;

interface Request {
  readonly order: number;
  readonly operation: Operation;
  readonly head: PayloadHead | undefined;
  readonly sender: BulkSender | undefined;
  readonly options: SendOptions;
  readonly resolve: (event: ControlEvent) => void;
  readonly reject: (error: Error) => void;
  /** When it is sent again; undefined before the first time. */
  repeatAt: number | undefined;
  repeatMs: number;
  /** When the publisher last said anything about it, or it was first due. */
  heardAt: number;
  outlet: PayloadTrack | undefined;
  progressAt: number;
}

interface Live {
  readonly broadcast: Moq.Broadcast.Producer;
  readonly operations: Outgoing;
}

/**
 * Turns the knobs of a publisher from afar, through whatever relay both are connected to: publishes its operations as
 * groups of a small broadcast of its own, which the publisher finds, and reads the answers from the publisher's
 * broadcast. The publisher must allow it (`control: true`), and the relay must let this session publish under
 * `<broadcast>.control/`. Starts over by itself when the connection breaks.
 */
export class Controller {
  /** The last part of the path under which it publishes. */
  readonly id: string;
  readonly #name: string;
  readonly #url: URL;
  readonly #timeoutMs: number;
  readonly #reconnector: Reconnector;
  readonly #requests = new Map<string, Request>();
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #closed: Promise<void>;
  readonly #detachLogger: () => void;
  #settle: (error: Error | undefined) => void = () => {};
  #live: Live | undefined;
  #nextOrder = 0;
  #sessions = 0;
  #sent = 0;
  #malformed = 0;
  #lastProblem: Error | undefined;
  #ended = false;

  /** Starts at once. Throws an `InputError` (`INVALID_OPTION`, `INVALID_URL`) on options that are not what they must be. */
  constructor(options: ControllerOptions) {
    const parsed = optionsSchema.safeParse(options);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      throw new InputError("INVALID_OPTION", `${issue?.path.join(".")} is not valid: ${issue?.message}.`);
    }
    const { url, broadcast, id, timeoutMs } = parsed.data;
    if (!URL.canParse(String(url))) throw new InputError("INVALID_URL", `The URL ${url} is not a URL.`);
    this.#detachLogger = options.logger ? attachLogger(options.logger) : () => {};
    this.#url = new URL(url);
    this.#name = broadcast;
    this.#timeoutMs = timeoutMs;
    this.id = id ?? randomHex(8);
    this.#closed = new Promise((resolve, reject) => {
      this.#settle = (error) => (error ? reject(error) : resolve());
    });
    // Whoever does not look at `closed` looks at what `send` gives.
    this.#closed.catch(() => {});
    this.#reconnector = new Reconnector({
      ...reach(this.#url, options.connect),
      onSession: (session) => this.#run(session),
      onRetry: (reason, waitMs) => {
        if (reason) this.#lastProblem = reason;
        const details = { err: reason, waitMs: Math.round(waitMs) };
        options.logger?.warn(details, "The controller has no session to the relay; it tries again.");
      },
      ...(options.backoff && { backoff: options.backoff }),
    });
    background(
      "watch.ended",
      this.#reconnector.closed.then((error) => this.#end(error)),
    );
    this.#timer = setInterval(
      guard("watch.controller", () => this.#tick()),
      TICK_MS,
    );
  }

  /** Resolves after {@link close}; rejects with what keeps it from connecting when no repeat can mend it. */
  get closed(): Promise<void> {
    return this.#closed;
  }

  /** The newest numbers. */
  stats(): ControllerStats {
    const payloads: Record<string, BulkSenderStats> = {};
    for (const [requestId, { sender }] of this.#requests) if (sender) payloads[requestId] = sender.stats;
    return {
      connected: this.#live !== undefined,
      problem: this.#lastProblem,
      heard: this.#live?.operations.used ?? false,
      sessions: this.#sessions,
      pending: this.#requests.size,
      sent: this.#sent,
      malformed: this.#malformed,
      payloads,
    };
  }

  /**
   * Sends one operation, with its payload, and resolves with how it ended; `failed` with a reason is an end like others.
   * Operations are begun in the order they were sent in.
   *
   * Rejects with an `InputError` (`INVALID_OPERATION`, `DUPLICATE_REQUEST`), a `StateError` (`CLOSED`,
   * `TOO_MANY_REQUESTS`), or a `TransportError` (`CONTROL_TIMEOUT`) when the publisher says nothing about it for
   * `timeoutMs`, whereupon it is not known whether it was done.
   */
  async send(operation: ControllerOperation, payload?: Uint8Array, options: SendOptions = {}): Promise<ControlEvent> {
    if (this.#ended) throw new StateError("CLOSED", "The controller was used after close().");
    const parsed = parseOperation({ ...operation, requestId: operation.requestId ?? randomHex(8) }, payload);
    const { requestId } = parsed;
    if (payload !== undefined && (payload.length === 0 || payload.length > MAX_PAYLOAD_BYTES))
      throw new InputError("INVALID_OPERATION", `The payload must have 1 to ${MAX_PAYLOAD_BYTES} bytes.`);
    if (this.#requests.has(requestId))
      throw new InputError("DUPLICATE_REQUEST", `requestId ${requestId} is already waiting.`);
    if (this.#requests.size >= MAX_PENDING)
      throw new StateError("TOO_MANY_REQUESTS", `${MAX_PENDING} requests wait already; wait for one to end.`);
    const order = this.#nextOrder++;
    const { promise, resolve, reject } = Promise.withResolvers<ControlEvent>();
    // Its place is taken before the digest is there, so that what is sent meanwhile can't go first or twice.
    const hold = { order, operation: parsed, options, resolve, reject, repeatAt: undefined, repeatMs: FIRST_REPEAT_MS };
    const head = payload && { bytes: payload.length, sha256: await digest(payload) };
    if (this.#ended) throw new StateError("CLOSED", "The controller was closed.");
    if (this.#requests.has(requestId))
      throw new InputError("DUPLICATE_REQUEST", `requestId ${requestId} is already waiting.`);
    this.#requests.set(requestId, {
      ...hold,
      head,
      sender: payload && new BulkSender({ payload }),
      heardAt: performance.now(),
      outlet: undefined,
      progressAt: 0,
    });
    this.#tick();
    return promise;
  }

  /** Ends it; requests that have not ended reject with a `StateError` (`CLOSED`). Idempotent. */
  async close(): Promise<void> {
    this.#end(undefined);
  }

  #end(error: Error | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    clearInterval(this.#timer);
    for (const request of [...this.#requests.values()])
      this.#finish(request, error ?? new StateError("CLOSED", "The controller was closed."));
    this.#live?.broadcast.close();
    this.#live = undefined;
    this.#reconnector.close();
    this.#detachLogger();
    this.#settle(error);
  }

  /** One session, until it ends. */
  async #run(session: Session): Promise<void> {
    let over = false;
    const ended = session.closed.then(() => {
      over = true;
    });
    // The library writes the URL to the console, where a token must not be; it needs no query any more.
    const url = new URL(this.#url);
    url.search = "";
    // What comes in on the reserved id is not for a controller.
    const connection = await Moq.Connection.connect(url, {
      transport: toWebTransport(session, { tap: isReportDatagram }),
    });
    const broadcast = new Moq.Broadcast.Producer();
    const live: Live = { broadcast, operations: new Outgoing(broadcast, OPERATIONS_TRACK, 100) };
    connection.publish(Moq.Path.from(controlPath(this.#name), this.id), broadcast);
    this.#live = live;
    this.#sessions++;
    const answers = connection.announcedBroadcast(Moq.Path.from(broadcastPath(this.#name)));
    for (const request of this.#requests.values()) {
      request.repeatAt = undefined;
      request.sender?.restart(monotonicClock());
    }
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
      for (const request of this.#requests.values()) {
        request.outlet?.close();
        request.outlet = undefined;
      }
      broadcast.close();
      answers.close();
      connection.close();
    }
  }

  async #readAnswers(source: Moq.Broadcast.Consumer, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const track = source.track(ANSWERS_TRACK).subscribe({ priority: 100, ordered: true, latencyMax: KEEP_MS });
      const close = () => track.close();
      signal.addEventListener("abort", close);
      try {
        for (let group = await track.recvGroup(); group && !signal.aborted; group = await track.recvGroup())
          void this.#readAnswer(group);
      } catch {
        // Not there yet, or not any more.
      } finally {
        signal.removeEventListener("abort", close);
        track.close();
      }
      await pause(RETRY_MS, signal);
    }
  }

  async #readAnswer(group: Moq.Group.Consumer): Promise<void> {
    try {
      const frame = await group.readFrame();
      const answer = frame && decodeControlAnswer(frame.payload, this.id);
      if (answer) this.#take(answer);
    } catch {
      this.#malformed++;
    } finally {
      group.close();
    }
  }

  #take(answer: ControlAnswer): void {
    const requestId = answer.kind === "event" ? answer.event.requestId : answer.requestId;
    const request = this.#requests.get(requestId);
    if (request === undefined) return;
    request.heardAt = performance.now();
    if (answer.kind === "event") {
      const { sender, head, options } = request;
      // It came before the last acknowledgement did.
      if (answer.event.outcome === "applied" && head && !sender?.finished) options.onProgress?.(head.bytes, head.bytes);
      this.#finish(request, answer.event);
    } else if (answer.kind === "ack" && request.sender) {
      request.sender.acknowledged(answer.ack, monotonicClock());
      const { onProgress } = request.options;
      if (onProgress && (request.sender.finished || request.heardAt - request.progressAt > 50)) {
        request.progressAt = request.heardAt;
        onProgress(request.sender.stats.ackedBytes, request.head!.bytes);
      }
      request.outlet?.pump();
    }
  }

  #finish(request: Request, how: ControlEvent | Error): void {
    if (!this.#requests.delete(request.operation.requestId)) return;
    request.outlet?.close();
    if (how instanceof Error) request.reject(how);
    else request.resolve(how);
  }

  #tick(): void {
    const now = performance.now();
    for (const request of [...this.#requests.values()].sort((a, b) => a.order - b.order)) {
      if (now - request.heardAt > this.#timeoutMs) {
        this.#finish(request, this.#timedOut());
        continue;
      }
      // Before the publisher reads the track, all but the newest group would be lost.
      if (!this.#live?.operations.used) continue;
      if (request.repeatAt === undefined) request.repeatMs = FIRST_REPEAT_MS;
      else if (now < request.repeatAt) continue;
      const { order, operation, head, sender } = request;
      if (sender && !request.outlet)
        request.outlet = new PayloadTrack(this.#live.broadcast, operation.requestId, sender);
      this.#live.operations.write(encodeControlRequest({ order, operation, payload: head }));
      this.#sent++;
      request.repeatAt = now + request.repeatMs;
      request.repeatMs = Math.min(request.repeatMs * 2, MAX_REPEAT_MS);
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

/** A track of groups of one frame each. */
class Outgoing {
  readonly #track: Moq.Track.Producer;
  #last = 0;

  constructor(broadcast: Moq.Broadcast.Producer, name: string, priority: number) {
    this.#track = broadcast.createTrack(name, {
      timescale: Moq.Time.Timescale.MICRO,
      latencyMax: 2000,
      priority,
      ordered: true,
    });
  }

  /** Whether anybody reads it. */
  get used(): boolean {
    return this.#track.used.peek();
  }

  onUsed(callback: () => void): void {
    this.#track.used.subscribe((used) => {
      if (used) callback();
    });
  }

  write(payload: Uint8Array): void {
    if (this.#track.closed.peek() !== undefined) return;
    // A group at the time of the one before would take it back.
    this.#last = Math.max(this.#last + 1, monotonicClock());
    const group = this.#track.appendGroup();
    group.writeFrame({ payload, timestamp: Moq.Time.Timestamp.fromMicros(this.#last) });
    group.close();
  }

  close(): void {
    this.#track.close();
  }
}

/** The track of one payload in one session: asks the sender what may go and writes it. */
class PayloadTrack {
  readonly #broadcast: Moq.Broadcast.Producer;
  readonly #name: string;
  readonly #sender: BulkSender;
  readonly #track: Outgoing;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(broadcast: Moq.Broadcast.Producer, requestId: string, sender: BulkSender) {
    this.#broadcast = broadcast;
    this.#name = payloadTrack(requestId);
    this.#sender = sender;
    this.#track = new Outgoing(broadcast, this.#name, 0);
    this.#track.onUsed(() => this.pump());
  }

  /** Sends what may go now, and comes back when more may. */
  pump(): void {
    clearTimeout(this.#timer);
    if (this.#closed || !this.#track.used) return;
    const now: Microseconds = monotonicClock();
    for (let piece = this.#sender.take(now); piece; piece = this.#sender.take(now)) this.#track.write(piece);
    const next = this.#sender.nextAt(microseconds(now));
    if (next !== undefined)
      this.#timer = setTimeout(
        guard("watch.payload", () => this.pump()),
        Math.max(1, (next - now) / 1e3),
      );
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#track.close();
    this.#broadcast.removeTrack(this.#name);
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

/** Waits, but not beyond the abort of the signal. */
function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
  });
}
