import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { openSource, Publisher } from "../publisher/index.js";
import { Relay } from "../relay/index.js";
import { Listener } from "../watch/index.js";
import { PATIENT, sleep, until } from "./support/stage.js";

const LENGTH = 48_000;
/** A reply in which every sample says where it is, so that what is heard twice is found. */
const REPLY = Float32Array.from({ length: LENGTH }, (_, i) => 0.1 + (0.8 * i) / LENGTH);

const relay = new Relay({ host: "127.0.0.1", port: 0 });
let publisher: Publisher;
let listener: Listener;
let played: number[] = [];

beforeAll(async () => {
  const { port } = await relay.listen();
  const url = `http://127.0.0.1:${port}`;
  publisher = new Publisher({ url, broadcast: "repeats", codec: "pcm" }, PATIENT);
  const write = ([samples]: readonly Float32Array[]) => {
    for (const sample of samples!) played.push(sample);
  };
  listener = new Listener({ url, broadcast: "repeats", sink: { write, close: async () => {} } });
  listener.closed.catch(() => {});
  // Reports begin with the first frame.
  while (publisher.stats().listeners === 0)
    await publisher.say(await openSource({ samples: new Float32Array(9600).fill(0.05) })).done;
});

afterAll(async () => {
  await listener.close();
  await publisher.close();
  await relay.close();
});

beforeEach(() => {
  played = [];
});

/** Milliseconds of the reply that were heard again after what follows them. */
function repeatedMs(): number {
  const places = played.map((value) => (value < 0.099 ? undefined : ((value - 0.1) / 0.8) * LENGTH));
  // A stretch of the reply is 5 ms or more in which one sample follows the other: what fades is no stretch.
  const stretches: { from: number; to: number; frames: number }[] = [];
  for (const place of places) {
    const last = stretches.at(-1);
    if (place === undefined) stretches.push({ from: Number.NaN, to: Number.NaN, frames: 0 });
    else if (last !== undefined && Math.abs(place - last.to - 1) < 12) {
      last.to = place;
      last.frames++;
    } else stretches.push({ from: place, to: place, frames: 1 });
  }
  const heard = stretches.filter(({ frames }) => frames > 240);
  expect(heard.length).toBeGreaterThan(0);
  let repeated = 0;
  let furthest = 0;
  for (const { from, to } of heard) {
    repeated += Math.max(0, Math.min(furthest, to) - from);
    furthest = Math.max(furthest, to);
  }
  expect(furthest).toBeGreaterThan(0.95 * LENGTH);
  return repeated / 48;
}

async function heardToTheEnd(): Promise<void> {
  await publisher.drained();
  await expect.poll(() => played.some((value) => value > 0.88)).toBe(true);
}

test("a resume repeats nothing, whether it comes at once or after the reports", async () => {
  const interrupt = async () => {
    played = [];
    publisher.say(await openSource({ samples: REPLY }));
    await until("the reply plays", () => played.some((value) => value > 0.3));
    return { interruption: publisher.interrupt() };
  };
  const repeatedByResume = async () => {
    expect(publisher.resume()).toBeDefined();
    await heardToTheEnd();
    return repeatedMs();
  };
  await interrupt();
  expect(await repeatedByResume()).toBeLessThan(20);
  const { interruption } = await interrupt();
  expect((await interruption).perListener).toMatchObject([{ measured: true }]);
  expect(await repeatedByResume()).toBeLessThan(20);
});

test("the listener itself confirms an interrupt in the first or last moments of a reply", async () => {
  for (const afterMs of [0, 10, 20]) {
    const { rewinds, sequence } = publisher.stats();
    const { done } = publisher.say(await openSource({ samples: REPLY }));
    // Its first frame has gone: of a reply that was never sent there is nothing to report.
    await expect.poll(() => publisher.stats().sequence, { interval: 1 }).toBeGreaterThan(sequence);
    await sleep(afterMs);
    const { perListener, heardUntil, to } = await publisher.interrupt();
    expect(publisher.stats().rewinds).toBe(rewinds + 1);
    expect(perListener).toMatchObject([{ measured: true }]);
    expect(heardUntil - to).toBeLessThan(200_000);
    expect(await done).toMatchObject({ outcome: "interrupted", measured: true });
  }
  const { sequence } = publisher.stats();
  publisher.say(await openSource({ samples: REPLY.subarray(0, 9600) }));
  // Within the last packet: the cut lies behind its start, so that nothing of it is stale.
  await expect
    .poll(() => publisher.stats().sequence > sequence + 5 && publisher.stats().leadMs < 20, { interval: 1 })
    .toBe(true);
  const { perListener, rewound } = await publisher.interrupt();
  expect(perListener).toMatchObject([{ measured: rewound }]);
});
