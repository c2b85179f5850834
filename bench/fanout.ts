import { loadavg, platform } from "node:os";
import { setTimeout as wait } from "node:timers/promises";
import { InputError, StateError } from "../base/index.js";
import { openFiles, residentBytes } from "./fanout/child.js";
import { Crew, type Held, percentileOf, type RelayKind, type Window } from "./fanout/crew.js";
import type { Mode } from "./fanout/publisher.js";
import { sleep } from "./fanout/session.js";
import { trendOf } from "./fanout/trend.js";
import { type Bench, type BenchContext, median, type Row, row } from "./harness.js";

// Above this share of their cores the clients, not the relay, decide what arrives.
const CLIENTS_FULL = 0.9;
const EPOCH_SIZE = 65_536;
// Below this share the relay can't follow.
const DELIVERED = 0.9;
// The rows at a share of the core begin with this many watchers, and learn from them how many are needed. Meanwhile the heap
// finds its size, while collections take longest.
const BUSY = { share: 0.7, firstWatchers: 80, seconds: 5, times: 4 };
// It is how many streams are held that counts, not how fast they come, and a relay that can't follow has queues to hold.
const MEMORY = { sizes: [250, 500], seconds: 10, perSecond: 10, sent: 0.99 } as const;
const RELAYS = { peer: "peer (@kixelated/moq accept)", stock: "stock moq-relay" } as const;
const MODES: Record<Mode, string> = { datagram: "datagrams", stream: "streams", groups: "5-frame groups" };

interface Plan {
  readonly seconds: number;
  readonly sizes: Record<Mode, readonly number[]>;
  readonly others: { readonly seconds: number; readonly sizes: Record<Exclude<RelayKind, "ours">, Sizes> };
  readonly stalled: readonly { readonly mode: Mode; readonly watchers: number }[];
  readonly flooded: number;
  readonly joins: number;
  readonly interrupted: number;
  readonly interrupts: number;
  readonly soakGroups: number;
  readonly soakPerSecond: number;
  /** Rows at 70 % of the core: how many broadcasts the watchers spread over. */
  readonly busy: readonly number[];
  /** Rows of memory. */
  readonly memory: readonly Mode[];
  readonly edges: { readonly watchers: number; readonly numbers: readonly number[] };
  /** Rows that would begin later are skipped, and marked as skipped. */
  readonly minutes: number;
}

type Sizes = Partial<Record<Mode, readonly number[]>>;

const FULL: Plan = {
  seconds: 20,
  sizes: { datagram: [100, 250, 500, 1000], stream: [100, 250, 500, 1000], groups: [100, 250, 500, 1000] },
  others: {
    seconds: 10,
    sizes: {
      peer: { datagram: [50, 100, 250], stream: [10, 50, 100] },
      stock: { datagram: [100, 500], stream: [100, 500] },
    },
  },
  stalled: [
    { mode: "datagram", watchers: 500 },
    { mode: "stream", watchers: 100 },
  ],
  flooded: 500,
  joins: 1000,
  interrupted: 500,
  interrupts: 5,
  soakGroups: 1_000_000,
  soakPerSecond: 5000,
  busy: [1, 10],
  memory: ["datagram", "stream", "groups"],
  edges: { watchers: 200, numbers: [0, 1, 2] },
  minutes: 25,
};

const QUICK: Plan = {
  seconds: 2,
  sizes: { datagram: [250], stream: [100], groups: [] },
  others: { seconds: 2, sizes: { peer: { stream: [10] }, stock: { stream: [100] } } },
  stalled: [{ mode: "datagram", watchers: 100 }],
  flooded: 100,
  joins: 0,
  interrupted: 100,
  interrupts: 1,
  soakGroups: 16_000,
  soakPerSecond: 4000,
  busy: [],
  memory: [],
  edges: { watchers: 60, numbers: [2] },
  minutes: 3,
};

/** Time that a row may take beside publishing: joining, leaving, and a machine that is busy. */
const ROW_SLACK_SECONDS = 120;

