import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { PlayedRun } from "../../watch/index.js";
import { sharedClock } from "../support/clock.js";
import { type Calls, type RemoteProcess, startRemote } from "../support/remote.js";
import type { Health, HealthCalls } from "./health.js";
import { type Carrier, calmAtMs, describe, type Event, type History, type Role, type Speech } from "./history.js";
import { Path } from "./path.js";
import type { Claim, Flush, ListenerCalls } from "./processes/listener.js";
import type { Interrupted, Outcome, PublisherCalls } from "./processes/publisher.js";
import type { RelayCalls } from "./processes/relay.js";

/** A stretch of the shared clock, in microseconds. */
export interface Span {
  readonly from: number;
  readonly until: number;
}

/** A fault as it was put in; it lasts until it was mended. */
export interface Fault extends Span {
  readonly role: Role;
  readonly kind: "kill" | "stop" | "cut" | "weather" | "jump" | "rival";
  /** The event that made it. */
  readonly event: Event;
}

/** Something said, interrupted or resumed, and how the publisher's process answered. */
export type Deed = { readonly at: number; readonly answeredAt: number | undefined; readonly life: number } & (
  | { readonly do: "say"; readonly speech: Speech }
  | { readonly do: "interrupt"; readonly answer: Interrupted | undefined }
  | { readonly do: "resume"; readonly answer: boolean | undefined }
  | { readonly do: "gain"; readonly db: number }
);

/** Recording of one life of a listener's process; it has another after each kill. */
export interface Recording {
  readonly listener: number;
  readonly carrier: Carrier;
  readonly at: "relay" | "edge";
  /** When its process was up, and when it was killed or asked for the last time. */
  readonly life: Span;
  /** Mono, 48 kHz. */
  readonly samples: Float32Array;
  /** Shared clock and number of samples written by then, per turn of the speaker. */
  readonly index: Float64Array;
  readonly claims: readonly Claim[];
  readonly flushes: readonly Flush[];
  /** The audio that its speaker pulled, run by run. */
  readonly record: readonly Readonly<PlayedRun>[];
}

/** All that happened in a run of a history. */
export interface Run {
  readonly history: History;
  /** When it began. */
  readonly startedAt: number;
  readonly deeds: readonly Deed[];
  readonly faults: readonly Fault[];
  readonly recordings: readonly Recording[];
  /** How each speech ended, by utterance; of publishers that were killed as far as they could still be asked. */
  readonly outcomes: Readonly<Record<number, readonly Outcome[]>>;
  /** From here on nothing was broken any more. */
  readonly calmAt: number;
  /** Utterances said after that, which every listener must hear whole. */
  readonly probes: readonly number[];
  /** Processes that ended although nothing was done to them. */
  readonly deaths: readonly string[];
  /** States of each life of a process, by role and life. */
  readonly health: Readonly<Record<string, Health>>;
}

/** Time to come back after the last fault, in milliseconds: what the table of promises allows for the slowest. */
const RECOVERY_MS = 3500;
const PROBES = 2;
const PROBE_MS = 1200;
const PROBE_EVERY_MS = 2200;
const ASK_LIMIT_MS = 2500;
/** Speeches that are queued at the end may take this long. */
const DRAIN_LIMIT_MS = 30_000;

/** How long the first listeners may take to be ready. */
const READY_LIMIT_MS = 20_000;

/** Calls to every process. */
interface AnyCalls extends HealthCalls {
  jump(milliseconds: number): void;
}

interface Actor<T> {
  process: RemoteProcess<T> | undefined;
  life: number;
  /** Ended on purpose. */
  expected: boolean;
  /** Resolves when the process is up: one that is only starting is not killed yet. */
  started?: Promise<void> | undefined;
}

type AnyActor = Pick<Actor<AnyCalls>, "expected" | "started" | "life"> & {
  process: Pick<RemoteProcess<AnyCalls>, "calls" | "signal" | "ended"> | undefined;
};

/** The file of a process, as it was compiled like this one or not. */
function processFile(name: string): URL {
  return new URL(`./processes/${name}${extname(import.meta.url)}`, import.meta.url);
}

/** Plays a history with processes of their own for the publisher, the relay, the edge and each listener. */
export async function play(history: History): Promise<Run> {
  const folder = await mkdtemp(join(tmpdir(), "unsay-history-"));
  const stage = new Stage(history, folder);
  try {
    return await stage.run();
  } finally {
    await stage.close();
    await rm(folder, { recursive: true, force: true });
  }
}

