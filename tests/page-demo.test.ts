import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Demo } from "../src/demo/demo.js";
import { createLogger } from "../src/log.js";
import { launchChromium } from "./support/chromium.js";
import { Stage } from "./support/stage.js";

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

async function openPage(stage: Stage): Promise<Page> {
  const page = await browser.newPage();
  stage.defer(() => page.close());
  page.on("console", (message) => complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  await page.goto(demo.pageUrl);
  return page;
}

const text = async (page: Page, selector: string) => (await page.textContent(selector))?.replace(/\s+/g, " ").trim();
const words = (page: Page, selector: string) => page.locator(selector).allTextContents();

test("Interrupt strikes the unheard words and shows how soon it was silent; Resume says them after all", async () => {
  await using stage = new Stage();
  const page = await openPage(stage);
  expect(await text(page, "#status")).toBe("Ready");
  await page.click("text=Listen");
  await expect
    .poll(() => words(page, "#transcript [data-state=heard]").then(({ length }) => length))
    .toBeGreaterThan(3);
  await expect.poll(() => text(page, "#status")).toBe("Playing");
  const picture = () => page.locator("#picture").screenshot();
  const seen = await picture();
  await expect.poll(async () => (await picture()).equals(seen)).toBe(false);

  await page.click("text=Interrupt");
  await expect.poll(() => text(page, "#status")).toBe("Interrupted");
  await expect.poll(() => text(page, "#verdict")).toMatch(/^\d+ ms to silence [\d.]+ s taken back$/);
  // What a screen reader hears by itself: lasting states and what was done, but no figure that runs.
  await expect.poll(() => text(page, "#announcer")).toBe("Interrupted");
  const live = "[...document.querySelectorAll('output, [role=status]')].filter(({ ariaLive }) => ariaLive !== 'off')";
  expect(await page.evaluate(`${live}.map(({ id }) => id)`)).toEqual(["announcer", "notice", "ear"]);
  const struck = await words(page, "#transcript s [data-state=unsaid]");
  const heard = await words(page, "#transcript > [data-state=heard]");
  expect(struck.length).toBeGreaterThan(0);
  expect(heard.length).toBeGreaterThan(2);
  const all = await words(page, "#transcript span");
  expect([...heard, ...struck]).toEqual(all);
  expect(await text(page, "#notice")).toBe(`Taken back. The last word heard is “${heard.at(-1)}”.`);

  // Another page, and one that comes again, show the same truth.
  const other = await openPage(stage);
  await expect.poll(() => text(other, "#interrupt")).toBe("Resume");
  await expect.poll(() => words(other, "#transcript s [data-state=unsaid]")).toEqual(struck);
  await page.reload();
  await expect.poll(() => text(page, "#interrupt")).toBe("Resume");
  // Nothing was heard on it yet, so nothing was taken back from it.
  expect(await page.isHidden("#verdict")).toBe(true);
  await page.click("text=Listen");
  await page.click("text=Resume");
  await expect.poll(() => text(page, "#status")).toBe("Playing");
  await expect.poll(() => text(other, "#interrupt")).toBe("Interrupt");
  expect(await text(other, "#notice")).toBe("");
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

  // Where the browser can't play, the button offers to try again.
  await other.evaluate("delete globalThis.AudioDecoder");
  await other.click("text=Listen");
  await expect.poll(() => text(other, "#status")).toBe("Failed");
  expect(await text(other, "#notice")).toBe("This browser has no WebCodecs AudioDecoder.");
  expect(await text(other, "#play")).toBe("Listen");
  expect(complaints).toEqual([]);

  // The page itself has to roll the failed interrupt back: the server's numbers, which would too, are held back.
  await page.route("**/stats", () => {});
  await page.route("**/control", (route) => route.continue({ headers: { "x-unsay-control": "of another run" } }));
  await page.click("#interrupt[data-mode=interrupt]");
  const restarted = "The server has restarted: reload this page to use its controls.";
  await expect.poll(() => text(page, "#notice")).toBe(restarted);
  expect(await text(page, "#interrupt")).toBe("Interrupt");
  await page.route("**/control", (route) => route.abort());
  await page.click("#interrupt[data-mode=interrupt]");
  await expect.poll(() => text(page, "#notice")).toBe("The server of this page can't be reached.");
  expect(await text(page, "#interrupt")).toBe("Interrupt");
});

test("a bad link causes gaps for the page's listener, and is good again when its panel closes", async () => {
  await using stage = new Stage();
  const page = await openPage(stage);
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
  // Another page, and one that is reloaded, show how the link is, and change only what they touch.
  const other = await openPage(stage);
  for (const [id, value] of [
    ["loss", "40"],
    ["delay", "300"],
    ["rate", "8"],
  ] as const)
    await expect.poll(() => other.inputValue(`#link-${id}`)).toBe(value);
  await other.click("text=Feel a bad link");
  await other.fill("#link-delay", "40");
  await expect.poll(() => text(page, "#link-delay-value")).toBe("40 ms");
  expect(demo.pageStats().link).toMatchObject({ delayMs: 40, loss: 0.4, jitterMs: 0, rateKbps: 0 });
  await other.close();
  await page.click("text=Feel a bad link");
  await expect.poll(() => page.evaluate("document.getElementById('clean').paused")).toBe(true);
  await expect.poll(() => text(page, "#status")).toBe("Playing");
});

test("a bad link on which QUIC connects slowly plays over QUIC, and prints nothing on the page's console", async () => {
  await using stage = new Stage();
  const page = await openPage(stage);
  const said: string[] = [];
  page.on("console", (message) => said.push(message.text()));
  await page.click("text=Listen");
  await expect.poll(() => text(page, "#status")).toBe("Playing");
  // Two round trips of a handshake take longer than the head start over WebSocket.
  await demo.control({ op: "link", delayMs: 300, jitterMs: 0, loss: 0, rateKbps: 0 });
  await page.click("text=Feel a bad link");
  const now = "(({ url, stats, state }) => [url, stats.backend, state])(document.getElementById('watch'))";
  const { port } = demo.pageStats().link!;
  await expect.poll(() => page.evaluate(now)).toEqual([`http://127.0.0.1:${port}/`, "webtransport", "playing"]);
  expect(said).toEqual([]);
});

const script = (name: string) => `<script type="module" src="${demo.pageUrl}/${name}.js"></script>`;

/** A page of another site, whose bodies by path are `body`, and what it says on its console. */
async function openSite(
  stage: Stage,
  body: (path: string) => string,
): Promise<{ readonly page: Page; readonly port: number; readonly said: string[] }> {
  const site = createServer((request, response) => {
    response.writeHead(200, { "Content-Type": "text/html" });
    response.end(`<!doctype html><title>t</title><link rel="icon" href="data:,">${body(request.url!)}`);
  });
  stage.defer(() => site.close());
  await new Promise<void>((resolve) => site.listen(0, "127.0.0.1", resolve));
  const { port } = site.address() as AddressInfo;
  const page = await browser.newPage();
  stage.defer(() => page.close());
  const said: string[] = [];
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(error.message));
  await page.goto(`http://localhost:${port}/`);
  return { page, port, said };
}

