import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Caller } from "../agent/index.js";
import { Demo } from "../src/demo/demo.js";
import { createLogger } from "../src/log.js";
import { inlineWorklet } from "../src/page/bundle.js";
import { countKept, launchChromium } from "./support/chromium.js";
import { unsay } from "./support/command-line.js";
import { Ear } from "./support/ear.js";
import { endlessTone } from "./support/outage.js";
import { Stage, until, urlOf } from "./support/stage.js";

const MAX_GZIPPED_BYTES = 90 * 1024;

/** What a site's own bundler made of each script. */
const bundles = new Map<string, ReturnType<typeof makeBundle>>();

/** What a site's own bundler makes of a script that imports from this package. */
function bundle(script: string): ReturnType<typeof makeBundle> {
  const made = bundles.get(script) ?? makeBundle(script);
  bundles.set(script, made);
  return made;
}

async function makeBundle(script: string) {
  const { outputFiles, metafile } = await build({
    stdin: { contents: script, resolveDir: fileURLToPath(new URL("..", import.meta.url)), loader: "ts" },
    // As Vue's own plugin for bundlers sets them.
    define: {
      __VUE_OPTIONS_API__: "true",
      __VUE_PROD_DEVTOOLS__: "false",
      __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: "false",
    },
    bundle: true,
    format: "esm",
    platform: "browser",
    minify: true,
    legalComments: "none",
    metafile: true,
    write: false,
    plugins: [inlineWorklet({ minify: true })],
  });
  const [output] = Object.values(metafile.outputs);
  return {
    text: outputFiles[0]!.text,
    contents: outputFiles[0]!.contents,
    inputs: Object.keys(output!.inputs),
    metafile,
  };
}

/** What the browser's microphone hears, again and again. */
const SPEECH = fileURLToPath(new URL("../examples/audio/clean-speech.wav", import.meta.url));

let browser: Browser;
beforeAll(async () => {
  const microphone = [
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    `--use-file-for-fake-audio-capture=${SPEECH}`,
  ];
  browser = await launchChromium(microphone, { keepsPages: true });
});
afterAll(() => browser.close());

/** A relay that serves a page with a script. */
async function serve(stage: Stage, script: string, body = ""): Promise<string> {
  const relay = await stage.relay({
    handler: (request, response) => {
      const isScript = request.url === "/app.js";
      response.setHeader("Content-Type", isScript ? "text/javascript" : "text/html");
      if (request.url === "/" || isScript)
        response.end(isScript ? script : `<!doctype html>${body}<script type="module" src="/app.js"></script>`);
      else response.writeHead(204).end();
    },
  });
  return `http://127.0.0.1:${relay.address.port}`;
}

/** A page that fails the test when anything is on its console. */
async function openPage(stage: Stage, url: string): Promise<{ readonly page: Page; readonly said: string[] }> {
  const page = await browser.newPage();
  stage.defer(() => page.close());
  const said: string[] = [];
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error)));
  await page.goto(url);
  return { page, said };
}

