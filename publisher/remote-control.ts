import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { type Broadcast, type Connection, type Group, Path, Time, type Track } from "@kixelated/moq";
import { type Clock, fromMilliseconds, type Microseconds, microseconds, UnsayError } from "../base/index.js";
import {
  ANSWERS_TRACK,
  BULK_OPERATIONS,
  BulkReceiver,
  type ControlAnswer,
  type ControlEvent,
  type ControlRequest,
  controlPath,
  decodeControlRequest,
  encodeControlAnswer,
  isControllerId,
  MAX_BULK_TRANSFERS,
  MAX_PAYLOAD_BYTES,
  OPERATIONS_TRACK,
  Pacer,
  payloadTrack,
} from "../flow/index.js";
import type { Logger } from "./session.js";

/** Caps of {@link RemoteControl}; hitting one is counted. */
export interface RemoteControlLimits {
  /** Controllers listened to at once. Default 16. */
  readonly controllers: number;
  /** Payloads on their way at once, of all controllers. Default 4. */
  readonly payloads: number;
  /** Bytes of one payload. Default 64 MiB. */
  readonly payloadBytes: number;
  /** Longest silence of a payload, in milliseconds. Default 10,000. */
  readonly idleMs: number;
  /** Requests of one controller that have not ended. Default 64. */
  readonly pending: number;
  /** Requests of one controller a second, in the long run; as many may come at once. Default 200. */
  readonly requestsPerSecond: number;
}

/** Options for {@link RemoteControl}. */
export interface RemoteControlOptions {
  /** Name of the broadcast, without `.hang`. */
  readonly broadcast: string;
  readonly clock: Clock;
  /** Does what an operation says; it is not validated yet. Rejects, or resolves with how it ended. */
  readonly control: (operation: unknown, payload?: Uint8Array) => Promise<ControlEvent>;
  readonly logger: Logger;
  readonly limits?: Partial<RemoteControlLimits>;
}

/** Running totals of a {@link RemoteControl}. */
export interface RemoteControlCounters {
  /** Controllers listened to now. */
  readonly controllers: number;
  /** Requests taken, and requests that came again. */
  readonly requests: number;
  readonly repeats: number;
  /** Requests that ended, by outcome. */
  readonly applied: number;
  readonly superseded: number;
  readonly failed: number;
  /** Controllers that were one too many or had no valid name. */
  readonly refusedControllers: number;
  /** Requests that could not be read, or came faster than they may. */
  readonly malformed: number;
  readonly tooFast: number;
  /** Payloads on their way now. */
  readonly payloads: number;
  readonly payloadBytes: number;
}

const DEFAULTS: RemoteControlLimits = {
  controllers: 16,
  payloads: MAX_BULK_TRANSFERS,
  payloadBytes: MAX_PAYLOAD_BYTES,
  idleMs: 10_000,
  pending: 64,
  requestsPerSecond: 200,
};

/** How many ended requests of a controller are remembered, to answer a repeat with the same event. */
const REMEMBERED_REQUESTS = 256;
/** Controllers remembered after they left, because a broken session brings them back. */
const REMEMBERED_CONTROLLERS = 64;
/** Groups of one track that are read at once; more are dropped and come again. */
const MAX_OPEN_GROUPS = 256;
/** How long a request waits for one that was sent before it and is missing. */
const ORDER_WAIT_MS = 500;
const MAX_OUT_OF_ORDER = 32;
/** How old a group may be that is still wanted; the protocol's default, 0, asks for the newest group alone. */
const KEEP_MS = 30_000;
const RETRY_MS = 250;
/** Characters of a reason that are told. */
const MAX_REASON = 1000;
/** How often payloads are looked after. */
const PAYLOAD_TICK_MS = 5;

interface Shared {
  readonly clock: Clock;
  readonly limits: RemoteControlLimits;
  readonly logger: Logger;
  readonly counts: Counts;
  control(request: ControlRequest, payload?: Uint8Array): Promise<ControlEvent>;
  answer(controller: string, answer: ControlAnswer): void;
}

class Counts {
  requests = 0;
  repeats = 0;
  applied = 0;
  superseded = 0;
  failed = 0;
  refusedControllers = 0;
  malformed = 0;
  tooFast = 0;
  payloads = 0;
  payloadBytes = 0;
}

