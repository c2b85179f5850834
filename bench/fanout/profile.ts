/*
 * Where the relay's time goes while it fans out: `npx tsx bench/fanout/profile.ts <datagram|stream|groups> <watchers>
 * <seconds>` prints the functions of the JavaScript thread with the most time of their own, and each thread's share.
 */
import "../../base/polyfills.js";
import { readdirSync, readFileSync } from "node:fs";
import { formatTable, row } from "../harness.js";
import { Crew } from "./crew.js";
import type { Mode } from "./publisher.js";

const TOP = 25;

function threadTicks(pid: number): Map<string, number> {
  const ticks = new Map<string, number>();
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8");
    const end = stat.lastIndexOf(")");
    const name = thread === String(pid) ? "JavaScript" : stat.slice(stat.indexOf("(") + 1, end);
    const fields = stat.slice(end + 2).split(" ");
    ticks.set(name, (ticks.get(name) ?? 0) + Number(fields[11]) + Number(fields[12]));
  }
  return ticks;
}

const [mode = "datagram", watchers = "100", seconds = "5"] = process.argv.slice(2);
const crew = await Crew.start(2);
try {
  const post = await crew.open({ watchers: Number(watchers), mode: mode as Mode });
  const relay = post.relay!;
  await relay.call("startProfile", undefined);
  const before = threadTicks(relay.pid);
  const window = await crew.measure(post, mode as Mode, Number(seconds));
  const after = threadTicks(relay.pid);
  const profile = await relay.call("stopProfile", undefined);
  await crew.close(post);
  const names = new Map(
    profile.nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) => [
      id,
      `${functionName || "(anonymous)"} ${url.split("/").at(-1)}:${lineNumber + 1}`,
    ]),
  );
  const counts = new Map<string, number>();
  const samples = profile.samples ?? [];
  for (const sample of samples) counts.set(names.get(sample)!, (counts.get(names.get(sample)!) ?? 0) + 1);
  const total = samples.length;
  const idle = [...counts].filter(([name]) => name.startsWith("(idle)")).reduce((sum, [, count]) => sum + count, 0);
  const top = [...counts].filter(([name]) => !name.startsWith("(idle)")).sort((left, right) => right[1] - left[1]);
  console.log(
    formatTable([
      row("relay", "CPU us per object", window.costUs),
      row("relay", "delivered %", window.deliveredShare * 100),
      ...[...after]
        .map(([name, ticks]) => row(`thread ${name}`, "CPU ms", (ticks - (before.get(name) ?? 0)) * 10))
        .filter(({ value }) => value! > 0),
      ...top.slice(0, TOP).map(([name, count]) => row(name, "% of busy samples", (count / (total - idle)) * 100)),
    ]),
  );
} finally {
  await crew.end();
}
process.exit();