test("the element makes a script of at most 90 KB gzipped, without Node, zod or a model", async () => {
  const { contents, inputs, metafile } = await bundle('import "./watch/browser/element.js";');
  expect(gzipSync(contents, { level: 9 }).length).toBeLessThan(MAX_GZIPPED_BYTES);
  const imports = Object.values(metafile.inputs).flatMap((input) => input.imports);
  expect(imports.filter(({ external }) => external)).toEqual([]);
  expect(inputs.filter((path) => /zod|core-js|bowser|libopus|onnx|^(publisher|relay|src)\//.test(path))).toEqual([]);
  expect(inputs).toEqual(expect.arrayContaining(["watch/player.ts", "watch/browser/worklet-script.ts"]));
});

test("the live page and the two elements in one script carry no zod either, and their library once", async () => {
  for (const entry of ["page", "elements"]) {
    const { inputs, contents } = await bundle(`import "./src/page/${entry}.js";`);
    expect(inputs.filter((path) => /zod|core-js|bowser|libopus|onnx|^relay\//.test(path))).toEqual([]);
    expect(inputs).toEqual(expect.arrayContaining(["watch/browser/element.ts", "publisher/browser/talk-element.ts"]));
    expect(gzipSync(contents, { level: 9 }).length).toBeLessThan(MAX_GZIPPED_BYTES + 15 * 1024);
  }
});

test.concurrent("a page of one script, with no file beside it, hears a broadcast through the element and the listener", async ({
  expect,
}) => {
  const { text } = await bundle(`
    import "./watch/browser/element.js";
    import { BrowserListener } from "./watch/browser/index.js";
    globalThis.BrowserListener = BrowserListener;`);
  await using stage = new Stage();
  // This browser permits audio before a click.
  const url = await serve(stage, text, "<unsay-watch autoplay></unsay-watch>");
  stage.publish(url).say(await endlessTone(500));
  const { page, said } = await openPage(stage, url);
  await page.evaluate(`{
      globalThis.element = document.querySelector("unsay-watch");
      globalThis.listener = new BrowserListener({ url: location.href, broadcast: "demo" });
    }`);
  const played = () =>
    page.evaluate<number[]>(
      "[element, listener].map((each) => (each.stats.call?.(each) ?? each.stats)?.playedMs ?? 0)",
    );
  await expect.poll(async () => Math.min(...(await played()))).toBeGreaterThan(500);
  await expect.poll(() => page.evaluate("element.state")).toBe("playing");
  expect(
    await page.evaluate(`(async () => {
        element.pause();
        await Promise.all([listener.close(), listener.close()]);
        return [element.state, await listener.closed, listener.stats().state];
      })()`),
  ).toEqual(["idle", null, "closed"]);
  // Chromium never frees one that closes while its worklet runs.
  await page.evaluate("listener = undefined");
  await expect.poll(() => countKept(page, "AudioContext")).toBe(0);
  expect(
    await page.evaluate(`(() => {
        try {
          new BrowserListener({ url: "x", broadcast: "demo" });
        } catch ({ code, message }) {
          return [code, message];
        }
      })()`),
  ).toEqual(["INVALID_OPTION", 'BrowserListener.url must be an absolute URL, but is "x".']);
  // A page may end the audio that it can reach.
  const ended = page.evaluate(`(async () => {
    const other = new BrowserListener({ url: location.href, broadcast: "demo" });
    await other.started;
    await other.audio.context.close();
    await other.close();
    return other.closed;
  })()`);
  expect(await ended).toBeNull();
  expect(said).toEqual([]);
});

test.concurrent("an element is connected before the click, takes no audio until then, and keeps the connection when it plays", async ({
  expect,
}) => {
  const { text } = await bundle('import "./watch/browser/element.js";');
  await using stage = new Stage();
  const relay = await stage.relay({
    handler: (request, response) => {
      response.setHeader("Content-Type", request.url === "/app.js" ? "text/javascript" : "text/html");
      response.end(request.url === "/app.js" ? text : `<!doctype html><script type="module" src="/app.js"></script>`);
    },
  });
  const publisher = stage.publish(relay);
  publisher.say(await endlessTone(500));
  const { page } = await openPage(stage, urlOf(relay));
  const sessions = () => relay.stats().sessions;
  await until("only the publisher is there", () => sessions() === 1);
  await page.evaluate(`{
    globalThis.element = document.createElement("unsay-watch");
    element.preload = "none";
    document.body.append(element);
  }`);
  expect(await page.evaluate("[element.preload, element.state, element.stats]")).toEqual(["none", "idle", undefined]);
  expect(sessions()).toBe(1);
  await page.evaluate("element.preload = 'metadata'");
  await until("the page is connected", () => sessions() === 2);
  expect(await page.evaluate("[element.preload, element.state, element.stats]")).toEqual([
    "metadata",
    "idle",
    undefined,
  ]);
  await until("the page reads the catalog, and nothing else", () => relay.stats().watchers === 1);

  await page.evaluate("element.play()");
  await expect.poll(() => page.evaluate("element.stats.playedMs")).toBeGreaterThan(100);
  expect(await page.evaluate("element.stats.sessions")).toBe(1);
  expect(publisher.stats().listeners).toBe(1);
  await page.evaluate("element.remove()");
  await until("the page has left", () => sessions() === 1);
});

test("a microphone makes a script without Node, zod or a model in it", async () => {
  const { inputs, metafile } = await bundle('import "./publisher/browser/talk-element.js";');
  const imports = Object.values(metafile.inputs).flatMap((input) => input.imports);
  expect(imports.filter(({ external }) => external)).toEqual([]);
  expect(inputs.filter((path) => /zod|core-js|bowser|libopus|onnx|^(watch|relay|src)\//.test(path))).toEqual([]);
});

test.concurrent("a listener and a caller hear the microphone of a page, in Opus and in PCM, until it is muted or unmounted", async ({
  expect,
}) => {
  const { text } = await bundle('import "./publisher/browser/talk-element.js";');
  await using stage = new Stage();
  const url = await serve(stage, text, "<unsay-talk controls></unsay-talk>");
  for (const codec of ["opus", "pcm-s16"]) {
    const { page, said } = await openPage(stage, url);
    if (codec !== "opus") await page.evaluate("delete globalThis.AudioEncoder");
    const broadcast = `caller-${codec}`;
    const ear = new Ear();
    const listener = stage.listen(url, { broadcast, sink: ear });
    const caller = stage.use(new Caller({ url, broadcast }));
    let rewinds = 0;
    listener.on("rewind", () => rewinds++);
    let words = 0;
    caller.on("speech", () => words++);
    const state = () => page.evaluate("document.querySelector('unsay-talk').state");
    await page.evaluate(`document.querySelector("unsay-talk").setAttribute("broadcast", "${broadcast}")`);
    await page.getByRole("button", { name: "Talk" }).click();
    await expect.poll(state).toBe("talking");
    expect(await page.evaluate("document.querySelector('unsay-talk').stats.codec")).toBe(codec);
    await expect.poll(() => ear.audibleMs).toBeGreaterThan(500);
    await expect.poll(() => words).toBeGreaterThan(0);
    const level = async () => Number(await page.getByRole("meter").getAttribute("aria-valuenow"));
    await expect.poll(level).toBeGreaterThan(-45);

    await page.getByRole("button", { name: "Mute" }).click();
    await expect.poll(level).toBe(-60);
    await expect.poll(() => listener.stats().levelDb ?? 0).toBeLessThan(-60);
    await page.getByRole("button", { name: "Mute" }).click();
    const muted = ear.audibleMs;
    await expect.poll(() => ear.audibleMs - muted).toBeGreaterThan(200);

    expect(said).toEqual([]);
    if (codec !== "opus") continue;
    const before = await page.evaluate("document.querySelector('unsay-talk').stats.device");
    await page.getByRole("combobox", { name: "Microphone" }).selectOption({ index: 2 });
    const device = () => page.evaluate("document.querySelector('unsay-talk').stats.device");
    await expect.poll(device).not.toBe(before);
    const changed = ear.audibleMs;
    await expect.poll(() => ear.audibleMs - changed).toBeGreaterThan(200);
    expect(rewinds).toBe(0);

    const captured = () => page.evaluate<number>("document.querySelector('unsay-talk').stats?.capturedMs ?? 0");
    const moved = await captured();
    await page.evaluate("document.body.append(document.querySelector('unsay-talk'))");
    await expect.poll(captured).toBeGreaterThan(moved);
    await page.evaluate("document.querySelector('unsay-talk').remove()");
    await expect.poll(() => listener.stats().state).not.toBe("playing");
    await expect.poll(() => countKept(page, "AudioContext")).toBe(0);
    expect(said).toEqual([]);
  }
});

test.concurrent("an element shows in a sentence why it is silent, and its button where the browser waits for a click", async ({
  expect,
}) => {
  // What waits for a click waits no longer once it is paused, or is not to play any more.
  const { text } = await bundle(`
    import "./watch/browser/element.js";
    import { BrowserListener } from "./watch/browser/index.js";
    globalThis.BrowserListener = BrowserListener;
    globalThis.shown = [(each) => each.pause(), (each) => each.removeAttribute("autoplay")].map(async (end) => {
      const each = Object.assign(document.createElement("unsay-watch"), { autoplay: true, preload: "none" });
      document.body.append(each);
      await null;
      const button = each.shadowRoot.querySelector("button");
      const seen = [button.hidden];
      end(each);
      seen.push(button.hidden);
      each.remove();
      return seen;
    });`);
  await using stage = new Stage();
  const page = stage.use(await browser.newPage());
  const thrown: string[] = [];
  page.on("pageerror", (error) => thrown.push(String(error)));
  // As a browser that starts no audio before a click, and none for the same click twice.
  await page.addInitScript(`{
    const asked = new WeakSet();
    let isClicked = false;
    const clicked = new Promise((resolve) => addEventListener("click", resolve, { capture: true })).then(() => {
      isClicked = true;
    });
    globalThis.AudioContext = class extends AudioContext {
      get state() { return isClicked || super.state === "closed" ? super.state : "suspended"; }
    };
    const { resume } = AudioContext.prototype;
    AudioContext.prototype.resume = async function () {
      if (asked.has(this)) throw new DOMException("It starts already.");
      asked.add(this);
      await Promise.race([this.suspend(), clicked]);
      await clicked;
      return resume.call(this);
    };
  }`);
  const url = await serve(stage, text, "<unsay-watch controls url='http://127.0.0.1:9'></unsay-watch>");
  stage.publish(url).say(await endlessTone(500));
  await page.goto(url);
  const shown = "w.shadowRoot.querySelector('[role=alert]').textContent";
  await page.evaluate(`{
    globalThis.w = document.querySelector("unsay-watch");
    globalThis.explained = [];
    w.addEventListener("problem", ({ detail }) => explained.push(${shown} === detail.message));
    w.play();
    0;
  }`);
  // Each reason once while the relay is away, however many attempts fail for it.
  await page.evaluate(`{
    globalThis.failed = Object.fromEntries(["problem", "retry"].map((name) => [name, []]));
    globalThis.lost = new BrowserListener({ url: w.url, broadcast: "demo", paused: true });
    for (const name in failed) lost.addEventListener(name, ({ detail }) => failed[name].push(detail.message));
  }`);
  expect(await page.evaluate("Promise.all(shown)")).toEqual([
    [false, true],
    [false, true],
  ]);
  const alert = page.getByRole("alert");
  await expect.poll(() => alert.textContent()).toMatch(/^Cannot connect to 127\.0\.0\.1:9: [^;.]+; [^;.]+\.$/);
  await expect.poll(() => page.evaluate("failed.retry.length")).toBeGreaterThan(1);
  expect(await page.evaluate("explained")).toEqual([true]);
  expect(await page.evaluate("[...new Set(failed.retry)]")).toEqual(
    await page.evaluate("lost.close(), failed.problem"),
  );
  await page.evaluate("w.url = ''");
  await expect.poll(() => alert.count()).toBe(0);
  await page.getByRole("button", { name: "Listen" }).click();
  await expect.poll(() => page.evaluate("w.state")).toBe("playing");
  expect(await page.getByRole("button").textContent()).toBe("Pause");
  // A decoder that fails shows why the element is silent, until it works again.
  await page.evaluate(`{
    const { decode } = AudioDecoder.prototype;
    AudioDecoder.prototype.decode = () => { throw new Error("broken"); };
    globalThis.mend = () => (AudioDecoder.prototype.decode = decode);
  }`);
  await expect.poll(() => alert.textContent()).toBe("The decoder refuses every packet of the audio.");
  await page.evaluate("mend() && 0");
  await expect.poll(() => page.evaluate("w.state")).toBe("playing");
  await expect.poll(() => alert.count()).toBe(0);
  expect(thrown).toEqual([]);
});

test.concurrent("an element in a page that the browser keeps plays again on the way back", async ({ expect }) => {
  const { text } = await bundle('import "./watch/browser/element.js";');
  await using stage = new Stage();
  const url = await serve(stage, text, "<unsay-watch id='w' controls></unsay-watch>");
  stage.publish(url).say(await endlessTone(500));
  const { page, said } = await openPage(stage, url);
  await page.evaluate("w.play()");
  await expect.poll(() => page.evaluate("w.state")).toBe("playing");
  await page.evaluate(`{
    globalThis.events = [];
    for (const name of ["state", "error"]) w.addEventListener(name, ({ detail }) => events.push(detail.code ?? detail));
    addEventListener("pageshow", ({ persisted }) => persisted && events.push("kept"));
  }`);
  await page.goto(`${url}/app.js`);
  // A page that was kept does not load again.
  await page.goBack({ waitUntil: "commit" });
  await expect.poll(() => page.evaluate("events.includes('kept')")).toBe(true);
  // The browser may have ended its session or not. What plays now is more than what waited.
  const before = await page.evaluate<number>("w.stats.playedMs");
  await expect.poll(() => page.evaluate<number>("w.stats.playedMs")).toBeGreaterThan(before + 1500);
  await expect.poll(() => page.evaluate("w.state")).toBe("playing");
  expect(await page.evaluate("events.filter((each) => /^[A-Z]|idle|failed/.test(each))")).toEqual([]);
  expect(said).toEqual([]);
});

test.concurrent("a microphone in a page whose timers fire once a minute is back as soon as its relay or its name is", async ({
  expect,
}) => {
  const { text } = await bundle('import "./publisher/browser/talk-element.js";');
  await using stage = new Stage();
  const page = stage.use(await browser.newPage());
  // As a page that has been hidden for five minutes.
  await page.addInitScript(`for (const name of ["setTimeout", "setInterval"]) {
    const native = globalThis[name];
    globalThis[name] = (task, ms = 0, ...rest) => native(task, Math.max(ms, 60_000), ...rest);
  }`);
  const relay = await stage.relay();
  await page.goto(await serve(stage, text, `<unsay-talk url="${urlOf(relay)}" controls></unsay-talk>`));
  // As React's StrictMode runs an effect: on, off and on again.
  await page.evaluate("globalThis.t = document.querySelector('unsay-talk'); t.talk(); t.stop(); t.talk()");
  const state = () => page.evaluate("t.state");
  // Far less than a minute, and far more than it takes.
  const soon = { timeout: 30_000 };
  await expect.poll(state, soon).toBe("ready");
  await expect.poll(() => relay.stats().sessions).toBe(1);
  await relay.close();
  await expect.poll(state, soon).toBe("connecting");
  const again = await stage.relay({ port: relay.address.port });
  await expect.poll(state, soon).toBe("ready");
  await expect.poll(() => again.stats().broadcasts).toBe(1);

  // A second tab of the page takes the name, until that one is closed.
  await page.evaluate(`{
    globalThis.taken = [];
    t.addEventListener("problem", ({ detail }) => {
      if (detail.code === "NAME_TAKEN") taken.push(t.state, t.shadowRoot.querySelector("[role=alert]").textContent);
    });
  }`);
  const other = stage.publish(again, { broadcast: "caller" });
  const sentence = expect.stringMatching(/^Another publisher has taken the name caller at the relay and is heard /);
  await expect.poll(() => page.evaluate("taken.slice(0, 2)"), soon).toEqual(["displaced", sentence]);
  await other.close();
  await expect.poll(state, soon).toBe("ready");
  await expect.poll(() => page.getByRole("alert").count()).toBe(0);
});

test.concurrent("the microphone that was chosen last stands, one that is gone before it starts is replaced, and after a stop none is heard of", async ({
  expect,
}) => {
  const { text } = await bundle('import "./publisher/browser/talk-element.js";');
  await using stage = new Stage();
  const url = await serve(stage, text, "<unsay-talk></unsay-talk>");
  stage.listen(url, { broadcast: "caller" });
  const { page, said } = await openPage(stage, url);
  // As a device that takes longer to start than the next one, or is unplugged while it starts.
  await page.evaluate(`{
    globalThis.t = document.querySelector("unsay-talk");
    globalThis.opened = [];
    const { getUserMedia } = navigator.mediaDevices;
    navigator.mediaDevices.getUserMedia = async function (wanted) {
      const before = globalThis.beforeStart;
      globalThis.beforeStart = undefined;
      const stream = await getUserMedia.call(this, wanted);
      await before?.(stream);
      opened.push(wanted.audio.deviceId?.exact);
      return stream;
    };
    globalThis.seen = [];
    for (const name of ["level", "device", "problem"])
      t.addEventListener(name, ({ detail }) => seen.push(t.state === "idle" ? "late" : (detail.code ?? name)));
    t.talk();
  }`);
  await expect.poll(() => page.evaluate("t.state")).toBe("talking");
  await page.evaluate(`(async () => {
    globalThis.ids = (await t.devices()).map(({ deviceId }) => deviceId);
    opened.length = 0;
    beforeStart = () => new Promise((resolve) => setTimeout(resolve, 300));
    [t.device, t.device] = ids.slice(-2);
  })()`);
  await expect.poll(() => page.evaluate("opened.length")).toBe(2);
  await expect.poll(() => page.evaluate("t.stats.device === ids.at(-1)")).toBe(true);
  await page.evaluate("t.stop(), opened.length = 0");
  await page.evaluate("beforeStart = (stream) => stream.getTracks()[0].stop(), void t.talk()");
  await expect.poll(() => page.evaluate("[opened.length, t.state]")).toEqual([2, "talking"]);
  await expect.poll(() => page.evaluate("seen.lastIndexOf('level') > seen.indexOf('MICROPHONE_GONE')")).toBe(true);
  expect(await page.evaluate("seen.filter((each) => each !== 'level' && each !== 'device')")).toEqual([
    "MICROPHONE_GONE",
  ]);
  await page.evaluate("t.stop()");
  await expect.poll(() => countKept(page, "AudioContext")).toBe(0);
  expect(await page.evaluate("seen.includes('late')")).toBe(false);
  expect(said).toEqual([]);
});

test.concurrent("a page whose microphone is refused shows the reason in a sentence", async ({ expect }) => {
  const { text } = await bundle('import "./publisher/browser/talk-element.js";');
  await using stage = new Stage();
  const url = await serve(stage, text, "<unsay-talk controls></unsay-talk>");
  const { page, said } = await openPage(stage, url);
  await page.evaluate(`{
    navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("Permission denied", "NotAllowedError"); };
    document.querySelector("unsay-talk").addEventListener("error", ({ detail }) => { globalThis.failure = detail; });
  }`);
  const select = "document.querySelector('unsay-talk').shadowRoot.querySelector('select')";
  await expect.poll(() => page.evaluate(`${select}.options.length`)).toBeGreaterThan(1);
  await page.evaluate("document.querySelector('unsay-talk').device = 'gone'");
  expect(await page.evaluate(`${select}.selectedIndex`)).toBe(0);
  await page.getByRole("button", { name: "Talk" }).click();
  await expect
    .poll(() => page.getByRole("alert").textContent())
    .toMatch(/^This page may not use the microphone\. Allow it/);
  expect(await page.evaluate("[failure.code, document.querySelector('unsay-talk').state]")).toEqual([
    "MICROPHONE_DENIED",
    "failed",
  ]);
  expect(said).toEqual([]);
});

/** What a browser may lack or refuse, and the codes and sentences with which both elements end. */
const LACKS: readonly (readonly [lack: string, watch: RegExp, talk: RegExp])[] = [
  ["delete globalThis.AudioContext", /^NO_WEB_AUDIO This browser has no/, /^NO_WEB_AUDIO This browser has no/],
  [
    "globalThis.AudioContext = class { constructor() { throw new DOMException('No hardware.', 'NotSupportedError'); } }",
    /^NO_WEB_AUDIO This browser starts no audio: No hardware\.$/,
    /^NO_WEB_AUDIO This browser starts no audio: No hardware\.$/,
  ],
  [
    `AudioContext.prototype.resume = () => Promise.reject(new DOMException("Failed to start the audio device"));
     navigator.mediaDevices.getUserMedia = undefined;`,
    /^NO_WEB_AUDIO This browser starts no audio: Failed to start the audio device\.$/,
    /^NO_MICROPHONE This browser gives no page a microphone\.$/,
  ],
  [
    `Object.defineProperty(BaseAudioContext.prototype, "audioWorklet", { value: undefined });
     Object.defineProperty(navigator, "mediaDevices", { value: undefined });`,
    /^NO_WORKLET This browser has no AudioWorklet\.$/,
    /^NO_MICROPHONE This browser gives no page a microphone\.$/,
  ],
];

test.concurrent("a page in a browser without audio or microphones says so by code and sentence, until an attribute changes", async ({
  expect,
}) => {
  const { text } = await bundle('import "./src/page/elements.js";');
  await using stage = new Stage();
  const url = await serve(stage, text, "<unsay-watch controls></unsay-watch><unsay-talk controls></unsay-talk>");
  for (const [lack, watch, talk] of LACKS) {
    const page = stage.use(await browser.newPage());
    const thrown: string[] = [];
    page.on("pageerror", (error) => thrown.push(String(error)));
    await page.addInitScript(lack);
    await page.goto(url);
    const ends = (await page.evaluate(`{
      const end = (name, begin) => new Promise((resolve) => {
        const element = document.querySelector(name);
        element.addEventListener("error", ({ detail }) => {
          const shown = element.shadowRoot.querySelector("[role=alert]").textContent;
          resolve(detail.code + " " + (shown === detail.message ? shown : "not " + detail.message));
        });
        element[begin]().catch(() => {});
      });
      Promise.all([end("unsay-watch", "play"), end("unsay-talk", "talk")]);
    }`)) as [string, string];
    expect(ends[0]).toMatch(watch);
    expect(ends[1]).toMatch(talk);
    expect(thrown).toEqual([]);
    const w = "document.querySelector('unsay-watch')";
    expect(
      await page.evaluate(
        `[${w}.state, ${w}.jitter = 100, ${w}.state, ${w}.shadowRoot.querySelector("p").textContent]`,
      ),
    ).toEqual(["failed", 100, "idle", ""]);
  }
});

test.concurrent("a page that `unsay page` wrote plays from any web server under its own strict policy, and a relay serves the elements", async ({
  expect,
}) => {
  await using stage = new Stage();
  const stop = new AbortController();
  const lines = { on: "", off: "" };
  const run = (key: keyof typeof lines, ...flags: string[]) =>
    unsay(["relay", "--port", "0", ...flags], {
      signal: stop.signal,
      onOut: (text) => {
        lines[key] += text;
      },
    });
  const relays = [run("on"), run("off", "--no-elements")];
  stage.defer(() => Promise.all(relays));
  stage.defer(() => stop.abort());
  const urlIn = (text: string) => /listening on (\S+)/.exec(text)?.[1];
  await until("both relays listen", () => Object.values(lines).every((text) => urlIn(text) !== undefined));
  const url = urlIn(lines.on)!;
  const script = await fetch(`${url}/unsay-element.js`, { headers: { Origin: "http://localhost:5173" } });
  expect(script.headers.get("content-encoding")).toBe("gzip");
  expect(script.headers.get("access-control-allow-origin")).toBe("*");
  expect((await fetch(`${urlIn(lines.off)}/unsay-element.js`)).status).toBe(404);

  const folder = await mkdtemp(join(tmpdir(), "unsay-page-"));
  stage.defer(() => rm(folder, { recursive: true }));
  const { exitCode } = await unsay(["page", "--out", folder, "--url", url, "--broadcast", "a&b"]);
  expect(exitCode).toBe(0);
  const files = createServer(async (request, response) => {
    const name = request.url === "/" ? "/index.html" : request.url!;
    const both = `<!doctype html><script type="module" src="${url}/unsay-elements.js"></script>
      <unsay-watch url="${url}" preload="none"></unsay-watch><unsay-talk></unsay-talk>`;
    const bare = `<!doctype html><script type="module" src="${url}/unsay-talk.js"></script><unsay-talk></unsay-talk>`;
    const body =
      name === "/bare.html"
        ? bare
        : name === "/both.html"
          ? both
          : await readFile(join(folder, name)).catch(() => undefined);
    const types: Record<string, string> = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" };
    response.writeHead(body === undefined ? 204 : 200, { "Content-Type": types[extname(name)] ?? "text/plain" });
    response.end(body);
  });
  stage.defer(() => files.close());
  await new Promise<void>((resolve) => files.listen(0, "127.0.0.1", resolve));
  const site = `http://127.0.0.1:${(files.address() as AddressInfo).port}`;

  stage.publish(url, { broadcast: "a&b" }).say(await endlessTone(500));
  const { page, said } = await openPage(stage, site);
  await page.getByRole("button", { name: "Listen" }).click();
  await expect.poll(() => page.getByRole("status").textContent()).toBe("Playing.");
  await page.goto(`${site}/bare.html`);
  await expect.poll(() => page.evaluate("document.querySelector('unsay-talk').state")).toBe("idle");
  await page.goto(`${site}/both.html`);
  const states = "[...document.querySelectorAll('unsay-watch, unsay-talk')].map(({ state }) => state)";
  await expect.poll(() => page.evaluate(states)).toEqual(["idle", "idle"]);
  expect(said).toEqual([]);
});

test.concurrent("the examples for React, Vue and plain HTML have fewer than 60 lines and play", async ({ expect }) => {
  await using stage = new Stage();
  const examples = await Promise.all(
    ["react/app.tsx", "vue/app.ts", "html/index.html"].map(async (name) => {
      const text = await readFile(new URL(`../examples/${name}`, import.meta.url), "utf8");
      expect(text.split("\n").length, name).toBeLessThan(60);
      if (name.endsWith(".html")) return [`/${name}`, text] as const;
      return [`/${name}.js`, (await bundle(`import "./examples/${name}";`)).text] as const;
    }),
  );
  const element = (await bundle('import "./watch/browser/element.js";')).text;
  const files = new Map<string, string>([...examples, ["/unsay-element.js", element]]);
  const relay = await stage.relay({
    handler: ({ url: path = "" }, response) => {
      const script = [...files.keys()].find((name) => path === name.replace(".js", ".html"));
      const text =
        files.get(path) ?? (script && `<!doctype html><body><script type="module" src="${script}"></script>`);
      const type = path.endsWith(".js") ? "text/javascript" : "text/html";
      response.writeHead(text === undefined ? 204 : 200, { "Content-Type": type });
      response.end(text?.replaceAll("http://localhost:4443", url));
    },
  });
  const url = urlOf(relay);
  stage.publish(relay).say(await endlessTone(500));
  await Promise.all(
    ["/react/app.tsx.html", "/vue/app.ts.html", "/html/index.html"].map(async (path) => {
      const { page, said } = await openPage(stage, url + path);
      await page.getByRole("button", { name: "Listen" }).click();
      await expect.poll(() => page.getByRole("status").textContent()).toBe("playing");
      expect(said, path).toEqual([]);
    }),
  );
});

/** What axe finds wrong on a page, each with the elements at fault. */
async function faults(page: Page): Promise<string[]> {
  await page.evaluate(await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8"));
  return page.evaluate(`axe.run().then(({ violations }) =>
    violations.map(({ id, nodes }) => id + ": " + nodes.map(({ target }) => target.join(" ")).join(", ")))`);
}

/** Whether a browser reports a WebSocket that was given up while it connected, because WebTransport was faster. */
function isOvertaken(line: string): boolean {
  return line.startsWith("WebSocket connection") && line.endsWith("closed before the connection is established.");
}

test("axe finds nothing on the live page and the elements, in any colours; nothing moves or overflows where it must not", async () => {
  await using stage = new Stage();
  const demo = stage.use(
    await Demo.start({ port: 0, keepSeconds: 1, control: false, logger: createLogger("silent", () => {}) }),
  );
  const { page, said } = await openPage(stage, demo.pageUrl);
  await page.emulateMedia({ reducedMotion: "reduce" });
  for (const details of await page.locator("details > summary").all()) await details.click();
  // The switch between two ears has its name beside it.
  expect((await page.locator("#link legend").boundingBox())?.width).toBeGreaterThan(20);
  for (const media of [{ colorScheme: "dark" }, { forcedColors: "active" }] as const) {
    await page.emulateMedia(media);
    expect(await faults(page), JSON.stringify(media)).toEqual([]);
  }
  for (const [width, fontSize] of [
    [360, "100%"],
    [360, "200%"],
    [1280, "200%"],
  ] as const) {
    await page.setViewportSize({ width, height: 800 });
    await page.evaluate(`document.documentElement.style.fontSize = "${fontSize}"`);
    expect(await page.evaluate("document.documentElement.scrollWidth"), `${width} px, ${fontSize}`).toBe(width);
  }
  await page.click("#play");
  await expect.poll(() => page.textContent("#status")).toBe("Playing");
  const moving = `document.getAnimations().filter(({ playState }) => playState === "running").length`;
  expect(await page.evaluate(moving)).toBe(0);
  const watch = await page.evaluate<string[]>(
    "(({ url, stats }) => [url, stats.backend])(document.getElementById('watch'))",
  );
  expect(watch).toEqual([expect.stringMatching(/^http:..127.0.0.1:\d+.$/), "webtransport"]);
  expect(watch[0]).not.toBe(`${demo.pageUrl}/`);
  expect(said.filter((line) => !isOvertaken(line))).toEqual([]);

  const { text } = await bundle('import "./watch/browser/element.js"; import "./publisher/browser/talk-element.js";');
  const body = `<html lang="en"><title>Elements</title><main><h1>Elements</h1>
    <unsay-watch controls></unsay-watch><unsay-talk controls></unsay-talk></main>`;
  const elements = await openPage(stage, await serve(stage, text, body));
  await elements.page.getByRole("button", { name: "Talk" }).click();
  await elements.page.getByRole("meter").waitFor();
  expect(await faults(elements.page)).toEqual([]);
  expect(elements.said.filter((line) => !isOvertaken(line))).toEqual([]);
});
