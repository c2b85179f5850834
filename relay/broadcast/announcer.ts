import { setTimeout as sleep } from "node:timers/promises";
import { background, concatenate, race } from "../../base/index.js";
import type { SendStream } from "../../transport/index.js";
import { allows } from "../admission/scope.js";
import { encodeAnnounce, encodeAnnounceInit, encodeAnnounceOk } from "../wire/announce.js";
import { stripPrefix } from "../wire/path.js";
import { hasHopIds, hasRanges, hasTimestamps, type Version } from "../wire/version.js";
import type { Broadcast } from "./broadcast.js";
import type { Origin } from "./origin.js";

/** The first change is announced at once, and what changes within this time after it in one piece. */
const SPACING_MS = 100;

/** A broadcast as the peer knows it. */
interface Shown {
  readonly broadcast: Broadcast;
  readonly openings: number;
}

/** Options for {@link announce}. */
export interface AnnouncerOptions {
  readonly origin: Origin;
  readonly version: Version;
  readonly send: SendStream;
  /** Full requested prefix. */
  readonly prefix: string;
  /** Prefixes the session may watch. */
  readonly get: readonly string[];
  /** Whether the session publishes a path itself: then it sees other publications there, whatever it may watch. */
  readonly publishes: (path: string) => boolean;
  /** Our hop id. */
  readonly hopId: bigint;
  /** Whether a broadcast must be hidden from this session: its own, or one that came through it. */
  readonly hidden: (broadcast: Broadcast) => boolean;
  /** Settles when the peer leaves the stream. */
  readonly left: Promise<void>;
}

/**
 * Answers one Announce Stream until the peer leaves it: the current broadcasts, then every change. Changes that come
 * faster than the peer reads, or than {@link SPACING_MS}, are merged, so that the number of paths bounds the backlog and
 * a name that comes and goes many times a second costs its followers little.
 */
export async function announce(options: AnnouncerOptions): Promise<void> {
  const { origin, version, send, prefix, hopId, left } = options;
  const shown = new Map<string, Shown>();
  const dirty = new Set<string>();
  let wake: (() => void) | undefined;
  let gone = false;
  const stop = origin.listen((path) => {
    if (stripPrefix(prefix, path) === undefined) return;
    dirty.add(path);
    wake?.();
  });
  background(
    "relay.announcer",
    left.then(() => {
      gone = true;
      wake?.();
    }),
  );

  const visible = (broadcast: Broadcast | undefined): broadcast is Broadcast =>
    broadcast !== undefined &&
    (allows(options.get, broadcast.path) || options.publishes(broadcast.path)) &&
    !options.hidden(broadcast);
  const started = (broadcast: Broadcast): Uint8Array => {
    const suffix = stripPrefix(prefix, broadcast.path)!;
    const hops = hasHopIds(version) && !hasTimestamps(version) ? [...broadcast.hops, hopId] : broadcast.hops;
    return encodeAnnounce({ suffix, active: true, hops }, version);
  };

  const show = (broadcast: Broadcast): void => {
    shown.set(broadcast.path, { broadcast, openings: broadcast.openings });
  };

  try {
    for (const broadcast of origin.below(prefix)) if (visible(broadcast)) show(broadcast);
    const initial = [...shown.values()].map(({ broadcast }) => broadcast);
    const first: Uint8Array[] = [];
    if (!hasRanges(version)) first.push(encodeAnnounceInit(initial.map(({ path }) => stripPrefix(prefix, path)!)));
    else {
      if (hasTimestamps(version)) first.push(encodeAnnounceOk(hopId, initial.length));
      first.push(...initial.map(started));
    }
    if (first.length > 0) await send.write(concatenate(first));

    while (!gone) {
      if (dirty.size === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        continue;
      }
      const messages: Uint8Array[] = [];
      for (const path of dirty) {
        const before = shown.get(path);
        const broadcast = origin.get(path);
        const after = visible(broadcast) ? broadcast : undefined;
        if (before?.broadcast === after && before?.openings === after?.openings) continue;
        // A replacement is announced as an end and a start on every version, so that subscribers of the old one notice,
        // like one that was displaced and is back.
        if (before !== undefined)
          messages.push(encodeAnnounce({ suffix: stripPrefix(prefix, path)!, active: false, hops: [] }, version));
        if (after !== undefined) {
          messages.push(started(after));
          show(after);
        } else shown.delete(path);
      }
      dirty.clear();
      if (messages.length === 0) continue;
      await send.write(concatenate(messages));
      await race([left, sleep(SPACING_MS)]);
    }
  } finally {
    stop();
    void send.finish();
  }
}
