import { InputError, type Microseconds, microseconds, StateError } from "../../base/index.js";
import type { Knobs, Operation, OperationName } from "./operation.js";

/** A stretch of the source that repeats. */
export interface Band {
  readonly start: Microseconds;
  readonly end: Microseconds;
}

/** The end of a request; every request has exactly one. */
export type ControlOutcome = "applied" | "superseded" | "failed";

/** The end of one request. */
export interface ControlEvent {
  readonly outcome: ControlOutcome;
  readonly op: OperationName;
  readonly requestId: string;
  /** The first control epoch with the change; only when applied. */
  readonly controlEpoch: number | undefined;
  /** One sentence; only when failed. */
  readonly reason: string | undefined;
}

/** An event for the requester: `set_applied`, `model_failed` and so on, ready for JSON. */
export function controlMessage({ outcome, op, requestId, controlEpoch, reason }: ControlEvent): {
  readonly event: `${OperationName}_${ControlOutcome}`;
  readonly requestId: string;
  readonly controlEpoch?: number;
  readonly reason?: string;
} {
  return {
    event: `${op}_${outcome}`,
    requestId,
    ...(controlEpoch === undefined ? {} : { controlEpoch }),
    ...(reason === undefined ? {} : { reason }),
  };
}

/** Work outside the tick, such as loading a model; pass its result to `prepared` or `prepareFailed`. */
export interface Preparation {
  readonly operation: Operation;
  readonly payload: Uint8Array | undefined;
  /** The state it starts from; a swap of source or model changes it. */
  readonly epoch: number;
  /** 0 at first; rises with each restart. */
  readonly attempt: number;
}

/** One change to apply, in the order of the list. */
export type StagedChange<Result> =
  | { readonly kind: "interrupt" | "resume" | "noise_clear" }
  | {
      readonly kind: "source" | "model" | "noise_profile" | "splice";
      readonly operation: Operation;
      readonly result: Result;
    }
  | { readonly kind: "band"; readonly band: Band | undefined }
  | { readonly kind: "knobs"; readonly knobs: Knobs };

/** State of one whole tick; frozen, so that it stays the same across the tick's awaits. */
export interface Tick {
  readonly knobs: Knobs;
  readonly band: Band | undefined;
  /** Rises with every tick that changed anything; groups carry it, so that no earlier group counts as an effect. */
  readonly controlEpoch: number;
}

/** Options for {@link ControlStage}. */
export interface ControlStageOptions {
  readonly knobs: Knobs;
}

/** Maximum restarts of a preparation because the state changed under it. */
const MAX_RETRIES = 5;
/** Maximum pending splices. */
const MAX_SPLICES = 16;

type SlotName = "source" | "model" | "noise";
type KnobName = keyof Knobs;

/** Makes a change for some requests, and returns whether it was made. */
type Attempt<Result> = (change: StagedChange<Result>, ...requestIds: string[]) => boolean;

interface Pending<Result> {
  readonly operation: Operation;
  readonly payload: Uint8Array | undefined;
  attempt: number;
  /** The current or finished run; undefined until it is taken. */
  run: Preparation | undefined;
  finished: { readonly result: Result } | undefined;
}

const NOTHING: readonly Preparation[] = Object.freeze([]);

interface Request {
  readonly op: OperationName;
  /** Pending fields; the request ends with the last of them. */
  open: number;
}

/**
 * Where control requests wait for the tick. `stage` changes nothing live: it keeps the latest value of each field. Only
 * `beforeTick` changes anything, once per tick and in a fixed order, because swapping the conditioning under a running
 * step corrupts audio that then stays in the model's state.
 */
export class ControlStage<Result> {
  readonly #requests = new Map<string, Request>();
  readonly #knobs = new Map<KnobName, { readonly value: number | boolean; readonly requestId: string }>();
  readonly #slots = new Map<SlotName, Pending<Result>>();
  #splices: Pending<Result>[] = [];
  #action: Operation | undefined;
  #band: { readonly band: Band | undefined; readonly requestId: string } | undefined;
  #ended: ControlEvent[] = [];
  #epoch = 0;
  #tick: Tick;
  #dirty = false;
  #waiting = false;
  #closed = false;

