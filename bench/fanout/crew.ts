import { StateError } from "../../base/index.js";
import { percentile } from "../harness.js";
import { bundle, Child, CLIENT_CORES, processorMicroseconds, relayCores, residentBytes } from "./child.js";
import type { ClientMethods } from "./client.js";
import type { Mode } from "./publisher.js";
import type { RelayMethods } from "./relay.js";
import { type Door, sleep } from "./session.js";
import { StockRelay } from "./stock.js";

const OBJECTS_PER_SECOND = 50;
// Their ages on arrival are the latency; all others run at a lower priority and only count.
const PROBES = 20;
const SLICES = 10;
const STRAGGLERS_MS = 500;
const GIVEN_BACK_MS = 300;
const WARM_SECONDS = 1;
// The measured processes have priority over others, where that is allowed, and over the crowd.
const MEASURED_NICENESS = -10;
const CROWD_MORE = 10;
// Beyond what publishing takes; a relay that can't follow holds its publisher up.
const PUBLISH_SLACK_MS = 20_000;
const JOIN_MS = 90_000;
const EDGE_MS = 10_000;

// As in the Dockerfile and the systemd unit.
const RELAY_ENVIRONMENT = { MALLOC_ARENA_MAX: "2" };

type Client = Child<ClientMethods>;

interface Files {
  readonly relay: string;
  readonly client: string;
}

let files: Promise<Files> | undefined;

/** Which relay is under test. */
export type RelayKind =
  /** This package's. */
  | "ours"
  /** One written on `@kixelated/moq`'s accept. */
  | "peer"
  /** The Rust `moq-relay`. */
  | "stock";

/** The relay under test, or one and its edges. */
export interface Post {
  /** The relay the publisher is at; undefined of the stock one, which answers no calls. */
  readonly relay: Child<RelayMethods> | undefined;
  /** Processes of the relay and its edges. */
  readonly pids: readonly number[];
  /** Where the publisher goes, and then where watchers go, in equal parts. */
  readonly door: Door;
  readonly doors: readonly Door[];
  /** The broadcasts that its watchers watch, in equal parts. */
  readonly broadcasts: number;
  /** Ends the relay and its edges. */
  end(): Promise<void>;
}

/** Options of {@link Crew.open}. */
export interface PostOptions {
  readonly watchers: number;
  readonly broadcasts?: number;
  readonly kind?: RelayKind;
  /** Number of edges of the relay; watchers only go to these. */
  readonly edges?: number;
  readonly mode?: Mode;
}

/** How {@link Crew.publish} publishes. */
export interface Publishing {
  readonly measured?: boolean;
  readonly broadcasts?: number;
  /** Objects of each broadcast. */
  readonly perSecond?: number;
}

/** Memory of a relay. */
export interface Held {
  readonly residentBytes: number;
  /** In JavaScript objects. */
  readonly heapBytes: number;
  /** Resident, but neither in V8's heap nor held free by it for more. */
  readonly nativeBytes: number;
}

/** Result of one window of publishing. */
export interface Window {
  /** Of the objects published, times the watchers, how many arrived. */
  readonly deliveredShare: number;
  /** Of the objects published, how many reached the relay; null where the relay has no such counter. */
  readonly takenShare: number | null;
  /** Microseconds of the relay's processor time for each object that arrived. */
  readonly costUs: number | null;
  /** Milliseconds from the publisher's send to the probes, all of them. */
  readonly ages: readonly number[];
  /** Shares of the time: the relay's core, the clients' cores, the relay's event loop. */
  readonly relayShare: number;
  readonly clientShare: number;
  /** Null where the relay has no such counter. */
  readonly loopShare: number | null;
}

/** The processes beside the relay, kept from row to row. */
export class Crew {
  static readonly #all = new Set<Crew>();
  readonly publisher: Client;
  readonly probes: Client;
  readonly others: readonly Client[];
  readonly #files: Files;
  readonly #ends = new Set<() => Promise<void>>();

  private constructor(size: number, files: Files) {
    const client = () => new Child<ClientMethods>(files.client, CLIENT_CORES);
    this.#files = files;
    this.publisher = client();
    this.probes = client();
    this.others = Array.from({ length: size }, client);
    Crew.#all.add(this);
  }

