import type * as Moq from "@kixelated/moq";
import { expect, test } from "vitest";
import { fromMilliseconds } from "../../base/index.js";
import { BroadcastFinder } from "./broadcast-finder.js";

const OURS = "stage.hang";
const BARE = "stage";

/** A finder of the broadcast `stage`, the paths that are published, and the time. */
function finder() {
  const published = new Map<string, object>();
  let ms = 0;
  const connection = {
    announcedBroadcast: (path: string) => ({
      path,
      active: { peek: () => published.get(path), changed: () => () => {} },
      close: () => {},
    }),
  };
  const found = new BroadcastFinder(connection as unknown as Moq.Connection.Established, "stage", () =>
    fromMilliseconds(ms),
  );
  return {
    path: () => found.found?.path,
    publish: (path: string) => published.set(path, {}),
    leave: (path: string) => published.delete(path),
    wait: (by: number) => {
      ms += by;
    },
  };
}

test("of two paths that were published before, ours is found, in whichever order the answers arrive", () => {
  for (const order of [
    [OURS, BARE],
    [BARE, OURS],
  ]) {
    const { path, publish, wait } = finder();
    publish(order[0]!);
    expect(path()).toBe(order[0]);
    wait(80);
    publish(order[1]!);
    expect(path()).toBe(OURS);
    wait(10_000);
    expect(path()).toBe(OURS);
  }
});

test("a broadcast that plays goes on while another path comes up, and until it is gone", () => {
  const { path, publish, leave, wait } = finder();
  publish(BARE);
  expect(path()).toBe(BARE);
  wait(600);
  publish(OURS);
  expect(path()).toBe(BARE);
  leave(BARE);
  expect(path()).toBe(OURS);
  publish(BARE);
  expect(path()).toBe(OURS);
});
