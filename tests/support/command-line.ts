import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { main } from "../../src/main.js";
import { compiledPath } from "./compile.js";

const root = join(import.meta.dirname, "../..");

/** Output and exit code of a run of the command line. */
export interface Outcome {
  readonly exitCode: number;
  readonly out: string;
  readonly error: string;
}

/** Runs `unsay` inside this process; `signal` stands in for Ctrl-C, `onOut` and `onError` are called for each text. */
export async function unsay(
  argv: readonly string[],
  options: {
    readonly environment?: Record<string, string>;
    readonly signal?: AbortSignal;
    readonly onOut?: (text: string) => void;
    readonly onError?: (text: string) => void;
  } = {},
): Promise<Outcome> {
  let out = "";
  let error = "";
  const exitCode = await main(argv, {
    environment: options.environment ?? {},
    signal: options.signal ?? new AbortController().signal,
    out: (text) => {
      out += text;
      options.onOut?.(text);
    },
    error: (text) => {
      error += text;
      options.onError?.(text);
    },
  });
  return { exitCode, out, error };
}

/** A real `unsay` process. */
export class UnsayProcess {
  readonly child: ChildProcessWithoutNullStreams;
  out = "";
  error = "";
  readonly #exit: Promise<unknown[]>;

  constructor(argv: readonly string[], environment: Record<string, string> = {}) {
    this.child = spawn(process.execPath, [compiledPath("src/cli.ts"), ...argv], {
      cwd: root,
      env: { ...process.env, ...environment },
    });
    this.child.stdout.on("data", (data) => {
      this.out += data;
    });
    this.child.stderr.on("data", (data) => {
      this.error += data;
    });
    this.#exit = once(this.child, "exit");
  }

  /** Resolves once standard output matches; throws when the process ends first. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.out);
      if (match) return match;
      if (this.child.exitCode !== null)
        throw new Error(`unsay ended with ${this.child.exitCode} before it said ${pattern}: ${this.error}`);
      await Promise.race([once(this.child.stdout, "data"), this.#exit]);
    }
  }

  /** Resolves with the exit code. */
  async exited(): Promise<number | null> {
    await this.#exit;
    return this.child.exitCode;
  }

  /** Sends Ctrl-C and resolves with the exit code. */
  async interrupt(): Promise<number | null> {
    this.child.kill("SIGINT");
    return this.exited();
  }
}
