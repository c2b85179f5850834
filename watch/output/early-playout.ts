import type { Microseconds } from "../../base/index.js";
import { Playout, type PlayoutOptions } from "../audio/playout.js";
import type { Provenance } from "../audio/sample-ring.js";
import type { AudioSink } from "./virtual-speaker.js";

/** A playout that also hands a live broadcast's samples to a sink as soon as they are decoded. */
export class EarlyPlayout extends Playout {
  readonly #sink: AudioSink;

  constructor(options: PlayoutOptions, sink: AudioSink) {
    super(options);
    this.#sink = sink;
  }

  override write(timestamp: Microseconds, samples: readonly Float32Array[], provenance: Provenance): number {
    if (this.clock.live) this.#sink.early?.(samples);
    return super.write(timestamp, samples, provenance);
  }
}
