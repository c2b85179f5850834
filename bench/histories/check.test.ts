import { expect, test } from "vitest";
import { check } from "./check.js";
import type { Event, History, Speech, Weather } from "./history.js";
import type { Interrupted } from "./processes/publisher.js";
import { RATE, signal } from "./signal.js";
import type { Deed, Fault, Recording, Run } from "./stage.js";

const MS = 1000;
const perMs = RATE / 1000;
const start = 5_000_000;

interface Played {
  readonly utterance: number;
  readonly from: number;
  readonly to: number;
  /** Milliseconds from the start of the run. */
  readonly at: number;
  readonly gain?: number;
}

function speech(utterance: number, lengthMs: number): Speech {
  return { utterance, lengthMs, pace: Infinity, chunkMs: 20, firstAfterMs: 0 };
}

/** A recording of 25 s that began 5 s before the run. */
function recording(...played: Played[]): Recording {
  const samples = new Float32Array(25_000 * perMs);
  for (const { utterance, from, to, at, gain = 1 } of played) {
    const source = signal(utterance, 10 * RATE).subarray(from * perMs, to * perMs);
    samples.set(
      source.map((sample) => sample * gain),
      Math.round((5000 + at) * perMs),
    );
  }
  const turns = Array.from({ length: 2500 }, (_, turn) => [(turn + 1) * 10 * MS, (turn + 1) * 10 * perMs]);
  const life = { from: 0, until: 25_000 * MS };
  return {
    listener: 0,
    carrier: "quic",
    at: "relay",
    life,
    samples,
    index: Float64Array.from(turns.flat()),
    claims: [{ at: 100 * MS, playing: false, state: "ready", underruns: 0 }],
    flushes: [],
    record: [],
  };
}

function say(at: number, utterance: number, lengthMs: number): Deed {
  return deed(at, { do: "say", speech: speech(utterance, lengthMs) });
}

function deed(at: number, what: object): Deed {
  return { at: start + at * MS, answeredAt: start + (at + 20) * MS, life: 1, ...what } as Deed;
}

function interrupt(at: number, answer: Interrupted = { heardUntilUs: 0, rewound: true, toUs: 0, listeners: [] }): Deed {
  return deed(at, { do: "interrupt", answer });
}

function run(one: Partial<Run> & Pick<Run, "deeds" | "recordings">): Run {
  const history: History = { seed: 1, lengthMs: 8000, frameMs: 20, events: [] };
  const says = one.deeds.flatMap((each) => (each.do === "say" ? [each.speech.utterance] : []));
  const outcomes = Object.fromEntries(says.map((utterance) => [utterance, ["finished" as const]]));
  return {
    history,
    startedAt: start,
    faults: [],
    outcomes,
    calmAt: start + 14_000 * MS,
    probes: [],
    deaths: [],
    health: {},
    ...one,
  };
}

const promises = (one: Parameters<typeof run>[0]) => check(run(one)).map(({ promise }) => promise);

test("a run in which everything is heard as it was said breaks no promise", () => {
  const deeds = [say(0, 1, 1000), say(2000, 2, 3000), interrupt(3000), deed(3400, { do: "resume", answer: true })];
  const heard = [
    { utterance: 1, from: 0, to: 1000, at: 100 },
    { utterance: 2, from: 0, to: 950, at: 2080 },
    { utterance: 2, from: 950, to: 3000, at: 3500 },
  ];
  expect(check(run({ deeds, recordings: [recording(...heard)] }))).toEqual([]);
});

test("a missing start, a missing end, a hole and a repeat are found, and are forgiven beside a fault", () => {
  const deeds = [say(0, 1, 1000)];
  const faulty: Played[][] = [
    [{ utterance: 1, from: 40, to: 1000, at: 100 }],
    [{ utterance: 1, from: 0, to: 960, at: 100 }],
    [
      { utterance: 1, from: 0, to: 500, at: 100 },
      { utterance: 1, from: 540, to: 1000, at: 640 },
    ],
    [
      { utterance: 1, from: 0, to: 500, at: 100 },
      { utterance: 1, from: 420, to: 1000, at: 640 },
    ],
    [],
  ];
  const event: Event = { atMs: 0, do: "kill", role: "relay", forMs: 100 };
  const fault: Fault = { role: "relay", kind: "kill", event, from: start, until: start + 100 * MS };
  for (const heard of faulty) {
    expect(promises({ deeds, recordings: [recording(...heard)] })).toEqual(["whole"]);
    expect(promises({ deeds, recordings: [recording(...heard)], faults: [fault] })).toEqual([]);
  }
});

