import fc from "fast-check";
import { expect, test } from "vitest";
import { fromSeconds, fromMilliseconds as ms } from "../../base/index.js";
import { PlayheadBound } from "./playhead-bound.js";

const SLACK = ms(250);

test("the bound is a player that gets every frame at once, plays at 1x and runs on through silence", () => {
  const bound = new PlayheadBound();
  expect(bound.at(ms(0))).toBeUndefined();
  expect(bound.limit(fromSeconds(99), ms(0))).toBe(fromSeconds(99));
  // Two seconds sent at once.
  for (let at = 5000; at <= 7000; at += 20) bound.sent(ms(at), ms(100));
  expect(bound.at(ms(100))).toBe(ms(5000) + SLACK);
  expect(bound.at(ms(1100))).toBe(ms(6000) + SLACK);
  // A pause: a player on a timeline that follows the clock advances, and must be believed.
  expect(bound.at(ms(60_000))).toBe(ms(5000 + 59_900) + SLACK);
  // The next utterance begins further on: a player skips the hole and continues there.
  bound.sent(ms(70_000), ms(61_000));
  bound.sent(ms(70_100), ms(61_000));
  expect(bound.at(ms(61_050))).toBe(ms(70_100));
  expect(bound.limit(ms(2 ** 30), ms(61_050))).toBe(ms(70_100));
  expect(bound.at(ms(61_200))).toBe(ms(70_200) + SLACK);
  expect(bound.limit(ms(70_000), ms(61_050))).toBe(ms(70_000));
});

test("the bound stays within a second of audio that is sent behind it, however slow a source is", () => {
  const bound = new PlayheadBound();
  for (let n = 0; n < 6000; n++) bound.sent(ms(20 * n), ms(25 * n));
  // Two minutes at four fifths of real time: running on alone would have gained 24 s.
  expect(bound.at(ms(25 * 5999))).toBeLessThanOrEqual(ms(20 * 5999 + 1000) + SLACK);
});

test("a player that ran on is believed beside a frame that it has to drop", () => {
  const bound = new PlayheadBound();
  for (let at = 0; at <= 1000; at += 20) bound.sent(ms(at), ms(at));
  bound.sent(ms(1100), ms(4000));
  expect(bound.limit(ms(4000), ms(4000))).toBe(ms(4000));
  bound.sent(ms(4100), ms(4010));
  for (let n = 0; n < 20; n++) bound.sent(ms(4120 + 20 * n), ms(6200 + n));
  expect(bound.limit(ms(6300), ms(6300))).toBe(ms(6300));
});

test("without hold, no playhead is beyond audio that was just sent", () => {
  const bound = new PlayheadBound({ hold: ms(0) });
  for (let at = 0; at <= 200; at += 20) bound.sent(ms(at), ms(at));
  expect(bound.unstalled(ms(700))).toBe(ms(700));
  bound.sent(ms(220), ms(700));
  expect(bound.unstalled(ms(700))).toBe(ms(220));
  expect(bound.unstalled(ms(760))).toBe(ms(280));
});

test("the bound goes back with a rewind and forward with the first listener, never beyond the sent audio", () => {
  const bound = new PlayheadBound();
  for (let at = 0; at <= 10_000; at += 100) bound.sent(ms(at), ms(0));
  bound.begin(ms(4000), ms(0));
  expect(bound.at(ms(0))).toBe(ms(4000) + SLACK);
  // A claim to be at the start moves nothing.
  bound.begin(ms(0), ms(0));
  expect(bound.at(ms(1000))).toBe(ms(5000) + SLACK);
  bound.begin(fromSeconds(2 ** 30), ms(1000));
  expect(bound.at(ms(1000))).toBe(ms(10_000) + SLACK);
  bound.rewind(ms(3000), ms(1000));
  expect([bound.rewinds, bound.at(ms(1000))]).toEqual([1, ms(3000) + SLACK]);
  bound.sent(ms(3000), ms(1000));
  expect(bound.at(ms(9000))).toBe(ms(11_000) + SLACK);
  bound.rewind(ms(3000), ms(9000));
  bound.sent(ms(3000), ms(9000));
  bound.sent(ms(3100), ms(9000));
  expect(bound.at(ms(9050))).toBe(ms(3100));
  expect(bound.at(ms(9130))).toBe(ms(3130) + SLACK);
});

test("while frames come, no claim lies beyond the newest one, so a publisher never takes the next for late", () => {
  for (const aheadMs of [40, 120, 240, 260, 2000]) {
    const bound = new PlayheadBound();
    let newest = 0;
    for (let now = 0; now < 20_000; now++) {
      for (; newest <= now + aheadMs; newest += 20) bound.sent(ms(newest), ms(now));
      expect(bound.limit(fromSeconds(2 ** 30), ms(now))).toBeLessThanOrEqual(ms(newest - 20));
    }
  }
});

test("no honest player is ever bounded, whatever was sent, rewound and waited for", () => {
  const step = fc.record({
    kind: fc.constantFrom("send", "send", "hole", "rewind", "wait"),
    count: fc.integer({ min: 1, max: 80 }),
    gap: fc.integer({ min: 0, max: 1500 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.nat(400), fc.boolean(), (steps, late, runsOn) => {
      const bound = new PlayheadBound();
      let now = 0;
      let end = 0;
      // A player that starts `late` and then plays everything available at 1x.
      let playhead = 0;
      let frames: number[] = [];
      let startedAt: number | undefined;
      let lates: number[] = [];
      const play = (milliseconds: number) => {
        for (let left = milliseconds; left > 0; left -= 20) {
          now += Math.min(20, left);
          if (startedAt === undefined || now < startedAt + late) continue;
          while (frames.length > 0 && frames[0]! < playhead) frames.shift();
          if (frames.length === 0 && runsOn) playhead += Math.min(20, left);
          if (frames.length > 0)
            playhead =
              frames[0]! <= playhead + 120 ? Math.min(playhead + Math.min(20, left), frames.at(-1)!) : frames[0]!;
          expect(playhead).toBeLessThanOrEqual((bound.at(ms(now)) ?? 0) / 1000);
        }
      };
      for (const { kind, count, gap } of steps) {
        if (kind === "hole") end += gap;
        if (kind === "rewind" && startedAt !== undefined) {
          end = Math.max(0, end - gap);
          playhead = Math.min(playhead, end);
          frames = frames.filter((frame) => frame < end);
          bound.rewind(ms(end), ms(now));
        }
        if (kind === "send")
          for (let index = 0; index < count; index++) {
            startedAt ??= now;
            bound.sent(ms(end), ms(now));
            frames.push(end);
            lates = end + 1000 < playhead ? [...lates, now] : [];
            // A player goes back for audio that is later than it would have waited, once such audio goes on.
            if (lates.length > 25 && now - lates[0]! > 400) {
              playhead = end;
              lates = [];
            }
            end += 20;
          }
        play(gap);
      }
    }),
    { seed: 7, numRuns: 400 },
  );
});
