import { fork } from "node:child_process";
import { once } from "node:events";
import { type Microseconds, microseconds, monotonicClock } from "../../base/index.js";
import type { Link } from "../../tests/support/impairment.js";
import type { ListenerStats } from "../../watch/index.js";
import type { Flush, Heard } from "./record.js";

/** What to listen to, and through what. */
export interface FarLane {
  readonly lane: number;
  readonly port: number;
  /** In hex. */
  readonly certificateHash: string;
  readonly broadcast: string;
  readonly link: Link;
  readonly seed: number;
}

/** What a listener made of an interrupt. */
export interface Outcome {
  readonly before: ListenerStats;
  readonly flush: Flush;
  readonly heard: Heard;
  readonly after: ListenerStats;
}

/** What the listening process can be asked; times are {@link sharedClock}'s. */
export interface FarEndCalls {
  /** Opens a lane. */
  open(options: FarLane): Promise<void>;
  /** Its listener's numbers. */
  stats(lane: number): ListenerStats;
  /** Looks out for a flush from now on. */
  arm(lane: number): void;
  /** What was heard since, once the new speech is heard. */
  outcome(
    lane: number,
    asked: { calledAt: number; epoch: number | undefined; reply: Microseconds },
  ): Outcome | undefined;
  /** When a media time was heard. */
  reached(lane: number, time: Microseconds): number | undefined;
  /** Ends a lane. */
  close(lane: number): Promise<void>;
}

/** A call on its way. */
export interface Call {
  readonly id: number;
  readonly name: keyof FarEndCalls;
  readonly parameters: readonly unknown[];
}

/** What came of a call. */
export interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

/** A clock that all processes of this machine share, in microseconds. */
export function sharedClock(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

/** Turns a time of this process's monotonic clock into one of the shared clock, or back with `back`. */
export function shared(time: number, back = false): number {
  const offset = sharedClock() - monotonicClock();
  return microseconds(back ? time - offset : time + offset);
}

type Asynchronous<T> = {
  [K in keyof T]: T[K] extends (...parameters: infer P) => infer R ? (...parameters: P) => Promise<Awaited<R>> : never;
};

/** The process with the listeners and the links to them, so that neither end waits for the other's work. */
export type FarEnd = Asynchronous<FarEndCalls> & {
  /** Ends the process. */
  end(): void;
};

/** Starts it. */
export async function startFarEnd(): Promise<FarEnd> {
  const child = fork(new URL("./far-end-process.ts", import.meta.url), {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
    serialization: "advanced",
  });
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  let nextId = 0;
  child.on("message", ({ id, value, error }: Answer) => {
    const caller = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) caller?.resolve(value);
    else caller?.reject(new Error(error));
  });
  child.on("exit", () => {
    for (const { reject } of waiting.values()) reject(new Error("The process with the listeners has ended."));
    waiting.clear();
  });
  await once(child, "spawn");
  const call = (name: keyof FarEndCalls, parameters: readonly unknown[]): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const id = nextId++;
      waiting.set(id, { resolve, reject });
      child.send({ id, name, parameters } satisfies Call);
    });
  return {
    open: async (options) => void (await call("open", [options])),
    stats: async (lane) => (await call("stats", [lane])) as ListenerStats,
    arm: async (lane) => void (await call("arm", [lane])),
    outcome: async (lane, asked) => (await call("outcome", [lane, asked])) as Outcome | undefined,
    reached: async (lane, time) => (await call("reached", [lane, time])) as number | undefined,
    close: async (lane) => void (await call("close", [lane])),
    end: () => child.disconnect(),
  };
}
