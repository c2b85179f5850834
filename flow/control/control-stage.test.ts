import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InputError, StateError } from "../../base/index.js";
import { ControlStage, controlMessage, type Preparation, type StagedChange } from "./control-stage.js";
import { type Knobs, type Operation, parseOperation } from "./operation.js";

const KNOBS: Knobs = { strength: 1, attenuationLimitDb: 100, gainDb: 0, bypass: false };

function start(): {
  stage: ControlStage<string>;
  /** The ends of requests so far. */
  ends: () => string[];
  changes: StagedChange<string>[];
  apply: (change: StagedChange<string>) => void;
} {
  const ended: string[] = [];
  const changes: StagedChange<string>[] = [];
  const stage = new ControlStage<string>({ knobs: KNOBS });
  const ends = () => {
    ended.push(...stage.takeEnded().map(({ requestId, outcome }) => `${requestId} ${outcome}`));
    return ended;
  };
  return { stage, ends, changes, apply: (change) => changes.push(change) };
}

const set = (requestId: string, knobs: Partial<Knobs>): Operation => ({ op: "set", requestId, knobs });
const model = (requestId: string): Operation => ({ op: "model", requestId, name: requestId });
const source = (requestId: string): Operation => ({ op: "swap_source", requestId, source: requestId });
const noise = (requestId: string): Operation => ({ op: "noise_profile", requestId, action: "set" });

describe("parseOperation", () => {
  test("parseOperation takes the operations of the spec and refuses the rest with a sentence that names the field", () => {
    const valid: [unknown, Uint8Array?][] = [
      [{ op: "set", requestId: "a", knobs: { strength: 0.5 } }],
      [{ op: "noise_profile", requestId: "a", action: "clear" }],
      [{ op: "noise_profile", requestId: "a", action: "set" }, new Uint8Array(4)],
      [{ op: "model", requestId: "a", name: "speech" }],
      [{ op: "model", requestId: "a" }, new Uint8Array(4)],
      [{ op: "swap_source", requestId: "a", source: "talk.wav" }],
      [
        { op: "write_audio", requestId: "a", at: 5, mode: "sum", format: "s16", sampleRateHz: 48_000, channels: 2 },
        new Uint8Array(8),
      ],
      [{ op: "loop_band", requestId: "a", band: { start: 0, end: 1_000_000 } }],
      [{ op: "loop_band", requestId: "a", band: null }],
      [{ op: "interrupt", requestId: "a" }],
      [{ op: "resume", requestId: "a" }],
    ];
    for (const [value, payload] of valid) expect(parseOperation(value, payload)).toEqual(value);

    const refused: [unknown, Uint8Array | undefined, RegExp][] = [
      [undefined, undefined, /^The operation must be an object, but is undefined\.$/],
      [[], undefined, /^The operation must be an object, but is an empty array\.$/],
      [{}, undefined, /^operation\.op must be one of set, noise_profile, [a-z_, ]+, resume, but is missing\.$/],
      [{ op: "reboot", requestId: "a" }, undefined, /^operation\.op must be one of set, [a-z_, ]+, but is "reboot"\.$/],
      [
        { op: "set", requestId: "", knobs: { strength: 1 } },
        undefined,
        /^operation\.requestId must not be empty, but is ""\.$/,
      ],
      [
        { op: "set", requestId: "a", knobs: { strength: 1.01 } },
        undefined,
        /^operation\.knobs\.strength must be at most 1, but is 1\.01\.$/,
      ],
      [
        { op: "set", requestId: "a", knobs: { gainDb: Number.NaN } },
        undefined,
        /^operation\.knobs\.gainDb must be a number, but is NaN\.$/,
      ],
      [{ op: "set", requestId: "a", knobs: {} }, undefined, /^knobs must hold/],
      [{ op: "set", requestId: "a", knobs: { loud: 1 } }, undefined, /^operation\.knobs has no option "loud"\.$/],
      [{ op: "interrupt", requestId: "a" }, "bytes" as never, /^The payload must be a Uint8Array, but is "bytes"\.$/],
      [{ op: "interrupt", requestId: "a" }, new Uint8Array(1), /takes no payload/],
      [{ op: "noise_profile", requestId: "a", action: "set" }, undefined, /^action must be/],
      [{ op: "model", requestId: "a" }, undefined, /^name must be given/],
      [{ op: "loop_band", requestId: "a", band: { start: 5, end: 4 } }, undefined, /^band\.end must be/],
      [
        { op: "write_audio", requestId: "a", at: 5, mode: "sum", format: "f32", sampleRateHz: 48_000, channels: 1 },
        new Uint8Array(6),
        /4-byte samples/,
      ],
    ];
    for (const [value, payload, message] of refused) {
      expect(() => parseOperation(value, payload)).toThrow(InputError);
      expect(() => parseOperation(value, payload)).toThrow(message);
    }
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(() => parseOperation(value)).toThrow(InputError);
      }),
      { seed: 6, numRuns: 500 },
    );
  });
});

