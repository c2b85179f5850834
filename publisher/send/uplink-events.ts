import type { Microseconds } from "../../base/index.js";
import type { Aggregate } from "../../flow/report/index.js";
import type { Wake } from "../wake.js";

/** Events of the connection to the relay. */
export type UplinkEvent =
  /** A session is up; nothing was sent on it yet. */
  | { readonly kind: "connected" }
  /** A session was lost or failed to open; another attempt follows. */
  | { readonly kind: "problem"; readonly reason: Error }
  /** Another publisher took the broadcast's name at the relay, or left it again. */
  | { readonly kind: "displaced"; readonly displaced: boolean }
  /** The listeners' reports. `source` stands for the sender, whose clock the aggregate carries. */
  | { readonly kind: "aggregate"; readonly aggregate: Aggregate; readonly source: object; readonly at: Microseconds }
  /** The first listener subscribed to the audio, or the last one left. `session`: the one that was up then. */
  | { readonly kind: "demand"; readonly wanted: boolean; readonly session: object | undefined };

/** Events kept at most; a flood of aggregates drops the oldest. */
const MAX_EVENTS = 256;

/** The uplink's events in order, until the loop takes them. */
export class UplinkEvents {
  readonly #wake: Wake;
  #events: UplinkEvent[] = [];
  #dropped = 0;

  /** `wake` is rung for each event. */
  constructor(wake: Wake) {
    this.#wake = wake;
  }

  /** Reports dropped because the loop fell behind, and broadcasts of reports above the limit. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Counts a broadcast of reports that is not read. */
  refused(): void {
    this.#dropped++;
  }

  /** Appends an event. */
  push(event: UplinkEvent): void {
    this.#events.push(event);
    if (this.#events.length > MAX_EVENTS) this.#drop();
    this.#wake.ring();
  }

  /** Returns the events since the last call. */
  take(): readonly UplinkEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  #drop(): void {
    const oldest = this.#events.findIndex(({ kind }) => kind === "aggregate");
    this.#events.splice(Math.max(0, oldest), 1);
    this.#dropped++;
  }
}
