import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { WebSocket } from "ws";
import { findChromium } from "../../tests/support/chromium.js";

const FLAGS = [
  "--headless=new",
  "--no-sandbox",
  "--no-first-run",
  "--disable-background-networking",
  "--autoplay-policy=no-user-gesture-required",
  "--remote-debugging-port=0",
];

/** Chromium answers within this time, unless the machine stands still. */
const LIMIT_MS = 60_000;

/**
 * A tab of a browser that was started like anyone's. Playwright keeps every page visible and switches off what browsers do to
 * hidden ones, so this speaks the DevTools protocol itself.
 */
export class HiddenTab implements AsyncDisposable {
  readonly #browser: ChildProcess;
  readonly #profile: string;
  readonly #socket: WebSocket;
  readonly #answers = new Map<number, (result: Record<string, unknown>) => void>();
  #session: string | undefined;
  #count = 0;

  private constructor(browser: ChildProcess, profile: string, socket: WebSocket) {
    this.#browser = browser;
    this.#profile = profile;
    this.#socket = socket;
    socket.on("message", (data) => {
      const { id, result, error } = JSON.parse(String(data));
      this.#answers.get(id)?.(result ?? { error });
      this.#answers.delete(id);
    });
  }

  /** Opens a URL in a tab; it is hidden once {@link hide} was called. */
  static async open(url: string): Promise<HiddenTab> {
    const profile = mkdtempSync(join(tmpdir(), "unsay-tab-"));
    const browser = spawn(findChromium(), [...FLAGS, `--user-data-dir=${profile}`, "about:blank"], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let address: string | undefined;
    for await (const line of createInterface(browser.stderr!)) {
      address = /^DevTools listening on (\S+)/.exec(line)?.[1];
      if (address) break;
    }
    browser.stderr?.resume();
    if (!address) throw new Error("Chromium ended before it listened.");
    const socket = new WebSocket(address);
    await once(socket, "open");
    const tab = new HiddenTab(browser, profile, socket);
    const { targetId } = await tab.#send("Target.createTarget", { url });
    const { sessionId } = await tab.#send("Target.attachToTarget", { targetId, flatten: true });
    tab.#session = String(sessionId);
    return tab;
  }

  /** Opens another tab in front of it. */
  async hide(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    const { targetId } = await this.#send("Target.createTarget", { url: "about:blank" });
    await this.#send("Target.activateTarget", { targetId });
    this.#session = session;
  }

  /** Evaluates an expression in the tab, as from a click. */
  async evaluate<T>(expression: string): Promise<T> {
    const options = { expression, awaitPromise: true, returnByValue: true, userGesture: true };
    const { result } = await this.#send("Runtime.evaluate", options);
    return (result as { value: T }).value;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#browser, "exit");
    this.#session = undefined;
    this.#send("Browser.close", {}).catch(() => this.#browser.kill());
    await ended;
    this.#socket.close();
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 20 });
  }

  #send(method: string, params: object): Promise<Record<string, unknown>> {
    const id = ++this.#count;
    return new Promise((resolve, reject) => {
      const fail = () => reject(new Error(`Chromium did not answer ${method} within ${LIMIT_MS / 1000} s.`));
      const timer = setTimeout(fail, LIMIT_MS);
      this.#answers.set(id, (result) => {
        clearTimeout(timer);
        resolve(result);
      });
      this.#socket.send(JSON.stringify({ id, method, params, sessionId: this.#session }));
    });
  }
}
