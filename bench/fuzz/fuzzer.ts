import { UnsayError } from "../../base/index.js";
import { mutateJson } from "./mutate-json.js";

/** A decoder of outside bytes. */
export interface Target {
  readonly name: string;
  /** Valid inputs that mutation begins with. */
  readonly seeds: readonly Uint8Array[];
  /** Decodes; answers how many bytes the decoded arrays hold, 0 where there are none. May throw an `UnsayError`. */
  readonly execute: (input: Uint8Array) => number | Promise<number>;
  /** Whether inputs are JSON, half of whose mutations then leave it JSON. */
  readonly json?: boolean;
}

/** An input that breaks the contract. */
export interface Finding {
  readonly what: string;
  readonly input: Uint8Array;
}

/** Longest that one input may take, in milliseconds of processor time: a busy machine holds up any run. */
const MAX_MS = 50;
/** Bytes that decoded arrays may hold: for each byte of input, and beside. */
const HELD_PER_BYTE = 4;
const HELD_BESIDE = 1024;
const MAX_INPUT_BYTES = 4096;
const MAX_POOL = 256;
/** Bytes at which fields change their size or their meaning. */
const LARGEST = new Uint8Array(8).fill(0xff);
const EDGES = [0x00, 0x01, 0x3f, 0x40, 0x7f, 0x80, 0xbf, 0xc0, 0xfe, 0xff];

/** A generator of whole numbers below a bound; the same seed gives the same numbers (mulberry32). */
export function seeded(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** Changes an input in one to four places. */
export function mutate(input: Uint8Array, other: Uint8Array, random: (below: number) => number): Uint8Array {
  let bytes: Uint8Array = input.slice();
  for (let count = 1 + random(4); count > 0; count--) bytes = mutateOnce(bytes, other, random);
  return bytes.subarray(0, MAX_INPUT_BYTES);
}

function mutateOnce(bytes: Uint8Array, other: Uint8Array, random: (below: number) => number): Uint8Array {
  const at = random(bytes.length + 1);
  switch (random(6)) {
    case 0:
      if (at < bytes.length) bytes[at] = bytes[at]! ^ (1 << random(8));
      return bytes;
    case 1:
      if (at < bytes.length) bytes[at] = EDGES[random(EDGES.length)]!;
      return bytes;
    case 2:
      return bytes.slice(0, at);
    case 3:
      return joined(bytes.subarray(0, at), bytes.subarray(Math.min(bytes.length, at + 1 + random(8))));
    case 4: {
      // As often as anything else, the largest number or length that a field of eight bytes can have.
      const filler = random(2) === 0 ? LARGEST : Uint8Array.from({ length: 1 + random(8) }, () => random(256));
      return joined(bytes.subarray(0, at), filler, bytes.subarray(at));
    }
    default:
      return joined(bytes.subarray(0, at), other.subarray(random(other.length + 1)));
  }
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** The fault of a target with an input; undefined without one. */
export async function faultOf({ execute }: Target, input: Uint8Array): Promise<string | undefined> {
  // The collector or the compiler may fall into any one run, but not into the same input's three times.
  for (let attempt = 0; attempt < 3; attempt++) {
    const before = process.cpuUsage();
    try {
      const result = execute(input);
      const held = typeof result === "number" ? result : await result;
      if (held > input.length * HELD_PER_BYTE + HELD_BESIDE) return `holds ${held} bytes for ${input.length}`;
    } catch (error) {
      if (!(error instanceof UnsayError) || error.code === "") return `throws ${String(error)}`;
    }
    const { user, system } = process.cpuUsage(before);
    if (user + system <= MAX_MS * 1000) return undefined;
  }
  return `takes more than ${MAX_MS} ms`;
}

/** The shortest input found, by leaving out parts, that still breaks the contract. */
async function minimise(target: Target, input: Uint8Array): Promise<Uint8Array> {
  let smallest = input;
  for (let size = Math.ceil(input.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < smallest.length; ) {
      const shorter = joined(smallest.subarray(0, at), smallest.subarray(at + size));
      if ((await faultOf(target, shorter)) === undefined) at += size;
      else smallest = shorter;
    }
  }
  return smallest;
}

/** Options of {@link fuzz}. */
export interface FuzzOptions {
  readonly executions: number;
  readonly seed: number;
  readonly corpus?: readonly Uint8Array[];
  /** Called now and then with how many executions are done. */
  readonly onProgress?: (done: number) => void;
}

/** Runs a target on mutated inputs until one breaks the contract, which is minimised, or all are done. */
export async function fuzz(
  target: Target,
  { executions, seed, corpus = [], onProgress = () => {} }: FuzzOptions,
): Promise<{ readonly executions: number; readonly finding: Finding | undefined }> {
  const random = seeded(seed);
  const pool = [...target.seeds, ...corpus];
  const kept = pool.length;
  for (let done = 0; done < executions; done++) {
    const from = pool[random(pool.length)]!;
    const changed = target.json && random(2) === 0 ? mutateJson(from, random) : undefined;
    const input = changed ?? mutate(from, pool[random(pool.length)]!, random);
    if ((await faultOf(target, input)) !== undefined) {
      const smallest = await minimise(target, input);
      const what = (await faultOf(target, smallest)) ?? "is not the same every time";
      return { executions: done + 1, finding: { what, input: smallest } };
    }
    // Mutants of mutants reach further; what mutation began with stays.
    if (random(16) === 0) pool[pool.length < MAX_POOL ? pool.length : kept + random(MAX_POOL - kept)] = input;
    if (done % 4096 === 0) onProgress(done);
  }
  return { executions, finding: undefined };
}