test("a page of another site loads the element as one file, and may mute, pause, move and restart it", async () => {
  await using stage = new Stage();
  const { page, said } = await openSite(
    stage,
    () =>
      `<div id="a"></div><unsay-watch id="w" url="${demo.pageUrl}" controls></unsay-watch>${script("unsay-element")}`,
  );
  await page.evaluate(`{
    globalThis.w = document.getElementById("w");
    globalThis.seen = [];
    globalThis.names = new Set();
    const dispatch = w.dispatchEvent;
    w.dispatchEvent = (event) => names.add(event.type) && dispatch.call(w, event);
    for (const name of ["state", "heard", "error"]) w.addEventListener(name, ({ detail }) => seen.push([name, detail]));
  }`);
  await page.getByRole("button", { name: "Listen" }).click();
  await expect.poll(() => page.evaluate("w.stats?.playedMs ?? 0")).toBeGreaterThan(300);
  expect(await page.evaluate("seen.some(([name, detail]) => name === 'heard' && detail.playheadUs > 0)")).toBe(true);
  await page.evaluate("w.muted = true; w.volume = 0.5; globalThis.moved = w.stats.playedMs; a.append(w)");
  // A move interrupts nothing.
  expect(await page.evaluate("[w.muted, w.volume, w.paused, w.stats.playedMs >= moved]")).toEqual([
    true,
    0.5,
    false,
    true,
  ]);
  expect(await page.evaluate("seen.some(([, detail]) => detail === 'idle')")).toBe(false);
  // Nor does one to another document, where it looks the same. A copy plays nothing, and claims nothing.
  const display = "getComputedStyle(w.shadowRoot.querySelector('canvas')).display";
  await page.evaluate("w.setAttribute('speaking', ''); a.append(document.createElement('iframe'))");
  expect(
    await page.evaluate(
      `a.querySelector("iframe").contentDocument.body.append(w); [w.paused, w.isConnected, ${display}]`,
    ),
  ).toEqual([false, true, "none"]);
  expect(
    await page.evaluate(`a.append(w); a.firstChild.remove(); w.setAttribute("speaking", ""); a.append(w.cloneNode(true));
      const copy = a.lastChild; copy.remove(); [w.paused, ${display}, copy.hasAttribute("speaking")]`),
  ).toEqual([false, "none", false]);
  // As frameworks set what is not given.
  expect(await page.evaluate("[1, 2].map(() => { w.muted = undefined; return w.muted; })")).toEqual([false, false]);
  await page.getByRole("button", { name: "Pause" }).click();
  expect(await page.evaluate("[w.paused, w.state]")).toEqual([true, "idle"]);
  await page.evaluate("w.play()");
  await expect.poll(() => page.evaluate("w.state")).toBe("playing");
  // Away and back, it plays again, unless it was paused meanwhile.
  await page.evaluate("w.remove()");
  expect(await page.evaluate("[w.paused, w.state]")).toEqual([true, "idle"]);
  await page.evaluate("a.append(w)");
  await expect.poll(() => page.evaluate("w.state")).toBe("playing");
  await page.evaluate("w.remove()");
  expect(await page.evaluate("w.pause(); a.append(w); [w.paused, w.state]")).toEqual([true, "idle"]);
  const states = (await page.evaluate("seen.filter(([name]) => name !== 'heard')")) as [string, string][];
  expect(states.at(-1)).toEqual(["state", "idle"]);
  expect(states.filter(([name]) => name === "error")).toEqual([]);
  // As its types have them.
  const known = new Set(["state", "rewind", "heard", "stats", "problem", "error"]);
  expect(((await page.evaluate("[...names]")) as string[]).filter((name) => !known.has(name))).toEqual([]);
  expect(said).toEqual([]);
});

