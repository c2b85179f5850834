import { describe, expect, test } from "vitest";
import { ProtocolError } from "../../base/index.js";
import { readCorpus } from "./corpus.js";
import { faultOf, fuzz, type Target } from "./fuzzer.js";
import { TARGETS } from "./targets.js";

describe.each(TARGETS.map((target) => [target.name, target] as const))("the decoder of %s", (name, target) => {
  test("takes every valid input and all of its corpus", async () => {
    expect(target.seeds.length).toBeGreaterThan(0);
    for (const seed of target.seeds) expect(await target.execute(seed)).toBeGreaterThanOrEqual(0);
    for (const seed of [...target.seeds, ...readCorpus(name)])
      expect(await faultOf(target, seed), Buffer.from(seed).toString("hex")).toBeUndefined();
  });

  test("keeps the contract on 2000 mutated inputs", async () => {
    const { executions, finding } = await fuzz(target, { executions: 2000, seed: 1, corpus: readCorpus(name) });
    expect(finding).toBeUndefined();
    expect(executions).toBe(2000);
  });
});

function parse(input: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(input));
  } catch (cause) {
    throw new ProtocolError("NO_JSON", "The text is not valid JSON.", { cause });
  }
}

function broken(execute: Target["execute"]): Target {
  return { name: "broken", seeds: [Uint8Array.of(1, 2, 3, 4, 5, 6)], execute };
}

describe("the fuzzer", () => {
  test("finds a decoder that throws a foreign error, and the shortest input for it", async () => {
    const target = broken((input) => {
      if (input.includes(0xff)) throw new RangeError("Offset is outside the bounds.");
      throw new ProtocolError("TRUNCATED_MESSAGE", "A message ended.");
    });
    const { finding } = await fuzz(target, { executions: 2000, seed: 1 });
    expect(finding?.what).toContain("RangeError");
    expect(finding?.input).toEqual(Uint8Array.of(0xff));
  });

  test("finds a decoder that holds what an input claims", async () => {
    const target = broken((input) => (input[0] ?? 0) * 4096);
    const { finding } = await fuzz(target, { executions: 2000, seed: 1 });
    expect(finding?.what).toContain("holds");
  });

  test("reaches what only whole JSON reaches", async () => {
    const execute = (input: Uint8Array): number => {
      const found: unknown = parse(input);
      if (found === null) throw new TypeError("Cannot read properties of null.");
      return 0;
    };
    const target = { name: "json", json: true, seeds: [new TextEncoder().encode('{"a":{"b":[1,2]}}')], execute };
    const { finding } = await fuzz(target, { executions: 20_000, seed: 1 });
    expect(new TextDecoder().decode(finding?.input)).toBe("null");
  });

  test("finds the same with the same seed", async () => {
    const target = broken(async (input) => (input.length > 12 ? Promise.reject(new TypeError("too long")) : 0));
    const run = () => fuzz(target, { executions: 2000, seed: 7 });
    const first = await run();
    expect(first.finding?.input).toHaveLength(13);
    expect(await run()).toEqual(first);
  });
});