/**
 * Takes operations from controllers: finds their broadcasts under `<broadcast>.control/`, reads requests and payloads,
 * has them done and answers each with exactly one event on the track `control.json` of the publisher's broadcast.
 * Who may be a controller is for the relay to say: it lets only some sessions publish under that path.
 */
export class RemoteControl {
  readonly #options: RemoteControlOptions;
  readonly #shared: Shared;
  readonly #counts = new Counts();
  readonly #limits: RemoteControlLimits;
  readonly #controllers = new Map<string, RemoteController>();
  #answers: Answers | undefined;
  #connection: Connection.Established | undefined;
  #nextId = 0;
  #closed = false;

  constructor(options: RemoteControlOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULTS, ...options.limits };
    this.#shared = {
      clock: options.clock,
      limits: this.#limits,
      logger: options.logger,
      counts: this.#counts,
      // Under a name that no other controller can have given to a request of its own.
      control: async ({ operation, requestId }, payload) => {
        const unique = { ...(operation as object), requestId: `remote-${++this.#nextId}` };
        return { ...(await options.control(unique, payload)), requestId };
      },
      answer: (controller, answer) => this.#answers?.write(controller, answer),
    };
  }

  get counters(): RemoteControlCounters {
    return { ...this.#counts, controllers: this.#following };
  }

  /** Serves a session; to be called before its broadcast is published. The session before is let go. */
  attach(connection: Connection.Established, broadcast: Broadcast.Producer): void {
    if (this.#closed) return;
    this.#answers = new Answers(broadcast, this.#options.clock);
    this.#connection = connection;
    for (const controller of this.#controllers.values()) controller.leave();
    this.#discover(connection).catch((error: unknown) => {
      this.#options.logger.debug({ err: error }, "Controllers are announced no more.");
    });
  }

  /** Ends everything; requests that have not ended get no event. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#connection = undefined;
    for (const controller of this.#controllers.values()) controller.close();
    this.#controllers.clear();
  }

  get #following(): number {
    let following = 0;
    for (const { present } of this.#controllers.values()) if (present) following++;
    return following;
  }

  async #discover(connection: Connection.Established): Promise<void> {
    const prefix = Path.from(controlPath(this.#options.broadcast));
    const announced = connection.announced(prefix);
    try {
      for (let event = await announced.next(); event; event = await announced.next()) {
        if (this.#connection !== connection) return;
        const id = String(event.path);
        if (!event.active) this.#controllers.get(id)?.leave();
        else this.#admit(id)?.follow(connection.consume(Path.join(prefix, event.path)));
      }
    } finally {
      announced.close();
    }
  }

  #admit(id: string): RemoteController | undefined {
    const known = this.#controllers.get(id);
    if (!isControllerId(id) || (known?.present !== true && this.#following >= this.#limits.controllers)) {
      this.#counts.refusedControllers++;
      return undefined;
    }
    const controller = known ?? new RemoteController(id, this.#shared);
    // Moved to the end, so that those that left longest ago are forgotten first.
    this.#controllers.delete(id);
    this.#controllers.set(id, controller);
    for (const [other, { present, busy }] of this.#controllers) {
      if (this.#controllers.size <= REMEMBERED_CONTROLLERS) break;
      if (!present && !busy) this.#controllers.delete(other);
    }
    return controller;
  }
}

/** The track of answers of one session. */
class Answers {
  readonly #track: Track.Producer;
  readonly #clock: Clock;
  #last = 0;

  constructor(broadcast: Broadcast.Producer, clock: Clock) {
    this.#clock = clock;
    this.#track = broadcast.createTrack(ANSWERS_TRACK, {
      timescale: Time.Timescale.MICRO,
      latencyMax: 5000,
      priority: 90,
      ordered: true,
    });
  }

  write(controller: string, answer: ControlAnswer): void {
    if (this.#track.closed.peek() !== undefined) return;
    // A group at the time of the one before would take it back.
    this.#last = Math.max(this.#last + 1, this.#clock());
    const group = this.#track.appendGroup();
    group.writeFrame({
      payload: encodeControlAnswer(controller, answer),
      timestamp: Time.Timestamp.fromMicros(this.#last),
    });
    group.close();
  }
}

/** One controller: its requests in order, each done once. */
class RemoteController {
  readonly #id: string;
  readonly #shared: Shared;
  readonly #pacer: Pacer;
  /** How each request ended; undefined while it has not. In the order they came. */
  readonly #requests = new Map<string, ControlEvent | undefined>();
  readonly #early = new Map<number, ControlRequest>();
  readonly #intakes = new Set<Intake>();
  /** A controller counts from 0. One that has gone on counting while this publisher was not there waits once. */
  #expected = 0;
  #orderTimer: NodeJS.Timeout | undefined;
  #broadcast: Broadcast.Consumer | undefined;
  #stop: AbortController | undefined;
  #pending = 0;

  constructor(id: string, shared: Shared) {
    this.#id = id;
    this.#shared = shared;
    const { requestsPerSecond } = shared.limits;
    this.#pacer = new Pacer({ perSecond: requestsPerSecond, burst: requestsPerSecond });
  }

  /** Whether it is announced. */
  get present(): boolean {
    return this.#broadcast !== undefined;
  }

  /** Whether it has requests that have not ended. */
  get busy(): boolean {
    return this.#pending > 0;
  }

  /** It is announced: reads its requests, and goes on with its payloads. */
  follow(broadcast: Broadcast.Consumer): void {
    this.leave();
    const stop = new AbortController();
    this.#stop = stop;
    this.#broadcast = broadcast;
    void readTrack(
      broadcast,
      OPERATIONS_TRACK,
      { priority: 100, isWanted: () => !stop.signal.aborted, signal: stop.signal },
      (bytes) => this.#receive(bytes),
    );
    for (const intake of this.#intakes) intake.follow(broadcast);
  }

  /** It is announced no more; it may come back and find its requests remembered. */
  leave(): void {
    this.#stop?.abort();
    this.#stop = undefined;
    this.#broadcast?.close();
    this.#broadcast = undefined;
  }

  /** Ends everything. */
  close(): void {
    this.leave();
    clearTimeout(this.#orderTimer);
    for (const intake of this.#intakes) intake.cancel();
  }

  #receive(bytes: Uint8Array): void {
    const { clock, counts } = this.#shared;
    if (this.#pacer.take(clock()) === 0) {
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
    const { requestId, order } = request;
    if (this.#requests.has(requestId)) {
      counts.repeats++;
      const event = this.#requests.get(requestId);
      this.#answer(event === undefined ? { kind: "pending", requestId } : { kind: "event", event });
      return;
    }
    if (order <= this.#expected || this.#early.size >= MAX_OUT_OF_ORDER) this.#begin(request);
    else {
      this.#early.set(order, request);
      this.#orderTimer ??= setTimeout(() => this.#skipMissing(), ORDER_WAIT_MS);
    }
  }

  #begin(request: ControlRequest): void {
    this.#start(request);
    this.#expected = Math.max(this.#expected, request.order + 1);
    for (let next = this.#early.get(this.#expected); next; next = this.#early.get(this.#expected)) {
      this.#early.delete(this.#expected++);
      this.#start(next);
    }
    if (this.#early.size > 0) return;
    clearTimeout(this.#orderTimer);
    this.#orderTimer = undefined;
  }

  // What is missing comes again, or its sender gave up; what came must not wait for it for long.
  #skipMissing(): void {
    this.#orderTimer = undefined;
    const [first] = [...this.#early.keys()].sort((a, b) => a - b);
    if (first === undefined) return;
    const request = this.#early.get(first)!;
    this.#early.delete(first);
    this.#begin(request);
    if (this.#early.size > 0) this.#orderTimer ??= setTimeout(() => this.#skipMissing(), ORDER_WAIT_MS);
  }

  #start(request: ControlRequest): void {
    const { requestId } = request;
    if (this.#requests.has(requestId)) return;
    const { counts, limits } = this.#shared;
    counts.requests++;
    this.#requests.set(requestId, undefined);
    this.#pending++;
    const refusal = this.#pending > limits.pending ? "Too many requests wait already." : undefined;
    const work = refusal === undefined ? this.#perform(request) : Promise.resolve(failed(request, refusal));
    void work
      .catch((error: unknown) => {
        // Only what is made for its reader is told to a peer.
        if (!(error instanceof UnsayError)) this.#shared.logger.warn({ err: error }, "A control request failed.");
        return failed(request, error instanceof UnsayError ? error.message : "The publisher failed to do it.");
      })
      .then((event) => this.#end(event));
  }

  async #perform(request: ControlRequest): Promise<ControlEvent> {
    const { payload: head, op, requestId } = request;
    const { limits, counts, control } = this.#shared;
    if (head === undefined) return control(request);
    if (!BULK_OPERATIONS.includes(op as ControlEvent["op"]))
      return failed(request, `The operation ${op} takes no payload.`);
    if (counts.payloads >= limits.payloads)
      return failed(request, `${limits.payloads} payloads are on their way already.`);
    const { clock } = this.#shared;
    const receiver = new BulkReceiver({
      head,
      now: clock(),
      hash: createHash("sha256"),
      maxBytes: limits.payloadBytes,
      idleTimeout: fromMilliseconds(limits.idleMs),
    });
    const intake = new Intake({
      requestId,
      receiver,
      clock,
      onAck: (ack) => this.#answer({ kind: "ack", requestId, ack }),
      onBytes: (bytes) => {
        counts.payloadBytes += bytes;
      },
    });
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
    // It may quote what was sent, and must fit into an answer however it is escaped.
    const event: ControlEvent = { ...ended, reason: reason?.slice(0, MAX_REASON) };
    this.#pending--;
    this.#shared.counts[event.outcome]++;
    this.#requests.set(event.requestId, event);
    for (const [requestId, known] of this.#requests) {
      if (this.#requests.size <= REMEMBERED_REQUESTS) break;
      if (known !== undefined) this.#requests.delete(requestId);
    }
    this.#answer({ kind: "event", event });
  }

  #answer(answer: ControlAnswer): void {
    this.#shared.answer(this.#id, answer);
  }
}

interface IntakeOptions {
  readonly requestId: string;
  readonly receiver: BulkReceiver;
  readonly clock: Clock;
  readonly onAck: (ack: NonNullable<ReturnType<BulkReceiver["takeAck"]>>) => void;
  readonly onBytes: (bytes: number) => void;
}

/** Reads one payload's track, over as many sessions of its controller as it takes. */
class Intake {
  /** Settles when the payload is whole, or rejects with why it never will be. */
  readonly done: Promise<void>;
  readonly #options: IntakeOptions;
  readonly #timer: NodeJS.Timeout;
  readonly #stopAll = new AbortController();
  #stop: AbortController | undefined;
  #settle!: (error?: unknown) => void;

  constructor(options: IntakeOptions) {
    this.#options = options;
    this.done = new Promise((resolve, reject) => {
      this.#settle = (error) => (error === undefined ? resolve() : reject(error));
    });
    this.#timer = setInterval(() => this.#tick(), PAYLOAD_TICK_MS);
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

interface Reading {
  readonly priority: number;
  readonly isWanted: () => boolean;
  readonly signal: AbortSignal;
}

/** Reads the first frame of every group of a track, as they come, and subscribes again when that breaks. */
async function readTrack(
  broadcast: Broadcast.Consumer,
  name: string,
  { priority, isWanted, signal }: Reading,
  onFrame: (bytes: Uint8Array) => void,
): Promise<void> {
  while (isWanted()) {
    const track = broadcast.track(name).subscribe({ priority, ordered: true, latencyMax: KEEP_MS });
    const close = () => track.close();
    signal.addEventListener("abort", close);
    let open = 0;
    const readGroup = async (group: Group.Consumer) => {
      open++;
      try {
        const frame = await group.readFrame();
        if (frame !== undefined && isWanted()) onFrame(frame.payload);
      } catch {
        // A group that was reset comes again as another one.
      } finally {
        open--;
        group.close();
      }
    };
    try {
      for (let group = await track.recvGroup(); group && isWanted(); group = await track.recvGroup()) {
        if (open < MAX_OPEN_GROUPS) void readGroup(group);
        else group.close();
      }
    } catch {
      // Not there yet, or not any more.
    } finally {
      signal.removeEventListener("abort", close);
      track.close();
    }
    await delay(RETRY_MS, undefined, { signal }).catch(() => {});
    if (broadcast.closed.peek() !== undefined) return;
  }
}

function failed({ op, requestId }: ControlRequest, reason: string): ControlEvent {
  return { outcome: "failed", op: op as ControlEvent["op"], requestId, controlEpoch: undefined, reason };
}
