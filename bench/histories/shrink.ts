import type { Event, History } from "./history.js";

/**
 * Looks for a shorter history that still breaks a promise: leaves out halves, then quarters, down to single events, and
 * keeps every cut after which `breaks` still holds. Joins of the first listener stay.
 *
 * @param tries How often `breaks` may be asked; each is a run in real time.
 */
export async function shrink(
  history: History,
  breaks: (shorter: History) => Promise<boolean>,
  tries: number,
): Promise<History> {
  let best = history;
  let left = tries;
  for (
    let size = Math.ceil(best.events.length / 2);
    size >= 1 && left > 0;
    size = size === 1 ? 0 : Math.ceil(size / 2)
  ) {
    for (let at = 0; at < best.events.length && left > 0; ) {
      const events = best.events.filter((event, index) => index < at || index >= at + size || isNeeded(event));
      const shorter = { ...best, events, lengthMs: lengthOf(events) };
      if (events.length === best.events.length || !(left-- > 0 && (await breaks(shorter)))) at += size;
      else best = shorter;
    }
  }
  return best;
}

function isNeeded(event: Event): boolean {
  return event.do === "join" && event.listener === 0;
}

function lengthOf(events: readonly Event[]): number {
  return Math.max(0, ...events.map(({ atMs }) => atMs)) + 3000;
}
