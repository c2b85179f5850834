import "../../base/polyfills.js";
import { setTimeout as sleep } from "node:timers/promises";
import { type Calls, type RemoteProcess, startRemote } from "../support/remote.js";
import { attackScript } from "../support/scripts.js";
import { ATTACKS, type Attack, honest } from "./attacks.js";
import { Hostile } from "./hostile.js";
import type { Heard, ListenerCalls } from "./processes/listener.js";
import type { PublisherCalls } from "./processes/publisher.js";
import type { RelayCalls } from "./processes/relay.js";

const QUICK = ["lie-far-ahead", "frames-without-bytes", "far-sequences", "tracks-there-are-not", "random-messages"];
/** Attacks on what lies below a session over TCP. */
const TCP_ALONE = new Set(["slow-loris", "unread-pings"]);
const CARRIERS = ["quic", "qmux"] as const;
/** Silence from here on is a gap, where it is longer than without an attack by more than two groups of audio. */
const GAP_MS = 150;
const DIFFERENCE_MS = 40;
/** How often what the relay holds is looked at; its garbage is collected each time. */
const LOOK_MS = 500;
/** Memory that a relay may hold for each byte sent, beyond the noise of a process. */
const HELD_PER_BYTE = 4;
const NOISE_BYTES = 24e6;
const LIMIT_MS = 15_000;

interface Stage {
  readonly relay: RemoteProcess<RelayCalls>;
  readonly publisher: RemoteProcess<PublisherCalls>;
  readonly listeners: readonly RemoteProcess<ListenerCalls>[];
  readonly port: number;
  readonly url: string;
  readonly deaths: string[];
}

interface Verdict {
  readonly attack: string;
  readonly carrier: string;
  readonly gapMs: number;
  /** Longest gap of the same listeners right before and after, beside an honest one. */
  readonly controlMs: number;
  readonly heldPerByte: number;
  readonly peakMb: number;
  readonly faults: readonly string[];
}

const file = (name: string) => new URL(`processes/${name}.ts`, import.meta.url);

async function build(): Promise<Stage> {
  const deaths: string[] = [];
  const start = async <T extends Calls<T>>(name: string) => {
    const started = await startRemote<T>(file(name), ["--expose-gc"]);
    void started.ended.then((how) => deaths.push(`${name} ended: ${how}`));
    return started;
  };
  const relay = await start<RelayCalls>("relay");
  const port = await relay.calls.open();
  const url = `http://127.0.0.1:${port}/`;
  const publisher = await start<PublisherCalls>("publisher");
  await publisher.calls.open(url);
  const listeners = [await start<ListenerCalls>("listener"), await start<ListenerCalls>("listener")];
  for (const [index, listener] of listeners.entries())
    await listener.calls.open({ url, carrier: index === 0 ? "quic" : "qmux" });
  await warmUp(url);
  const stage = { relay, publisher, listeners, port, url, deaths };
  while (!(await heard(stage)).every(({ playing }) => playing)) await sleep(100);
  await sleep(3000);
  return stage;
}

/** The first sessions of a process cost it up to 35 MB once, for the threads and the memory pools of QUIC. */
async function warmUp(url: string): Promise<void> {
  for (const carrier of CARRIERS) {
    const sessions = await Promise.all(Array.from({ length: 20 }, () => Hostile.open(url, carrier)));
    for (const session of sessions) await session.interest();
    await sleep(500);
    for (const session of sessions) session.close();
  }
}

function heard({ listeners }: Stage): Promise<Heard[]> {
  return Promise.all(listeners.map(({ calls }) => calls.heard()));
}

/** Measures the same with a listener that does no harm. */
async function control(stage: Stage, carrier: "quic" | "qmux"): Promise<number> {
  return (await strike(stage, "control", honest, carrier, 0)).gapMs;
}

