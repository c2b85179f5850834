import { type ChildProcess, fork } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { cpus, getPriority, setPriority } from "node:os";
import { basename, join } from "node:path";
import { build } from "esbuild";
import { StateError } from "../../base/index.js";

const TASKSET = "/usr/bin/taskset";
// Clock ticks per second in /proc, the same on every Linux that Node runs on.
const TICKS_PER_SECOND = 100;
const ANSWER_MS = 60_000;

type Methods = Record<string, (argument: never) => unknown>;
type Argument<M extends Methods, N extends keyof M> = Parameters<M[N]>[0];
type Result<M extends Methods, N extends keyof M> = Awaited<ReturnType<M[N]>>;

interface Call {
  readonly id: number;
  readonly method: string;
  readonly argument: unknown;
}

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

// With fewer cores, edges share the origin's.
const OWN_CORES_FROM = 8;
const EDGE_CORES = 3;

/** Which cores a relay gets: the first is the origin, the ones after it are its edges. */
export function relayCores(index: number): string {
  return String(cpus().length >= OWN_CORES_FROM ? Math.min(index, EDGE_CORES) : 0);
}

const firstClientCore = cpus().length >= OWN_CORES_FROM ? EDGE_CORES + 1 : 1;

/** Which cores all others get. */
export const CLIENT_CORES = `${firstClientCore}-${Math.max(firstClientCore, cpus().length - 1)}`;

/** The command line that starts a program on its cores alone, where the machine can do that. */
export function pinned(cores: string, program: string, argv: readonly string[]): [string, string[]] {
  return existsSync(TASKSET) ? [TASKSET, ["-c", cores, program, ...argv]] : [program, [...argv]];
}

/**
 * Bundles the entries of the bench's processes as the package is built, so that what is measured is what users run and
 * not a development loader's helpers. Returns their paths.
 */
export async function bundle(...entries: readonly string[]): Promise<string[]> {
  // Below node_modules, so that the packages that stay outside the bundle are found.
  const outdir = join(import.meta.dirname, "../../node_modules/.cache/unsay-fanout", String(process.pid));
  process.once("exit", () => rmSync(outdir, { recursive: true, force: true }));
  await build({
    entryPoints: entries.map((entry) => join(import.meta.dirname, entry)),
    outdir,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    packages: "external",
    logLevel: "error",
  });
  return entries.map((entry) => join(outdir, `${basename(entry, ".ts")}.mjs`));
}

/** A process of the bench, pinned to its cores, that answers calls. */
export class Child<M extends Methods> {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #next = 0;
  #lost: StateError | undefined;

  constructor(file: string, cores: string, environment: NodeJS.ProcessEnv = {}) {
    const node = ["--no-warnings", "--expose-gc"];
    const [execPath, execArgv] = pinned(cores, process.execPath, node);
    this.#process = fork(file, [], {
      execPath,
      execArgv,
      env: { ...process.env, ...environment },
      serialization: "advanced",
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    this.#process.on("message", (message) => {
      const { id, result, error } = message as Answer;
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(result);
      else waiting?.reject(new StateError("CHILD_FAILED", `A process of the bench failed: ${error}`));
    });
    this.#process.once("exit", (code, signal) => this.#lose(`it ended early (${code ?? signal})`));
    this.#process.once("error", (error) => this.#lose(error.message));
  }

  /** Its process id. */
  get pid(): number {
    return this.#process.pid!;
  }

  /**
   * Has it do something; rejects with a `StateError` (`CHILD_FAILED`, `CHILD_GONE`, or `CHILD_SILENT` when there is no
   * answer in time).
   */
  call<N extends keyof M & string>(
    method: N,
    argument: Argument<M, N>,
    withinMs: number = ANSWER_MS,
  ): Promise<Result<M, N>> {
    const id = this.#next++;
    return new Promise<Result<M, N>>((resolve, reject) => {
      if (this.#lost) return reject(this.#lost);
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new StateError("CHILD_SILENT", `A process of the bench did not answer to ${method} in time.`));
      }, withinMs);
      const done = () => clearTimeout(timer);
      this.#waiting.set(id, {
        resolve: (value) => {
          done();
          resolve(value as Result<M, N>);
        },
        reject: (error) => {
          done();
          reject(error);
        },
      });
      this.#process.send({ id, method, argument } satisfies Call, (error) => {
        if (error) this.#lose(error.message);
      });
    });
  }

  /** Freezes or thaws the whole process, its network threads included. */
  freeze(frozen: boolean): void {
    process.kill(this.pid, frozen ? "SIGSTOP" : "SIGCONT");
  }

  /** Ends it. */
  async end(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const gone = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#process.kill("SIGKILL");
    await gone;
  }

  #lose(reason: string): void {
    this.#lost ??= new StateError("CHILD_GONE", `A process of the bench is gone: ${reason}.`);
    for (const { reject } of this.#waiting.values()) reject(this.#lost);
    this.#waiting.clear();
  }
}

/** Answers the calls of the process that started this one, and ends with it. */
export function serve<M extends Methods>(methods: M): void {
  process.on("message", async (message) => {
    const { id, method, argument } = message as Call;
    let answer: Answer;
    try {
      answer = { id, result: await methods[method]!(argument as never) };
    } catch (error) {
      answer = { id, error: String((error as Error).stack) };
    }
    process.send?.(answer);
  });
  process.on("disconnect", () => process.exit());
}

/** Gives this process a priority, or the nearest one it may have; returns which. */
export function prioritize(niceness: number): number {
  try {
    setPriority(niceness);
  } catch {
    // Only the superuser may go before others.
  }
  return getPriority();
}

/** Microseconds of processor time that a process has used, over all its threads. */
export function processorMicroseconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The second field is the program's name in parentheses and may hold anything.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return ((Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND) * 1e6;
}

/** Bytes of memory that a process holds now. */
export function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1024;
}

/** Open files of a process. */
export function openFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}
