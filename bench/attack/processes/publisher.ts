import "../../../base/polyfills.js";
import { openSource, Publisher, type PublisherStats } from "../../../publisher/index.js";
import { serve } from "../../support/remote.js";

/** Calls to the healthy publisher's process. */
export interface PublisherCalls {
  /** Publishes a tone without an end. */
  open(url: string, carrier?: "quic" | "qmux"): Promise<void>;
  stats(): PublisherStats;
}

const RATE = 48_000;
let publisher: Publisher | undefined;

serve<PublisherCalls>({
  async open(url, carrier) {
    const samples = Float32Array.from(
      { length: RATE },
      (_, index) => 0.2 * Math.sin((2 * Math.PI * 440 * index) / RATE),
    );
    publisher = new Publisher({ url, broadcast: "healthy", ...(carrier && { connect: { backends: [carrier] } }) });
    publisher.say(await openSource({ samples, loop: true }));
  },
  stats() {
    if (publisher === undefined) throw new Error("The publisher has not been opened.");
    return publisher.stats();
  },
});
