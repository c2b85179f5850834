import type { Microseconds } from "../../base/index.js";
import type { Link } from "../../tests/support/impairment.js";
import { type RemoteProcess, startRemote } from "../support/remote.js";
import type { Cleared } from "./clearing-player.js";

/** Where the caller is connected to, and through what. */
export interface CallerPlace {
  /** The relay. */
  readonly port: number;
  /** Of the relay's certificate, in hex. */
  readonly certificateHash: string;
  readonly agent: string;
  readonly caller: string;
  /** Port of the agent that sends its answers over a WebSocket. */
  readonly socketPort: number;
  readonly link: Link;
  readonly seed: number;
}

/** An interrupt at the caller's speaker; times are of the shared clock. */
export interface CallerHeard {
  /** When the rewind was applied. */
  readonly rewoundAt: number;
  /** When the last old sample was pulled; undefined when none was after the call. */
  readonly silentAt: number | undefined;
  /** Media time behind the last old sample. */
  readonly heardUntil: Microseconds;
  readonly staleMs: number;
  /** The same of the player behind the WebSocket. */
  readonly control: Cleared;
}

/** Calls to the caller's process. */
export interface CallerCalls {
  /** Starts to listen and opens the microphone. */
  open(place: CallerPlace): Promise<void>;
  /** Whether the agent's broadcast plays. */
  plays(): boolean;
  /** Speaks into the microphone; returns when the first sample is spoken. */
  speak(word: Float32Array): number;
  /** Looks out for a rewind from now on. */
  arm(): void;
  /** The interrupt at the speaker, once it has come. */
  outcome(asked: { readonly calledAt: number; readonly epoch: number }): CallerHeard | undefined;
  close(): Promise<void>;
}

/** Starts the process of the caller and its links, so that neither end waits for the other's work. */
export function startCaller(): Promise<RemoteProcess<CallerCalls>> {
  return startRemote<CallerCalls>(new URL("./far-end-process.ts", import.meta.url));
}
