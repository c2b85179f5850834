import type { ControlRequest } from "./control.js";
import { CONTROL_HEADER, type PageRecording, type PageStats, readRecording, readStats } from "./replies.js";

/**
 * Interval of requests for the server's numbers, in milliseconds: while the page is visible, and while it is hidden or
 * the server is away.
 */
const STATS_MS = { seen: 250, idle: 2000 };

/** The server of the page: its numbers, its recording and its controls. */
export class Server extends EventTarget {
  readonly #token = document.querySelector<HTMLMetaElement>("meta[name=unsay-control]")?.content ?? "";
  #stats: PageStats | undefined;
  #statsAt = 0;

  /** The newest numbers; undefined before the first, and while the server is unreachable. */
  get stats(): PageStats | undefined {
    return this.#stats;
  }

  /** Media time up to which the publisher has sent audio by now, in microseconds. */
  get frontierUs(): number | undefined {
    const { frontierUs, spoken } = this.#stats ?? {};
    if (frontierUs === undefined || spoken?.isInterrupted) return frontierUs;
    return frontierUs + Math.min(performance.now() - this.#statsAt, STATS_MS.seen) * 1e3;
  }

  /** Requests the numbers from now on. */
  async follow(): Promise<never> {
    for (;;) {
      await this.refresh();
      const isIdle = document.hidden || this.#stats === undefined;
      await new Promise((resolve) => setTimeout(resolve, isIdle ? STATS_MS.idle : STATS_MS.seen));
    }
  }

  /** Requests the numbers now. */
  async refresh(): Promise<PageStats | undefined> {
    try {
      const stats = readStats(await (await fetch("/stats")).json());
      this.#stats = stats;
      this.#statsAt = performance.now();
      if (stats) this.dispatchEvent(new CustomEvent("stats", { detail: stats }));
    } catch {
      // The server is away; the player says so itself.
      this.#stats = undefined;
    }
    return this.#stats;
  }

  /** The recording; undefined where the server has none. */
  async recording(): Promise<PageRecording | undefined> {
    try {
      return readRecording(await (await fetch("/recording")).json());
    } catch {
      return undefined;
    }
  }

  /** Sends a request to the publisher; rejects with a sentence for the person in front of the page. */
  async control(request: ControlRequest): Promise<unknown> {
    const response = await fetch("/control", {
      method: "POST",
      headers: { "Content-Type": "application/json", [CONTROL_HEADER]: this.#token },
      body: JSON.stringify(request),
    }).catch((cause: unknown) => {
      throw new Error("The server of this page can't be reached.", { cause });
    });
    const reply = await response.json().catch(() => undefined);
    if (reply?.code === "WRONG_TOKEN")
      throw new Error("The server has restarted: reload this page to use its controls.");
    if (!response.ok) throw new Error(reply?.message ?? `The server answered ${response.status}.`);
    return reply;
  }
}
