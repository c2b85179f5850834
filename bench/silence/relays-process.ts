import "../../base/polyfills.js";
import { Relay } from "../../relay/index.js";
import { serve } from "../support/remote.js";
import type { RelayCalls } from "./relays.js";
import { StallWatch } from "./stalls.js";

const relays = new Map<number, Relay>();
const stalls = new StallWatch();

serve<RelayCalls>({
  async open({ takeBack }) {
    const relay = new Relay({ port: 0 }, { keepStale: !takeBack });
    await relay.listen();
    const { port } = relay.address;
    relays.set(port, relay);
    return { port, certificateHash: relay.fingerprint };
  },
  async close(port) {
    await relays.get(port)?.close();
    relays.delete(port);
  },
  stalls: (from, until) => stalls.between(from, until),
});