  /** Starts a publisher, probes and this many processes of other watchers. */
  static async start(size: number): Promise<Crew> {
    files ??= bundle("relay.ts", "client.ts").then(([relay, client]) => ({ relay: relay!, client: client! }));
    const crew = new Crew(size, await files);
    const niceness = await crew.publisher.call("prioritize", MEASURED_NICENESS);
    await crew.probes.call("prioritize", niceness);
    await Promise.all(crew.others.map((child) => child.call("prioritize", niceness + CROWD_MORE)));
    return crew;
  }

  /** Ends every crew there is, after a row that went wrong. */
  static async endAll(): Promise<void> {
    await Promise.all([...Crew.#all].map((crew) => crew.end()));
  }

  /** Starts a fresh relay and lets watchers join, the probes evenly among them. */
  async open({ watchers, broadcasts = 1, kind = "ours", edges = 0, mode = "datagram" }: PostOptions): Promise<Post> {
    const started = kind === "stock" ? await this.#startStock() : await this.#start(0, { peer: kind === "peer" });
    const { door } = started;
    await this.publisher.call("connect", { door, broadcasts });
    const upstream = `http://127.0.0.1:${door.port}/`;
    const edgeRelays = await Promise.all(
      Array.from({ length: edges }, (_, index) => this.#start(index + 1, { peer: false, upstream })),
    );
    for (const { relay } of edgeRelays) await announced(relay, broadcasts);
    const pids = [started.pid, ...edgeRelays.map(({ pid }) => pid)];
    const doors = edges > 0 ? edgeRelays.map((edge) => edge.door) : [door];
    const ends = [started.end, ...edgeRelays.map(({ end }) => end)];
    const post: Post = {
      ...{ relay: started.relay, pids, door, doors, broadcasts },
      end: async () => {
        await Promise.all(ends.map((end) => end()));
      },
    };
    await this.#fill(post, watchers);
    await sleep(200);
    await this.publisher.call("watched", undefined);
    if (watchers > 0) await this.publish(mode, WARM_SECONDS, { broadcasts });
    return post;
  }

  async #start(index: number, options: { peer: boolean; upstream?: string }) {
    const relay = new Child<RelayMethods>(this.#files.relay, relayCores(index), RELAY_ENVIRONMENT);
    const end = this.#own(() => relay.end());
    await relay.call("prioritize", MEASURED_NICENESS);
    return { relay, door: await relay.call("listen", options), pid: relay.pid, end };
  }

  async #startStock() {
    const stock = await StockRelay.start({ measuredAt: MEASURED_NICENESS });
    const end = this.#own(() => stock.end());
    return { relay: undefined, door: stock.door, pid: stock.pid, end };
  }

  #own(end: () => Promise<void>): () => Promise<void> {
    const once = async (): Promise<void> => {
      this.#ends.delete(once);
      await end();
    };
    this.#ends.add(once);
    return once;
  }

  async #fill({ doors, broadcasts }: Post, watchers: number): Promise<void> {
    const probes = Math.min(PROBES, watchers);
    const join = (child: Client, total: number, from: number) => joinAll(child, doors, total, { broadcasts, from });
    for (let slice = 0; slice < SLICES; slice += 1) {
      const part = (total: number) => Math.floor((total * (slice + 1)) / SLICES) - Math.floor((total * slice) / SLICES);
      const others = part(watchers - probes);
      await Promise.all([
        ...this.others.map((child, index) =>
          join(child, Math.floor((others + index) / this.others.length), slice + index),
        ),
        join(this.probes, part(probes), slice),
      ]);
    }
  }

  /** More watchers of what the others watch; none of them is a probe. */
  async grow({ doors, broadcasts }: Post, watchers: number): Promise<void> {
    const share = (index: number) => Math.floor((watchers + index) / this.others.length);
    await Promise.all(
      this.others.map((child, index) => joinAll(child, doors, share(index), { broadcasts, from: index })),
    );
  }

  /** Publishes for so long; uncounted unless it is measured. */
  publish(mode: Mode, seconds: number, options: Publishing = {}): Promise<void> {
    const { measured = false, broadcasts = 1 } = options;
    const perSecond = (options.perSecond ?? OBJECTS_PER_SECOND) * broadcasts;
    const objects = Math.round(seconds * perSecond);
    return this.publisher.call(
      "publish",
      { mode, objects, perSecond, measured },
      seconds * 1000 * 2 + PUBLISH_SLACK_MS,
    );
  }