  constructor({ knobs }: ControlStageOptions) {
    this.#tick = Object.freeze({
      knobs: Object.freeze({ ...knobs }),
      band: undefined,
      controlEpoch: 0,
    });
  }

  /** The current state. */
  get current(): Tick {
    return this.#tick;
  }

  /** The knobs once everything staged is live. */
  get knobs(): Knobs {
    if (this.#knobs.size === 0) return this.#tick.knobs;
    return { ...this.#tick.knobs, ...Object.fromEntries([...this.#knobs].map(([name, { value }]) => [name, value])) };
  }

  /** Number of requests that have not ended. */
  get pending(): number {
    return this.#requests.size;
  }

  /**
   * Takes a validated operation.
   *
   * @throws InputError `DUPLICATE_REQUEST` when a request with that id is pending; StateError `CLOSED` after
   * `close`.
   */
  stage(operation: Operation, payload?: Uint8Array): void {
    if (this.#closed) throw new StateError("CLOSED", "The control stage is closed.");
    const { requestId, op } = operation;
    if (this.#requests.has(requestId))
      throw new InputError("DUPLICATE_REQUEST", `requestId ${requestId} is already waiting.`);
    this.#requests.set(requestId, { op, open: 1 });
    this.#dirty = true;
    switch (operation.op) {
      case "set":
        this.#stageKnobs(requestId, operation.knobs);
        break;
      case "loop_band": {
        const { band } = operation;
        const older = this.#band;
        this.#band = {
          requestId,
          band: band === null ? undefined : { start: microseconds(band.start), end: microseconds(band.end) },
        };
        if (older) this.#end(older.requestId, "superseded");
        break;
      }
      case "interrupt":
      case "resume": {
        const older = this.#action;
        this.#action = operation;
        if (older) this.#end(older.requestId, "superseded");
        break;
      }
      case "swap_source":
        this.#stageSlot("source", operation, payload);
        break;
      case "model":
        this.#stageSlot("model", operation, payload);
        break;
      case "noise_profile":
        this.#stageSlot("noise", operation, payload);
        break;
      case "write_audio":
        if (this.#splices.length >= MAX_SPLICES)
          this.#end(requestId, "failed", `More than ${MAX_SPLICES} splices are waiting.`);
        else {
          this.#splices.push({ operation, payload, attempt: 0, run: undefined, finished: undefined });
          this.#waiting = true;
        }
    }
  }

  /** The ends of requests since the last call, one event each; call it after every other call. */
  takeEnded(): readonly ControlEvent[] {
    const ended = this.#ended;
    this.#ended = [];
    return ended;
  }

  /** Preparations to start now, each returned once; call it after every `stage` and every `beforeTick`. */
  takePreparations(): readonly Preparation[] {
    if (!this.#waiting) return NOTHING;
    this.#waiting = false;
    const started: Preparation[] = [];
    for (const pending of [...this.#slots.values(), ...this.#splices]) {
      if (pending.run !== undefined || isImmediate(pending.operation)) continue;
      const { operation, payload, attempt } = pending;
      pending.run = Object.freeze({ operation, payload, epoch: this.#epoch, attempt });
      started.push(pending.run);
    }
    return started;
  }

  /** Takes a finished preparation; drops one that was superseded meanwhile, and returns false. */
  prepared(preparation: Preparation, result: Result): boolean {
    const pending = this.#find(preparation);
    if (pending === undefined) return false;
    pending.finished = { result };
    this.#dirty = true;
    return true;
  }

  /** Ends the request of a preparation that failed. */
  prepareFailed(preparation: Preparation, reason: string): void {
    const pending = this.#find(preparation);
    if (pending === undefined) return;
    this.#drop(pending);
    this.#end(pending.operation.requestId, "failed", reason);
  }

  /**
   * Applies everything staged: an interrupt or resume, then the source, the model, finished preparations, the loop
   * band, the knobs. `apply` makes each change; when it throws, that request fails with the error's message.
   */
  beforeTick(apply: (change: StagedChange<Result>) => void): Tick {
    if (!this.#dirty) return this.#tick;
    this.#dirty = false;
    const applied: string[] = [];
    const attempt: Attempt<Result> = (change, ...requestIds) => {
      try {
        apply(change);
        applied.push(...requestIds);
        return true;
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        for (const requestId of requestIds) this.#end(requestId, "failed", reason);
        return false;
      }
    };

    this.#applyAction(attempt);
    this.#applySlots(attempt);
    this.#applyPayloads(attempt);
    const band = this.#applyBand(attempt);
    const knobs = this.#applyKnobs(attempt, applied);

    if (applied.length === 0) return this.#tick;
    const controlEpoch = this.#tick.controlEpoch + 1;
    this.#tick = Object.freeze({ knobs, band, controlEpoch });
    for (const requestId of applied) this.#end(requestId, "applied");
    return this.#tick;
  }

  /** Fails all pending requests; idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const requestId of [...this.#requests.keys()])
      this.#end(requestId, "failed", "The publisher closed before the change was made.");
    this.#knobs.clear();
    this.#slots.clear();
    this.#splices = [];
    this.#action = undefined;
    this.#band = undefined;
    this.#dirty = false;
  }

  #applyAction(attempt: Attempt<Result>): void {
    const action = this.#action;
    this.#action = undefined;
    if (action?.op === "interrupt" || action?.op === "resume") attempt({ kind: action.op }, action.requestId);
  }

  /** Applies a source and a model whose preparation is finished. */
  #applySlots(attempt: Attempt<Result>): void {
    for (const name of ["source", "model"] as const) {
      const pending = this.#slots.get(name);
      if (pending?.finished === undefined) continue;
      this.#slots.delete(name);
      const { operation, finished } = pending;
      if (attempt({ kind: name, operation, result: finished.result }, operation.requestId)) this.#epoch++;
    }
  }

  /** Applies a noise profile and splices whose preparation is finished. */
  #applyPayloads(attempt: Attempt<Result>): void {
    const noise = this.#slots.get("noise");
    for (const pending of noise === undefined ? this.#splices.slice() : [noise, ...this.#splices]) {
      const { operation, finished } = pending;
      if (isImmediate(operation)) {
        this.#drop(pending);
        attempt({ kind: "noise_clear" }, operation.requestId);
      } else if (finished !== undefined && this.#isCurrent(pending)) {
        this.#drop(pending);
        const kind = operation.op === "noise_profile" ? "noise_profile" : "splice";
        attempt({ kind, operation, result: finished.result }, operation.requestId);
      }
    }
  }

  /** Returns the loop band from now on. */
  #applyBand(attempt: Attempt<Result>): Tick["band"] {
    const staged = this.#band;
    this.#band = undefined;
    if (staged === undefined || !attempt({ kind: "band", band: staged.band }, staged.requestId)) return this.#tick.band;
    return staged.band;
  }

  /** Returns the knobs from now on. Requests that change none of them count as applied without a change. */
  #applyKnobs(attempt: Attempt<Result>, applied: string[]): Knobs {
    const { knobs } = this.#tick;
    const requestIds = new Set([...this.#knobs.values()].map(({ requestId }) => requestId));
    const changed = [...this.#knobs].filter(([name, { value }]) => knobs[name] !== value);
    this.#knobs.clear();
    if (changed.length === 0) {
      applied.push(...requestIds);
      return knobs;
    }
    const values = Object.fromEntries(changed.map(([name, { value }]) => [name, value]));
    const next: Knobs = Object.freeze({ ...knobs, ...values });
    return attempt({ kind: "knobs", knobs: next }, ...requestIds) ? next : knobs;
  }

  #stageKnobs(requestId: string, knobs: Partial<Record<KnobName, number | boolean | undefined>>): void {
    const fields = (Object.entries(knobs) as [KnobName, number | boolean | undefined][]).flatMap(([name, value]) =>
      value === undefined ? [] : [{ name, value }],
    );
    this.#requests.get(requestId)!.open = fields.length;
    for (const { name, value } of fields) {
      const older = this.#knobs.get(name);
      this.#knobs.set(name, { value, requestId });
      if (older === undefined) continue;
      const request = this.#requests.get(older.requestId)!;
      request.open--;
      if (request.open === 0) this.#end(older.requestId, "superseded");
    }
  }

  #stageSlot(name: SlotName, operation: Operation, payload: Uint8Array | undefined): void {
    const older = this.#slots.get(name);
    this.#slots.set(name, { operation, payload, attempt: 0, run: undefined, finished: undefined });
    this.#waiting = true;
    if (older) this.#end(older.operation.requestId, "superseded");
  }

  // A result from an outdated state must not go live: restart, but not for ever.
  #isCurrent(pending: Pending<Result>): boolean {
    if (pending.run?.epoch === this.#epoch) return true;
    pending.run = undefined;
    pending.finished = undefined;
    pending.attempt++;
    this.#waiting = true;
    if (pending.attempt > MAX_RETRIES) {
      this.#drop(pending);
      this.#end(
        pending.operation.requestId,
        "failed",
        `The source or the model changed during each of ${MAX_RETRIES + 1} preparations.`,
      );
    }
    return false;
  }

  #find(preparation: Preparation): Pending<Result> | undefined {
    for (const pending of this.#slots.values()) if (pending.run === preparation) return pending;
    return this.#splices.find(({ run }) => run === preparation);
  }

  #drop(pending: Pending<Result>): void {
    for (const [name, waiting] of this.#slots) if (waiting === pending) this.#slots.delete(name);
    const index = this.#splices.indexOf(pending);
    if (index >= 0) this.#splices.splice(index, 1);
  }

  #end(requestId: string, outcome: ControlOutcome, reason?: string): void {
    const request = this.#requests.get(requestId);
    if (request === undefined) return;
    this.#requests.delete(requestId);
    const controlEpoch = outcome === "applied" ? this.#tick.controlEpoch : undefined;
    this.#ended.push(Object.freeze({ outcome, op: request.op, requestId, controlEpoch, reason }));
  }
}

function isImmediate(operation: Operation): boolean {
  return operation.op === "noise_profile" && operation.action === "clear";
}
