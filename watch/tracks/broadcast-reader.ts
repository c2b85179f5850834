import type * as Moq from "@kixelated/moq";
import { race } from "../../base/index.js";
import { type Catalog, parseCatalog } from "../../container/index.js";
import { delay } from "../audio/delay.js";
import type { BroadcastFinder, FoundBroadcast } from "./broadcast-finder.js";

/** Options of {@link BroadcastReader}. */
export interface BroadcastReaderOptions {
  /** The broadcast is there, for the first time or again, at this path: nothing of it is played yet. */
  readonly onBroadcast: (path: string) => void;
  /** It has a catalog, or another one. */
  readonly onCatalog: (catalog: Catalog, broadcast: OpenBroadcast) => void | Promise<void>;
  /** It is gone, and the session goes on. */
  readonly onGone: () => void;
  /** Something went wrong that is tried again, or that the next catalog may mend. */
  readonly onProblem: (error: unknown) => void;
}

/** How a track is subscribed to. */
export interface Keeping {
  /** Against the session's other subscriptions; higher goes first. */
  readonly priority: number;
  /** Asked before every attempt: whether the track is wanted still. */
  readonly isWanted: () => boolean;
  /** Whether nobody needs to hear of it when it can't be had. Default false. */
  readonly optional?: boolean;
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
  readonly #onProblem: (error: unknown) => void;

  constructor(broadcast: Moq.Broadcast.Consumer, signal: AbortSignal, onProblem: (error: unknown) => void) {
    this.#broadcast = broadcast;
    this.signal = signal;
    this.#onProblem = onProblem;
  }

  /** Has `run` read a track to its end, and subscribes again where that broke. */
  async keep(
    name: string,
    { priority, isWanted, optional = false }: Keeping,
    run: (track: Moq.Track.Subscriber) => Promise<void>,
  ): Promise<void> {
    const { signal } = this;
    const goesOn = (): boolean => !signal.aborted && isWanted();
    for (let waitMs = RETRY_MS.initial; goesOn(); waitMs = Math.min(waitMs * 2, RETRY_MS.max)) {
      const track = this.#broadcast.track(name).subscribe({ priority, ordered: true, latencyMax: KEEP_MS });
      const close = (): void => track.close();
      signal.addEventListener("abort", close);
      try {
        return await run(track);
      } catch (error) {
        if (goesOn() && !optional) this.#onProblem(error);
      } finally {
        signal.removeEventListener("abort", close);
        close();
      }
      await delay(waitMs, signal);
    }
  }
}

/**
 * Reads what a broadcast tells of itself: follows it as it comes and goes, parses its catalogs, and keeps account of the
 * bleed they tell of.
 */
export class BroadcastReader {
  readonly #options: BroadcastReaderOptions;
  /** What the catalogs said of the publisher's bleed: first, and last. */
  #bleedBaseMs: number | undefined;
  #bleedTotalMs = 0;

  constructor(options: BroadcastReaderOptions) {
    this.#options = options;
  }

  /** Milliseconds of undenoised audio that the publisher let pass since the first catalog. */
  get bleedMs(): number {
    return this.#bleedTotalMs - (this.#bleedBaseMs ?? 0);
  }

  /** Reads the broadcast whenever it is there, until `ended` settles: the session's end. */
  async follow(finder: BroadcastFinder, ended: Promise<unknown>): Promise<void> {
    const { onGone, onProblem } = this.#options;
    let over = false;
    const end = ended.then(() => {
      over = true;
    });
    while (!over) {
      const { found } = finder;
      const stop = new AbortController();
      const { signal } = stop;
      const read = found && this.#read(found, signal).catch((error) => signal.aborted || onProblem(error));
      // What is announced beside the broadcast that is read makes no difference to it.
      do await race([end, finder.changed()]);
      while (!over && finder.found === found);
      stop.abort();
      await read;
      if (!over) onGone();
    }
  }

  async #read({ path, broadcast }: FoundBroadcast, signal: AbortSignal): Promise<void> {
    const { onBroadcast, onCatalog, onProblem } = this.#options;
    onBroadcast(path);
    const open = new OpenBroadcast(broadcast, signal, onProblem);
    const track = broadcast.track("catalog.json").subscribe();
    signal.addEventListener("abort", () => track.close());
    for (;;) {
      const group = await track.nextGroup();
      const frame = await group?.readFrame();
      if (!frame || signal.aborted) return;
      try {
        const catalog = parseCatalog(frame.payload);
        this.#bleedTotalMs = catalog.unsay?.bleedMs ?? 0;
        this.#bleedBaseMs = Math.min(this.#bleedBaseMs ?? this.#bleedTotalMs, this.#bleedTotalMs);
        await onCatalog(catalog, open);
      } catch (error) {
        // The catalog after a broken one may be whole.
        onProblem(error);
      }
    }
  }
}
