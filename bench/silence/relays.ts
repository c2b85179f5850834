import { type RemoteProcess, startRemote } from "../support/remote.js";
import type { Stall } from "./stalls.js";

/** Where a relay is and how it is known. */
export interface RelayDoor {
  readonly port: number;
  /** Of its certificate, in hex. */
  readonly certificateHash: string;
}

/** Calls to the process with the relays. */
export interface RelayCalls {
  /** Starts a relay. */
  open(options: { readonly takeBack: boolean }): Promise<RelayDoor>;
  /** Ends the relay at a port. */
  close(port: number): Promise<void>;
  /** See `StallWatch.between`. */
  stalls(from: number, until: number): Stall[];
}

/** Starts the process with the relays. */
export function startRelays(): Promise<RemoteProcess<RelayCalls>> {
  return startRemote<RelayCalls>(new URL("./relays-process.ts", import.meta.url));
}
