import { background } from "../../base/index.js";
import { BrowserListener, type BrowserListenerOptions } from "./browser-listener.js";

/** A listener that is connected and waits to play, or none. */
export class Standby {
  #listener: BrowserListener | undefined;
  #key: string | undefined;

  /** Has a listener with these options wait, or none. Ignores invalid options: the attempt to play reports them. */
  keep(options: BrowserListenerOptions | undefined): void {
    const key = options && keyOf(options);
    if (key === this.#key) return;
    this.#discard();
    if (!options) return;
    try {
      this.#wait(new BrowserListener({ ...options, paused: true }));
      this.#key = key;
    } catch {
      // Nothing waits then.
    }
  }

  /** Hands over the listener that waits, if it has these options. */
  take(options: BrowserListenerOptions): BrowserListener | undefined {
    this.keep(this.#listener && keyOf(options) === this.#key ? options : undefined);
    const listener = this.#listener;
    this.#listener = undefined;
    this.#key = undefined;
    return listener;
  }

  #wait(listener: BrowserListener): void {
    this.#listener = listener;
    const give = (): void => {
      if (this.#listener === listener) this.#discard();
    };
    // Nothing was asked for yet: no attempts in vain, and no complaint.
    listener.addEventListener("problem", give);
    background("element.standby", listener.closed.then(give));
  }

  #discard(): void {
    if (this.#listener) background("element.close", this.#listener.close());
    this.#listener = undefined;
    this.#key = undefined;
  }
}

function keyOf({ url, broadcast, jitterMs, workletUrl }: BrowserListenerOptions): string {
  return JSON.stringify([url, broadcast, jitterMs, workletUrl]);
}
