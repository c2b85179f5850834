import { guard, TransportError } from "../../base/index.js";

/** How long opening a stream waits for the peer's stream limit before it rejects. */
const OPEN_TIMEOUT_MS = 10_000;

/** Streams that may wait for the peer's limit; any more are refused at once. */
const MAX_PENDING = 512;

/** Bounds, in number and in time, how many streams of a session wait for the peer's stream limit. @internal */
export class StreamOpenLimiter {
  #pending = 0;

  /**
   * Waits for a stream to open. Passes one that opens too late to `discard`. Rejects with a `TransportError`:
   * `STREAM_LIMIT`, or `SESSION_CLOSED` when opening failed.
   */
  open<T>(start: () => Promise<T>, discard: (late: T) => void): Promise<T> {
    if (this.#pending >= MAX_PENDING) {
      return Promise.reject(
        new TransportError("STREAM_LIMIT", `${MAX_PENDING} streams already wait for the peer's stream limit.`),
      );
    }
    this.#pending++;
    return new Promise((resolve, reject) => {
      let late = false;
      const giveUp = guard("transport.open", () => {
        late = true;
        reject(new TransportError("STREAM_LIMIT", `The peer's stream limit left no room for ${OPEN_TIMEOUT_MS} ms.`));
      });
      const timer = setTimeout(giveUp, OPEN_TIMEOUT_MS);
      start().then(
        (stream) => {
          this.#pending--;
          clearTimeout(timer);
          if (late) discard(stream);
          else resolve(stream);
        },
        (cause: unknown) => {
          this.#pending--;
          clearTimeout(timer);
          const text = cause instanceof Error ? cause.message : String(cause);
          reject(new TransportError("SESSION_CLOSED", `The session has ended: ${text}.`, { cause }));
        },
      );
    });
  }
}
