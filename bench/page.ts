import { availableParallelism, loadavg } from "node:os";
import type { Browser } from "playwright-core";
import { sleep } from "../base/index.js";
import { openSource, Publisher } from "../publisher/index.js";
import { Relay } from "../relay/index.js";
import { BadLink } from "../src/demo/bad-link.js";
import { Demo } from "../src/demo/demo.js";
import { CLEAN_LINK } from "../src/demo/link-model.js";
import { createLogger } from "../src/log.js";
import { elementHandler, loadPage } from "../src/page/index.js";
import { launchChromium } from "../tests/support/chromium.js";
import { type Bench, type BenchContext, percentileRows, type Row, row } from "./harness.js";
import { EAR, type Heard } from "./page/ear.js";
import { echo } from "./page/echo.js";
import { HiddenTab } from "./page/hidden-tab.js";
import { interrupts } from "./page/interrupts.js";
import { TONE_HZ, TONE_WATCH, type ToneHeard } from "./page/tone-watch.js";

/** Time that a page gets before the click: people read it first. */
const READ_MS = 700;
const SOUND_WITHIN_MS = 10_000;
const WAIT_MS = 60_000;
/** Targets of the click, by round-trip time in milliseconds. */
const CLICKS = [
  { rttMs: 0, name: "loopback", atMost: 250 },
  { rttMs: 100, name: "100 ms RTT", atMost: 450 },
] as const;

/** A tone at the far end of a link that can be slowed, and a page with nothing but the element. */
class Stage implements AsyncDisposable {
  readonly #relay: Relay;
  readonly publisher: Publisher;
  readonly link: BadLink;

  private constructor(relay: Relay, link: BadLink, publisher: Publisher) {
    this.#relay = relay;
    this.link = link;
    this.publisher = publisher;
  }

  /** `tone`: the publisher plays one without end; else it waits for what it is to say. */
  static async open({ tone = true } = {}): Promise<Stage> {
    const assets = loadPage();
    const elements = elementHandler(() => assets);
    const relay = new Relay({
      port: 0,
      handler: (request, response) => {
        if (elements(request, response)) return;
        response.setHeader("Content-Type", "text/html");
        if (request.url?.startsWith("/?")) response.end(pageFor(new URL(request.url, "http://page/").searchParams));
        else response.writeHead(204).end();
      },
    });
    await relay.listen();
    const link = await BadLink.open(relay.address.port);
    const samples = Float32Array.from(
      { length: 48_000 },
      (_, at) => 0.3 * Math.sin((at * TONE_HZ * 2 * Math.PI) / 48_000),
    );
    const publisher = new Publisher({
      url: `http://127.0.0.1:${relay.address.port}`,
      broadcast: "bench",
      ...(tone && { source: await openSource({ samples, loop: true }) }),
    });
    return new Stage(relay, link, publisher);
  }

  get url(): string {
    const { port } = this.#relay.address;
    return `http://localhost:${port}/?relay=${encodeURIComponent(`http://127.0.0.1:${this.link.port}/`)}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.publisher.close();
    await this.link.close();
    await this.#relay.close();
  }
}

function pageFor(query: URLSearchParams): string {
  return `<!doctype html><title>bench</title><link rel="icon" href="data:,">
    <unsay-watch url="${query.get("relay")}" broadcast="bench" controls></unsay-watch>
    <script type="module" src="/unsay-element.js"></script>`;
}

async function hear(browser: Browser, url: string): Promise<Heard> {
  // A context of its own: nothing of an earlier visit is in its cache.
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    await page.addInitScript(EAR);
    await page.goto(url);
    await sleep(READ_MS);
    await page.getByRole("button", { name: "Listen" }).click();
    await page.waitForFunction("ear().soundAt !== undefined", undefined, { timeout: SOUND_WITHIN_MS, polling: 50 });
    return (await page.evaluate("ear()")) as Heard;
  } finally {
    await context.close();
  }
}

async function clicks(browser: Browser, { quick, log, progress }: BenchContext): Promise<Row[]> {
  await using stage = await Stage.open();
  const rounds = quick ? 5 : 20;
  const rows: Row[] = [];
  for (const { rttMs, name, atMost } of CLICKS) {
    stage.link.set({ ...CLEAN_LINK, delayMs: rttMs / 2 });
    const bar = progress(`click, ${name}`, rounds);
    const heard: Heard[] = [];
    for (let round = 0; round < rounds; round++) {
      heard.push(await hear(browser, stage.url));
      bar.advance(1);
    }
    bar.stop();
    const [first] = [...heard].sort((a, b) => a.soundAt! - a.clickedAt - (b.soundAt! - b.clickedAt)).slice(rounds >> 1);
    log(`${name}, the median click: ${first!.steps.map(([step, at]) => `${step} ${at.toFixed(0)}`).join(", ")}`);
    const values = heard.map(({ clickedAt, soundAt }) => soundAt! - clickedAt);
    rows.push(...percentileRows(`click to sound, ${name}`, "ms", values, { p95: { atMost } }));
  }
  return rows;
}

