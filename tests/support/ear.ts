import type { Publisher } from "../../publisher/index.js";
import type { AudioSink } from "../../watch/index.js";
import { sleep, tone, until } from "./stage.js";

/** Samples that are judged together: a millisecond. */
const WINDOW = 48;
/** Quieter than any test signal, louder than what a codec leaves of it. */
const AUDIBLE = 0.02;

/** What a listener's speaker let out, judged by its samples alone. */
export class Ear implements AudioSink {
  #audible = 0;
  #peak = 0;
  #filled = 0;

  /** Milliseconds in which something could be heard. */
  get audibleMs(): number {
    return this.#audible;
  }

  write([samples]: readonly Float32Array[]): void {
    for (const sample of samples!) {
      this.#peak = Math.max(this.#peak, Math.abs(sample));
      if (++this.#filled < WINDOW) continue;
      if (this.#peak > AUDIBLE) this.#audible++;
      this.#peak = 0;
      this.#filled = 0;
    }
  }

  async close(): Promise<void> {}
}

/** Has a publisher say something short until it is heard: from then on nothing that it says is missed. */
export async function warmUp(publisher: Publisher, ear: Ear): Promise<void> {
  while (ear.audibleMs === 0) await publisher.say(await tone({ ms: 100 })).done;
  await until("the publisher knows its listener", () => publisher.stats().listeners > 0);
  await sleep(200);
}