class Stage {
  readonly #history: History;
  readonly #folder: string;
  readonly #publisher: Actor<PublisherCalls> = { process: undefined, life: 0, expected: false };
  readonly #relay: Actor<RelayCalls> = { process: undefined, life: 0, expected: false };
  readonly #edge: Actor<RelayCalls> = { process: undefined, life: 0, expected: false };
  readonly #listeners = new Map<number, ListenerActor>();
  readonly #paths = new Map<Role, Path>();
  readonly #ports = { relay: 0, edge: 0 };
  readonly #deeds: Deed[] = [];
  readonly #faults: Fault[] = [];
  readonly #recordings: Recording[] = [];
  readonly #outcomes: Record<number, Outcome[]> = {};
  readonly #deaths: string[] = [];
  readonly #health: Record<string, Health> = {};
  readonly #pending = new Set<Promise<void>>();
  #startedAt = 0;

  constructor(history: History, folder: string) {
    this.#history = history;
    this.#folder = folder;
  }

  async run(): Promise<Run> {
    const { events } = this.#history;
    await this.#startRelay("relay");
    await this.#path("publisher", this.#ports.relay);
    if (events.some((event) => event.do === "join" && event.at === "edge")) {
      await this.#path("edge", this.#ports.relay);
      await this.#startRelay("edge");
    }
    await this.#startPublisher();
    // The clock starts once the first listeners are ready, however long a busy machine takes to start them.
    const isFirst = (event: Event) => event.do === "join" && event.atMs === 0;
    await Promise.all(events.filter(isFirst).map((event) => this.#perform(event)));
    await Promise.all([...this.#listeners.values()].map((actor) => this.#ready(actor)));
    this.#startedAt = sharedClock();
    for (const event of events) {
      if (isFirst(event)) continue;
      await this.#until(event.atMs);
      this.#begin(event);
    }
    await this.#until(calmAtMs(this.#history));
    await Promise.all(this.#pending);
    const calmAt = sharedClock();
    await sleep(RECOVERY_MS);
    const probes = await this.#probe();
    await this.#collectOutcomes();
    for (const actor of this.#listeners.values()) await this.#collect(actor);
    const roles: Role[] = [
      "publisher",
      "relay",
      "edge",
      ...[...this.#listeners.keys()].map((n): Role => `listener-${n}`),
    ];
    for (const role of roles) await this.#askHealth(role);
    return {
      history: this.#history,
      startedAt: this.#startedAt,
      deeds: this.#deeds,
      faults: this.#faults,
      recordings: this.#recordings,
      outcomes: this.#outcomes,
      calmAt,
      probes,
      deaths: this.#deaths,
      health: this.#health,
    };
  }

  async close(): Promise<void> {
    for (const actor of [this.#publisher, this.#relay, this.#edge, ...this.#listeners.values()]) {
      actor.expected = true;
      actor.process?.signal("SIGKILL");
      await actor.process?.ended;
    }
    for (const path of this.#paths.values()) await path.close();
  }

  async #until(atMs: number): Promise<void> {
    const wait = atMs - (sharedClock() - this.#startedAt) / 1000;
    if (wait > 0) await sleep(wait);
  }

  #begin(event: Event): void {
    const failed = (error: unknown) => void this.#deaths.push(`${describe(event)} failed: ${error}`);
    const done = this.#perform(event)
      .catch(failed)
      .finally(() => this.#pending.delete(done));
    this.#pending.add(done);
  }

  async #perform(event: Event): Promise<void> {
    switch (event.do) {
      case "say":
        return this.#deed({ do: "say", speech: event.speech }, (calls) => calls.say(event.speech));
      case "interrupt":
        return this.#deed({ do: "interrupt", answer: undefined }, (calls) => calls.interrupt());
      case "resume":
        return this.#deed({ do: "resume", answer: undefined }, (calls) => calls.resume());
      case "gain":
        return this.#deed({ do: "gain", db: event.db }, (calls) => calls.gain(event.db));
      case "join":
        return this.#join(event.listener, event.carrier, event.at);
      default:
        return this.#break(event);
    }
  }

  async #deed(deed: object, ask: (calls: RemoteProcess<PublisherCalls>["calls"]) => Promise<unknown>): Promise<void> {
    const { process, life } = this.#publisher;
    const at = sharedClock();
    const entry = { ...deed, at, life, answeredAt: undefined } as Deed & { answeredAt?: number; answer?: unknown };
    this.#deeds.push(entry);
    if (process === undefined) return;
    const answer = await ask(process.calls).catch(() => undefined);
    entry.answer = answer;
    entry.answeredAt = sharedClock();
  }

  async #break(event: Event & { readonly role?: Role }): Promise<void> {
    if (event.do === "jump") {
      this.#note(event, "jump", sharedClock());
      await this.#ask(this.#actor(event.role), (calls) => calls.jump(event.byMs));
      return;
    }
    if (!("forMs" in event)) return;
    const from = sharedClock();
    if (event.do === "kill") await this.#kill(event.role, event.forMs);
    else if (event.do === "rival") await this.#rival(event.leaves, event.forMs);
    else if (event.do === "stop") {
      const { process } = this.#actor(event.role);
      process?.signal("SIGSTOP");
      await sleep(event.forMs);
      process?.signal("SIGCONT");
    } else {
      const path = this.#paths.get(event.role);
      if (event.do === "cut") path?.cut(event.how);
      else path?.weather(event.weather);
      await sleep(event.forMs);
      if (event.do === "cut") path?.mend();
      else path?.weather(undefined);
    }
    this.#note(event, event.do, from);
  }

  #note(event: Event & { readonly role: Role }, kind: Fault["kind"], from: number): void {
    this.#faults.push({ role: event.role, kind, event, from, until: sharedClock() });
  }

  async #kill(role: Role, forMs: number): Promise<void> {
    const actor = this.#actor(role);
    await actor.started;
    if (actor.process === undefined) return;
    if (role === "publisher") await this.#collectOutcomes();
    if (actor instanceof ListenerActor) await this.#collect(actor);
    await this.#askHealth(role);
    actor.expected = true;
    actor.process.signal("SIGKILL");
    await actor.process.ended;
    actor.process = undefined;
    await sleep(forMs);
    if (role === "publisher") await this.#startPublisher();
    else if (role === "relay" || role === "edge") await this.#startRelay(role);
    else await this.#startListener(actor as ListenerActor);
  }

  async #rival(leaves: "closes" | "dies", forMs: number): Promise<void> {
    const rival = await startRemote<PublisherCalls>(processFile("publisher"));
    await rival.calls.open({ url: this.#paths.get("publisher")!.url, mode: "ahead", frameMs: 20 });
    await sleep(forMs);
    if (leaves === "closes") await Promise.race([rival.calls.close(), sleep(ASK_LIMIT_MS)]);
    rival.signal("SIGKILL");
    await rival.ended;
  }

  #actor(role: Role): AnyActor {
    if (role === "publisher") return this.#publisher;
    if (role === "relay") return this.#relay;
    if (role === "edge") return this.#edge;
    return this.#listeners.get(Number(role.slice("listener-".length))) ?? new ListenerActor(-1, "any", "relay");
  }

  async #path(role: Role, target: number): Promise<Path> {
    const known = this.#paths.get(role);
    if (known !== undefined) return known;
    const path = await Path.open(target, this.#history.seed + this.#paths.size);
    this.#paths.set(role, path);
    return path;
  }

  async #startRelay(which: "relay" | "edge"): Promise<void> {
    const actor = which === "relay" ? this.#relay : this.#edge;
    const process = await this.#start<RelayCalls>(which, actor, "relay");
    const upstream = which === "edge" ? this.#paths.get("edge")?.url : undefined;
    this.#ports[which] = await process.calls.open({ port: this.#ports[which], upstream });
  }

  async #startPublisher(): Promise<void> {
    const process = await this.#start<PublisherCalls>("publisher", this.#publisher, "publisher");
    const { url } = this.#paths.get("publisher")!;
    await process.calls.open({ url, mode: "ahead", frameMs: this.#history.frameMs });
  }

  async #join(number: number, carrier: Carrier, at: "relay" | "edge"): Promise<void> {
    const actor = new ListenerActor(number, carrier, at);
    this.#listeners.set(number, actor);
    await this.#path(`listener-${number}`, this.#ports[at]);
    actor.started = this.#startListener(actor);
    await actor.started;
  }

  async #ready(actor: ListenerActor): Promise<void> {
    const end = sharedClock() + READY_LIMIT_MS * 1000;
    while (sharedClock() < end) {
      const stats = await this.#ask(actor, (calls) => calls.stats());
      if (stats?.state === "ready" || stats?.state === "playing") return;
      await sleep(50);
    }
  }

  async #startListener(actor: ListenerActor): Promise<void> {
    const role: Role = `listener-${actor.number}`;
    const process = await this.#start<ListenerCalls>(role, actor, "listener");
    actor.recording = join(this.#folder, `${role}-${actor.life}`);
    actor.bornAt = sharedClock();
    await process.calls.open({ url: this.#paths.get(role)!.url, carrier: actor.carrier, recording: actor.recording });
  }

  async #start<T extends Calls<T>>(name: string, actor: Actor<T>, file: string): Promise<RemoteProcess<T>> {
    const process = await startRemote<T>(processFile(file));
    actor.process = process;
    actor.expected = false;
    actor.life++;
    void process.ended.then((how) => {
      if (actor.process === process && !actor.expected) this.#deaths.push(`${name} ended by itself: ${how}`);
    });
    return process;
  }

  async #probe(): Promise<number[]> {
    // Queued speeches are said first, however long they are.
    await this.#ask(this.#publisher, (calls) => calls.drained(), DRAIN_LIMIT_MS);
    const first = 1 + Math.max(-1, ...this.#deeds.map((deed) => (deed.do === "say" ? deed.speech.utterance : -1)));
    const probes: number[] = [];
    for (let n = 0; n < PROBES; n++) {
      const utterance = first + n;
      probes.push(utterance);
      const speech = { utterance, lengthMs: PROBE_MS, pace: n === 0 ? Infinity : 0.9, chunkMs: 100, firstAfterMs: 0 };
      await this.#perform({ atMs: 0, do: "say", speech });
      await sleep(PROBE_EVERY_MS);
    }
    return probes;
  }

  async #ask<C, R>(
    actor: { readonly process: { readonly calls: C } | undefined },
    ask: (calls: C) => Promise<R>,
    limitMs = ASK_LIMIT_MS,
  ): Promise<R | undefined> {
    if (actor.process === undefined) return undefined;
    return Promise.race([ask(actor.process.calls).catch(() => undefined), sleep(limitMs, undefined)]);
  }

  async #askHealth(role: Role): Promise<void> {
    const actor = this.#actor(role);
    const health = await this.#ask(actor, (calls) => calls.health());
    if (health !== undefined) this.#health[actor.life === 1 ? role : `${role}, life ${actor.life}`] = health;
  }

  async #collectOutcomes(): Promise<void> {
    Object.assign(this.#outcomes, await this.#ask(this.#publisher, (calls) => calls.outcomes()));
  }

  async #collect(actor: ListenerActor): Promise<void> {
    const claims = (await this.#ask(actor, (calls) => calls.claims())) ?? [];
    const flushes = (await this.#ask(actor, (calls) => calls.flushes())) ?? [];
    const record = (await this.#ask(actor, (calls) => calls.record())) ?? [];
    const bytes = await readFile(actor.recording).catch(() => Buffer.alloc(0));
    const index = await readFile(`${actor.recording}.index`).catch(() => Buffer.alloc(0));
    const words = new Int16Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + (bytes.length & ~1)));
    const entries = index.buffer.slice(index.byteOffset, index.byteOffset + index.length - (index.length % 16));
    this.#recordings.push({
      listener: actor.number,
      carrier: actor.carrier,
      at: actor.at,
      life: { from: actor.bornAt, until: sharedClock() },
      samples: Float32Array.from(words, (word) => word / 32_767),
      index: new Float64Array(entries),
      claims,
      flushes,
      record,
    });
  }
}

class ListenerActor {
  readonly number: number;
  readonly carrier: Carrier;
  readonly at: "relay" | "edge";
  process: RemoteProcess<ListenerCalls> | undefined;
  life = 0;
  expected = false;
  started: Promise<void> | undefined;
  recording = "";
  bornAt = 0;

  constructor(number: number, carrier: Carrier, at: "relay" | "edge") {
    this.number = number;
    this.carrier = carrier;
    this.at = at;
  }
}
