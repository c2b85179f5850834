import { expect, test } from "vitest";
import { fromMilliseconds as ms } from "../../base/index.js";
import type { Aggregate } from "../../flow/report/index.js";
import { aggregateOf } from "../../tests/support/reports.js";
import { heardOf, heardOfAll } from "./missed-audio.js";
import { Playback } from "./playback.js";
import { SpeechTimeline } from "./speech-timeline.js";

/** What the relay reports of one listener that has audio in reserve. */
function aggregate(playheadMs: number, discontinuity: number): Aggregate {
  const receivedUntil = ms(playheadMs + 1000);
  return aggregateOf([{ session: 1, playhead: ms(playheadMs), discontinuity, receivedUntil }]);
}

test("a listener that counted two rewinds as one is believed about the next one, whether reports came meanwhile or not", () => {
  for (const isReported of [true, false]) {
    const playback = new Playback();
    playback.observe(aggregate(5000, 0), { now: ms(0) });
    playback.rewound(ms(4800), ms(10));
    playback.rewound(ms(4700), ms(200));
    playback.observe(aggregate(4750, 1), { now: ms(400) });
    if (isReported) playback.observe(aggregate(6400, 1), { now: ms(2000) });
    const heardAtMost = playback.rewound(ms(6450), ms(2050));
    // Its playhead is still on the old timeline.
    playback.observe(aggregate(6500, 1), { now: ms(2100) });
    expect([playback.playheads(ms(2100))?.earliest, heardAtMost(1)]).toEqual([ms(6450), Number.POSITIVE_INFINITY]);
    playback.observe(aggregate(6470, 2), { now: ms(2200) });
    expect([playback.playheads(ms(2200))?.earliest, heardAtMost(1)]).toEqual([ms(6470), Number.POSITIVE_INFINITY]);
  }
});

test("a playhead counts as far as the cut until the listener reports a rewind, for five seconds at most", () => {
  const playback = new Playback();
  const earliest = (now: number) => playback.playheads(ms(now))?.earliest;
  playback.observe(aggregate(5000, 0), { now: ms(0) });
  playback.rewound(ms(4800), ms(0));
  playback.observe(aggregate(9900, 0), { now: ms(4900) });
  expect([earliest(4900), earliest(4999)]).toEqual([ms(4800), ms(4800)]);
  expect(earliest(5000)).toBe(ms(9900));
});

test("a listener that has reported one of two rewinds may mean both after a second and what a long path adds", () => {
  for (const allowanceMs of [0, 1000]) {
    const playback = new Playback();
    const earliest = (now: number) => playback.playheads(ms(now))?.earliest;
    playback.observe(aggregate(5000, 0), { now: ms(0) });
    playback.rewound(ms(4900), ms(0), ms(allowanceMs));
    playback.rewound(ms(4800), ms(0), ms(allowanceMs));
    playback.observe(aggregate(5900, 1), { now: ms(900) });
    expect([earliest(900), earliest(999 + allowanceMs)]).toEqual([ms(4800), ms(4800)]);
    expect(earliest(1000 + allowanceMs)).toBe(ms(5900));
  }
});

test("a listener that has not reported a rewind after a second holds up none that have", () => {
  const playback = new Playback();
  const both = (second: number, playheadMs: number) =>
    aggregateOf(
      [0, second].map((discontinuity, index) => ({
        session: index + 1,
        playhead: ms(playheadMs),
        discontinuity,
        receivedUntil: ms(playheadMs + 1000),
      })),
    );
  const earliest = (now: number) => playback.playheads(ms(now))?.earliest;
  playback.observe(both(0, 5000), { now: ms(0) });
  playback.rewound(ms(4800), ms(0));
  playback.observe(both(1, 5700), { now: ms(900) });
  expect([earliest(999), earliest(1000)]).toEqual([ms(4800), ms(5700)]);
  expect(playback.playheads(ms(1000))?.listeners.map(({ playhead }) => playhead)).toEqual([ms(4800), ms(5700)]);
});

