import { setTimeout as delay } from "node:timers/promises";
import type { ListenerCalls } from "./attack/processes/listener.js";
import type { PublisherCalls } from "./attack/processes/publisher.js";
import type { RelayCalls } from "./attack/processes/relay.js";
import { type Bench, percentileRows, type Row, row } from "./harness.js";
import { type Calls, type RemoteProcess, startRemote } from "./support/remote.js";

type Carrier = "quic" | "qmux";

/** How often the listener is asked whether it plays. */
const LOOK_MS = 20;
/** Silence from here on means that the listener has played all that it held. */
const SILENT_MS = 200;
/** A listener that stays silent longer than this is counted as that long. */
const LIMIT_MS = 60_000;
/** A session settles before the next kill, so that waits between attempts start short again. */
const SETTLE_MS = 3000;

const CARRIERS: Readonly<Record<Carrier, string>> = { quic: "QUIC", qmux: "WebSocket" };

function start<T extends Calls<T>>(name: string): Promise<RemoteProcess<T>> {
  return startRemote<T>(new URL(`attack/processes/${name}.ts`, import.meta.url));
}

/** Waits until the listener has played nothing for a while, or plays on; returns what it has played by then. */
async function untilSilent({ calls }: RemoteProcess<ListenerCalls>): Promise<number> {
  let { playedMs } = await calls.heard();
  for (let since = performance.now(); performance.now() - since < SILENT_MS; await delay(LOOK_MS)) {
    const now = await calls.heard();
    if (now.playedMs === playedMs) continue;
    since = performance.now();
    ({ playedMs } = now);
  }
  return playedMs;
}

/** Milliseconds until the listener has played more than this. */
async function untilSound({ calls }: RemoteProcess<ListenerCalls>, playedMs: number): Promise<number> {
  const begun = performance.now();
  while ((await calls.heard()).playedMs === playedMs && performance.now() - begun < LIMIT_MS) await delay(LOOK_MS);
  return performance.now() - begun;
}

/** Kills the relay between a publisher and a listener again and again. */
async function measure(carrier: Carrier, kills: number, advance: () => void): Promise<Row[]> {
  const name = CARRIERS[carrier];
  let relay = await start<RelayCalls>("relay");
  const [publisher, listener] = [await start<PublisherCalls>("publisher"), await start<ListenerCalls>("listener")];
  try {
    const port = await relay.calls.open();
    const url = `http://127.0.0.1:${port}/`;
    await publisher.calls.open(url, carrier);
    await listener.calls.open({ url, carrier });
    const backMs: number[] = [];
    let staleMs = 0;
    await untilSound(listener, 0);
    for (let kill = 0; kill < kills; kill++) {
      await delay(SETTLE_MS);
      // Ready to listen at once: how long a process takes to start is not what is measured.
      const next = await start<RelayCalls>("relay");
      relay.signal("SIGKILL");
      const playedMs = await untilSilent(listener);
      await next.calls.open(port);
      relay = next;
      backMs.push(await untilSound(listener, playedMs));
      ({ staleMs } = await listener.calls.heard());
      advance();
    }
    return [
      ...percentileRows(name, "ms to sound", backMs, { p50: { atMost: 1000 }, max: { atMost: 3000 } }),
      row(name, "stale ms", staleMs, { atMost: 0 }),
    ];
  } finally {
    for (const { end } of [relay, publisher, listener]) end();
  }
}

export const bench: Bench = {
  name: "outage",
  description: "Kills the relay and measures how soon a listener hears sound once it is back.",
  conditions: Object.values(CARRIERS),
  async run({ quick, only, progress }) {
    const kills = quick ? 3 : 20;
    const carriers = (Object.keys(CARRIERS) as Carrier[]).filter(
      (carrier) => only === undefined || only === CARRIERS[carrier],
    );
    const bar = progress("kills", kills * carriers.length);
    const rows: Row[] = [];
    for (const carrier of carriers) rows.push(...(await measure(carrier, kills, () => bar.advance(1))));
    bar.stop();
    return rows;
  },
};
