import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { plainScript } from "../bench/support/scripts.js";
import { Demo } from "../src/demo/demo.js";
import { createLogger } from "../src/log.js";
import { launchChromium } from "../tests/support/chromium.js";

plainScript("page-pictures.ts", "Takes the pictures of the page in docs/pictures; needs Chromium.").parse();

/** Where the pictures of the page go. */
const folder = join(import.meta.dirname, "../docs/pictures");
const WIDTHS = [1280, 390] as const;
const SCHEMES = ["light", "dark"] as const;
/** The recording of an interrupt: its size, its frames a second as aimed at, and its length in frames. */
const FILM = { width: 960, height: 620, fps: 12, frames: 78, interruptAt: 22, resumeAt: 58 };
/** Time to speak before a picture is taken, and then until this many words of the text are heard. */
const SPEAK_MS = 4000;
const HEARD = { least: 4, most: 7 };

async function play(page: Page, demo: Demo): Promise<void> {
  await page.goto(demo.pageUrl);
  await page.click("#play");
  await page.waitForTimeout(SPEAK_MS);
  const heard = page.locator("#transcript [data-state=heard]");
  for (let count = 0; count < HEARD.least || count > HEARD.most; count = await heard.count())
    await page.waitForTimeout(50);
}

/** The page while it plays, and after an interrupt. */
async function shoot(browser: Browser, demo: Demo): Promise<void> {
  for (const width of WIDTHS)
    for (const colorScheme of SCHEMES) {
      const page = await browser.newPage({ viewport: { width, height: 800 }, colorScheme });
      await play(page, demo);
      const name = (what: string) => join(folder, `page-${what}-${width}-${colorScheme}.png`);
      await page.screenshot({ path: name("playing"), fullPage: true });
      await page.click("#interrupt[data-mode=interrupt]");
      // Until what was taken back has fallen and the figure stands alone.
      await page.waitForTimeout(2200);
      await page.screenshot({ path: name("interrupted"), fullPage: true });
      await page.click("#interrupt[data-mode=resume]");
      await page.close();
    }
}

/** An interrupt and a resume as an animated WebP. */
async function film(browser: Browser, demo: Demo): Promise<void> {
  const frames = mkdtempSync(join(tmpdir(), "unsay-film-"));
  const { width, height } = FILM;
  const page = await browser.newPage({ viewport: { width, height }, colorScheme: "light" });
  await play(page, demo);
  const began = performance.now();
  for (let frame = 0; frame < FILM.frames; frame++) {
    if (frame === FILM.interruptAt) await page.click("#interrupt[data-mode=interrupt]");
    if (frame === FILM.resumeAt) await page.click("#interrupt[data-mode=resume]");
    await page.screenshot({ path: join(frames, `${String(frame).padStart(3, "0")}.png`) });
    const due = began + ((frame + 1) * 1000) / FILM.fps;
    await page.waitForTimeout(Math.max(0, due - performance.now()));
  }
  // The film runs as fast as it was, also where the machine took its pictures more slowly.
  const fps = (FILM.frames * 1000) / (performance.now() - began);
  const input = ["-framerate", fps.toFixed(2), "-i", join(frames, "%03d.png")];
  const output = ["-c:v", "libwebp_anim", "-quality", "60", "-loop", "0", join(folder, "interrupt.webp")];
  execFileSync("ffmpeg", ["-v", "error", "-y", ...input, ...output], { stdio: "inherit" });
  await page.close();
  rmSync(frames, { recursive: true });
}

console.debug = () => {};
mkdirSync(folder, { recursive: true });
const logger = createLogger("silent", () => {});
const demo = await Demo.start({ port: 0, keepSeconds: 1, control: false, logger });
const browser = await launchChromium();
try {
  await shoot(browser, demo);
  await film(browser, demo);
} finally {
  await browser.close();
  await demo.close();
}
