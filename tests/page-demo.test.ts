import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Demo } from "../src/demo/demo.js";
import { createLogger } from "../src/log.js";
import { launchChromium } from "./support/chromium.js";

let demo: Demo;
let browser: Browser;
const complaints: string[] = [];

beforeAll(async () => {
  [demo, browser] = await Promise.all([
    Demo.start({ port: 0, keepSeconds: 1, control: false, logger: createLogger("silent", () => {}) }),
    launchChromium(),
  ]);
}, 300_000);
afterAll(async () => {
  await browser?.close();
  await demo?.close();
});

async function openPage(): Promise<Page> {
  const page = await browser.newPage();
  page.on("console", (message) => complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  await page.goto(demo.pageUrl);
  return page;
}

const text = async (page: Page, selector: string) => (await page.textContent(selector))?.replace(/\s+/g, " ").trim();
const words = (page: Page, selector: string) => page.locator(selector).allTextContents();

test("Interrupt strikes the unheard words and shows how soon it was silent; Resume says them after all", async () => {
  const page = await openPage();
  expect(await text(page, "#status")).toBe("Ready");
  await page.click("text=Listen");
  await expect
    .poll(() => words(page, "#transcript [data-state=heard]").then(({ length }) => length))
    .toBeGreaterThan(3);
  expect(await text(page, "#status")).toBe("Playing");
  const picture = () => page.locator("#picture").screenshot();
  const seen = await picture();
  await expect.poll(async () => (await picture()).equals(seen)).toBe(false);

  await page.click("text=Interrupt");
  await expect.poll(() => text(page, "#status")).toBe("Interrupted");
  await expect.poll(() => text(page, "#verdict")).toMatch(/^\d+ ms to silence [\d.]+ s taken back$/);
  const struck = await words(page, "#transcript s [data-state=unsaid]");
  const heard = await words(page, "#transcript > [data-state=heard]");
  expect(struck.length).toBeGreaterThan(0);
  expect(heard.length).toBeGreaterThan(2);
  const all = await words(page, "#transcript span");
  expect([...heard, ...struck]).toEqual(all);
  expect(await text(page, "#notice")).toBe(`Taken back. The last word heard is “${heard.at(-1)}”.`);

  // Another page, and one that comes again, show the same truth.
  const other = await openPage();
  await expect.poll(() => text(other, "#interrupt")).toBe("Resume");
  await expect.poll(() => words(other, "#transcript s [data-state=unsaid]")).toEqual(struck);
  await page.reload();
  await expect.poll(() => text(page, "#interrupt")).toBe("Resume");
  await page.click("text=Listen");
  await page.click("text=Resume");
  await expect.poll(() => text(page, "#status")).toBe("Playing");
  await expect.poll(() => text(other, "#interrupt")).toBe("Interrupt");
  const now = () => words(page, "#transcript [data-state=heard]").then(({ length }) => length);
  await expect.poll(now).toBeGreaterThan(heard.length);
  expect(await words(page, "#transcript s")).toEqual([]);

  await other.fill("#limit", "12");
  await expect.poll(() => page.inputValue("#limit")).toBe("12");
  expect(await text(page, "#limit-value")).toBe("12 dB");
  await expect.poll(() => text(page, "#ear")).toBe("–");
  // Where nothing lies ahead, as on a starved machine, no audio is replaced and there is nothing to measure.
  await expect
    .poll(async () => {
      await page.fill("#strength", "60");
      await page.fill("#strength", "40");
      await page.waitForTimeout(1000);
      return text(page, "#ear");
    })
    .toMatch(/^\d+ ms$/);
  await expect.poll(() => other.inputValue("#strength")).toBe("40");
  await other.close();
  await page.close();
  expect(complaints).toEqual([]);
});

test("a bad link causes gaps for the page's listener, and is good again when its panel closes", async () => {
  const page = await openPage();
  await page.click("text=Listen");
  await expect.poll(() => text(page, "#status")).toBe("Playing");
  await page.click("text=Feel a bad link");
  await expect.poll(() => text(page, "#clean-text")).toContain("ahead");
  await expect.poll(() => page.evaluate("document.getElementById('watch').stats.playing")).toBe(true);
  const missing = () => page.evaluate("document.getElementById('watch').stats.underrunMs") as Promise<number>;
  const before = await missing();
  await page.fill("#link-loss", "40");
  await page.fill("#link-delay", "300");
  await expect.poll(async () => (await missing()) - before).toBeGreaterThan(200);
  await expect.poll(() => page.evaluate("document.getElementById('clean').state")).toBe("playing");
  await page.click("text=Feel a bad link");
  await expect.poll(() => text(page, "#status")).toBe("Playing");
  expect(await page.evaluate("document.getElementById('clean').paused")).toBe(true);
  await page.close();
});

test("a page of another site loads the element as one file, and may mute, pause, move and restart it", async () => {
  const page = await browser.newPage();
  const said: string[] = [];
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(error.message));
  const site = createServer((_, response) => {
    response
      .writeHead(200, { "Content-Type": "text/html" })
      .end(`<!doctype html><title>t</title><link rel="icon" href="data:," /><div id="a"></div>
        <unsay-watch id="w" url="${demo.pageUrl}" controls></unsay-watch>
        <script type="module" src="${demo.pageUrl}/unsay-element.js"></script>`);
  });
  await new Promise<void>((resolve) => site.listen(0, "127.0.0.1", resolve));
  await page.goto(`http://localhost:${(site.address() as AddressInfo).port}/`);
  await page.evaluate(`{
    globalThis.w = document.getElementById("w");
    globalThis.seen = [];
    for (const name of ["state", "heard", "error"]) w.addEventListener(name, ({ detail }) => seen.push([name, detail]));
  }`);
  await page.getByRole("button", { name: "Listen" }).click();
  await expect.poll(() => page.evaluate("w.stats?.playedMs ?? 0")).toBeGreaterThan(300);
  expect(await page.evaluate("seen.some(([name, detail]) => name === 'heard' && detail.playheadUs > 0)")).toBe(true);
  await page.evaluate("w.muted = true; w.volume = 0.5; document.getElementById('a').append(w)");
  // It was moved: it plays on as a new listener, as muted as before.
  await expect.poll(() => page.evaluate("w.state")).toBe("playing");
  expect(await page.evaluate("[w.muted, w.volume, w.paused]")).toEqual([true, 0.5, false]);
  await page.getByRole("button", { name: "Pause" }).click();
  expect(await page.evaluate("[w.paused, w.state]")).toEqual([true, "idle"]);
  await page.evaluate("w.play()");
  await expect.poll(() => page.evaluate("w.state")).toBe("playing");
  await page.evaluate("w.remove()");
  const states = (await page.evaluate("seen.filter(([name]) => name !== 'heard')")) as [string, string][];
  expect(states.at(-1)).toEqual(["state", "idle"]);
  expect(states.filter(([name]) => name === "error")).toEqual([]);
  expect(said).toEqual([]);
  await page.close();
  site.close();
});
