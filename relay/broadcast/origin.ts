import type { RelayCounters } from "../relay-counters.js";
import { stripPrefix } from "../wire/path.js";
import type { Broadcast } from "./broadcast.js";

/** Called with the path of every broadcast that was added, removed or replaced. */
export type OriginListener = (path: string) => void;

/** Publishers of one path that wait behind the current one; beyond this the oldest but the first loses its place. */
const MAX_DISPLACED = 8;

/**
 * All broadcasts of this relay, by path. Of several publishers of one path the newest is current: a publisher that
 * restarts must not wait for its own dead session. The others wait. When the newest leaves or falls silent, the newest
 * of the others becomes current; a silent one that comes back takes its place again.
 */
export class Origin {
  readonly #heard = new Map<string, Broadcast>();
  /** All publishers of a path, oldest first, where there are several. */
  readonly #rivals = new Map<string, Broadcast[]>();
  #displacedCount = 0;
  readonly #listeners = new Set<OriginListener>();
  readonly #maxBroadcasts: number;
  readonly #counters: RelayCounters;

  constructor({ maxBroadcasts, counters }: { maxBroadcasts: number; counters: RelayCounters }) {
    this.#maxBroadcasts = maxBroadcasts;
    this.#counters = counters;
  }

  /** The current broadcasts. */
  get broadcasts(): IterableIterator<Broadcast> {
    return this.#heard.values();
  }

  get size(): number {
    return this.#heard.size;
  }

  /** The broadcast at a path. */
  get(path: string): Broadcast | undefined {
    return this.#heard.get(path);
  }

  /** The broadcasts at or below a prefix. */
  *below(prefix: string): IterableIterator<Broadcast> {
    for (const broadcast of this.#heard.values())
      if (stripPrefix(prefix, broadcast.path) !== undefined) yield broadcast;
  }

  /** Publishers that wait because another one of their path is current. */
  get displaced(): number {
    return this.#displacedCount;
  }

  /**
   * Adds a broadcast; displaces one of another session at the same path. False without room: when all places are taken,
   * a source that has none (`own`) still gets its first, up to twice as many in total.
   */
  publish(broadcast: Broadcast, own = 1): boolean {
    const { path, source } = broadcast;
    const known = this.#publishersOf(path);
    const before = known.find((each) => each.source === source);
    const most = own === 0 ? 2 * this.#maxBroadcasts : this.#maxBroadcasts;
    if (before === undefined && this.size + this.#displacedCount >= most) {
      this.#counters.capped.broadcasts++;
      return false;
    }
    before?.close();
    const others = known.filter((each) => each !== before);
    if (others.length > MAX_DISPLACED) {
      this.#counters.capped.broadcasts++;
      // Neither the first nor the current one: a stranger that takes a name and leaves must not keep it from its owner.
      others.splice(others[1] === this.#heard.get(path) ? 2 : 1, 1);
    }
    this.#keep(path, [...others, broadcast]);
    this.#hear(broadcast);
    return true;
  }

  /** Removes and closes a broadcast; where others of its path wait, the newest of them becomes current. */
  withdraw(broadcast: Broadcast): void {
    const { path } = broadcast;
    const known = this.#publishersOf(path);
    const others = known.filter((each) => each !== broadcast);
    broadcast.close();
    if (others.length < known.length) this.#keep(path, others);
    if (this.#heard.get(path) !== broadcast) return;
    const next = newest(others);
    if (next !== undefined) this.#hear(next);
    else {
      this.#heard.delete(path);
      this.#changed(path);
    }
  }

  /** Checks whether current broadcasts with waiting rivals are still alive; called ten times a second. */
  sweep(): void {
    for (const [path, rivals] of this.#rivals) {
      const next = newest(rivals);
      const heard = this.#heard.get(path);
      if (next === undefined || heard === undefined || next === heard) continue;
      if (rivals.indexOf(next) < rivals.indexOf(heard)) this.#counters.publishersSilent++;
      this.#hear(next);
    }
  }

  /** Calls `listener` with every change from now on; returns an unsubscribe function. */
  listen(listener: OriginListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #publishersOf(path: string): readonly Broadcast[] {
    const heard = this.#heard.get(path);
    return this.#rivals.get(path) ?? (heard === undefined ? [] : [heard]);
  }

  #keep(path: string, publishers: Broadcast[]): void {
    this.#displacedCount -= Math.max(0, (this.#rivals.get(path)?.length ?? 0) - 1);
    this.#displacedCount += Math.max(0, publishers.length - 1);
    if (publishers.length > 1) this.#rivals.set(path, publishers);
    else this.#rivals.delete(path);
  }

  #hear(broadcast: Broadcast): void {
    const { path } = broadcast;
    const replaced = this.#heard.get(path);
    if (replaced !== broadcast) replaced?.close();
    broadcast.restore();
    this.#heard.set(path, broadcast);
    this.#changed(path);
  }

  #changed(path: string): void {
    for (const listener of this.#listeners) listener(path);
  }
}

/** The newest one with traffic; where all are silent, the newest. */
function newest(publishers: readonly Broadcast[]): Broadcast | undefined {
  return publishers.findLast(({ source }) => source.alive()) ?? publishers.at(-1);
}