test("a muted element in a hidden page stands still, unless its audio is taken until it stops, and continues where the others are", async () => {
  await using stage = new Stage();
  const watch = (id: string) => `<unsay-watch id="${id}" url="${demo.pageUrl}" preload="none"></unsay-watch>`;
  const { page, said } = await openSite(
    stage,
    () => `${["muted", "taken", "heard"].map(watch).join("")}${script("unsay-element")}`,
  );
  const of = <T>(what: string) => page.evaluate<T[]>(`[muted, taken, heard].map((each) => ${what})`);
  const playheads = () => of<number>("each.stats.playheadUs / 1e6");
  await of("void each.play()");
  await expect.poll(() => of("each.state")).toEqual(["playing", "playing", "playing"]);
  await page.evaluate("muted.muted = taken.muted = true; taken.audio");
  await page.evaluate(`{
    Object.defineProperty(document, "visibilityState", { configurable: true, get: () => "hidden" });
    document.dispatchEvent(new Event("visibilitychange"));
  }`);
  await expect.poll(() => of("each.state === 'ready'")).toEqual([true, false, false]);
  const behind = async () => {
    const [stood, taken, others] = await playheads();
    return { stood: others! - stood!, taken: others! - taken! };
  };
  await expect.poll(async () => (await behind()).stood).toBeGreaterThan(2);
  await expect.poll(async () => (await behind()).taken).toBeLessThan(1);
  // What a page sets while it is hidden counts, too.
  await page.evaluate("muted.muted = false");
  await expect.poll(() => of("each.state")).toEqual(["playing", "playing", "playing"]);
  await page.evaluate("muted.volume = 0; taken.pause(); taken.audio; void taken.play()");
  await expect.poll(() => of("each.state === 'ready'")).toEqual([true, true, false]);
  await expect.poll(async () => (await behind()).stood).toBeGreaterThan(2);
  await expect.poll(async () => (await behind()).taken).toBeGreaterThan(2);
  await page.evaluate("delete document.visibilityState; document.dispatchEvent(new Event('visibilitychange'))");
  await expect.poll(() => of("each.state")).toEqual(["playing", "playing", "playing"]);
  await expect.poll(async () => Math.abs((await behind()).stood)).toBeLessThan(1);
  expect(said).toEqual([]);
});