/** One publisher and many watchers through one relay on one core: what arrives, when, and what it costs. */
export const bench: Bench = {
  name: "fanout",
  description:
    "A relay on one core and up to a thousand watchers: cost, latency, memory, stalls, floods, joins, a soak, edges.",
  conditions: [
    ...Object.values(MODES),
    ...["interrupt", "stall", "flood", "joins", "soak", "70 %", "memory", "edges", "other relays"],
  ],
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
        "Quick: small sizes, 2 s a row; without 5-frame groups, joins, memory, the 70 % rows; its soak is too short to judge.",
      );
    log(`Load of the machine before: ${loadavg()[0]!.toFixed(1)}.`);
    return new Fanout(plan, context).run();
  },
};

interface Step {
  readonly name: string;
  /** The name of its part for `--only`. */
  readonly part: string;
  /** How long it publishes. */
  readonly seconds: number;
  /** The target that a run without a result misses. */
  readonly target?: string;
  readonly run: () => Promise<void>;
}

class Fanout {
  readonly #plan: Plan;
  readonly #context: BenchContext;
  readonly #rows: Row[] = [];
  /** Why no more watchers of a kind are tried. */
  readonly #enough = new Map<string, string>();
  #crew: Crew | undefined;

  constructor(plan: Plan, context: BenchContext) {
    this.#plan = plan;
    this.#context = context;
  }

