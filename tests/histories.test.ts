import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import type { Violation } from "../bench/histories/check.js";
import type { Event, History } from "../bench/histories/history.js";
import type { HistoryCalls } from "../bench/histories/processes/history.js";
import { startRemote } from "../bench/support/remote.js";
import { compiledPath } from "./support/compile.js";

/** Plays a history in a process of its own, with one more for each role. */
async function play(history: History): Promise<readonly Violation[]> {
  const file = pathToFileURL(compiledPath("bench/histories/processes/history.ts"));
  const process = await startRemote<HistoryCalls>(file);
  try {
    return (await process.calls.run(history)).violations;
  } finally {
    process.end();
  }
}

function history(seed: number, ...events: readonly Event[]): History {
  const lengthMs = Math.max(...events.map(({ atMs }) => atMs)) + 500;
  return { seed, lengthMs, frameMs: 20, events: [...events].sort((a, b) => a.atMs - b.atMs) };
}

const joins: readonly Event[] = [
  { atMs: 0, do: "join", listener: 0, carrier: "quic", at: "relay" },
  { atMs: 0, do: "join", listener: 1, carrier: "qmux", at: "relay" },
];

function say(atMs: number, utterance: number, lengthMs: number, pace = Infinity): Event {
  return { atMs, do: "say", speech: { utterance, lengthMs, pace, chunkMs: 100, firstAfterMs: 0 } };
}

// `npm run histories` draws such histories by the hundred; this one is short and always the same.
test("two listeners hear every reply whole and at its level through a slow source, an interrupt, a false alarm and a knob", async () => {
  const events: Event[] = [
    say(500, 0, 900, 0.9),
    say(2000, 1, 1500),
    { atMs: 2500, do: "interrupt" },
    { atMs: 2800, do: "resume" },
    { atMs: 3200, do: "gain", db: -3 },
  ];
  expect(await play(history(1, ...joins, ...events))).toEqual([]);
});
