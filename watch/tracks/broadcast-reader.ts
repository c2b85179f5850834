import * as Moq from "@kixelated/moq";
import { race, sleep } from "../../base/index.js";
import { type Catalog, parseCatalog } from "../../container/index.js";
import { followTrack, type TrackEvent, trackError } from "../../transport/moq.js";
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

/** Options of {@link OpenBroadcast.follow}. */
export interface FollowTrackOptions {
  /** Relative to the session's other subscriptions; higher goes first. */
  readonly priority: number;
  /** Aborts when the track is no longer wanted. */
  readonly signal: AbortSignal;
  /** Groups read in parallel; any more are refused. */
  readonly maxOpenGroups?: number;
}

/** Delays before subscribing again to a track that ended before its first frame, doubled each time. */
const AGAIN_MS = { first: 250, most: 4000 };

const CATALOG = "catalog.json";
/** The code with which a relay resets the tracks of a publisher that went away. */
const PUBLISHER_GONE = 24;

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
   * Follows a track until it ends in order, is no longer wanted, or the broadcast is gone; see `followTrack`. A track
   * that ends before its first frame may be an earlier one of that name, so this subscribes again.
   */
  async *follow(name: string, { signal, ...options }: FollowTrackOptions): AsyncGenerator<TrackEvent, void> {
    const stop = new AbortController();
    const end = (): void => stop.abort();
    const signals = [this.signal, signal];
    if (signals.some(({ aborted }) => aborted)) return;
    for (const each of signals) each.addEventListener("abort", end);
    try {
      let isEmpty = true;
      for (let waitMs = AGAIN_MS.first; isEmpty; waitMs = Math.min(2 * waitMs, AGAIN_MS.most)) {
        for await (const event of followTrack(this.#broadcast, name, { ...options, signal: stop.signal })) {
          isEmpty &&= event.kind !== "frame";
          yield event.kind === "ended" && isGone(event.error) ? { ...event, error: undefined } : event;
        }
        if (stop.signal.aborted || this.#broadcast.closed.peek() !== undefined) return;
        if (isEmpty) await sleep(waitMs, stop.signal);
      }
    } finally {
      for (const each of signals) each.removeEventListener("abort", end);
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
  const track = broadcast.track(CATALOG).subscribe();
  signal.addEventListener("abort", () => track.close());
  try {
    for (;;) {
      const group = await track.nextGroup();
      const frame = await group?.readFrame();
      if (!frame || signal.aborted) return;
      yield changeOf(frame.payload, open);
    }
  } catch (error) {
    const reason = trackError(CATALOG, error);
    if (!signal.aborted && !isGone(reason)) yield { kind: "problem", error: reason };
  }
}

/** Whether an error only says that the publisher went away, which is not a fault. */
function isGone(error: Error | undefined): boolean {
  return error?.cause instanceof Moq.RemoteError && error.cause.code === PUBLISHER_GONE;
}

// The next catalog may be intact after a broken one.
function changeOf(payload: Uint8Array, broadcast: OpenBroadcast): BroadcastChange {
  try {
    return { kind: "catalog", catalog: parseCatalog(payload), broadcast };
  } catch (error) {
    return { kind: "problem", error };
  }
}