test("edges of many pauses add up to no repeat, and what each pause repeats beyond its edges does", () => {
  const broken = (again: number, silent: number) =>
    Array.from({ length: 6 }, (_, n) => ({
      utterance: 1,
      from: Math.max(0, n * 55 - again),
      to: (n + 1) * 55,
      at: 100 + n * (55 + again + silent),
    }));
  const repeats = (again: number, silent: number) =>
    promises({ deeds: [say(0, 1, 330)], recordings: [recording(...broken(again, silent))] });
  expect([repeats(8, 200), repeats(25, 200), repeats(15, 0)]).toEqual([[], ["whole"], ["whole"]]);
});

test("breaks of 3 ms repeat nothing, however their edges are heard", () => {
  const utterances = [4, 8, 12];
  const heard = utterances.flatMap((utterance, n) =>
    [0, 388, 488, 998, 1090].map((from, part, starts) => {
      return { utterance, from, to: starts[part + 1] ?? 1200, at: 100 + n * 1400 + from + 3.3 * part };
    }),
  );
  const deeds = utterances.map((utterance, n) => say(n * 1400, utterance, 1200));
  expect(check(run({ deeds, recordings: [recording(...heard)] }))).toEqual([]);
});

test("a listener ahead of the earliest one may hear again what that one missed, and no more", () => {
  const heard: Played[] = [
    { utterance: 1, from: 0, to: 980, at: 100 },
    { utterance: 1, from: 870, to: 1500, at: 1500 },
  ];
  const repeats = (earliest: number) => {
    const listeners = [980_000, earliest].map((heardUntilUs) => ({ heardUntilUs, measured: true }));
    const cut = interrupt(1080, { heardUntilUs: earliest, rewound: true, toUs: earliest, listeners });
    const deeds = [say(0, 1, 1500), cut, deed(1400, { do: "resume", answer: true })];
    return promises({ deeds, recordings: [recording(...heard)] });
  };
  expect([repeats(870_000), repeats(980_000)]).toEqual([[], ["whole"]]);
});

test("audio that was heard after an interrupt had taken it back is stale, unless it was resumed", () => {
  const recordings = [recording({ utterance: 1, from: 0, to: 1500, at: 80 })];
  expect(promises({ deeds: [say(0, 1, 3000), interrupt(1000)], recordings })).toContain("stale");
  const resumed = [say(0, 1, 1500), interrupt(1000), deed(1010, { do: "resume", answer: true })];
  expect(promises({ deeds: resumed, recordings })).toEqual([]);
});

test("steps at another level than the source's are found, and a gain in force is not one", () => {
  const quiet = recording(
    { utterance: 1, from: 0, to: 500, at: 100 },
    { utterance: 1, from: 500, to: 540, at: 600, gain: 0.5 },
    { utterance: 1, from: 540, to: 1000, at: 640 },
  );
  expect(promises({ deeds: [say(0, 1, 1000)], recordings: [quiet] })).toEqual(["level"]);
  const gained = recording({ utterance: 1, from: 0, to: 1000, at: 100, gain: 0.5 });
  expect(promises({ deeds: [say(0, 1, 1000)], recordings: [gained] })).toEqual(["level"]);
  expect(promises({ deeds: [deed(-500, { do: "gain", db: -6 }), say(0, 1, 1000)], recordings: [gained] })).toEqual([]);
  const seam = (ms: number) =>
    recording(
      { utterance: 1, from: 0, to: 500, at: 100 },
      { utterance: 1, from: 500, to: 500 + ms, at: 600, gain: 0.4 },
      { utterance: 1, from: 500 + ms, to: 1000, at: 600 + ms },
    );
  const turned = [say(0, 1, 1000), deed(400, { do: "gain", db: 0 })];
  expect(promises({ deeds: turned, recordings: [seam(10)] })).toEqual([]);
  expect(promises({ deeds: turned, recordings: [seam(30)] })).toEqual(["level"]);
});

test("audio may be missing where packets are lost, or overtake each other on a long path", () => {
  const through = (weather: Partial<Weather>) => {
    const event: Event = {
      atMs: 0,
      do: "weather",
      role: "publisher",
      weather: { delayMs: 0, jitterMs: 30, reorder: false, loss: 0, ...weather },
      forMs: 3000,
    };
    const faults: Fault[] = [{ event, kind: "weather", role: "publisher", from: start, until: start + 3000 * MS }];
    const pieces = [
      { utterance: 1, from: 0, to: 400, at: 50 },
      { utterance: 1, from: 560, to: 1000, at: 610 },
    ];
    return promises({ deeds: [say(0, 1, 1000)], recordings: [recording(...pieces)], faults });
  };
  expect(through({ loss: 0.05 })).toEqual([]);
  expect(through({ delayMs: 150, reorder: true })).toEqual([]);
  expect(through({ delayMs: 150 })).toEqual(["whole"]);
  expect(through({ reorder: true })).toEqual(["whole"]);
});

