import { expect, test } from "vitest";
import { Inbox } from "./inbox.js";
import { sleep } from "./time.js";

test("an inbox returns the values of several writers in order, then ends", async () => {
  const inbox = new Inbox<number | undefined>();
  inbox.push(1);
  const read: (number | undefined)[] = [];
  const reading = (async () => {
    for await (const item of inbox) read.push(item);
  })();
  await sleep(0);
  inbox.push(undefined);
  inbox.push(2);
  inbox.end();
  inbox.push(3);
  await reading;
  expect(read).toEqual([1, undefined, 2]);
});

test("an inbox with a bound drops and counts its oldest values, and throws the error that ended it", async () => {
  const inbox = new Inbox<number>({ most: 2 });
  for (const each of [1, 2, 3, 4]) inbox.push(each);
  inbox.end(new Error("over"));
  inbox.end();
  const read: number[] = [];
  await expect(
    (async () => {
      for await (const item of inbox) read.push(item);
    })(),
  ).rejects.toThrow("over");
  expect([read, inbox.dropped]).toEqual([[3, 4], 2]);
});

test("a sleep ends with its time or with its signal, and never rejects", async () => {
  await sleep(1);
  await sleep(1, new AbortController().signal);
  await sleep(60_000, AbortSignal.abort());
  const stop = new AbortController();
  const sleeping = sleep(60_000, stop.signal);
  stop.abort(new Error("over"));
  expect(await sleeping).toBeUndefined();
});
