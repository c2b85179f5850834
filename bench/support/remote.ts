import { fork } from "node:child_process";
import { once } from "node:events";
import { StateError } from "../../base/index.js";

/** Calls to a process, by name; parameters and answers are cloned. */
export type Calls<T> = { [K in keyof T]: (...parameters: never[]) => unknown };

/** The same as seen from another process. */
export type Remote<T> = {
  [K in keyof T]: T[K] extends (...parameters: infer P) => infer R ? (...parameters: P) => Promise<Awaited<R>> : never;
};

/** A process started by {@link startRemote}. */
export interface RemoteProcess<T> {
  readonly calls: Remote<T>;
  /** Sends it a signal, such as `SIGKILL`, `SIGSTOP` or `SIGCONT`. */
  signal(name: NodeJS.Signals): void;
  /** Resolves with how it ended: an exit code or the name of a signal. */
  readonly ended: Promise<number | NodeJS.Signals>;
  /** Ends it. */
  end(): void;
}

interface Call {
  readonly id: number;
  readonly name: string;
  readonly parameters: readonly unknown[];
}

interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

/**
 * Starts a process that runs `file`, which calls {@link serve}. A call after it has ended rejects with a
 * `StateError` (`CLOSED`), and what fails there rejects with its stack. `flags` are Node's.
 */
export async function startRemote<T extends Calls<T>>(
  file: URL,
  flags: readonly string[] = [],
): Promise<RemoteProcess<T>> {
  const child = fork(file, {
    execArgv: [...flags, ...(file.pathname.endsWith(".ts") ? ["--import", "tsx"] : [])],
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
  const ended = () => new StateError("CLOSED", `The process of ${file.pathname} has ended.`);
  child.on("exit", () => {
    for (const { reject } of waiting.values()) reject(ended());
    waiting.clear();
  });
  await once(child, "spawn");
  const call = (name: string, parameters: readonly unknown[]): Promise<unknown> =>
    new Promise((resolve, reject) => {
      if (!child.connected) return reject(ended());
      const id = nextId++;
      waiting.set(id, { resolve, reject });
      child.send({ id, name, parameters } satisfies Call);
    });
  const calls = new Proxy({} as Remote<T>, {
    // Whatever awaits the object itself must not take it for a promise.
    get: (_, name: string) =>
      name === "then" ? undefined : (...parameters: readonly unknown[]) => call(name, parameters),
  });
  return {
    calls,
    signal: (name) => void child.kill(name),
    ended: new Promise((resolve) => child.once("exit", (code, signal) => resolve(signal ?? code ?? 0))),
    end: () => child.connected && child.disconnect(),
  };
}

/** Answers the process that started this one, until that ends it. */
export function serve<T extends Calls<T>>(calls: T): void {
  // The protocol library logs every step to the console.
  console.debug = () => {};
  console.warn = () => {};
  process.on("message", async ({ id, name, parameters }: Call) => {
    let answer: Answer;
    try {
      const asked = calls[name as keyof T] as unknown as (...parameters: readonly unknown[]) => unknown;
      answer = { id, value: await asked(...parameters) };
    } catch (error) {
      answer = { id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
    }
    if (process.connected) process.send?.(answer);
  });
  process.on("disconnect", () => process.exit());
}