test("an element takes the properties that were set before its script, loaded twice, and says what is wrong with one", async () => {
  await using stage = new Stage();
  const { page, said } = await openSite(stage, () => "");
  expect(
    await page.evaluate(`(async () => {
      globalThis.w = document.createElement("unsay-watch");
      globalThis.failures = [];
      w.addEventListener("error", ({ detail }) => failures.push(detail));
      Object.assign(w, { url: "http://", controls: true, muted: true, volume: "0.25" });
      document.body.append(w);
      for (const copy of [1, 2]) await import("${demo.pageUrl}/unsay-elements.js?copy=" + copy);
      return [w.getAttribute("url"), w.controls, w.muted, w.volume, w.broadcast];
    })()`),
  ).toEqual(["http://", true, true, 0.25, "demo"]);
  const volumes = `[["-1", 0], [7, 1], [Infinity, 1], ["", 1], ["x", 1]].map(([value]) => {
    w.setAttribute("volume", value);
    return w.volume;
  })`;
  expect(await page.evaluate(volumes)).toEqual([0, 1, 1, 1, 1]);
  const sentence = "volume must be a number from 0 to 1, but is NaN.";
  const set = `(() => { try { w.volume = NaN; } catch ({ code, message }) { return [code, message, w.volume]; } })()`;
  expect(await page.evaluate(set)).toEqual(["INVALID_OPTION", sentence, 1]);

  await page.getByRole("button", { name: "Listen" }).click();
  const wrong = '<unsay-watch url> must be a URL, but is "http://".';
  await expect.poll(() => page.getByRole("alert").textContent()).toBe(wrong);
  const directions = `[...w.shadowRoot.querySelectorAll("p, button")].map((part) => getComputedStyle(part).direction)`;
  expect(await page.evaluate(`document.dir = "rtl"; ${directions}`)).toEqual(["rtl", "ltr"]);
  expect(await page.evaluate("[w.state, failures]")).toEqual(["failed", [{ code: "INVALID_OPTION", message: wrong }]]);
  // Each names the attribute, and what is in it.
  const refused = `Promise.all([["watch", "url", "ftp://a"], ["watch", "broadcast", ""], ["watch", "jitter", "low"],
    ["watch", "jitter", ""], ["watch", "jitter", "-1"], ["watch", "worklet", "http://"], ["talk", "url", "a:4443"],
    ["talk", "broadcast", ""]].map(async ([kind, name, value]) => {
      const each = document.createElement("unsay-" + kind);
      each.setAttribute(name, value);
      return (each.play ?? each.talk).call(each).catch(({ code, message }) => code + " " + message);
    }))`;
  const parts = "have 1 to 30 parts between slashes and at most 512 bytes";
  expect(await page.evaluate(refused)).toEqual(
    [
      '<unsay-watch url> must be an http or https URL, but is "ftp://a".',
      `<unsay-watch broadcast> must ${parts}, but is "".`,
      '<unsay-watch jitter> must be a number, but is "low".',
      '<unsay-watch jitter> must be a number, but is "".',
      '<unsay-watch jitter> must be at least 0, but is "-1".',
      '<unsay-watch worklet> must be a URL, but is "http://".',
      '<unsay-talk url> must be an http or https URL, but is "a:4443".',
      `<unsay-talk broadcast> must ${parts}, but is "".`,
    ].map((sentence) => `INVALID_OPTION ${sentence}`),
  );

  // Both calls wait for the same start, and one that is paused at once does not come to life again.
  await page.evaluate(
    `w.url = "${demo.pageUrl}"; Promise.all([w.play(), w.pause(), w.play(), w.play()]).then(() => {})`,
  );
  expect(await page.evaluate("[w.paused, w.audio !== undefined, failures.length]")).toEqual([false, true, 1]);
  await expect.poll(() => page.evaluate("w.state")).toBe("playing");
  expect(await page.getByRole("alert").count()).toBe(0);
  await page.evaluate("w.url = 'http://'");
  await expect.poll(() => page.evaluate("[w.state, failures.length]")).toEqual(["failed", 2]);
  // A script that is there, and another one.
  const mistaken = `(async () => {
    w.url = "${demo.pageUrl}";
    w.worklet = "data:text/javascript,1";
    return w.play().catch(({ code, message }) => code + " " + message).finally(() => (w.worklet = undefined));
  })()`;
  expect(await page.evaluate(mistaken)).toBe(
    "NO_WORKLET The script data:text/javascript,1 has no audio worklet named unsay-playout: it is another file, or of another version.",
  );
  const forbidden = `(async () => {
    const policy = Object.assign(document.createElement("meta"), { httpEquiv: "Content-Security-Policy", content: "script-src 'self'" });
    document.head.append(policy);
    w.url = "${demo.pageUrl}";
    return w.play().catch(({ code, message }) => code + " " + message);
  })()`;
  expect(await page.evaluate(forbidden)).toMatch(
    /^NO_WORKLET This page can't load the audio worklet blob:.*: its content/,
  );
  expect(said).toEqual([]);
});