  /** Runs step by step: a step that fails, hangs or comes too late becomes a row without a result, and the others continue. */
  async run(): Promise<Row[]> {
    const start = performance.now();
    const { only } = this.#context;
    const steps = this.#steps().filter(({ part }) => only === undefined || part === only);
    if (steps.length === 0) throw new InputError("UNKNOWN_CONDITION", `--only "${only}" has no rows with --quick.`);
    const bar = this.#context.progress("steps", steps.length);
    try {
      for (const { name, seconds, target, run } of steps) {
        const late = performance.now() - start > this.#plan.minutes * 60_000;
        try {
          if (late) throw new StateError("NO_TIME", `The ${this.#plan.minutes} minutes of the whole bench were over.`);
          this.#crew ??= await Crew.start(this.#context.quick ? 2 : 4);
          await within(seconds + ROW_SLACK_SECONDS, run());
        } catch (error) {
          const reason = (error as Error).message.split("\n", 1)[0]!;
          this.#context.log(`${name}: no result. ${reason}`);
          this.#rows.push({
            row: name,
            metric: `no result: ${reason}`,
            value: null,
            target: target ?? null,
            ok: target === undefined ? null : false,
          });
          // The state of its processes is unknown.
          if (!late) await Crew.endAll();
          this.#crew = undefined;
        }
        bar.advance(1, name);
      }
    } finally {
      await Crew.endAll();
      bar.stop();
    }
    return this.#rows;
  }

  // The most important rows come first, because the minutes are bounded.
  #steps(): Step[] {
    const { seconds, sizes, others, stalled, flooded, joins, interrupted, interrupts, ...plan } = this.#plan;
    const sized = (Object.keys(MODES) as Mode[]).flatMap((mode) =>
      sizes[mode].map((watchers) => ({
        name: `${MODES[mode]}, ${watchers} watchers`,
        part: MODES[mode],
        seconds,
        target: `<= ${mode === "datagram" ? 20 : 40}`,
        run: () => this.#sized(mode, watchers),
      })),
    );
    const compared = (Object.keys(others.sizes) as Exclude<RelayKind, "ours">[]).flatMap((kind) =>
      (Object.keys(others.sizes[kind]) as Mode[]).flatMap((mode) =>
        (others.sizes[kind][mode] ?? []).map((watchers) => ({
          name: `${RELAYS[kind]}, ${MODES[mode]}, ${watchers} watchers`,
          part: "other relays",
          seconds: others.seconds,
          run: () => this.#compared(kind, mode, watchers),
        })),
      ),
    );
    return [
      ...sized,
      {
        name: `interrupt, ${interrupted} watchers`,
        part: "interrupt",
        seconds: interrupts * 2,
        target: "<= 100",
        run: () => this.#interrupted(interrupted, interrupts),
      },
      ...stalled.map(({ mode, watchers }) => ({
        name: `10 % of ${watchers} stalled, ${MODES[mode]}`,
        part: "stall",
        seconds: 2 * seconds,
        target: "<= 2",
        run: () => this.#stalled(mode, watchers),
      })),
      {
        name: `10,000 announcements/s, ${flooded} watchers`,
        part: "flood",
        seconds: 2 * seconds,
        target: "<= 2",
        run: () => this.#flooded(flooded),
      },
      ...(joins === 0
        ? []
        : [
            {
              name: `${joins} joins in 5 s`,
              part: "joins",
              seconds: 15,
              target: "<= 0",
              run: () => this.#joins(joins),
            },
          ]),
      {
        name: `soak, ${plan.soakGroups.toLocaleString("en")} groups`,
        part: "soak",
        seconds: plan.soakGroups / plan.soakPerSecond,
        target: "<= 0",
        run: () => this.#soak(plan.soakGroups, plan.soakPerSecond),
      },
      // All watchers of one broadcast are due at once, so most of them wait for the others; of ten, they take turns.
      ...plan.busy.map((broadcasts) => ({
        name: `70 % of the core, ${broadcastsName(broadcasts)}`,
        part: "70 %",
        seconds: seconds + BUSY.seconds * BUSY.times,
        ...(broadcasts > 1 && { target: "<= 10" }),
        run: () => this.#busy(broadcasts),
      })),
      ...plan.memory.map((mode) => ({
        name: `memory, ${MODES[mode]}`,
        part: "memory",
        seconds: 2 * MEMORY.seconds,
        target: "<= 150",
        run: () => this.#memory(mode),
      })),
      ...plan.edges.numbers.map((number) => ({
        name: edgesName(number, plan.edges.watchers),
        part: "edges",
        seconds: others.seconds,
        run: () => this.#edges(number, plan.edges.watchers),
      })),
      ...compared,
    ];
  }

  async #sized(mode: Mode, watchers: number): Promise<void> {
    this.#refuseMore(mode);
    const crew = this.#crew!;
    const post = await crew.open({ watchers, mode });
    const window = await crew.measure(post, mode, this.#plan.seconds);
    await crew.close(post);
    const name = `${MODES[mode]}, ${watchers} watchers`;
    const judged = mode !== "datagram" || watchers === 500 || (this.#context.quick && watchers === 250);
    const limit = mode === "datagram" ? 20 : 40;
    this.#rows.push(
      row(name, "delivered %", window.deliveredShare * 100),
      row(name, "of the published, reached the relay %", percent(window.takenShare)),
      row(name, "relay CPU us per object", window.costUs, judged ? { atMost: limit } : undefined),
      ...latencyRows(name, window),
      ...shareRows(name, window),
    );
    if (mode !== "datagram") {
      if (window.clientShare > CLIENTS_FULL)
        this.#enough.set(mode, `With ${watchers} watchers the clients' core was full, so more would say nothing.`);
      else if (window.deliveredShare < DELIVERED)
        this.#enough.set(mode, `With ${watchers} watchers the relay's core was full.`);
    }
  }

  // With the first watchers the heap's young generation grows once, by about 30 MB; only more of them show their own.
  async #memory(mode: Mode): Promise<void> {
    const { sizes, seconds, perSecond, sent: enough } = MEMORY;
    const crew = this.#crew!;
    const held: Held[] = [];
    for (const watchers of sizes) {
      const post = await crew.open({ watchers, mode });
      const sent = async () => (await post.relay!.call("sample", { collect: false })).stats!.counters.objectsOut;
      const before = await sent();
      await crew.publish(mode, seconds, { perSecond });
      await sleep(500);
      const share = ((await sent()) - before) / (seconds * perSecond * watchers);
      if (share < enough)
        throw new StateError("TOO_SLOW", `With ${watchers} watchers only ${Math.round(share * 100)} % were sent.`);
      held.push(await crew.held(post));
      await crew.close(post);
    }
    const each = (pick: (held: Held) => number) => (pick(held[1]!) - pick(held[0]!)) / 1000 / (sizes[1] - sizes[0]);
    const name = `memory, ${MODES[mode]}, from ${sizes[0]} to ${sizes[1]} watchers`;
    this.#rows.push(
      row(
        name,
        "KB that the relay holds for each further watcher",
        each(({ heapBytes, nativeBytes }) => heapBytes + nativeBytes),
        { atMost: 150 },
      ),
      row(
        name,
        "of that JavaScript objects, KB",
        each(({ heapBytes }) => heapBytes),
      ),
      // With what V8 keeps free for new objects, which grows in steps of its own.
      row(
        name,
        "RSS more, KB for each further watcher",
        each(({ residentBytes }) => residentBytes),
      ),
    );
  }

  async #compared(kind: Exclude<RelayKind, "ours">, mode: Mode, watchers: number): Promise<void> {
    this.#refuseMore(`${kind} ${mode}`);
    const name = `${RELAYS[kind]}, ${MODES[mode]}, ${watchers} watchers`;
    const crew = this.#crew!;
    const post = await crew.open({ watchers, kind, mode });
    const window = await crew.measure(post, mode, this.#plan.others.seconds);
    await crew.close(post);
    this.#rows.push(
      row(name, "delivered %", window.deliveredShare * 100),
      row(name, "relay CPU us per object", window.costUs),
      ...latencyRows(name, window),
      ...shareRows(name, window),
    );
    if (window.deliveredShare < DELIVERED)
      this.#enough.set(`${kind} ${mode}`, `With ${watchers} watchers it could not follow.`);
  }

  // Everything between the publisher and the watchers shares the relay's core, unless there are eight of them.
  async #edges(number: number, watchers: number): Promise<void> {
    const name = edgesName(number, watchers);
    const crew = this.#crew!;
    const post = await crew.open({ watchers, edges: number });
    const window = await crew.measure(post, "datagram", this.#plan.others.seconds);
    await crew.close(post);
    this.#rows.push(
      row(name, "delivered %", window.deliveredShare * 100),
      row(name, "CPU us per object, all relays", window.costUs),
      ...latencyRows(name, window),
    );
  }

  // On streams, because for these the clients' core has least to do for each share of the relay's.
  async #busy(broadcasts: number): Promise<void> {
    const { share, firstWatchers, seconds, times } = BUSY;
    const crew = this.#crew!;
    const post = await crew.open({ watchers: firstWatchers, broadcasts, mode: "stream" });
    let watchers = firstWatchers;
    for (let time = 0; time < times; time += 1) {
      const { relayShare } = await crew.measure(post, "stream", seconds);
      // More watchers cost less each, because more is done whenever a thread wakes: this comes near the share from below.
      const more = Math.max(0, Math.round((watchers * share) / relayShare) - watchers);
      await crew.grow(post, more);
      watchers += more;
    }
    const window = await crew.measure(post, "stream", this.#plan.seconds);
    await crew.close(post);
    const name = `70 % of the core: ${watchers} watchers of ${broadcastsName(broadcasts)}, streams`;
    // Half a tick's work is as long as half the share of the 20 ms between two objects: no code can do better.
    const judged = broadcasts > 1;
    this.#rows.push(
      row(name, "delivered %", window.deliveredShare * 100),
      row(name, "relay CPU us per object", window.costUs),
      row(name, "added latency p50 ms", percentileOf(window.ages, 0.5), judged ? { atMost: 2 } : undefined),
      row(name, "added latency p99 ms", percentileOf(window.ages, 0.99), judged ? { atMost: 10 } : undefined),
      ...shareRows(name, window),
    );
  }

  async #stalled(mode: Mode, watchers: number): Promise<void> {
    const crew = this.#crew!;
    const healthy = Math.round(watchers * 0.9);
    const post = await crew.open({ watchers: healthy, mode });
    const frozen = await Crew.start(0);
    try {
      // The one that stalls is a process of its own, stopped whole: it neither reads nor acknowledges.
      await frozen.probes.call("join", { door: post.door, count: watchers - healthy });
      await crew.publish(mode, 1);
      const calm = await crew.measure(post, mode, this.#plan.seconds);
      frozen.probes.freeze(true);
      const stalled = await crew.measure(post, mode, this.#plan.seconds);
      frozen.probes.freeze(false);
      const name = `10 % of ${watchers} stalled, ${MODES[mode]}`;
      this.#rows.push(...disturbanceRows(name, calm, stalled));
    } finally {
      await frozen.end();
    }
    await crew.close(post);
  }

  async #flooded(watchers: number): Promise<void> {
    const crew = this.#crew!;
    const post = await crew.open({ watchers });
    const attacker = await Crew.start(0);
    try {
      await attacker.publisher.call("connect", { door: post.door, broadcasts: 0 });
      const seconds = this.#plan.seconds;
      const calm = await crew.measure(post, "datagram", seconds);
      const flooding = attacker.publisher.call("flood", { perSecond: 10_000, seconds: seconds + 1 });
      flooding.catch(() => {});
      await sleep(500);
      const flooded = await crew.measure(post, "datagram", seconds);
      const sent = await flooding;
      const name = `10,000 announcements/s, ${watchers} watchers`;
      this.#rows.push(...disturbanceRows(name, calm, flooded), row(name, "announcements/s sent", sent / (seconds + 1)));
    } finally {
      await attacker.end();
    }
    await crew.close(post);
  }

  async #joins(count: number): Promise<void> {
    const crew = this.#crew!;
    const post = await crew.open({ watchers: 20 });
    const calm = await crew.measure(post, "datagram", 5);
    const perSecond = count / 5 / crew.others.length;
    const start = performance.now();
    const joining = Promise.all(
      crew.others.map((child) =>
        child.call("join", { door: post.door, count: count / crew.others.length, perSecond, untilFirst: true }),
      ),
    ).then((joined) => ({ joined, seconds: (performance.now() - start) / 1000 }));
    joining.catch(() => {});
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
    const crew = this.#crew!;
    const post = await crew.open({ watchers });
    const clients = [crew.probes, ...crew.others];
    const [arrived, silent]: [number[], number[]] = [[], []];
    let missing = 0;
    for (let time = 1; time <= times; time += 1) {
      await crew.publish("datagram", 1);
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
    const crew = this.#crew!;
    const post = await crew.open({ watchers: 2 });
    const name = `soak, ${groups.toLocaleString("en")} groups`;
    const judged = !this.#context.quick;
    this.#context.log(
      `The soak sends ${perSecond} groups a second to 2 watchers, a tenth of them on streams, and takes back every 5,000.`,
    );
    let over = false;
    const options = { mode: "datagram", objects: groups, perSecond, measured: false, streamEvery: 10 } as const;
    const publishing = crew.publisher
      .call("publish", { ...options, rewindEvery: 5000 }, (groups / perSecond) * 1500 + 30_000)
      .finally(() => {
        over = true;
      });
    publishing.catch(() => {});
    const relay = post.relay!;
    const samples: { groups: number; bytes: number; heap: number; files: number; timers: number }[] = [];
    while (!over) {
      await Promise.race([sleep(groups < 100_000 ? 250 : 1000), publishing]);
      const { stats, heapBytes, timers } = await relay.call("sample", { collect: true });
      samples.push({
        groups: stats?.counters.objectsIn ?? 0,
        bytes: residentBytes(relay.pid),
        heap: heapBytes,
        files: openFiles(relay.pid),
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

  #refuseMore(what: string): void {
    const reason = this.#enough.get(what);
    if (reason !== undefined) throw new StateError("ENOUGH", reason);
  }
}

function edgesName(number: number, watchers: number): string {
  return number === 0
    ? `${watchers} watchers at the origin`
    : `${watchers} watchers at ${number} ${number === 1 ? "edge" : "edges"} of an origin`;
}

function broadcastsName(number: number): string {
  return number === 1 ? "one broadcast" : `${number} broadcasts`;
}

/** Waits for a row, but not for ever. */
async function within(seconds: number, work: Promise<void>): Promise<void> {
  const limit = new AbortController();
  try {
    await Promise.race([
      work,
      wait(seconds * 1000, undefined, { signal: limit.signal }).then(() => {
        throw new StateError("ROW_SLOW", `It did not end within ${seconds} s.`);
      }),
    ]);
  } finally {
    limit.abort();
    work.catch(() => {});
  }
}

function percent(share: number | null): number | null {
  return share === null ? null : share * 100;
}

function latencyRows(name: string, window: Window): Row[] {
  return [
    row(name, "added latency p50 ms", percentileOf(window.ages, 0.5)),
    row(name, "added latency p99 ms", percentileOf(window.ages, 0.99)),
  ];
}

function shareRows(name: string, window: Window): Row[] {
  return [
    row(name, "relay event loop %", percent(window.loopShare)),
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
