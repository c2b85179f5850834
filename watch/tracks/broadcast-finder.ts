import * as Moq from "@kixelated/moq";
import { broadcastPaths, type Clock, fromMilliseconds, monotonicClock } from "../../base/index.js";

/** A broadcast that is published now. */
export interface FoundBroadcast {
  /** The path it is published at. */
  readonly path: string;
  readonly broadcast: Moq.Broadcast.Consumer;
}

/** Each path is asked for on a stream of its own: the answers about what is published arrive together, in any order. */
const ANSWERS = fromMilliseconds(500);

/** Finds a broadcast by its name, at any of the paths for that name. */
export class BroadcastFinder {
  readonly #handles: readonly Moq.Announce.Broadcast[];
  readonly #clock: Clock;
  readonly #askedAt: number;
  #found: FoundBroadcast | undefined;

  constructor(
    connection: Pick<Moq.Connection.Established, "announcedBroadcast">,
    name: string,
    clock: Clock = monotonicClock,
  ) {
    this.#clock = clock;
    this.#askedAt = clock();
    this.#handles = broadcastPaths(name).map((path) => connection.announcedBroadcast(Moq.Path.from(path)));
  }

  /** The broadcast found so far: the same one while it is published, else the best; at first always the best. */
  get found(): FoundBroadcast | undefined {
    const published = this.#handles.flatMap(({ path, active }) => {
      const broadcast = active.peek();
      return broadcast ? [{ path: String(path), broadcast }] : [];
    });
    const isAnswering = this.#clock() - this.#askedAt < ANSWERS;
    const candidates = isAnswering ? published.slice(0, 1) : published;
    const same = candidates.find(({ broadcast }) => broadcast === this.#found?.broadcast);
    if (same === undefined) this.#found = published[0];
    return this.#found;
  }

  /** Resolves once an announcement, or its end, may change {@link found}. */
  async changed(): Promise<void> {
    const forget: (() => void)[] = [];
    await new Promise<void>((resolve) => {
      for (const { active } of this.#handles) forget.push(active.changed(() => resolve()));
    });
    // Promises that did not settle must not hold on to their waiters.
    for (const each of forget) each();
  }

  /** Stops looking; idempotent. */
  close(): void {
    for (const handle of this.#handles) handle.close();
  }
}
