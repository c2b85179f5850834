import { setTimeout as sleep } from "node:timers/promises";
import { background, type Clock, concatenate, type Microseconds, race, toMilliseconds } from "../../base/index.js";
import type { SendStream } from "../../transport/index.js";
import { allows } from "../admission/scope.js";
import { encodeAnnounce, encodeAnnounceInit, encodeAnnounceOk } from "../wire/announce.js";
import { stripPrefix } from "../wire/path.js";
import { hasHopIds, hasRanges, hasTimestamps, type Version } from "../wire/version.js";
import type { Broadcast } from "./broadcast.js";
import { FollowedNames, type NameChange } from "./followed-names.js";
import type { Origin } from "./origin.js";

/** Between two writes, so that a flood of names costs each follower at most a hundred of them a second. */
const WRITE_SPACING_MS = 10;
/** Most that a follower which reads nothing has waiting at the transport. */
const WRITE_BYTES = 16_384;

/** Options for {@link announce}. */
export interface AnnouncerOptions {
  readonly clock: Clock;
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
 * Answers one Announce Stream until the peer leaves it: the current broadcasts, then every change, merged where the peer
 * reads them too slowly or {@link FollowedNames} lets a name wait.
 */
export async function announce(options: AnnouncerOptions): Promise<void> {
  const { clock, origin, send, prefix, left } = options;
  let wake = (): void => {};
  /** When it looks at the names again by itself. */
  let looksAt: number = Number.NEGATIVE_INFINITY;
  let gone = false;
  background(
    "relay.announcer",
    left.then(() => {
      gone = true;
    }),
  );
  const names = new FollowedNames({ clock, current: (path) => visible(options, origin.get(path)) });
  const stop = origin.listen((path) => {
    if (stripPrefix(prefix, path) === undefined) return;
    const due = names.changed(path);
    if (due !== undefined && due < looksAt) wake();
  });
  try {
    for (const { path } of origin.below(prefix)) names.changed(path);
    // A peer that has many more to learn takes the rest as changes.
    const first = encodeFirst(options, names.take(WRITE_BYTES));
    if (first.length > 0) await send.write(first);
    while (!gone) {
      const changes = names.take(WRITE_BYTES);
      if (changes.length > 0) {
        await send.write(concatenate(changes.flatMap((change) => encodeChange(options, change))));
        await race([left, sleep(WRITE_SPACING_MS)]);
        continue;
      }
      const { nextDue } = names;
      looksAt = nextDue ?? Number.POSITIVE_INFINITY;
      const woken = new Promise<void>((resolve) => {
        wake = resolve;
      });
      await race([left, woken, ...(nextDue === undefined ? [] : [sleepUntil(nextDue, clock)])]);
      looksAt = Number.NEGATIVE_INFINITY;
    }
  } finally {
    stop();
    void send.finish();
  }
}

function sleepUntil(time: Microseconds, clock: Clock): Promise<void> {
  return sleep(Math.ceil(toMilliseconds((time - clock()) as Microseconds)));
}

function visible(options: AnnouncerOptions, broadcast: Broadcast | undefined): Broadcast | undefined {
  if (broadcast === undefined || options.hidden(broadcast)) return undefined;
  return allows(options.get, broadcast.path) || options.publishes(broadcast.path) ? broadcast : undefined;
}

function encodeFirst(options: AnnouncerOptions, changes: readonly NameChange[]): Uint8Array {
  const { version, hopId, prefix } = options;
  if (!hasRanges(version)) return encodeAnnounceInit(changes.map(({ path }) => stripPrefix(prefix, path) ?? ""));
  const starts = changes.flatMap((change) => encodeChange(options, change));
  return concatenate(hasTimestamps(version) ? [encodeAnnounceOk(hopId, changes.length), ...starts] : starts);
}

// A replacement is announced as an end and a start on every version, so that subscribers of the old one notice, like
// one that was displaced and is back.
function encodeChange(
  { version, hopId, prefix }: AnnouncerOptions,
  { path, ended, started }: NameChange,
): Uint8Array[] {
  const suffix = stripPrefix(prefix, path) ?? "";
  const messages: Uint8Array[] = [];
  if (ended) messages.push(encodeAnnounce({ suffix, active: false, hops: [] }, version));
  if (started !== undefined) {
    const hops = hasHopIds(version) && !hasTimestamps(version) ? [...started.hops, hopId] : started.hops;
    messages.push(encodeAnnounce({ suffix, active: true, hops }, version));
  }
  return messages;
}
