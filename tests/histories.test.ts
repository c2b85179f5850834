import { describe, expect, test } from "vitest";
import type { Violation } from "../bench/histories/check.js";
import type { Event, History } from "../bench/histories/history.js";
import type { HistoryCalls } from "../bench/histories/processes/history.js";
import { startRemote } from "../bench/support/remote.js";

/** Plays a history in a process of its own, with one more for each role. */
async function play(history: History): Promise<Violation[]> {
  const file = new URL("../bench/histories/processes/history.ts", import.meta.url);
  const process = await startRemote<HistoryCalls>(file);
  try {
    return await process.calls.run(history);
  } finally {
    process.end();
  }
}

function history(seed: number, ...events: readonly Event[]): History {
  const lengthMs = Math.max(...events.map(({ atMs }) => atMs)) + 2500;
  return { seed, lengthMs, frameMs: 20, events: [...events].sort((a, b) => a.atMs - b.atMs) };
}

const joins: readonly Event[] = [
  { atMs: 0, do: "join", listener: 0, carrier: "quic", at: "relay" },
  { atMs: 0, do: "join", listener: 1, carrier: "qmux", at: "relay" },
];

function say(atMs: number, utterance: number, lengthMs: number, pace = Infinity): Event {
  return { atMs, do: "say", speech: { utterance, lengthMs, pace, chunkMs: 100, firstAfterMs: 0 } };
}

// `npm run histories` draws such histories by the hundred; these three are short and always the same.
describe("what every listener hears, with a process for each role", () => {
  test("a slow source, an interrupt, a false alarm and a knob leave every reply whole and at its level", {
    timeout: 60_000,
  }, async () => {
    const events: Event[] = [
      say(4000, 0, 900, 0.9),
      say(6000, 1, 2000),
      { atMs: 6600, do: "interrupt" },
      { atMs: 6900, do: "resume" },
      { atMs: 7500, do: "gain", db: -3 },
    ];
    expect(await play(history(1, ...joins, ...events))).toEqual([]);
  });

  test("a relay that is killed and a listener that stands still are back for the next reply", {
    timeout: 60_000,
  }, async () => {
    const events: Event[] = [
      say(4000, 0, 3000),
      { atMs: 4600, do: "kill", role: "relay", forMs: 300 },
      { atMs: 4600, do: "stop", role: "listener-1", forMs: 1500 },
    ];
    expect(await play(history(2, ...joins, ...events))).toEqual([]);
  });

  test("packets out of order and a rival publisher that leaves again cost no reply that follows", {
    timeout: 60_000,
  }, async () => {
    const weather = { delayMs: 30, jitterMs: 8, reorder: true, loss: 0 };
    const events: Event[] = [
      { atMs: 3500, do: "weather", role: "listener-0", weather, forMs: 2000 },
      say(4000, 0, 800),
      { atMs: 5600, do: "rival", role: "publisher", leaves: "closes", forMs: 800 },
    ];
    expect(await play(history(3, ...joins, ...events))).toEqual([]);
  });
});
