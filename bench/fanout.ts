import { loadavg, platform } from "node:os";
import { StateError } from "../base/index.js";
import { openFiles, residentBytes } from "./fanout/child.js";
import { Crew, percentileOf, type Window } from "./fanout/crew.js";
import type { Mode } from "./fanout/publisher.js";
import { sleep } from "./fanout/session.js";
import { trendOf } from "./fanout/trend.js";
import { type Bench, type BenchContext, median, type Row, row } from "./harness.js";

// Above this share of their cores the clients, not the relay, decide what arrives.
const CLIENTS_FULL = 0.9;
const EPOCH_SIZE = 65_536;
const MODES: Record<Mode, string> = { datagram: "datagrams", stream: "streams", groups: "5-frame groups" };

interface Plan {
  readonly seconds: number;
  readonly sizes: Record<Mode, readonly number[]>;
  readonly peerSizes: Partial<Record<Mode, readonly number[]>>;
  readonly stalled: readonly { readonly mode: Mode; readonly watchers: number }[];
  readonly flooded: number;
  readonly joins: number;
  readonly interrupted: number;
  readonly interrupts: number;
  readonly soakGroups: number;
  readonly soakPerSecond: number;
  readonly busy: boolean;
}

const FULL: Plan = {
  seconds: 20,
  sizes: { datagram: [100, 250, 500, 1000], stream: [100, 250, 500, 1000], groups: [100, 250, 500, 1000] },
  peerSizes: { datagram: [50, 100, 250, 500], stream: [10, 25, 50, 100] },
  stalled: [
    { mode: "datagram", watchers: 500 },
    { mode: "stream", watchers: 100 },
  ],
  flooded: 500,
  joins: 1000,
  interrupted: 500,
  interrupts: 5,
  soakGroups: 1_000_000,
  soakPerSecond: 4000,
  busy: true,
};

const QUICK: Plan = {
  seconds: 2,
  sizes: { datagram: [100, 250], stream: [100], groups: [] },
  peerSizes: { stream: [10] },
  stalled: [{ mode: "datagram", watchers: 100 }],
  flooded: 100,
  joins: 0,
  interrupted: 100,
  interrupts: 1,
  soakGroups: 16_000,
  soakPerSecond: 4000,
  busy: false,
};

/** One publisher and many watchers through one relay on one core: what arrives, when, and what it costs. */
export const bench: Bench = {
  name: "fanout",
  description:
    "A relay on one core and up to a thousand watchers: cost, latency, memory, stalls, floods, joins, a soak.",
  async run(context) {
    if (platform() !== "linux") throw new StateError("LINUX_ONLY", "The fanout bench reads /proc and needs Linux.");
    const plan = context.quick ? QUICK : FULL;
    const { log } = context;
    log(
      "The relay has core 0 to itself; the publisher and the watchers, each on a UDP socket of its own, have the rest.",
    );
    log(
      "The watchers are light: they speak moq-lite-05 by hand, as full players would keep the clients' core busy first.",
    );
    log("Latency is from the publisher's send to 20 probes evenly among the watchers; the others run at low priority.");
    if (context.quick)
      log(
        "Quick: small sizes, 2 s a row; without 5-frame groups, the 70 % rows, joins; its soak is too short to judge.",
      );
    log(`Load of the machine before: ${loadavg()[0]!.toFixed(1)}.`);
    const crew = await Crew.start(context.quick ? 2 : 4);
    try {
      return await new Fanout(crew, plan, context).run();
    } finally {
      await crew.end();
    }
  },
};

class Fanout {
  readonly #crew: Crew;
  readonly #plan: Plan;
  readonly #context: BenchContext;
  readonly #rows: Row[] = [];
  #datagramCostUs: number | undefined;

  constructor(crew: Crew, plan: Plan, context: BenchContext) {
    this.#crew = crew;
    this.#plan = plan;
    this.#context = context;
  }

