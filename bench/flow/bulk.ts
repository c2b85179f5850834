import { openSource, Publisher } from "../../publisher/index.js";
import { Relay } from "../../relay/index.js";
import { median, percentile, type Row, row } from "../harness.js";
import { BulkEnd } from "./bulk-end.js";
import { startBulkProcess } from "./bulk-process.js";

const MEGABIT = 1e6;
const QUEUE_MS = 500;
/** How long round trips are taken without a transfer. */
const IDLE_MS = 3000;
const QUICK_IDLE_MS = 1500;
const POLL_MS = 10;
const START_LIMIT_MS = 25_000;

/** A transfer beside a conversation on a narrow link. */
const BESIDE = { name: "bulk beside, 5 Mbit/s", rateBps: 5 * MEGABIT, bytes: 6e6, quickBytes: 1e6 };
/** Transfers in both directions; a link of 8 Mbit/s each way, and a tenth for headers. */
const BOTH = { name: "bulk both ways, 1 MB/s", rateBps: 8.8 * MEGABIT, bytes: 16e6, quickBytes: 4e6 };

/** Options of {@link measureBulk}. */
export interface BulkOptions {
  readonly quick: boolean;
  readonly seed: number;
  readonly sound: Float32Array;
}

/** Effect of payloads on other traffic of their link: round trips of small requests, and reports. */
export async function measureBulk(options: BulkOptions): Promise<Row[]> {
  const rows: Row[] = [];
  for (const both of options.quick ? [false] : [false, true]) rows.push(...(await measure(both, options)));
  return rows;
}

async function measure(both: boolean, { quick, seed, sound }: BulkOptions): Promise<Row[]> {
  const { name, rateBps, bytes, quickBytes } = both ? BOTH : BESIDE;
  const link = { rateBps, queueBytes: (rateBps / 8) * (QUEUE_MS / 1000), delayMs: 10 };
  const size = quick ? quickBytes : bytes;
  const relay = new Relay({ port: 0 });
  await relay.listen();
  const door = { port: relay.address.port, certificateHash: relay.fingerprint };
  const publisher = new Publisher({
    url: `https://127.0.0.1:${door.port}`,
    broadcast: "speech",
    source: await openSource({ samples: sound, loop: true, name: "speech" }),
    opus: { complexity: 0 },
    connect: { certificateHashes: [Buffer.from(door.certificateHash, "hex")], backends: ["quic"] },
  });
  const near = await BulkEnd.open({ ...door, own: "near", other: "far" });
  const process = await startBulkProcess();
  const far = process.calls;
  let longestMs = 0;
  let reports = 0;
  let reportedAt = 0;
  const watch = setInterval(() => {
    const { reportsIn } = relay.stats().counters;
    const now = performance.now();
    if (reportedAt > 0) longestMs = Math.max(longestMs, now - reportedAt);
    if (reportsIn === reports) return;
    reports = reportsIn;
    if (reportedAt > 0) reportedAt = now;
  }, POLL_MS);
  try {
    await far.open({ ...door, own: "far", other: "near", link, seed, listen: "speech" });
    const limit = performance.now() + START_LIMIT_MS;
    while (!(await far.heard()).playing) {
      if (performance.now() > limit) throw new Error("The listener beside the transfer heard nothing.");
      await sleep(POLL_MS);
    }
    const hashes = [await far.prepare(size, seed)];
    if (both) hashes.push(await near.prepare(size, seed + 1));
    await far.startProbes();
    await sleep(quick ? QUICK_IDLE_MS : IDLE_MS);
    const idle = await far.takeProbes();
    const underrunBefore = (await far.heard()).underrunMs;
    reportedAt = performance.now();
    const times = await Promise.all([far.send(), ...(both ? [near.send()] : [])]);
    const busy = await far.takeProbes();
    reportedAt = 0;
    const { underrunMs } = await far.heard();
    const backlog = await far.backlog();
    const came = [...near.received(), ...(await far.received())].sort();
    const identical = came.join() === hashes.sort().join();
    const round = (fraction: number, values: number[]) => (values.length === 0 ? null : percentile(values, fraction));
    const inflation = busy.length === 0 || idle.length === 0 ? null : median(busy) - median(idle);
    return [
      row(name, "kB/s of each payload", size / Math.max(...times)),
      row(name, "p50 ms of a control round trip without", round(0.5, idle)),
      row(name, "p50 ms of a control round trip beside", round(0.5, busy)),
      row(name, "p99 ms of a control round trip beside", round(0.99, busy), both ? { atMost: 250 } : undefined),
      row(name, "p50 ms that round trips grow by", inflation, both ? undefined : { atMost: 60 }),
      row(name, "max ms of queue at the bottleneck", (Math.max(backlog.up, backlog.down) * 8000) / rateBps),
      row(name, "payloads that came byte for byte", identical ? hashes.length : 0, { atLeast: hashes.length }),
      row(name, "longest ms without a report", longestMs, both ? { atMost: 200 } : undefined),
      row(name, "underrun ms of a listener beside", underrunMs - underrunBefore),
    ];
  } finally {
    clearInterval(watch);
    await near.close();
    await far.close();
    process.end();
    await publisher.close();
    await relay.close();
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
