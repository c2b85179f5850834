import type { Broadcast } from "./broadcast.js";
import type { Counters } from "./counters.js";
import { stripPrefix } from "./wire/path.js";

/** Told the path of every broadcast that came, went or was replaced. */
export type OriginListener = (path: string) => void;

/** All broadcasts that this relay knows, by path. */
export class Origin {
  readonly #broadcasts = new Map<string, Broadcast>();
  readonly #listeners = new Set<OriginListener>();
  readonly #maxBroadcasts: number;
  readonly #counters: Counters;

  constructor({ maxBroadcasts, counters }: { maxBroadcasts: number; counters: Counters }) {
    this.#maxBroadcasts = maxBroadcasts;
    this.#counters = counters;
  }

  /** All broadcasts. */
  get broadcasts(): IterableIterator<Broadcast> {
    return this.#broadcasts.values();
  }

  /** How many there are. */
  get size(): number {
    return this.#broadcasts.size;
  }

  /** The broadcast at a path. */
  get(path: string): Broadcast | undefined {
    return this.#broadcasts.get(path);
  }

  /** The broadcasts at or below a prefix. */
  *below(prefix: string): IterableIterator<Broadcast> {
    for (const broadcast of this.#broadcasts.values())
      if (stripPrefix(prefix, broadcast.path) !== undefined) yield broadcast;
  }

  /**
   * Adds a broadcast; one at the same path is replaced and closed. False when there is no room: when all are taken, a
   * source that has none (`own`) still gets its first, up to twice as many in all.
   */
  publish(broadcast: Broadcast, own = 1): boolean {
    const replaced = this.#broadcasts.get(broadcast.path);
    const most = own === 0 ? 2 * this.#maxBroadcasts : this.#maxBroadcasts;
    if (replaced === undefined && this.#broadcasts.size >= most) {
      this.#counters.capped.broadcasts++;
      return false;
    }
    this.#broadcasts.set(broadcast.path, broadcast);
    replaced?.close();
    this.#tell(broadcast.path);
    return true;
  }

  /** Removes and closes a broadcast, unless another one has taken its path. */
  withdraw(broadcast: Broadcast): void {
    broadcast.close();
    if (this.#broadcasts.get(broadcast.path) !== broadcast) return;
    this.#broadcasts.delete(broadcast.path);
    this.#tell(broadcast.path);
  }

  /** Tells of every change from now on; returns the undoing. */
  listen(listener: OriginListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tell(path: string): void {
    for (const listener of this.#listeners) listener(path);
  }
}
