import type * as Moq from "@kixelated/moq";
import { race, sleep } from "../../base/index.js";
import { type Catalog, parseCatalog } from "../../container/index.js";
import type { BroadcastFinder, FoundBroadcast } from "./broadcast-finder.js";

/** What happens to a broadcast, in its order. */
export type BroadcastChange =
  /** It is there, for the first time or again, at this path: nothing of it is played yet. */
  | { readonly kind: "found"; readonly path: string }
  /** It has a catalog, or another one. */
  | { readonly kind: "catalog"; readonly catalog: Catalog; readonly broadcast: OpenBroadcast }
  /** It is gone, and the session goes on. */
  | { readonly kind: "gone" }
  /** Something went wrong that the next catalog may mend. */
  | { readonly kind: "problem"; readonly error: unknown };

/** How a track is subscribed to. */
export interface SubscriptionOptions {
  /** Against the session's other subscriptions; higher goes first. */
  readonly priority: number;
  /** Aborts when the track is not wanted any more. */
  readonly signal: AbortSignal;
}

/** Waits between attempts to subscribe again, doubled each time. */
const RETRY_MS = { initial: 250, max: 4000 };
/**
 * How old a group may be that is still wanted: as much as is sent ahead at most. The protocol's default, 0, asks for the
 * newest group alone.
 */
const KEEP_MS = 30_000;

/** A broadcast while it is there. */
export class OpenBroadcast {
  /** Aborts when the broadcast or the session is gone. */
  readonly signal: AbortSignal;
  readonly #broadcast: Moq.Broadcast.Consumer;

  constructor(broadcast: Moq.Broadcast.Consumer, signal: AbortSignal) {
    this.#broadcast = broadcast;
    this.signal = signal;
  }

  /**
   * Subscribes to a track, and again, after a wait, whenever the iteration goes on: the one before has broken then. Each
   * subscription is closed with its turn.
   */
  async *subscriptions(
    name: string,
    { priority, signal }: SubscriptionOptions,
  ): AsyncGenerator<Moq.Track.Subscriber, void> {
    const signals = [this.signal, signal];
    for (let waitMs = RETRY_MS.initial; !signals.some(({ aborted }) => aborted); ) {
      const track = this.#broadcast.track(name).subscribe({ priority, ordered: true, latencyMax: KEEP_MS });
      const close = (): void => track.close();
      for (const each of signals) each.addEventListener("abort", close);
      try {
        yield track;
      } finally {
        for (const each of signals) each.removeEventListener("abort", close);
        close();
      }
      await sleep(waitMs, this.signal);
      waitMs = Math.min(waitMs * 2, RETRY_MS.max);
    }
  }
}

/** Follows a broadcast as it comes and goes, and its catalogs, until `ended` settles: the session's end. */
export async function* readBroadcast(
  finder: BroadcastFinder,
  ended: Promise<unknown>,
): AsyncGenerator<BroadcastChange, void> {
  let over = false;
  const end = ended.then(() => {
    over = true;
  });
  while (!over) {
    const { found } = finder;
    const stop = new AbortController();
    try {
      if (found) yield { kind: "found", path: found.path };
      let catalogs = found && readCatalogs(found, stop.signal);
      let next = catalogs?.next();
      // What is announced beside the broadcast that is read makes no difference to it.
      while (!over && finder.found === found) {
        const came = await race([end, finder.changed(), ...(next ? [next] : [])]);
        if (!came) continue;
        if (came.done) catalogs = undefined;
        else yield came.value;
        next = catalogs?.next();
      }
    } finally {
      stop.abort();
    }
    if (!over) yield { kind: "gone" };
  }
}

async function* readCatalogs(
  { broadcast }: FoundBroadcast,
  signal: AbortSignal,
): AsyncGenerator<BroadcastChange, void> {
  const open = new OpenBroadcast(broadcast, signal);
  const track = broadcast.track("catalog.json").subscribe();
  signal.addEventListener("abort", () => track.close());
  try {
    for (;;) {
      const group = await track.nextGroup();
      const frame = await group?.readFrame();
      if (!frame || signal.aborted) return;
      yield changeOf(frame.payload, open);
    }
  } catch (error) {
    if (!signal.aborted) yield { kind: "problem", error };
  }
}

// The catalog after a broken one may be whole.
function changeOf(payload: Uint8Array, broadcast: OpenBroadcast): BroadcastChange {
  try {
    return { kind: "catalog", catalog: parseCatalog(payload), broadcast };
  } catch (error) {
    return { kind: "problem", error };
  }
}