async function strike(
  stage: Stage,
  name: string,
  attack: Attack,
  carrier: "quic" | "qmux",
  seed: number,
): Promise<Omit<Verdict, "controlMs">> {
  const { relay, port, url } = stage;
  const [first] = await heard(stage);
  const before = await relay.calls.holding();
  let peak = before.heldBytes;
  const watch = setInterval(() => {
    relay.calls.holding().then(
      ({ heldBytes }) => {
        peak = Math.max(peak, heldBytes);
      },
      () => {},
    );
  }, LOOK_MS);
  let state = seed;
  const random = (below: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const target = { url, port, carrier, playheadUs: first!.playheadUs, random };
  const sent = await Promise.race([attack(target).catch(() => 0), sleep(LIMIT_MS).then(() => undefined)]);
  const during = await heard(stage);
  await sleep(2500);
  clearInterval(watch);
  const after = await heard(stage);
  const gapMs = Math.max(...[...during, ...after].map(({ longestGapMs }) => longestGapMs));
  const faults = [...stage.deaths];
  // Connections that the attacker holds open are not the relay's fault.
  if (sent === undefined) faults.push(`the attack itself goes on after ${LIMIT_MS / 1000} s`);
  if (!after.every(({ playing }) => playing)) faults.push("a healthy listener does not play");
  const now = await relay.calls.holding();
  const held = Math.max(0, peak - before.heldBytes - NOISE_BYTES) / Math.max(sent ?? 0, 1);
  if (held > HELD_PER_BYTE) faults.push(`the relay held ${held.toFixed(1)} bytes for a byte sent`);
  const { sessions, partialBytes, pendingBytes } = now.stats;
  if (sessions !== before.stats.sessions) faults.push(`${sessions} sessions are open, not ${before.stats.sessions}`);
  if (now.stats.watchers !== before.stats.watchers) faults.push(`${now.stats.watchers} watchers are left`);
  if (now.stats.broadcasts !== before.stats.broadcasts) faults.push(`${now.stats.broadcasts} broadcasts are left`);
  if (partialBytes > 1e4 || pendingBytes > 1e5) faults.push(`${partialBytes} + ${pendingBytes} bytes are left`);
  if (now.handles > before.handles + 4) faults.push(`${now.handles - before.handles} handles are left`);
  for (const [handler, count] of Object.entries(now.faults)) faults.push(`${handler} failed ${count} times`);
  return {
    attack: name,
    carrier,
    gapMs: Math.round(gapMs),
    heldPerByte: held,
    peakMb: Math.round((peak - before.heldBytes) / 1e6),
    faults,
  };
}

const { only, quick, seed } = attackScript().parse().opts<{ only?: string; quick: boolean; seed: number }>();
const names = Object.keys(ATTACKS).filter((name) =>
  only === undefined ? !quick || QUICK.includes(name) : name.includes(only),
);
if (names.length === 0) {
  process.stderr.write(`There is no attack ${only}; there are ${Object.keys(ATTACKS).join(", ")}.\n`);
  process.exit(2);
}
const verdicts: Verdict[] = [];
let stage = await build();
let before = await control(stage, "quic");
console.log(
  "| attack | carrier | longest gap, ms | without attack, ms | peak, MB | held per byte sent | verdict |\n|---|---|---|---|---|---|---|",
);
for (const attack of names) {
  for (const carrier of CARRIERS) {
    if (TCP_ALONE.has(attack) && carrier === "quic") continue;
    const struck = await strike(stage, attack, ATTACKS[attack]!, carrier, seed);
    if (stage.deaths.length > 0) stage = await build();
    const after = await control(stage, carrier);
    const controlMs = Math.round(Math.max(before, after));
    before = after;
    const { gapMs, peakMb, heldPerByte } = struck;
    const isGap = gapMs > Math.max(GAP_MS, controlMs + DIFFERENCE_MS);
    const faults = [...struck.faults, ...(isGap ? [`a healthy listener had a gap of ${gapMs} ms`] : [])];
    verdicts.push({ ...struck, controlMs, faults });
    const end = faults.length === 0 ? "unharmed" : faults.join("; ");
    console.log(
      `| ${attack} | ${carrier} | ${gapMs} | ${controlMs} | ${peakMb} | ${heldPerByte.toFixed(1)} | ${end} |`,
    );
  }
}
const failed = verdicts.filter(({ faults }) => faults.length > 0);
console.log(
  JSON.stringify({
    attacks: verdicts.length,
    failed: failed.map(({ attack, carrier, controlMs, faults }) => ({ attack, carrier, controlMs, faults })),
  }),
);
for (const { end } of [stage.relay, stage.publisher, ...stage.listeners]) end();
process.exit(failed.length > 0 ? 1 : 0);