  /** Publishes for this long and returns what arrived, and the cost. Ignores frozen processes. */
  async measure(post: Post, mode: Mode, seconds: number, frozen: readonly Client[] = []): Promise<Window> {
    const clients = [this.publisher, this.probes, ...this.others].filter((child) => !frozen.includes(child));
    const listeners = clients.slice(1);
    await this.probes.call("reset", { ages: true });
    await Promise.all(
      this.others.filter((child) => !frozen.includes(child)).map((child) => child.call("reset", { ages: false })),
    );
    const spent = () => clients.reduce((sum, { pid }) => sum + processorMicroseconds(pid), 0);
    const relaySpent = () => post.pids.reduce((sum, pid) => sum + processorMicroseconds(pid), 0);
    const before = (await post.relay?.call("sample", { collect: false }))?.stats;
    const [relayBefore, clientsBefore, start] = [relaySpent(), spent(), performance.now()];
    await this.publish(mode, seconds, { measured: true, broadcasts: post.broadcasts });
    const relayUs = relaySpent() - relayBefore;
    const clientsUs = spent() - clientsBefore;
    const passedUs = (performance.now() - start) * 1000;
    const sample = await post.relay?.call("sample", { collect: false });
    const after = sample?.stats;
    await sleep(STRAGGLERS_MS);
    const seen = await Promise.all(listeners.map((child) => child.call("seen", undefined)));
    const objects = seen.reduce((sum, part) => sum + part.objects, 0);
    const published = Math.round(seconds * OBJECTS_PER_SECOND);
    const taken = before && after && after.counters.objectsIn - before.counters.objectsIn;
    const expected = published * seen.reduce((sum, part) => sum + part.arrivals.length, 0);
    return {
      deliveredShare: objects / expected,
      takenShare: taken === undefined ? null : taken / published / post.broadcasts,
      costUs: objects === 0 ? null : relayUs / objects,
      ages: seen.flatMap((part) => [...part.ages].map((age) => age / 1000)),
      relayShare: relayUs / passedUs,
      clientShare: clientsUs / passedUs,
      loopShare: sample?.loopShare ?? null,
    };
  }

  /** The relay's memory, after a collection. */
  async held({ relay }: Post): Promise<Held> {
    // Memory that the collector frees goes back to the system a moment later, that of native objects later still.
    for (let time = 0; time < 2; time += 1) {
      await relay!.call("sample", { collect: true });
      await sleep(GIVEN_BACK_MS);
    }
    const { heapBytes, heapReservedBytes } = await relay!.call("sample", { collect: false });
    const resident = residentBytes(relay!.pid);
    return { residentBytes: resident, heapBytes, nativeBytes: resident - heapReservedBytes };
  }

  /** Lets all leave and ends the relay. */
  async close(post: Post): Promise<void> {
    await Promise.all([this.probes, ...this.others].map((child) => child.call("leave", undefined)));
    await this.publisher.call("disconnect", undefined);
    await post.end();
  }

  /** Ends everything; idempotent. */
  async end(): Promise<void> {
    Crew.#all.delete(this);
    await Promise.all([
      ...[this.publisher, this.probes, ...this.others].map((child) => child.end()),
      ...[...this.#ends].map((end) => end()),
    ]);
  }
}

// In equal parts at every door; `from` says which door gets what is left over.
async function joinAll(
  child: Client,
  doors: readonly Door[],
  total: number,
  { broadcasts, from }: { broadcasts: number; from: number },
): Promise<void> {
  for (const [index, door] of doors.entries()) {
    const count = Math.floor((total + ((index + from) % doors.length)) / doors.length);
    if (count === 0) continue;
    const { failed } = await child.call("join", { door, count, broadcasts }, JOIN_MS);
    if (failed > 0) throw new StateError("JOINS_FAILED", `${failed} of ${count} watchers could not join.`);
  }
}

// An edge refuses subscriptions until its origin has announced its broadcasts.
async function announced(relay: Child<RelayMethods>, broadcasts: number): Promise<void> {
  for (const end = performance.now() + EDGE_MS; performance.now() < end; await sleep(50)) {
    const { stats } = await relay.call("sample", { collect: false });
    if ((stats?.broadcasts ?? 0) >= broadcasts) return;
  }
  throw new StateError("EDGE_SILENT", "An edge got no announcement from its origin in time.");
}

/** A percentile, or null of nothing. */
export function percentileOf(values: readonly number[], fraction: number): number | null {
  return values.length === 0 ? null : percentile(values, fraction);
}
