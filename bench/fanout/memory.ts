/*
 * What each further watcher costs the relay in memory: `npx tsx bench/fanout/memory.ts <datagram|stream|groups>
 * <watchers,watchers> <seconds> <objects a second>`. Few objects a second do, also where the machine is slow or busy: it is
 * how many streams are held that counts, not how fast they come.
 */
import "../../base/polyfills.js";
import { formatTable, type Row, row } from "../harness.js";
import { residentBytes } from "./child.js";
import { Crew } from "./crew.js";
import type { Mode } from "./publisher.js";
import { sleep } from "./session.js";

// A relay that sends less of what it should has queues to hold as well.
const FOLLOWS = 0.99;
const PUBLISH_SLACK_MS = 60_000;
const STRAGGLERS_MS = 500;

const [mode = "stream", sizes = "100,250", seconds = "20", perSecond = "10"] = process.argv.slice(2);
if (!["datagram", "stream", "groups"].includes(mode))
  throw new Error(`The mode must be datagram, stream or groups, not ${mode}.`);
if (!/^\d+(,\d+)+$/.test(sizes) || !(Number(seconds) > 0) || !(Number(perSecond) > 0))
  throw new Error("It takes two or more numbers of watchers with commas between, seconds, and objects a second.");
const objects = Number(seconds) * Number(perSecond);
const rows: Row[] = [];
let before: { watchers: number; resident: number; heap: number; native: number } | undefined;
const crew = await Crew.start(2);
try {
  for (const watchers of sizes.split(",").map(Number)) {
    const post = await crew.open({ watchers, mode: mode as Mode });
    const relay = post.relay!;
    const sent = async () => (await relay.call("sample", { collect: false })).stats!.counters.objectsOut;
    const first = await sent();
    const publishing = { mode: mode as Mode, objects, perSecond: Number(perSecond), measured: false };
    await crew.publisher.call("publish", publishing, Number(seconds) * 1000 + PUBLISH_SLACK_MS);
    await sleep(STRAGGLERS_MS);
    const share = ((await sent()) - first) / objects / watchers;
    const resident = await crew.grownBytes(post);
    const { heapBytes: heap, heapReservedBytes } = await relay.call("sample", { collect: false });
    const native = residentBytes(relay.pid) - heapReservedBytes;
    await crew.close(post);
    rows.push(row(`${mode}, ${watchers} watchers`, "sent %", share * 100, { atLeast: FOLLOWS * 100 }));
    if (before) {
      const each = (bytes: number) => bytes / 1000 / (watchers - before!.watchers);
      const name = `${mode}, from ${before.watchers} to ${watchers} watchers`;
      rows.push(row(name, "RSS KB for each further watcher", each(resident - before.resident)));
      rows.push(row(name, "JavaScript objects, KB", each(heap - before.heap)));
      // Without the young generation, which grows once and not with the watchers.
      rows.push(row(name, "outside V8's heap, KB", each(native - before.native)));
    }
    before = { watchers, resident, heap, native };
  }
  console.log(formatTable(rows));
} finally {
  await crew.end();
}
process.exit();
