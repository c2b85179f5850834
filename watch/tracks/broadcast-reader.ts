import type * as Moq from "@kixelated/moq";
import { race, sleep } from "../../base/index.js";
import { type Catalog, parseCatalog } from "../../container/index.js";
import type { BroadcastFinder, FoundBroadcast } from "./broadcast-finder.js";

/** Changes of a broadcast, in order. */
export type BroadcastChange =
  /** It is available at this path, for the first time or again; nothing of it is played yet. */
  | { readonly kind: "found"; readonly path: string }
  /** It has a first or a new catalog. */
  | { readonly kind: "catalog"; readonly catalog: Catalog; readonly broadcast: OpenBroadcast }
  /** It is gone, and the session continues. */
  | { readonly kind: "gone" }
  /** An error that the next catalog may mend. */
  | { readonly kind: "problem"; readonly error: unknown };

/** Options of a subscription. */
export interface SubscriptionOptions {
  /** Relative to the session's other subscriptions; higher goes first. */
  readonly priority: number;
  /** Aborts when the track is no longer wanted. */
  readonly signal: AbortSignal;
}

/** Delays between attempts to subscribe again, doubled each time. */
const RETRY_MS = { initial: 250, max: 4000 };
/**
 * Maximum age of a group that is still wanted: the maximum lead. The protocol's default, 0, asks for the newest group
 * alone.
 */
const KEEP_MS = 30_000;

/** A broadcast while it is available. */
export class OpenBroadcast {
  /** Aborts when the broadcast or the session is gone. */
  readonly signal: AbortSignal;
  readonly #broadcast: Moq.Broadcast.Consumer;

  constructor(broadcast: Moq.Broadcast.Consumer, signal: AbortSignal) {
    this.#broadcast = broadcast;
    this.signal = signal;
  }

  /**
   * Subscribes to a track, and again, after a delay, whenever the iteration continues because the last subscription
   * broke. Each one is closed when the next begins.
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
      // Announcements of other broadcasts make no difference.
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

// The next catalog may be intact after a broken one.
function changeOf(payload: Uint8Array, broadcast: OpenBroadcast): BroadcastChange {
  try {
    return { kind: "catalog", catalog: parseCatalog(payload), broadcast };
  } catch (error) {
    return { kind: "problem", error };
  }
}