  async run(): Promise<Row[]> {
    const plan = this.#plan;
    const steps: [string, () => Promise<void>][] = [
      ...(Object.keys(MODES) as Mode[]).map((mode): [string, () => Promise<void>] => [
        MODES[mode],
        () => this.#sizes(mode, plan.sizes[mode]),
      ]),
      ...(Object.keys(plan.peerSizes) as Mode[]).map((mode): [string, () => Promise<void>] => [
        `peer, ${MODES[mode]}`,
        () => this.#peer(mode, plan.peerSizes[mode] ?? []),
      ]),
      // All watchers of one broadcast are due at once, so most of them wait for the others; of ten, they take turns.
      ["busy, one broadcast", () => this.#busy(1)],
      ["busy, ten broadcasts", () => this.#busy(10)],
      ...plan.stalled.map(({ mode, watchers }): [string, () => Promise<void>] => [
        "stalled",
        () => this.#stalled(mode, watchers),
      ]),
      ["flood", () => this.#flooded(plan.flooded)],
      ["joins", () => this.#joins(plan.joins)],
      ["interrupt", () => this.#interrupted(plan.interrupted, plan.interrupts)],
      ["soak", () => this.#soak(plan.soakGroups, plan.soakPerSecond)],
    ];
    const bar = this.#context.progress("steps", steps.length);
    for (const [name, step] of steps) {
      await step();
      bar.advance(1, name);
    }
    bar.stop();
    return this.#rows;
  }

  async #sizes(mode: Mode, sizes: readonly number[]): Promise<void> {
    const memory: { watchers: number; bytes: number }[] = [];
    for (const watchers of sizes) {
      const post = await this.#crew.open({ watchers, mode });
      const window = await this.#crew.measure(post, mode, this.#plan.seconds);
      const bytes = await this.#crew.grownBytes(post);
      await this.#crew.close(post);
      memory.push({ watchers, bytes });
      const name = `${MODES[mode]}, ${watchers} watchers`;
      const judged = mode !== "datagram" || watchers === 500 || (this.#context.quick && watchers === sizes.at(-1));
      const limit = mode === "datagram" ? 20 : 40;
      this.#rows.push(
        row(name, "delivered %", window.deliveredShare * 100),
        row(name, "of the published, reached the relay %", (window.takenShare ?? Number.NaN) * 100),
        row(name, "relay CPU us per object", window.costUs, judged ? { atMost: limit } : undefined),
        ...latencyRows(name, window),
        row(name, "relay RSS more than without watchers, KB per watcher", bytes / 1000 / watchers),
        ...shareRows(name, window),
      );
      if (mode === "datagram" && window.deliveredShare > 0.95) this.#datagramCostUs = window.costUs ?? undefined;
      if (this.#full(name, window) && mode !== "datagram") break;
    }
    // With the first watchers the heap's young generation grows once, by about 30 MB; only more of them show their own.
    const [least, most] = [memory[0], memory.at(-1)];
    if (least === undefined || most === undefined || most === least) return;
    const each = (most.bytes - least.bytes) / (most.watchers - least.watchers);
    const name = `${MODES[mode]}, from ${least.watchers} to ${most.watchers} watchers`;
    this.#rows.push(row(name, "relay RSS KB for each further watcher", each / 1000, { atMost: 150 }));
  }

  async #peer(mode: Mode, sizes: readonly number[]): Promise<void> {
    for (const watchers of sizes) {
      const name = `peer (@kixelated/moq accept), ${MODES[mode]}, ${watchers} watchers`;
      try {
        const post = await this.#crew.open({ watchers, peer: true, mode });
        const window = await this.#crew.measure(post, mode, this.#plan.seconds);
        this.#rows.push(
          row(name, "delivered %", window.deliveredShare * 100),
          row(name, "relay CPU us per object", window.costUs),
          ...latencyRows(name, window),
          ...shareRows(name, window),
        );
        await this.#crew.close(post);
        if (window.deliveredShare < 0.9) break;
      } catch (error) {
        this.#context.log(`${name}: no result (${(error as Error).message.split("\n", 1)[0]}).`);
        this.#rows.push(row(name, "delivered %", null));
        break;
      }
    }
  }

  // As many watchers as fill 70 % of the relay's core, by what an object has cost, if the clients can be that many.
  async #busy(broadcasts: number): Promise<void> {
    if (!this.#plan.busy || this.#datagramCostUs === undefined) return;
    const watchers = Math.min(1000, Math.round(0.7e6 / (this.#datagramCostUs * 50) / 10) * 10);
    const post = await this.#crew.open({ watchers, broadcasts });
    const window = await this.#crew.measure(post, "datagram", this.#plan.seconds);
    const name = `towards 70 % of the core: ${watchers} watchers of ${broadcasts} broadcasts`;
    this.#rows.push(
      row(name, "relay core %", window.relayShare * 100),
      row(name, "delivered %", window.deliveredShare * 100),
      row(name, "added latency p50 ms", percentileOf(window.ages, 0.5), { atMost: 2 }),
      row(name, "added latency p99 ms", percentileOf(window.ages, 0.99), { atMost: 10 }),
    );
    await this.#crew.close(post);
  }

  async #stalled(mode: Mode, watchers: number): Promise<void> {
    const healthy = Math.round(watchers * 0.9);
    const post = await this.#crew.open({ watchers: healthy, mode });
    const frozen = await Crew.start(0);
    try {
      // The one that stalls is a process of its own, stopped whole: it neither reads nor acknowledges.
      await frozen.probes.call("join", { door: post.door, count: watchers - healthy });
      await this.#crew.publish(mode, 1, false);
      const calm = await this.#crew.measure(post, mode, this.#plan.seconds);
      frozen.probes.freeze(true);
      const stalled = await this.#crew.measure(post, mode, this.#plan.seconds);
      frozen.probes.freeze(false);
      const name = `10 % of ${watchers} stalled, ${MODES[mode]}`;
      this.#rows.push(...disturbanceRows(name, calm, stalled));
    } finally {
      await frozen.end();
    }
    await this.#crew.close(post);
  }

  async #flooded(watchers: number): Promise<void> {
    const post = await this.#crew.open({ watchers });
    const attacker = await Crew.start(0);
    try {
      await attacker.publisher.call("connect", { door: post.door, broadcasts: 0 });
      const seconds = this.#plan.seconds;
      const calm = await this.#crew.measure(post, "datagram", seconds);
      const flooding = attacker.publisher.call("flood", { perSecond: 10_000, seconds: seconds + 1 });
      await sleep(500);
      const flooded = await this.#crew.measure(post, "datagram", seconds);
      const sent = await flooding;
      const name = `10,000 announcements/s, ${watchers} watchers`;
      this.#rows.push(...disturbanceRows(name, calm, flooded), row(name, "announcements/s sent", sent / (seconds + 1)));
    } finally {
      await attacker.end();
    }
    await this.#crew.close(post);
  }

  async #joins(count: number): Promise<void> {
    if (count === 0) return;
    const crew = this.#crew;
    const post = await crew.open({ watchers: 20 });
    const calm = await crew.measure(post, "datagram", 5);
    const perSecond = count / 5 / crew.others.length;
    const start = performance.now();
    const joining = Promise.all(
      crew.others.map((child) =>
        child.call("join", { door: post.door, count: count / crew.others.length, perSecond, untilFirst: true }),
      ),
    ).then((joined) => ({ joined, seconds: (performance.now() - start) / 1000 }));
    const during = await crew.measure(post, "datagram", 10);
    const { joined, seconds } = await joining;
    const times = joined.flatMap(({ milliseconds }) => [...milliseconds]);
    const name = `${count} joins in 5 s`;
    this.#rows.push(
      row(
        name,
        "failed",
        joined.reduce((sum, { failed }) => sum + failed, 0),
        { atMost: 0 },
      ),
      row(name, "last one plays after s", seconds),
      row(name, "until the first object p50 ms", percentileOf(times, 0.5)),
      row(name, "until the first object p99 ms", percentileOf(times, 0.99)),
      row(name, "p99 ms of those already there, before", percentileOf(calm.ages, 0.99)),
      row(name, "p99 ms of those already there, meanwhile", percentileOf(during.ages, 0.99)),
    );
    await crew.close(post);
  }

  async #interrupted(watchers: number, times: number): Promise<void> {
    const crew = this.#crew;
    const post = await crew.open({ watchers });
    const clients = [crew.probes, ...crew.others];
    const [arrived, silent]: [number[], number[]] = [[], []];
    let missing = 0;
    for (let time = 1; time <= times; time += 1) {
      await crew.publish("datagram", 1, false);
      await Promise.all(clients.map((child) => child.call("reset", { ages: false, awaited: time * EPOCH_SIZE })));
      const { at } = await crew.publisher.call("interrupt", undefined);
      await sleep(1000);
      const seen = await Promise.all(clients.map((child) => child.call("seen", undefined)));
      const arrivals = seen.flatMap((part) => [...part.arrivals]);
      const resets = seen.flatMap((part) => [...part.resets]);
      missing += arrivals.filter((value) => value === 0).length + resets.filter((value) => value === 0).length;
      arrived.push((Math.max(...arrivals) - at) / 1000);
      silent.push((Math.max(...arrivals, ...resets) - at) / 1000);
    }
    const name = `interrupt, ${watchers} watchers`;
    this.#rows.push(
      row(name, "last one has the new epoch, ms (median)", median(arrived)),
      row(name, "last one silent: new epoch and reset of the old stream, ms (worst)", Math.max(...silent), {
        atMost: 100,
      }),
      row(name, "arrivals and resets missing", missing, { atMost: 0 }),
    );
    await crew.close(post);
  }

