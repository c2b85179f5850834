import type { Broadcast } from "./broadcast.js";
import type { Counters } from "./counters.js";
import { stripPrefix } from "./wire/path.js";

/** Told the path of every broadcast that came, went or was replaced. */
export type OriginListener = (path: string) => void;

/** Publishers of one path that wait until the newest leaves; beyond that the oldest is forgotten. */
const MAX_DISPLACED = 8;

/**
 * All broadcasts that this relay knows, by path. Of several publishers of one path the newest is heard: a publisher that
 * starts again must not wait for its own dead session. The others wait, and the newest of them is heard again when the one
 * before it leaves.
 */
export class Origin {
  readonly #broadcasts = new Map<string, Broadcast>();
  /** By path, oldest first. */
  readonly #displaced = new Map<string, Broadcast[]>();
  #displacedCount = 0;
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

  /** Publishers whose path another one has taken. */
  get displaced(): number {
    return this.#displacedCount;
  }

  /**
   * Adds a broadcast; one of another session at the same path is displaced. False when there is no room: when all are
   * taken, a source that has none (`own`) still gets its first, up to twice as many in all.
   */
  publish(broadcast: Broadcast, own = 1): boolean {
    const { path, source } = broadcast;
    const replaced = this.#broadcasts.get(path);
    const most = own === 0 ? 2 * this.#maxBroadcasts : this.#maxBroadcasts;
    if (replaced?.source !== source && this.size + this.#displacedCount >= most) {
      this.#counters.capped.broadcasts++;
      return false;
    }
    this.#broadcasts.set(path, broadcast);
    replaced?.close();
    if (replaced !== undefined && replaced.source !== source) this.#displace(replaced);
    this.#tell(path);
    return true;
  }

  /** Removes and closes a broadcast; the one that it displaced last is heard again. */
  withdraw(broadcast: Broadcast): void {
    const { path } = broadcast;
    broadcast.close();
    if (this.#broadcasts.get(path) !== broadcast) {
      this.#forget(broadcast);
      return;
    }
    const next = this.#displaced.get(path)?.at(-1);
    if (next === undefined) this.#broadcasts.delete(path);
    else {
      this.#forget(next);
      next.restore();
      this.#broadcasts.set(path, next);
    }
    this.#tell(path);
  }

  #displace(broadcast: Broadcast): void {
    const waiting = this.#displaced.get(broadcast.path) ?? [];
    this.#displaced.set(broadcast.path, waiting);
    waiting.push(broadcast);
    this.#displacedCount++;
    if (waiting.length <= MAX_DISPLACED) return;
    this.#counters.capped.broadcasts++;
    this.#forget(waiting[0]!);
  }

  #forget(broadcast: Broadcast): void {
    const waiting = this.#displaced.get(broadcast.path);
    const index = waiting?.indexOf(broadcast) ?? -1;
    if (waiting === undefined || index < 0) return;
    waiting.splice(index, 1);
    this.#displacedCount--;
    if (waiting.length === 0) this.#displaced.delete(broadcast.path);
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
