import type { Microseconds } from "../../base/index.js";
import type { Link } from "../../tests/support/impairment.js";
import type { ListenerStats } from "../../watch/index.js";
import { type RemoteProcess, startRemote } from "../support/remote.js";
import type { Flush, Heard } from "./record.js";
import type { Stall } from "./stalls.js";

/** The broadcast of a listener, and its link. */
export interface FarListener {
  /** Names it; different for every listener. */
  readonly id: number;
  readonly port: number;
  /** In hex. */
  readonly certificateHash: string;
  readonly broadcast: string;
  readonly link: Link;
  readonly seed: number;
}

/** An interrupt at a listener. */
export interface Outcome {
  readonly before: ListenerStats;
  readonly flush: Flush;
  readonly heard: Heard;
  readonly after: ListenerStats;
}

/** Calls to the process with the listeners; times are of the shared clock. */
export interface FarEndCalls {
  /** Starts a listener. */
  open(options: FarListener): Promise<void>;
  /** Its numbers. */
  stats(id: number): ListenerStats;
  /** Looks out for a flush from now on. */
  arm(id: number): void;
  /** The interrupt at the listener, once the new speech is heard. */
  outcome(id: number, asked: { calledAt: number; epoch: number | undefined; reply: Microseconds }): Outcome | undefined;
  /** When a media time was heard. */
  reached(id: number, time: Microseconds): number | undefined;
  /** Ends a listener. */
  close(id: number): Promise<void>;
  /** See `StallWatch.between`. */
  stalls(from: number, until: number): Stall[];
}

/** Starts the process with the listeners and the links to them, so that neither end waits for the other's work. */
export function startFarEnd(): Promise<RemoteProcess<FarEndCalls>> {
  return startRemote<FarEndCalls>(new URL("./far-end-process.ts", import.meta.url));
}
