import "../../base/polyfills.js";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { CDPSession } from "playwright-core";
import { launchChromium } from "../../tests/support/chromium.js";
import { soakScript } from "../support/scripts.js";
import type { Carrier, Message, Role } from "./role.js";

/** Most that the heap of a role may grow by, in megabytes a minute. */
const TARGET_MB_PER_MINUTE = 0.1;
/** Until then code is compiled and buffers grow to their size: not counted. */
const WARM_UP = 1 / 3;

interface Sample {
  readonly at: number;
  readonly bytes: number;
  readonly groups: number;
}

/** Something whose heap is looked at. */
interface Subject {
  readonly name: string;
  sample(): Promise<Omit<Sample, "at">>;
  close(): Promise<void>;
}

class RoleProcess implements Subject {
  readonly name: string;
  readonly #child: ChildProcess;

  constructor(role: Role, carrier: Carrier) {
    this.name = `${carrier} ${role.kind}`;
    this.#child = fork(join(import.meta.dirname, "role.ts"), [JSON.stringify(role)], {
      execArgv: ["--expose-gc", "--import", "tsx"],
    });
  }

  async next<K extends Message>(): Promise<K> {
    const next = new AbortController();
    const ended = once(this.#child, "exit", next).then(() => {
      throw new Error(`The process of ${this.name} ended.`);
    });
    try {
      const [message] = await Promise.race([once(this.#child, "message", next), ended]);
      return message as K;
    } finally {
      next.abort();
      ended.catch(() => {});
    }
  }

  async sample(): Promise<Omit<Sample, "at">> {
    const answer = this.next<Extract<Message, { bytes: number }>>();
    this.#child.send("measure");
    return answer;
  }

  async close(): Promise<void> {
    const ended = once(this.#child, "exit");
    this.#child.kill();
    await ended;
  }
}

/** The listening page in Chromium. */
class PageSubject implements Subject {
  readonly name: string;
  readonly #devtools: CDPSession;
  readonly close: () => Promise<void>;

  private constructor(name: string, devtools: CDPSession, close: () => Promise<void>) {
    this.name = name;
    this.#devtools = devtools;
    this.close = close;
  }

  static async open(url: string, carrier: Carrier): Promise<PageSubject> {
    const browser = await launchChromium(carrier === "quic" ? [] : ["--disable-quic"]);
    const page = await browser.newPage();
    await page.goto(`${url}/?broadcast=soak`);
    await page.click("#play");
    const devtools = await page.context().newCDPSession(page);
    return new PageSubject(`${carrier} page`, devtools, () => browser.close());
  }

  async sample(): Promise<Omit<Sample, "at">> {
    await this.#devtools.send("HeapProfiler.collectGarbage");
    const { usedSize } = await this.#devtools.send("Runtime.getHeapUsage");
    return { bytes: usedSize, groups: 0 };
  }
}

async function open(carrier: Carrier, withPage: boolean): Promise<Subject[]> {
  const relay = new RoleProcess({ kind: "relay" }, carrier);
  const { port } = await relay.next<Extract<Message, { port: number }>>();
  const url = `http://localhost:${port}`;
  const kinds = ["publisher", "streams", "datagrams", "churn"] as const;
  const others = kinds
    .filter((kind) => carrier === "quic" || kind !== "datagrams")
    .map((kind) => new RoleProcess({ kind, url, carrier }, carrier));
  return [relay, ...others, ...(withPage ? [await PageSubject.open(url, carrier)] : [])];
}

/** Megabytes a minute by least squares. */
function slope(samples: readonly Sample[]): number {
  const at = samples.reduce((sum, sample) => sum + sample.at, 0) / samples.length;
  const bytes = samples.reduce((sum, sample) => sum + sample.bytes, 0) / samples.length;
  let over = 0;
  let under = 0;
  for (const sample of samples) {
    over += (sample.at - at) * (sample.bytes - bytes);
    under += (sample.at - at) ** 2;
  }
  return ((over / under) * 60_000) / 1e6;
}

function report(subjects: readonly Subject[], samples: ReadonlyMap<Subject, Sample[]>, carriers: string): boolean {
  const rows = subjects.map((subject) => {
    const all = samples.get(subject)!;
    const counted = all.slice(Math.floor(all.length * WARM_UP));
    const growth = slope(counted);
    const last = all.at(-1)!;
    return {
      name: subject.name,
      growth,
      megabytes: last.bytes / 1e6,
      groups: last.groups,
      ok: growth <= TARGET_MB_PER_MINUTE && (last.groups > 0 || subject instanceof PageSubject),
    };
  });
  for (const { name, growth, megabytes, groups, ok } of rows)
    process.stdout.write(
      `${name.padEnd(18)} ${growth.toFixed(3).padStart(8)} MB/min  ${megabytes.toFixed(1).padStart(6)} MB  ${String(groups).padStart(7)} ${ok ? "" : "MISSED"}\n`,
    );
  process.stdout.write(`${JSON.stringify({ soak: carriers, rows })}\n`);
  return rows.every(({ ok }) => ok);
}

async function soak(options: { seconds: number; every: number; carrier?: Carrier; page: boolean }): Promise<boolean> {
  const carriers: Carrier[] = options.carrier ? [options.carrier] : ["quic", "qmux"];
  const subjects = (await Promise.all(carriers.map((carrier) => open(carrier, options.page)))).flat();
  const samples = new Map<Subject, Sample[]>(subjects.map((subject) => [subject, []]));
  const startedAt = performance.now();
  const end = startedAt + options.seconds * 1000;
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());
  try {
    while (performance.now() < end) {
      await delay(options.every * 1000, undefined, stop).catch(() => {});
      if (stop.signal.aborted) break;
      for (const subject of subjects) {
        const sample = await subject.sample();
        samples.get(subject)!.push({ ...sample, at: performance.now() });
      }
      process.stderr.write(`${((performance.now() - startedAt) / 1000).toFixed(0)} s\n`);
    }
    return report(subjects, samples, carriers.join("+"));
  } finally {
    await Promise.all(subjects.map((subject) => subject.close()));
  }
}

const program = soakScript(TARGET_MB_PER_MINUTE).action(
  async (options: { seconds: number; every: number; carrier?: Carrier; page: boolean }) => {
    process.exitCode = (await soak(options)) ? 0 : 1;
  },
);

await program.parseAsync();
process.exit();
