import { type ChildProcess, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { StateError } from "../../base/index.js";
import { pinned, relayCores } from "./child.js";
import { type Door, sleep } from "./session.js";

const START_MS = 10_000;
const STOP_MS = 5_000;

/** The stock Rust relay that `scripts/stock-relay.sh` builds, or undefined where it has not been built. */
function stockRelayProgram(): string | undefined {
  const program =
    process.env.UNSAY_STOCK_RELAY ?? join(import.meta.dirname, "../../node_modules/.cache/moq-relay/bin/moq-relay");
  return existsSync(program) ? program : undefined;
}

/** Options for {@link StockRelay.start}. */
export interface StockRelayOptions {
  /** Runs on the relay's core alone, with this niceness where that is allowed. */
  readonly measuredAt?: number;
  /** URLs of relays it joins: their broadcasts are its own. */
  readonly peers?: readonly string[];
}

/** A running stock Rust `moq-relay`, open to everybody on loopback. */
export class StockRelay {
  readonly door: Door;
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess, door: Door) {
    this.#process = process;
    this.door = door;
  }

  /**
   * Starts one on a free port; resolves once it serves its certificate's hash.
   *
   * @throws StateError `STOCK_RELAY_MISSING`, `STOCK_RELAY_FAILED`.
   */
  static async start({ measuredAt, peers = [] }: StockRelayOptions = {}): Promise<StockRelay> {
    const program = stockRelayProgram();
    if (program === undefined)
      throw new StateError(
        "STOCK_RELAY_MISSING",
        "The stock moq-relay is not built; scripts/stock-relay.sh builds it.",
      );
    const port = await freePort();
    const argv = [
      ...["--listen", `127.0.0.1:${port}`, "--web-http-listen", `127.0.0.1:${port}`],
      ...["--listen-tls-generate", "127.0.0.1,localhost", "--auth-public", "**", "--connect-tls-insecure"],
      ...peers.flatMap((peer) => ["--cluster-connect", peer]),
    ];
    // Before it starts, because a process's niceness is not that of the threads it has already.
    const [file, args] =
      measuredAt === undefined
        ? [program, argv]
        : pinned(relayCores(0), "nice", ["-n", String(measuredAt), program, ...argv]);
    const started = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    const hear = (text: Buffer): void => {
      said = (said + text).slice(-2000);
    };
    started.stdout.on("data", hear);
    started.stderr.on("data", hear);
    started.once("error", () => {});
    for (const end = performance.now() + START_MS; performance.now() < end; await sleep(50)) {
      if (started.exitCode !== null) break;
      const answer = await fetch(`http://127.0.0.1:${port}/certificate.sha256`).catch(() => undefined);
      if (!answer?.ok) continue;
      return new StockRelay(started, { port, fingerprint: (await answer.text()).trim() });
    }
    started.kill("SIGKILL");
    throw new StateError("STOCK_RELAY_FAILED", `The stock moq-relay did not start: ${said.trim()}`);
  }

  get pid(): number {
    return this.#process.pid!;
  }

  get url(): string {
    return `http://127.0.0.1:${this.door.port}`;
  }

  /** Ends it. */
  async end(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const gone = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await Promise.race([gone, sleep(STOP_MS)]);
  }
}

/** A port that is free in UDP now. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = createSocket("udp4");
    socket.once("error", reject);
    socket.bind(0, "127.0.0.1", () => {
      const { port } = socket.address();
      socket.close(() => resolve(port));
    });
  });
}
