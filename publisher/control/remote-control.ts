import { type Broadcast, type Connection, Path } from "@kixelated/moq";
import type { Clock, Logger } from "../../base/index.js";
import {
  ANSWERS_TRACK,
  type ControlEvent,
  controlPath,
  encodeControlAnswer,
  isControllerId,
} from "../../flow/control/index.js";
import { FrameTrackWriter } from "../../transport/index.js";
import { type ControllerHost, RemoteController } from "./remote-controller.js";
import { Counts, type RemoteControlCounters } from "./remote-counts.js";
import { REMOTE_CONTROL_LIMITS, type RemoteControlLimits } from "./remote-limits.js";

export type { RemoteControlCounters, RemoteControlLimits };

/** Options for {@link RemoteControl}. */
export interface RemoteControlOptions {
  /** Name of the broadcast, without `.hang`. */
  readonly broadcast: string;
  readonly clock: Clock;
  /** Runs an operation that is not validated yet. Rejects, or resolves with its end. */
  readonly control: (operation: unknown, payload?: Uint8Array) => Promise<ControlEvent>;
  readonly logger: Logger;
  readonly limits?: Partial<RemoteControlLimits>;
}

/** Answers have priority over audio, and a controller that was away for a moment still finds its own. */
const ANSWERS = { name: ANSWERS_TRACK, priority: 90, retainMs: 5000 };
/** Controllers remembered after they left, because a reconnect brings them back. */
const REMEMBERED_CONTROLLERS = 64;

/**
 * Takes operations from controllers: finds their broadcasts under `<broadcast>.control/`, reads requests and payloads,
 * runs them and answers each with exactly one event on the track `control.json` of the publisher's broadcast. The relay
 * decides which sessions are controllers: it lets only some of them publish under that path.
 */
export class RemoteControl {
  readonly #options: RemoteControlOptions;
  readonly #host: ControllerHost;
  readonly #counts = new Counts();
  readonly #limits: RemoteControlLimits;
  readonly #controllers = new Map<string, RemoteController>();
  #answers: FrameTrackWriter | undefined;
  #connection: Connection.Established | undefined;
  #nextId = 0;
  #closed = false;

  constructor(options: RemoteControlOptions) {
    this.#options = options;
    this.#limits = { ...REMOTE_CONTROL_LIMITS, ...options.limits };
    this.#host = {
      clock: options.clock,
      limits: this.#limits,
      logger: options.logger,
      counts: this.#counts,
      // Under a name that no other controller can give to a request of its own.
      control: async ({ operation, requestId }, payload) => {
        const unique = { ...(operation as object), requestId: `remote-${++this.#nextId}` };
        return { ...(await options.control(unique, payload)), requestId };
      },
      answer: (controller, answer) => this.#answers?.write(encodeControlAnswer(controller, answer)),
    };
  }

  get counters(): RemoteControlCounters {
    return { ...this.#counts, controllers: this.#following };
  }

  /** Serves a session, in place of the one before; call it before the session's broadcast is published. */
  attach(broadcast: Broadcast.Producer, connection: Connection.Established): void {
    if (this.#closed) return;
    this.#answers = new FrameTrackWriter(broadcast, { ...ANSWERS, clock: this.#options.clock });
    this.#connection = connection;
    for (const controller of this.#controllers.values()) controller.leave();
    this.#discover(connection).catch((error: unknown) => {
      this.#options.logger.debug({ err: error }, "Controllers are announced no more.");
    });
  }

  /** Ends all controllers; requests that have not ended get no event. Idempotent. */
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
    const controller = known ?? new RemoteController(id, this.#host);
    // Moved to the end, so that the controllers that left longest ago are dropped first.
    this.#controllers.delete(id);
    this.#controllers.set(id, controller);
    for (const [other, { present, busy }] of this.#controllers) {
      if (this.#controllers.size <= REMEMBERED_CONTROLLERS) break;
      if (!present && !busy) this.#controllers.delete(other);
    }
    return controller;
  }
}
