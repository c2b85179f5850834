import { percentile } from "../harness.js";
import { bundle, Child, CLIENT_CORES, processorMicroseconds, RELAY_CORES, residentBytes } from "./child.js";
import type { ClientMethods } from "./client.js";
import type { Mode } from "./publisher.js";
import type { RelayMethods } from "./relay.js";
import { type Door, sleep } from "./session.js";

const OBJECTS_PER_SECOND = 50;
// Their ages on arrival are the latency; all others run at a lower priority and only count.
const PROBES = 20;
const SLICES = 10;
const STRAGGLERS_MS = 500;
const WARM_SECONDS = 1;
// What is measured goes before what else the machine does, where that is allowed, and before the crowd.
const MEASURED_NICENESS = -10;
const CROWD_MORE = 10;

type Client = Child<ClientMethods>;

interface Files {
  readonly relay: string;
  readonly client: string;
}

let files: Promise<Files> | undefined;

/** A relay under test and what its row is measured against. */
export interface Post {
  readonly relay: Child<RelayMethods>;
  readonly door: Door;
  /** Memory before the watchers came. */
  readonly emptyBytes: number;
  /** What its watchers watch, in equal parts. */
  readonly broadcasts: number;
}

/** What one window of publishing showed. */
export interface Window {
  /** Of the objects published, times the watchers, how many arrived. */
  readonly deliveredShare: number;
  /** Of the objects published, how many reached the relay; null of a relay that does not tell. */
  readonly takenShare: number | null;
  /** Microseconds of the relay's processor time for each object that arrived. */
  readonly costUs: number | null;
  /** Milliseconds from the publisher's send to the probes, all of them. */
  readonly ages: readonly number[];
  /** Shares of the time: the relay's core, the clients' cores, the relay's event loop. */
  readonly relayShare: number;
  readonly clientShare: number;
  readonly loopShare: number;
}

/** The processes beside the relay, kept from row to row. */
export class Crew {
  readonly publisher: Client;
  readonly probes: Client;
  readonly others: readonly Client[];
  readonly #files: Files;
  readonly #relays = new Set<Child<RelayMethods>>();

  private constructor(size: number, files: Files) {
    const client = () => new Child<ClientMethods>(files.client, CLIENT_CORES);
    this.#files = files;
    this.publisher = client();
    this.probes = client();
    this.others = Array.from({ length: size }, client);
  }

  /** Starts a publisher, probes and so many processes of other watchers. */
  static async start(size: number): Promise<Crew> {
    files ??= bundle("relay.ts", "client.ts").then(([relay, client]) => ({ relay: relay!, client: client! }));
    const crew = new Crew(size, await files);
    const niceness = await crew.publisher.call("prioritize", MEASURED_NICENESS);
    await crew.probes.call("prioritize", niceness);
    await Promise.all(crew.others.map((child) => child.call("prioritize", niceness + CROWD_MORE)));
    return crew;
  }

  /** Starts a fresh relay and lets watchers join, the probes evenly among them. */
  async open({
    watchers,
    broadcasts = 1,
    peer = false,
    mode = "datagram",
  }: {
    watchers: number;
    broadcasts?: number;
    peer?: boolean;
    mode?: Mode;
  }): Promise<Post> {
    const relay = new Child<RelayMethods>(this.#files.relay, RELAY_CORES);
    this.#relays.add(relay);
    await relay.call("prioritize", MEASURED_NICENESS);
    const door = await relay.call("listen", { peer });
    await this.publisher.call("connect", { door, broadcasts });
    await sleep(300);
    await relay.call("sample", { collect: true });
    const emptyBytes = residentBytes(relay.pid);
    const probes = Math.min(PROBES, watchers);
    for (let slice = 0; slice < SLICES; slice += 1) {
      const part = (total: number) => Math.floor((total * (slice + 1)) / SLICES) - Math.floor((total * slice) / SLICES);
      const others = part(watchers - probes);
      await Promise.all([
        ...this.others.map((child, index) => {
          const count = Math.floor((others + index) / this.others.length);
          return count > 0 ? child.call("join", { door, count, broadcasts }) : undefined;
        }),
        part(probes) > 0 ? this.probes.call("join", { door, count: part(probes), broadcasts }) : undefined,
      ]);
    }
    await sleep(200);
    await this.publisher.call("watched", undefined);
    if (watchers > 0) await this.publish(mode, WARM_SECONDS, false, broadcasts);
    return { relay, door, emptyBytes, broadcasts };
  }

  /** Publishes for so long. */
  publish(mode: Mode, seconds: number, measured: boolean, broadcasts = 1): Promise<void> {
    const perSecond = OBJECTS_PER_SECOND * broadcasts;
    return this.publisher.call("publish", { mode, objects: Math.round(seconds * perSecond), perSecond, measured });
  }

  /** Publishes for so long and tells what arrived, and at what cost. Frozen processes are left out. */
  async measure(post: Post, mode: Mode, seconds: number, frozen: readonly Client[] = []): Promise<Window> {
    const clients = [this.publisher, this.probes, ...this.others].filter((child) => !frozen.includes(child));
    const audience = clients.slice(1);
    await this.probes.call("reset", { ages: true });
    await Promise.all(
      this.others.filter((child) => !frozen.includes(child)).map((child) => child.call("reset", { ages: false })),
    );
    const spent = () => clients.reduce((sum, { pid }) => sum + processorMicroseconds(pid), 0);
    const { stats: before } = await post.relay.call("sample", { collect: false });
    const [relayBefore, clientsBefore, start] = [processorMicroseconds(post.relay.pid), spent(), performance.now()];
    await this.publish(mode, seconds, true, post.broadcasts);
    const relayUs = processorMicroseconds(post.relay.pid) - relayBefore;
    const clientsUs = spent() - clientsBefore;
    const passedUs = (performance.now() - start) * 1000;
    const { loopShare, stats: after } = await post.relay.call("sample", { collect: false });
    await sleep(STRAGGLERS_MS);
    const seen = await Promise.all(audience.map((child) => child.call("seen", undefined)));
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
      loopShare,
    };
  }

  /** Memory that the relay holds more than before the watchers came, in bytes. */
  async grownBytes(post: Post): Promise<number> {
    await post.relay.call("sample", { collect: true });
    return residentBytes(post.relay.pid) - post.emptyBytes;
  }

  /** Lets all leave and ends the relay. */
  async close(post: Post): Promise<void> {
    await Promise.all([this.probes, ...this.others].map((child) => child.call("leave", undefined)));
    await this.publisher.call("disconnect", undefined);
    await post.relay.end();
    this.#relays.delete(post.relay);
  }

  /** Ends everything. */
  async end(): Promise<void> {
    await Promise.all([this.publisher, this.probes, ...this.others, ...this.#relays].map((child) => child.end()));
  }
}

/** A percentile, or null of nothing. */
export function percentileOf(values: readonly number[], fraction: number): number | null {
  return values.length === 0 ? null : percentile(values, fraction);
}
