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

test("Interrupt strikes the words that were not heard and says how soon it was silent; Resume says them after all", async () => {
  const page = await openPage();
  expect(await text(page, "#status")).toBe("Ready");
  await page.click("text=Listen");
  await expect
    .poll(() => words(page, "#transcript [data-state=heard]").then(({ length }) => length))
    .toBeGreaterThan(3);
  expect(await text(page, "#status")).toBe("Playing");

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
  await page.fill("#strength", "40");
  await expect.poll(() => text(page, "#ear")).toMatch(/^\d+ ms$/);
  await expect.poll(() => other.inputValue("#strength")).toBe("40");
  await other.close();
  await page.close();
  expect(complaints).toEqual([]);
}, 120_000);
