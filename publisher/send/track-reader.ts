import { setTimeout as delay } from "node:timers/promises";
import type { Broadcast, Group } from "@kixelated/moq";

/** How {@link readTrack} reads. */
export interface TrackReading {
  readonly priority: number;
  /** Asked before every attempt and every frame: whether it goes on. */
  readonly isWanted: () => boolean;
  /** Ends it at once. */
  readonly signal: AbortSignal;
}

/** Groups of one track that are read at once; more are dropped and come again. */
const MAX_OPEN_GROUPS = 256;
/** How old a group may be that is still wanted; the protocol's default, 0, asks for the newest group alone. */
const KEEP_MS = 30_000;
const RETRY_MS = 250;

/** Reads the first frame of every group of a track, as they come, and subscribes again when that breaks. */
export async function readTrack(
  broadcast: Broadcast.Consumer,
  name: string,
  { priority, isWanted, signal }: TrackReading,
  onFrame: (bytes: Uint8Array) => void,
): Promise<void> {
  while (isWanted()) {
    const track = broadcast.track(name).subscribe({ priority, ordered: true, latencyMax: KEEP_MS });
    const close = () => track.close();
    signal.addEventListener("abort", close);
    let open = 0;
    const readGroup = async (group: Group.Consumer) => {
      open++;
      try {
        const frame = await group.readFrame();
        if (frame !== undefined && isWanted()) onFrame(frame.payload);
      } catch {
        // A group that was reset comes again as another one.
      } finally {
        open--;
        group.close();
      }
    };
    try {
      for (let group = await track.recvGroup(); group && isWanted(); group = await track.recvGroup()) {
        if (open < MAX_OPEN_GROUPS) void readGroup(group);
        else group.close();
      }
    } catch {
      // Not there yet, or not any more.
    } finally {
      signal.removeEventListener("abort", close);
      track.close();
    }
    await delay(RETRY_MS, undefined, { signal }).catch(() => {});
    if (broadcast.closed.peek() !== undefined) return;
  }
}
