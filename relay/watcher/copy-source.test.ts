import { expect, test } from "vitest";
import { fromMilliseconds, microseconds } from "../../base/index.js";
import { CachedGroup } from "../broadcast/cached-group.js";
import { CopySource } from "./copy-source.js";
import type { WatchedTrack } from "./watched-track.js";

const group = (sequence: number) => new CachedGroup(sequence, microseconds(0));

/** A track of a bit rate with a lower rendition, which never comes unless a test hands it over. */
function track(bitrateBps: number, { followed = [] as string[], live = false } = {}): WatchedTrack {
  return {
    singleFrames: true,
    live,
    bitrateBps,
    after: () => [],
    followLow: () => {
      followed.push("follow");
      return { bitrateBps: 12_000, leave: () => followed.push("leave") };
    },
  };
}

test("a group is copied small, twice, once the lower rendition comes, and whole, once, until then", () => {
  const source = new CopySource({ track: track(64_000), anyRate: false });
  const [full, low] = [group(7), group(7)];
  source.follow();
  expect(source.delays).toEqual([fromMilliseconds(100)]);
  expect(source.of(full)).toBe(full);
  source.takeLow(low);
  expect(source.delays).toEqual([fromMilliseconds(20), fromMilliseconds(200)]);
  expect(source.of(full)).toBe(low);
  source.lowEnded();
  expect(source.delays).toEqual([fromMilliseconds(100)]);
  expect(source.of(full)).toBe(full);
});

test("copies of live audio follow while a player with a delay of 80 ms can still play them", () => {
  const source = new CopySource({ track: track(64_000, { live: true }), anyRate: false });
  expect(source.delays).toEqual([fromMilliseconds(40)]);
  source.takeLow(group(7));
  expect(source.delays).toEqual([fromMilliseconds(20), fromMilliseconds(60)]);
});

test("a group of a fast track is copied small or not at all, unless any rate is wanted", () => {
  const source = new CopySource({ track: track(256_000), anyRate: false });
  expect([source.delays, source.of(group(1))]).toEqual([[], undefined]);
  const always = new CopySource({ track: track(256_000), anyRate: true });
  expect(always.delays).toEqual([fromMilliseconds(100)]);
});

test("the lower rendition is followed once, left once, and held for its newest 256 groups", () => {
  const followed: string[] = [];
  const source = new CopySource({ track: track(256_000, { followed }), anyRate: false });
  source.follow();
  source.follow();
  for (let sequence = 0; sequence < 258; sequence++) source.takeLow(group(sequence));
  expect([1, 2, 257].map((sequence) => source.of(group(sequence))?.sequence)).toEqual([undefined, 2, 257]);
  source.leave();
  source.leave();
  expect(followed).toEqual(["follow", "leave"]);
});
