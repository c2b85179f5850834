import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromMilliseconds as ms } from "../../base/index.js";
import { CachedGroup } from "../broadcast/cached-group.js";
import { WireFrame } from "../wire/group.js";
import { EarlyGroups } from "./early-groups.js";

const ROUND_TRIP_MS = 100;
/** Two round trips, and what it takes to notice a loss. */
const NEEDED_MS = 260;

interface Path {
  readonly lossy?: boolean;
  readonly silent?: boolean;
  readonly roundTripMs?: number;
}

function control({ lossy = false, silent = false, roundTripMs = ROUND_TRIP_MS }: Path = {}) {
  return { lossy, silent: () => silent, roundTrip: ms(roundTripMs) };
}

function group(sequence: number, atMs: number, bytes = 160): CachedGroup {
  const record = new CachedGroup(sequence, ms(0));
  record.timestamp = ms(atMs);
  record.push(WireFrame.of(ms(atMs), new Uint8Array(bytes)));
  return record;
}

/** Takes a group that lies this far ahead at a moment. */
function takes(early: EarlyGroups, { nowMs = 1000, aheadMs = 500, path = control() } = {}): boolean {
  return early.takesStream(group(nowMs, nowMs + aheadMs), { now: ms(nowMs), playhead: ms(nowMs), control: path });
}

describe("EarlyGroups", () => {
  test.each([10, 100, 300])("takes what lands early enough to be sent again, %i ms away", (roundTripMs) => {
    const path = control({ roundTripMs });
    expect(takes(new EarlyGroups(), { aheadMs: 2 * roundTripMs + 60, path })).toBe(true);
    expect(takes(new EarlyGroups(), { aheadMs: 2 * roundTripMs + 59, path })).toBe(false);
  });

  test("takes nothing while the playhead is unknown, or a group's time is", () => {
    const early = new EarlyGroups();
    expect(early.takesStream(group(1, 5000), { now: ms(0), playhead: undefined, control: control() })).toBe(false);
    const untimed = new CachedGroup(1, ms(0));
    expect(early.takesStream(untimed, { now: ms(0), playhead: ms(0), control: control() })).toBe(false);
  });

  test("takes groups for half a minute, and after that only where the path loses", () => {
    const early = new EarlyGroups();
    expect(takes(early, { nowMs: 1000 })).toBe(true);
    expect(takes(early, { nowMs: 30_999 })).toBe(true);
    expect(takes(early, { nowMs: 31_000 })).toBe(false);
    expect(takes(early, { nowMs: 60_000, path: control({ lossy: true }) })).toBe(true);
    expect(takes(early, { nowMs: 90_000 })).toBe(false);
  });

  test("leaves the groups of a burst of losses to small probes", () => {
    expect(takes(new EarlyGroups(), { path: control({ lossy: true, silent: true }) })).toBe(false);
  });

  test("sends a packet of the newest groups again each second on a lossy path", () => {
    const early = new EarlyGroups();
    const path = control({ lossy: true });
    const again: number[][] = [];
    for (let sequence = 0; sequence < 125; sequence++) {
      const now = ms(1000 + sequence * 20);
      early.takesStream(group(sequence, 1000 + sequence * 20 + NEEDED_MS), { now, playhead: now, control: path });
      const groups = early.takeCopies({ now, control: path });
      if (groups.length > 0) again.push(groups.map((each) => each.sequence));
    }
    expect(again).toEqual([[0], [45, 46, 47, 48, 49, 50], [95, 96, 97, 98, 99, 100]]);
  });

  test("sends nothing again on a clean path, nor a group that exceeds a packet", () => {
    const early = new EarlyGroups();
    takes(early);
    expect(early.takeCopies({ now: ms(1000), control: control() })).toEqual([]);
    const large = group(2, 5000, 1201);
    early.takesStream(large, { now: ms(2000), playhead: ms(2000), control: control({ lossy: true }) });
    expect(early.takeCopies({ now: ms(2000), control: control({ lossy: true }) })).toEqual([]);
  });

  /** Takes groups 20 ms apart within a second after copies went; returns those to copy next. */
  function copiesOf(early: EarlyGroups, groups: readonly CachedGroup[]): number[] {
    const path = control({ lossy: true });
    const state = { now: ms(1000), playhead: ms(0), control: path };
    early.takeCopies(state);
    for (const record of groups) early.takesStream(record, { ...state, now: ms(1990) });
    return early.takeCopies({ now: ms(2000), control: path }).map(({ sequence }) => sequence);
  }

  test.each([0, 3])("copies at most twelve groups of %i bytes at once", (bytes) => {
    const groups = Array.from({ length: 1000 }, (_, sequence) => group(sequence, 5000, bytes));
    expect(copiesOf(new EarlyGroups(), groups)).toEqual(groups.slice(-12).map(({ sequence }) => sequence));
  });

  test("copies no more than a packet of groups, whatever their sizes", () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 1300 }), { minLength: 1, maxLength: 40 }), (sizes) => {
        const records = sizes.map((bytes, sequence) => group(sequence, 5000, bytes));
        const copies = copiesOf(new EarlyGroups(), records);
        const total = copies.reduce((sum, sequence) => sum + sizes[sequence]! + 16, 0);
        expect(total).toBeLessThanOrEqual(1200);
        const newest = sizes.findLastIndex((bytes) => bytes + 16 <= 1200);
        expect(copies.at(-1)).toBe(newest === -1 ? undefined : newest);
      }),
      { seed: 4, numRuns: 200 },
    );
  });

  test("copies no group that a rewind made stale, nor one sent more than a second ago", () => {
    const early = new EarlyGroups();
    const path = control({ lossy: true });
    const state = { playhead: ms(0), control: path };
    early.takeCopies({ now: ms(1000), control: path });
    for (const sequence of [1, 2, 3, 4])
      early.takesStream(group(sequence, 5000), { ...state, now: ms(1000 + 10 * sequence) });
    early.discard(({ sequence }) => sequence > 3);
    early.expire(ms(2011));
    expect(early.takeCopies({ now: ms(2011), control: path }).map(({ sequence }) => sequence)).toEqual([2, 3]);
  });

  test("remembers nothing on a clean path", () => {
    const early = new EarlyGroups();
    takes(early, { nowMs: 1000 });
    expect(early.takeCopies({ now: ms(1000), control: control({ lossy: true }) })).toEqual([]);
  });
});