test("a property that was set before the script costs nothing else where it is invalid, and a microphone takes its own", async () => {
  await using stage = new Stage();
  const { page, said } = await openSite(stage, () => "");
  expect(
    await page.evaluate(`(async () => {
      const watch = document.createElement("unsay-watch");
      const talk = document.createElement("unsay-talk");
      Object.assign(watch, { volume: "loud", preload: "none", url: new URL("${demo.pageUrl}") });
      Object.assign(talk, { url: "${demo.pageUrl}", broadcast: "caller-1", controls: true, device: "gone" });
      watch.setAttribute("autoplay", "");
      document.body.append(watch, talk);
      await import("${demo.pageUrl}/unsay-elements.js");
      talk.url = talk.url + "/";
      return [watch.volume, watch.preload, watch.paused, talk.outerHTML, talk.url, talk.broadcast, talk.controls];
    })()`),
  ).toEqual([
    1,
    "none",
    false,
    `<unsay-talk url="${demo.pageUrl}/" broadcast="caller-1" controls="" device="gone"></unsay-talk>`,
    `${demo.pageUrl}/`,
    "caller-1",
    true,
  ]);
  // Without the attribute at the end of the task none plays, whether it was inserted before or after.
  expect(
    await page.evaluate(`(async () => {
      const early = document.createElement("unsay-watch");
      early.autoplay = true;
      await new Promise((resolve) => setTimeout(resolve));
      early.autoplay = false;
      const placed = document.createElement("unsay-watch");
      for (const element of [early, placed]) element.url = "${demo.pageUrl}";
      document.body.append(early, placed);
      placed.autoplay = true;
      placed.autoplay = false;
      await new Promise((resolve) => setTimeout(resolve));
      const states = [early.paused, placed.paused];
      // One that played when it left plays again, whatever became of the attribute.
      placed.autoplay = true;
      await new Promise((resolve) => setTimeout(resolve));
      states.push(placed.paused);
      placed.remove();
      await new Promise((resolve) => setTimeout(resolve));
      placed.autoplay = false;
      states.push(placed.paused);
      document.body.append(placed);
      await new Promise((resolve) => setTimeout(resolve));
      states.push(placed.paused);
      early.remove();
      placed.remove();
      return states;
    })()`),
  ).toEqual([true, true, false, true, false]);
  // One that is inserted before its attributes are set uses them alone; this page's own server is no relay.
  expect(
    await page.evaluate(`{
      globalThis.late = document.createElement("unsay-watch");
      globalThis.states = [];
      late.addEventListener("state", ({ detail }) => states.push(detail));
      document.querySelector("unsay-watch").replaceWith(late);
      Object.assign(late, { url: "${demo.pageUrl}", jitter: 40, autoplay: true });
      [late.getAttribute("jitter"), late.jitter, late.paused];
    }`),
  ).toEqual(["40", 40, true]);
  await expect.poll(() => page.evaluate("late.state")).toBe("playing");
  expect(await page.evaluate("states.filter((state) => ['idle', 'connecting'].includes(state))")).toEqual([
    "connecting",
  ]);
  expect(said).toEqual(['volume must be a number from 0 to 1, but is "loud".']);
});

test("an element plays in a shadow root of a frame without an address, and a frame without a microphone says so", async () => {
  await using stage = new Stage();
  const { page, port } = await openSite(stage, (path) =>
    path === "/talk" ? `<unsay-talk url="${demo.pageUrl}" controls></unsay-talk>${script("unsay-talk")}` : "",
  );
  await page.evaluate(`document.body.innerHTML = "<iframe id=inner></iframe><iframe src='http://127.0.0.1:${port}/talk'></iframe>";
    document.getElementById("inner").srcdoc = "<div id=host></div><script type=module src='${demo.pageUrl}/unsay-element.js'></script>"`);
  const inner = page.frameLocator("#inner");
  await inner.locator("#host").evaluate(
    new Function(
      "host",
      `host.attachShadow({ mode: "open" }).innerHTML = "<unsay-watch url='${demo.pageUrl}' worklet='/worklet.js' controls></unsay-watch>";
      host.shadowRoot.firstChild.removeAttribute("worklet");`,
    ) as (host: Element) => void,
  );
  await inner.getByRole("button", { name: "Listen" }).click();
  const state = () => page.frames()[1]!.evaluate("document.getElementById('host').shadowRoot.firstChild.state");
  await expect.poll(state).toBe("playing");
  const outer = page.frameLocator("iframe:not(#inner)");
  await outer.getByRole("button", { name: "Talk" }).click();
  await expect.poll(() => outer.getByRole("alert").textContent()).toMatch(/A page that embeds it must allow that/);
});