describe("ControlStage", () => {
  test("a stage keeps the latest value of each field and applies all of it in one tick, nothing before", () => {
    const { stage, ends, changes, apply } = start();
    const before = stage.beforeTick(apply);
    stage.stage(set("a", { strength: 0.2, gainDb: 3 }));
    stage.stage(set("b", { strength: 0.4 }));
    expect(ends()).toEqual([]);
    stage.stage(set("c", { gainDb: 6 }));
    expect(ends()).toEqual(["a superseded"]);
    expect(stage.current).toBe(before);
    const tick = stage.beforeTick(apply);
    expect(tick).toEqual({
      knobs: { ...KNOBS, strength: 0.4, gainDb: 6 },
      band: undefined,
      controlEpoch: 1,
    });
    expect(Object.isFrozen(tick) && Object.isFrozen(tick.knobs)).toBe(true);
    expect(changes).toEqual([{ kind: "knobs", knobs: tick.knobs }]);
    expect(ends()).toEqual(["a superseded", "b applied", "c applied"]);
    expect(stage.beforeTick(apply)).toBe(tick);
    // Set to its current value: applied, without a change.
    stage.stage(set("d", { strength: 0.4 }));
    stage.beforeTick(apply);
    expect(ends().at(-1)).toBe("d applied");
    expect(changes).toHaveLength(1);
  });

  test("a stage applies in order: interrupt, source, model, finished preparations, band, knobs", () => {
    const { stage, ends, changes, apply } = start();
    stage.stage(set("knob", { strength: 0 }));
    stage.stage({ op: "loop_band", requestId: "band", band: { start: 0, end: 200_000 } });
    stage.stage(model("model"));
    stage.stage(source("source"));
    stage.stage({ op: "noise_profile", requestId: "clear", action: "clear" });
    stage.stage({ op: "interrupt", requestId: "stop" });
    const preparations = stage.takePreparations();
    expect(preparations.map(({ operation }) => operation.op).sort()).toEqual(["model", "swap_source"]);
    expect(stage.takePreparations()).toHaveLength(0);
    for (const preparation of preparations) stage.prepared(preparation, "ready");
    const tick = stage.beforeTick(apply);
    expect(changes.map(({ kind }) => kind)).toEqual(["interrupt", "source", "model", "noise_clear", "band", "knobs"]);
    expect(tick.controlEpoch).toBe(1);
    expect(tick.band).toEqual({ start: 0, end: 200_000 });
    expect(ends().sort()).toEqual(
      ["stop", "source", "model", "clear", "band", "knob"].map((requestId) => `${requestId} applied`).sort(),
    );
  });

  test("ticks continue while a model loads, and a stage drops the result of a superseded load", () => {
    const { stage, ends, changes, apply } = start();
    stage.stage(model("old"));
    const [old] = stage.takePreparations();
    stage.stage(set("knob", { strength: 0.1 }));
    expect(stage.beforeTick(apply).knobs.strength).toBe(0.1);
    stage.stage(model("new"));
    expect(ends()).toEqual(["knob applied", "old superseded"]);
    expect(stage.prepared(old!, "old model")).toBe(false);
    stage.prepareFailed(old!, "too late to matter");
    const [next] = stage.takePreparations();
    expect(stage.prepared(next!, "new model")).toBe(true);
    stage.beforeTick(apply);
    expect(changes.at(-1)).toMatchObject({ kind: "model", result: "new model" });
    stage.stage(model("broken"));
    stage.prepareFailed(stage.takePreparations()[0]!, "no such file");
    expect(ends()).toEqual(["knob applied", "old superseded", "new applied", "broken failed"]);
    expect(stage.pending).toBe(0);
  });

  test("a stage restarts a preparation when the model changed under it, five times and then no more", () => {
    const { stage, ends, changes, apply } = start();
    stage.stage(noise("noise"));
    const attempts: number[] = [];
    for (let round = 0; round < 8; round++) {
      const profile = stage.takePreparations().find(({ operation }) => operation.op === "noise_profile");
      if (profile) {
        attempts.push(profile.attempt);
        stage.prepared(profile, "profile");
      }
      stage.stage(model(`model${round}`));
      stage.prepared(stage.takePreparations()[0]!, "model");
      stage.beforeTick(apply);
    }
    expect(attempts).toEqual([0, 1, 2, 3, 4, 5]);
    expect(ends().filter((end) => end.startsWith("noise"))).toEqual(["noise failed"]);
    expect(changes.every(({ kind }) => kind === "model")).toBe(true);
    stage.stage(noise("calm"));
    stage.prepared(stage.takePreparations()[0]!, "profile");
    stage.beforeTick(apply);
    expect(changes.at(-1)).toMatchObject({ kind: "noise_profile", result: "profile" });
    expect(ends().at(-1)).toBe("calm applied");
  });

  test("a stage fails a request whose change throws and keeps the rest", () => {
    const { stage, ends } = start();
    stage.stage(model("model"));
    stage.prepared(stage.takePreparations()[0]!, "broken");
    stage.stage(set("knob", { strength: 0.3 }));
    const tick = stage.beforeTick((change) => {
      if (change.kind === "model") throw new Error("wrong input shape");
    });
    expect(ends()).toEqual(["model failed", "knob applied"]);
    expect(tick.knobs.strength).toBe(0.3);
    stage.stage(set("bad", { strength: 0.9 }));
    stage.beforeTick(() => {
      throw new Error("no");
    });
    expect(stage.current.knobs.strength).toBe(0.3);
    expect(ends().at(-1)).toBe("bad failed");
  });

  test("a stage bounds its splices, refuses a pending id, and fails pending requests when it closes", () => {
    const { stage, ends } = start();
    const splice = (requestId: string): Operation => ({
      op: "write_audio",
      requestId,
      at: 0,
      mode: "replace",
      format: "f32",
      sampleRateHz: 48_000,
      channels: 1,
    });
    for (let index = 0; index < 17; index++) stage.stage(splice(`s${index}`), new Uint8Array(4));
    expect(ends()).toEqual(["s16 failed"]);
    expect(() => stage.stage(set("s3", { strength: 0 }))).toThrow(/^requestId s3 is already waiting/);
    stage.close();
    stage.close();
    expect(ends()).toHaveLength(17);
    expect(() => stage.stage(set("x", { strength: 0 }))).toThrow(StateError);
  });

  test("every request ends exactly once, and the last value of a field wins, in any order of events", () => {
    const step = fc.record({
      kind: fc.constantFrom(
        "strength",
        "gainDb",
        "both",
        "model",
        "source",
        "noise",
        "clear",
        "band",
        "prepare",
        "tick",
      ),
      value: fc.integer({ min: 0, max: 10 }).map((value) => value / 10),
      fails: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { stage, ends, apply } = start();
        const expected = { ...KNOBS };
        const running: Preparation[] = [];
        let requests = 0;
        const next = () => `r${requests++}`;
        for (const { kind, value, fails } of steps) {
          if (kind === "strength" || kind === "both") expected.strength = value;
          if (kind === "gainDb" || kind === "both") expected.gainDb = value;
          if (kind === "strength" || kind === "gainDb") stage.stage(set(next(), { [kind]: value }));
          if (kind === "both") stage.stage(set(next(), { strength: value, gainDb: value }));
          if (kind === "model") stage.stage(model(next()));
          if (kind === "source") stage.stage(source(next()));
          if (kind === "noise") stage.stage(noise(next()));
          if (kind === "clear") stage.stage({ op: "noise_profile", requestId: next(), action: "clear" });
          if (kind === "band") stage.stage({ op: "loop_band", requestId: next(), band: null });
          running.push(...stage.takePreparations());
          if (kind === "prepare" && running.length > 0) {
            const [done] = running.splice(Math.floor(value * running.length) % running.length, 1);
            if (fails) stage.prepareFailed(done!, "broken");
            else stage.prepared(done!, "done");
          }
          if (kind === "tick") stage.beforeTick(apply);
        }
        expect(stage.beforeTick(apply).knobs).toEqual(expected);
        stage.close();
        expect(
          ends()
            .map((end) => end.split(" ")[0])
            .sort(),
        ).toEqual(Array.from({ length: requests }, (_, index) => `r${index}`).sort());
      }),
      { seed: 7, numRuns: 1000 },
    );
  });
});

describe("controlMessage", () => {
  test("a control message names the operation and its end", () => {
    const event = { outcome: "failed", op: "model", requestId: "7", controlEpoch: undefined, reason: "No." } as const;
    expect(controlMessage(event)).toEqual({ event: "model_failed", requestId: "7", reason: "No." });
  });
});
