import "../../../base/polyfills.js";
import { Relay } from "../../../relay/index.js";
import { serve } from "../../support/remote.js";
import { ClockJump } from "../clock-jump.js";

/** What a relay's process can be asked. */
export interface RelayCalls {
  /** Starts the relay at a port, 0 for a free one; returns the port. `upstream` makes it an edge of that URL. */
  open(options: { readonly port: number; readonly upstream?: string | undefined }): Promise<number>;
  /** Moves the system clock of this process. */
  jump(milliseconds: number): void;
}

const clock = new ClockJump();

serve<RelayCalls>({
  async open({ port, upstream }) {
    const relay = new Relay({ port, ...(upstream && { upstream: { url: upstream } }) });
    await relay.listen();
    return relay.address.port;
  },
  jump: (milliseconds) => clock.by(milliseconds),
});
