import { background, broadcastPath, sleep, TransportError } from "../../base/index.js";
import { REPORT_RECORDS } from "../../flow/report/index.js";
import type { BrowserConnection, BrowserConnectOptions } from "../../transport/browser.js";
import { type BrowserSession, browserSessions } from "../../transport/browser-sessions.js";
import type { Player } from "../player.js";

/** Options of {@link PlayerConnection}. */
export interface PlayerConnectionOptions {
  readonly player: Player;
  readonly url: URL;
  readonly broadcast: string;
  readonly connect: BrowserConnectOptions | undefined;
  /** How long a listener waits for a publisher before that is a problem, in milliseconds. Default 10,000. */
  readonly timeoutMs: number | undefined;
  /** Resolves once the audio is wanted: until then a missing publisher is not a problem. */
  readonly wanted: Promise<void>;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/** Keeps a player in a page connected to its relay. */
export class PlayerConnection {
  readonly #options: PlayerConnectionOptions;
  #backend: BrowserConnection["backend"] | undefined;

  constructor(options: PlayerConnectionOptions) {
    this.#options = options;
  }

  /** Transport of the session; undefined without a session. */
  get backend(): BrowserConnection["backend"] | undefined {
    return this.#backend;
  }

  /** Serves one session after the other, until the signal aborts; rejects with an error that no retry can mend. */
  async run(): Promise<void> {
    const { url, connect, player, signal } = this.#options;
    for await (const event of browserSessions(url, { ...connect, records: REPORT_RECORDS, signal })) {
      if (event.kind === "problem") player.problem(event.error, event);
      else await this.#serve(event).catch((error: unknown) => player.problem(error));
    }
  }

  async #serve(session: BrowserSession): Promise<void> {
    this.#backend = session.backend;
    const over = new AbortController();
    background("watch.missing", this.#reportMissing(over.signal));
    try {
      await this.#options.player.run(session);
    } finally {
      over.abort();
      session.connection.close();
      this.#backend = undefined;
    }
  }

  async #reportMissing(over: AbortSignal): Promise<void> {
    const { wanted, timeoutMs = 10_000, player, url, broadcast } = this.#options;
    await wanted;
    await sleep(timeoutMs, over);
    if (over.aborted || !player.isWaiting) return;
    const name = broadcastPath(broadcast);
    player.problem(new TransportError("NO_BROADCAST", `No publisher of ${name} at ${url.host} yet.`));
  }
}
