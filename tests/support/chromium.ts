import { execFileSync, spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { type Browser, chromium, type Page } from "playwright-core";

const CANDIDATES = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/usr/bin/google-chrome-stable",
];

const ADVICE = "Install Debian's `chromium` package or set CHROMIUM_PATH to a Chromium or Chrome binary.";

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * The browser to test with: CHROMIUM_PATH, else an installed Chromium or Chrome, else Debian's package, installed on
 * the spot when we are root. Throws one sentence that says what to do.
 */
export function findChromium(): string {
  const wanted = process.env.CHROMIUM_PATH;
  if (wanted) {
    if (isExecutable(wanted)) return wanted;
    throw new Error(`CHROMIUM_PATH names ${wanted}, which is not an executable file.`);
  }
  const installed = CANDIDATES.find(isExecutable);
  if (installed) return installed;
  if (process.getuid?.() !== 0) throw new Error(`No Chromium was found. ${ADVICE}`);
  const apt = (args: string[], timeout: number): void => {
    execFileSync("apt-get", args, {
      timeout,
      stdio: "ignore",
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    });
  };
  try {
    apt(["update", "-qq"], 60_000);
    apt(["install", "-y", "-qq", "--no-install-recommends", "chromium"], 240_000);
  } catch (cause) {
    throw new Error(`No Chromium was found and apt-get could not install it. ${ADVICE}`, { cause });
  }
  const fresh = CANDIDATES.find(isExecutable);
  if (!fresh) throw new Error(`apt-get installed no Chromium. ${ADVICE}`);
  return fresh;
}

/**
 * Starts the browser headless with sound allowed to start by itself. `args` are added, as to block QUIC; `keepsPages` for
 * the way back, as people's browsers do.
 */
export function launchChromium(args: readonly string[] = [], { keepsPages = false } = {}): Promise<Browser> {
  return chromium.launch({
    executablePath: findChromium(),
    headless: true,
    ...(keepsPages && { ignoreDefaultArgs: ["--disable-back-forward-cache"] }),
    args: [
      "--headless=new",
      "--no-sandbox",
      "--autoplay-policy=no-user-gesture-required",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--no-first-run",
      ...args,
    ],
  });
}

/** Ends the process that plays and captures a browser's audio, which pages see as the failure of their devices. */
export async function failAudio(browser: Browser): Promise<void> {
  const devtools = await browser.newBrowserCDPSession();
  const { processInfo } = await devtools.send("SystemInfo.getProcessInfo");
  await devtools.detach();
  for (const { id } of processInfo) {
    const { stdout } = spawnSync("ps", ["-o", "args=", "-p", `${id}`], { encoding: "utf8" });
    if (stdout.includes("audio.mojom.AudioService")) process.kill(id, "SIGKILL");
  }
}

/** How many objects of a class a page keeps after garbage collection. */
export async function countKept(page: Page, name: string): Promise<number> {
  const devtools = await page.context().newCDPSession(page);
  try {
    await devtools.send("HeapProfiler.collectGarbage");
    const { result } = await devtools.send("Runtime.evaluate", { expression: `${name}.prototype` });
    const { objects } = await devtools.send("Runtime.queryObjects", { prototypeObjectId: result.objectId! });
    const count = { objectId: objects.objectId!, functionDeclaration: "function () { return this.length; }" };
    return (await devtools.send("Runtime.callFunctionOn", count)).result.value;
  } finally {
    await devtools.detach();
  }
}