test("a listener that comes back with nothing to play is heard up to where it had audio before", () => {
  const playback = new Playback();
  const heard = (playheadMs: number, receivedMs: number | undefined, session = 1) => {
    const receivedUntil = receivedMs === undefined ? undefined : ms(receivedMs);
    playback.observe(aggregateOf([{ session, playhead: ms(playheadMs), receivedUntil }]), { now: ms(playheadMs) });
    const { earliest, passed } = playback.playheads(ms(playheadMs))!;
    return [earliest, passed].map((time) => time / 1000);
  };
  expect(heard(1000, 1400)).toEqual([1000, 1000]);
  playback.observe(aggregateOf([]), { now: ms(1100) });
  expect(heard(1300, undefined)).toEqual([1300, 1300]);
  expect(heard(2000, undefined)).toEqual([1400, 2000]);
  // It reports for the first time: nothing says that it was late.
  expect(heard(2000, undefined, 2)).toEqual([2000, 2000]);
  expect(heard(2100, undefined, 2)).toEqual([2000, 2100]);
  playback.rewound(ms(1200), ms(2100));
  expect(heard(3200, undefined)).toEqual([1200, 3200]);
});

test("a listener that runs on without the audio that others had holds them up by a second at most, and 5 s within it", () => {
  const playback = new Playback();
  const earliest = (...listed: readonly { readonly at: number; readonly received: number }[]) => {
    const named = listed.map(({ at, received }, index) => ({
      session: index + 1,
      playhead: ms(at),
      receivedUntil: ms(received),
    }));
    playback.observe(aggregateOf(named), { now: ms(listed[0]!.at) });
    return playback.playheads(ms(listed[0]!.at))!.earliest / 1000;
  };
  const lacking = (at: number, received: number) => earliest({ at, received: 500 }, { at, received });
  expect(lacking(1000, 9000)).toBe(500);
  expect(lacking(5400, 9000)).toBe(500);
  expect(lacking(8000, 9000)).toBe(3000);
  expect(lacking(10_000, 9000)).toBe(4000);
  expect(lacking(10_001, 9000)).toBe(9000);
  expect(earliest({ at: 10_001, received: 500 })).toBe(500);
  // One that is behind in a pause has not passed the audio that another one hears.
  expect(earliest({ at: 19_000, received: 9000 }, { at: 20_000, received: 30_000 })).toBe(15_000);
});

test("a listener that claims to have missed the end of a speech counts for itself alone, unless all others missed it too", () => {
  const timeline = new SpeechTimeline();
  timeline.write(48_000, 48_000);
  const missed = (session: number) => ({ session, from: ms(900), to: ms(2500), discontinuity: 0 });
  const heard = (...sessions: readonly number[]) => {
    const playback = new Playback();
    const listeners = [1, 2].map((session) => ({ session, playhead: ms(2600), receivedUntil: ms(3000) }));
    playback.observe(aggregateOf(listeners, { missed: sessions.map(missed) }), { now: ms(0) });
    const playheads = playback.playheads(ms(0))!;
    const each = playheads.listeners.map((one) => heardOf(one, timeline, 48_000));
    return { all: heardOfAll(playheads, timeline, 48_000), each };
  };
  expect(heard()).toEqual({ all: ms(2600), each: [ms(2600), ms(2600)] });
  expect(heard(1)).toEqual({ all: ms(2600), each: [ms(900), ms(2600)] });
  expect(heard(1, 2)).toEqual({ all: ms(900), each: [ms(900), ms(900)] });
});

test("what a listener missed of a timeline that became stale says nothing about what follows the cut", () => {
  const timeline = new SpeechTimeline();
  timeline.write(96_000, 48_000);
  const playback = new Playback();
  const missed = [{ session: 1, from: ms(1000), to: ms(5000), discontinuity: 0 }];
  const entry = { session: 1, playhead: ms(5000), receivedUntil: ms(6000) };
  const heard = () => heardOfAll(playback.playheads(ms(7000))!, timeline, 48_000);
  playback.observe(aggregateOf([entry]), { now: ms(0) });
  playback.rewound(ms(1500), ms(0));
  // It has not applied the rewind yet.
  playback.observe(aggregateOf([entry], { missed }), { now: ms(100) });
  playback.observe(aggregateOf([{ ...entry, discontinuity: 1, playhead: ms(4000) }]), { now: ms(200) });
  expect(heard()).toBe(ms(4000));
  playback.observe(
    aggregateOf([{ ...entry, discontinuity: 1 }], { missed: missed.map((one) => ({ ...one, discontinuity: 1 })) }),
    { now: ms(300) },
  );
  expect(heard()).toBe(ms(1000));
  playback.rewound(ms(1500), ms(400));
  playback.observe(aggregateOf([{ ...entry, discontinuity: 2, playhead: ms(4500) }]), { now: ms(500) });
  expect(heard()).toBe(ms(4500));
});
