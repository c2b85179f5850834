import "../../../base/polyfills.js";
import { Relay } from "../../../relay/index.js";
import { serve } from "../../support/remote.js";
import { ClockJump } from "../clock-jump.js";
import { type HealthCalls, watchHealth } from "../health.js";

/** Calls to a relay's process. */
export interface RelayCalls extends HealthCalls {
  /** Starts the relay at a port, 0 for a free one; returns the port. `upstream` makes it an edge of that URL. */
  open(options: { readonly port: number; readonly upstream?: string | undefined }): Promise<number>;
  /** Moves the system clock of this process. */
  jump(milliseconds: number): void;
}

const clock = new ClockJump();
let relay: Relay | undefined;

serve<RelayCalls>({
  async open({ port, upstream }) {
    relay = new Relay({ port, ...(upstream && { upstream: { url: upstream } }) });
    await relay.listen();
    return relay.address.port;
  },
  health: watchHealth(() => relay?.stats() ?? {}),
  jump: (milliseconds) => clock.by(milliseconds),
});