  async #soak(groups: number, perSecond: number): Promise<void> {
    const crew = this.#crew;
    const post = await crew.open({ watchers: 2 });
    const name = `soak, ${groups.toLocaleString("en")} groups`;
    const judged = !this.#context.quick;
    this.#context.log(
      `The soak sends ${perSecond} groups a second to 2 watchers, a tenth of them on streams, and takes back every 5,000.`,
    );
    let over = false;
    const publishing = crew.publisher
      .call("publish", {
        mode: "datagram",
        objects: groups,
        perSecond,
        measured: false,
        streamEvery: 10,
        rewindEvery: 5000,
      })
      .finally(() => {
        over = true;
      });
    const pid = post.relay.pid;
    const samples: { groups: number; bytes: number; heap: number; files: number; timers: number }[] = [];
    while (!over) {
      await Promise.race([sleep(groups < 100_000 ? 250 : 1000), publishing]);
      const { stats, heapBytes, timers } = await post.relay.call("sample", { collect: true });
      samples.push({
        groups: stats?.counters.objectsIn ?? 0,
        bytes: residentBytes(pid),
        heap: heapBytes,
        files: openFiles(pid),
        timers,
      });
    }
    await publishing;
    // The first third fills caches and lets the compiler settle.
    const settled = samples.slice(Math.floor(samples.length / 3));
    const half = Math.floor(settled.length / 2);
    const growth = (pick: (sample: (typeof samples)[number]) => number) =>
      median(settled.slice(half).map(pick)) - median(settled.slice(0, half).map(pick));
    const resident = trendOf(settled.map((sample) => ({ x: sample.groups, y: sample.bytes })));
    const heap = trendOf(settled.map((sample) => ({ x: sample.groups, y: sample.heap })));
    this.#rows.push(
      row(name, "groups taken", samples.at(-1)!.groups, { atLeast: Math.floor(groups * 0.99) }),
      row(name, "RSS slope, bytes per group", resident.slope),
      row(
        name,
        "RSS slope, lower end of its 95 % interval",
        resident.slope - resident.margin,
        judged ? { atMost: 0 } : undefined,
      ),
      row(name, "heap slope, bytes per group", heap.slope),
      row(
        name,
        "open files, growth",
        growth(({ files }) => files),
        { atMost: 0 },
      ),
      row(
        name,
        "timers, growth",
        growth(({ timers }) => timers),
        { atMost: 0 },
      ),
    );
    await crew.close(post);
  }

  #full(name: string, window: Window): boolean {
    const full = window.clientShare > CLIENTS_FULL;
    if (full) this.#context.log(`${name}: the clients' core was full, so more of them would say nothing of the relay.`);
    return full;
  }
}

function latencyRows(name: string, window: Window): Row[] {
  return [
    row(name, "added latency p50 ms", percentileOf(window.ages, 0.5)),
    row(name, "added latency p99 ms", percentileOf(window.ages, 0.99)),
  ];
}

function shareRows(name: string, window: Window): Row[] {
  return [
    row(name, "relay event loop %", window.loopShare * 100),
    row(name, "relay core %", window.relayShare * 100),
    row(name, "clients' core %", window.clientShare * 100),
  ];
}

function disturbanceRows(name: string, calm: Window, disturbed: Window): Row[] {
  const [before, after] = [percentileOf(calm.ages, 0.99), percentileOf(disturbed.ages, 0.99)];
  return [
    row(name, "healthy ones' p99 ms, before", before),
    row(name, "healthy ones' p99 ms, meanwhile", after),
    row(name, "p99 ms more", before === null || after === null ? null : after - before, { atMost: 2 }),
    row(name, "delivered to the healthy %", disturbed.deliveredShare * 100),
  ];
}
