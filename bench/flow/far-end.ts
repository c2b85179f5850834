import type { Link } from "../../tests/support/impairment.js";
import { type RemoteProcess, startRemote } from "../support/remote.js";

/** The broadcast of a listener, and its link. */
export interface FarLane {
  readonly lane: number;
  readonly port: number;
  /** In hex. */
  readonly certificateHash: string;
  readonly broadcast: string;
  /** Direction from the relay. */
  readonly down: Link;
  /** Direction to the relay. */
  readonly up: Link;
  readonly seed: number;
  readonly channels: 1 | 2;
}

/** State of a lane's listener and link at one moment of the shared clock, in microseconds. */
export interface FarSample {
  readonly at: number;
  /** The speaker's playhead, in microseconds of media time; undefined before it plays. */
  readonly playheadUs: number | undefined;
  readonly playing: boolean;
  readonly bufferMs: number;
  /** Bytes on their way from the relay, waiting at the bottleneck or delayed. */
  readonly downQueuedBytes: number;
  /** Bytes from the relay so far, with IP and UDP headers. */
  readonly downBytes: number;
}

/** A group that reached the listener. */
export interface FarLanding {
  readonly at: number;
  /** In microseconds; below zero when it was late. */
  readonly lead: number;
  /** Media time of its first sample, in microseconds. */
  readonly timestamp: number;
}

/** Sound that the speaker pulled in one go; without a timestamp it was silence. */
export interface FarRun {
  readonly at: number;
  readonly timestamp: number | undefined;
  readonly frames: number;
}

/** All that was noted of a lane. */
export interface FarNotes {
  readonly samples: readonly FarSample[];
  readonly landings: readonly FarLanding[];
  readonly runs: readonly FarRun[];
  /** Things that went wrong, at most the first few. */
  readonly problems: readonly string[];
}

/** Calls to the listening process; times are the shared clock's. */
export interface FarEndCalls {
  /** Opens a lane. */
  open(options: FarLane): Promise<void>;
  /** Whether sound is heard. */
  isPlaying(lane: number): boolean;
  /** Changes a lane's link. */
  setLink(lane: number, link: { readonly up?: Link; readonly down?: Link }): void;
  /** Lets the delay to the relay grow or shrink evenly, as a queue does. */
  rampUp(lane: number, ramp: { readonly fromMs: number; readonly toMs: number; readonly overMs: number }): void;
  /** Notes about a lane since it was opened. */
  notes(lane: number): FarNotes;
  /** Ends a lane. */
  close(lane: number): Promise<void>;
  /** How late its event loop was. */
  delay(): { readonly p99Ms: number; readonly maxMs: number };
}

/** The process with the listeners and the links to them, so that neither end waits for the other's work. */
export type FarEnd = RemoteProcess<FarEndCalls>["calls"];

/** Starts it. */
export function startFarEnd(): Promise<RemoteProcess<FarEndCalls>> {
  return startRemote<FarEndCalls>(new URL("./far-end-process.ts", import.meta.url));
}