test("a wrong position, a lost or doubled end, an untrue state and a dead process are found", () => {
  const heard = { utterance: 1, from: 0, to: 980, at: 50 };
  const flushes = [{ at: start + 1010 * MS, playedUntilUs: 980_000 }];
  const position = (heardUntilUs: number, toUs: number) => {
    const answer = { heardUntilUs, rewound: true, toUs, listeners: [{ heardUntilUs, measured: true }] };
    const deeds = [say(0, 1, 3000), interrupt(1000, answer)];
    return promises({ deeds, recordings: [{ ...recording(heard), flushes }] });
  };
  expect(position(940_000, 900_000)).toEqual(["position"]);
  expect(position(1_020_000, 900_000)).toEqual(["position"]);
  // The speaker had not reached the cut, and plays on until there.
  expect(position(1_020_000, 1_020_000)).toEqual([]);
  // A flush before it that no interrupt asked for, such as a knob's, excuses nothing.
  flushes.unshift({ at: start + 990 * MS, playedUntilUs: 975_000 });
  expect(position(940_000, 900_000)).toEqual(["position"]);
  const whole = recording({ utterance: 1, from: 0, to: 1000, at: 50 });
  const one = { deeds: [say(0, 1, 1000)], recordings: [whole] };
  expect(promises({ ...one, outcomes: { 1: [] } })).toEqual(["end"]);
  expect(promises({ ...one, outcomes: { 1: ["finished", "finished"] } })).toEqual(["end"]);
  const claims = Array.from({ length: 60 }, (_, n) => ({
    at: start + n * 100 * MS,
    playing: true,
    state: "playing",
    underruns: 0,
  }));
  expect(promises({ ...one, recordings: [{ ...whole, claims }] })).toEqual(["truth"]);
  expect(promises({ ...one, deaths: ["relay ended by itself: 1"] })).toEqual(["alive"]);
});

test("an interrupt during another one shares its cut, and a wrong position is found in both", () => {
  const positions = (heardUntilUs: number, answeredAt: number) => {
    const listeners = [heardUntilUs, 1_010_000].map((heard) => ({ heardUntilUs: heard, measured: true }));
    const answer = { heardUntilUs, rewound: true, toUs: 880_000, listeners };
    const cut = { ...interrupt(1000, answer), answeredAt: start + answeredAt * MS };
    const again = { ...interrupt(1060, answer), answeredAt: start + 1300 * MS };
    const near = recording({ utterance: 1, from: 0, to: 940, at: 65 });
    const far = recording({ utterance: 1, from: 0, to: 1010, at: 140 });
    const recordings = [
      { ...near, flushes: [{ at: start + 1006 * MS, playedUntilUs: 940_000 }] },
      { ...far, listener: 1, flushes: [{ at: start + 1150 * MS, playedUntilUs: 1_010_000 }] },
    ];
    return promises({ deeds: [say(0, 1, 3000), cut, again], recordings }).filter((promise) => promise === "position");
  };
  expect(positions(940_000, 1300)).toEqual([]);
  expect(positions(900_000, 1300)).toEqual(["position", "position"]);
  // After the first answer, the second interrupt has a cut of its own.
  expect(positions(940_000, 1050)).toEqual(["position"]);
});

test("a second interrupt before anything new was played is reported from the first one's cut on, and no lower", () => {
  const positions = (heardUntilUs: number, { firstCutUs = 3_771_000, firstFlushUs = 3_802_000 } = {}) => {
    const answer = (reportedUs: number, toUs: number) => {
      return {
        heardUntilUs: reportedUs,
        rewound: true,
        toUs,
        listeners: [{ heardUntilUs: reportedUs, measured: true }],
      };
    };
    const first = interrupt(4000, answer(firstFlushUs, firstCutUs));
    const second = interrupt(4057, answer(heardUntilUs, 3_840_000));
    const flushes = [
      { at: start + 4010 * MS, playedUntilUs: firstFlushUs },
      { at: start + 4067 * MS, playedUntilUs: 3_802_000 },
    ];
    return promises({ deeds: [first, second], recordings: [{ ...recording(), flushes }] });
  };
  expect(positions(3_771_000)).toEqual([]);
  expect(positions(3_802_000)).toEqual([]);
  expect(positions(3_740_000)).toEqual(["position"]);
  // The speaker had not reached the first cut.
  expect(positions(3_771_000, { firstCutUs: 3_810_000 })).toEqual(["position"]);
  // Something was played between the two.
  expect(positions(3_771_000, { firstFlushUs: 3_780_000 })).toEqual(["position"]);
});

test("a listener that stays behind or silent after the last fault is found", () => {
  const deeds = [say(9000, 1, 1000)];
  const one = { deeds, probes: [1], calmAt: start + 5000 * MS };
  expect(promises({ ...one, recordings: [recording()] })).toEqual(["back"]);
  expect(promises({ ...one, recordings: [recording({ utterance: 1, from: 0, to: 1000, at: 11_000 })] })).toEqual([
    "back",
  ]);
  expect(promises({ ...one, recordings: [recording({ utterance: 1, from: 0, to: 1000, at: 9100 })] })).toEqual([]);
});