async function thread(browser: Browser, { quick }: BenchContext): Promise<Row[]> {
  const demo = await Demo.start({ port: 0, keepSeconds: 1, control: false, logger: createLogger("silent", () => {}) });
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    const devtools = await page.context().newCDPSession(page);
    // Time of the processor: other programs on the machine must not count.
    await devtools.send("Performance.enable", { timeDomain: "threadTicks" });
    const metrics = async () => {
      const { metrics } = await devtools.send("Performance.getMetrics");
      return new Map([...metrics.map(({ name, value }) => [name, value] as const), ["at", performance.now() / 1000]]);
    };
    await page.goto(demo.pageUrl);
    await page.click("#play");
    while (((await page.evaluate("document.getElementById('watch').stats?.playedMs ?? 0")) as number) < 2000)
      await sleep(100);
    const before = await metrics();
    await sleep(quick ? 10_000 : 60_000);
    const after = await metrics();
    const spent = (name: string) => after.get(name)! - before.get(name)!;
    const share = (name: string) => (100 * spent(name)) / spent("at");
    return [
      row("live page, playing", "main thread %", share("TaskDuration"), { atMost: 10 }),
      row("live page, playing", "of it scripts %", share("ScriptDuration")),
      row("live page, playing", "of it layout and style %", share("LayoutDuration") + share("RecalcStyleDuration")),
    ];
  } finally {
    await demo.close();
  }
}

/**
 * Plays in a hidden tab. Browsers slow down the timers of a tab that can't be heard, to one a minute after five minutes, so
 * it also plays muted: an element whose audio is taken plays on.
 */
async function hidden(_: Browser, context: BenchContext): Promise<Row[]> {
  return [...(await hide(context, "audible")), ...(await hide(context, "muted"))];
}

async function hide({ quick, log }: BenchContext, how: "audible" | "muted"): Promise<Row[]> {
  await using stage = await Stage.open();
  await using tab = await HiddenTab.open(stage.url);
  const watch = "document.querySelector('unsay-watch')";
  const playedMs = () => tab.evaluate<number>(`${watch}.stats?.playedMs ?? 0`);
  await until("the element was not there", () => tab.evaluate(`${watch}?.play !== undefined`));
  await tab.evaluate(`${watch}.muted = ${how === "muted"}; ${watch}.play()`);
  await until("nothing was played", async () => (await playedMs()) > 2000);
  await tab.evaluate(`${TONE_WATCH} toneWatch(${watch}.audio).then((read) => { globalThis.heard = read; })`);
  await tab.hide();
  await until("the tab was not hidden", () => tab.evaluate("document.visibilityState === 'hidden'"));
  await tab.evaluate("globalThis.ticks = 0; setInterval(() => ticks++, 50); heard().then(() => {})");
  const played = await playedMs();
  const rates: string[] = [];
  for (let minute = 0; minute < (quick ? 0.5 : 10); minute++) {
    const before = await tab.evaluate<number>("ticks");
    await sleep(quick ? 30_000 : 60_000);
    rates.push((((await tab.evaluate<number>("ticks")) - before) / (quick ? 30 : 60)).toFixed(2));
  }
  const heard = await tab.evaluate<ToneHeard>("heard()");
  const share = ((await playedMs()) - played) / 1000 / heard.seconds;
  log(`${how}: in the hidden tab a timer of 50 ms fired ${rates.join(", ")} times a second, minute by minute.`);
  log(`${how}: ${loadavg()[0]!.toFixed(1)} programs wanted ${availableParallelism()} cores; a gap may be theirs.`);
  const name = `hidden tab, ${how}`;
  return [
    row(name, "seconds heard", heard.seconds),
    row(name, "missing audio ms", heard.missingMs, { atMost: 0 }),
    row(name, "gaps", heard.gaps, { atMost: 0 }),
    row(name, "jumps", heard.jumps, { atMost: 0 }),
    row(name, "played share", share, { atLeast: 0.99 }),
  ];
}

async function interrupt(browser: Browser, context: BenchContext): Promise<Row[]> {
  await using stage = await Stage.open({ tone: false });
  const page = await browser.newPage();
  try {
    await page.goto(stage.url);
    await until("the element was not there", () =>
      page.evaluate<boolean>(`document.querySelector("unsay-watch")?.play !== undefined`),
    );
    return await interrupts(page, stage.publisher, context);
  } finally {
    await page.close();
  }
}

async function until(failure: string, holds: () => Promise<boolean>): Promise<void> {
  for (const limit = performance.now() + WAIT_MS; !(await holds()); await sleep(100))
    if (performance.now() > limit) throw new Error(`After ${WAIT_MS / 1000} s ${failure}.`);
}

const PARTS = { click: clicks, interrupt, thread, hidden, echo } as const;

export const bench: Bench = {
  name: "page",
  description:
    "The page in Chromium: a click until sound, an interrupt until silence, the main thread while it plays, a hidden tab, and the echo.",
  conditions: Object.keys(PARTS),
  async run(context) {
    const browser = await launchChromium();
    try {
      const rows: Row[] = [];
      for (const [name, part] of Object.entries(PARTS))
        if (context.only === undefined || context.only === name) rows.push(...(await part(browser, context)));
      return rows;
    } finally {
      await browser.close();
    }
  },
};
