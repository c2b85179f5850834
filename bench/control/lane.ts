import { type Microseconds, microseconds, monotonicClock } from "../../base/index.js";
import type { ControlEvent } from "../../flow/control/index.js";
import { type AudioSource, loadModel, type Model, openSource, Publisher } from "../../publisher/index.js";
import { shippedModel } from "../../src/index.js";
import { Listener, type ListenerLanding, type PlayedRun, SAMPLE_RATE } from "../../watch/index.js";
import { type Audible, audible, type ChangedGroup } from "../flow/metrics.js";

/** The kind of a change. */
export type Kind = "knob" | "model" | "source";

/** Result of one change. */
export interface Outcome extends Audible {
  readonly event: ControlEvent;
  /** From the request to its end: the preparation. */
  readonly preparedMs: number;
  /** Gaps between writes while it was prepared, in milliseconds. */
  readonly gapsMs: readonly number[];
}

/** Sent ahead of the playhead. */
export const AHEAD_MS = 1000;
/** A model takes so long to prepare. */
export const PREPARATION_MS = 300;
/** How long a change may take to be heard in full, which without take-back is what was sent ahead. */
const LIMIT_MS = 10_000;
const POLL_MS = 5;
const GROUPS_KEPT = 2000;

interface Landed extends ListenerLanding {
  readonly at: Microseconds;
}

/** One publisher and one listener of a broadcast, over loopback. */
export class Lane {
  readonly #publisher: Publisher;
  readonly #listener: Listener;
  readonly #landed: Landed[] = [];
  #requests = 0;
  #loud = false;

  constructor(options: {
    readonly broadcast: string;
    readonly relay: { readonly port: number; readonly certificateHash: Buffer };
    readonly takeBack: boolean;
    readonly source: AudioSource;
    readonly speech: Float32Array;
  }) {
    const { broadcast, relay, takeBack, source, speech } = options;
    const url = `https://127.0.0.1:${relay.port}`;
    const connect = { certificateHashes: [relay.certificateHash], backends: ["quic"] as const };
    const sources = () => openSource({ samples: speech, loop: true, name: "other" });
    const models = { slow: slowModel };
    this.#publisher = new Publisher(
      { url, broadcast, connect, source, sources, models, model: shippedModel, aheadMs: AHEAD_MS },
      { keepStale: !takeBack },
    );
    this.#listener = new Listener({ url, broadcast, connect, jitterMs: 80, adaptive: false });
    this.#listener.closed.catch(() => {});
    this.#listener.on("landing", (landing) => {
      this.#landed.push({ ...landing, at: monotonicClock() });
      if (this.#landed.length > GROUPS_KEPT) this.#landed.shift();
    });
  }

  /** Requests made, and ends that came for them. */
  get counted(): { readonly requests: number; readonly ends: number } {
    return { requests: this.#requests, ends: this.#publisher.stats().controlEvents };
  }

  /** Times sound was missing at the speaker, in milliseconds. */
  get underrunMs(): number {
    return this.#listener.stats().underrunMs;
  }

  /** Waits until all is sent ahead and it is heard. */
  async settle(): Promise<void> {
    await until(
      "all is sent ahead",
      () => {
        const { leadMs, listeners } = this.#publisher.stats();
        const last = this.#listener.record.at(-1);
        const isHeard = last !== undefined && isAudio(last) && monotonicClock() - last.lastPulledAt < 100_000;
        return leadMs > AHEAD_MS - 50 && listeners === 1 && isHeard;
      },
      () => this.#state(),
    );
  }

  /** Makes one change and returns when it was heard. */
  async change(kind: Kind): Promise<Outcome> {
    await this.settle();
    const sent = monotonicClock();
    const { frontierUs } = this.#publisher.stats();
    const listeningSince = this.#listeningSince();
    const event = await this.#request(kind);
    const ended = monotonicClock();
    if (event.outcome !== "applied") throw new Error(`The ${kind} was not changed: ${event.reason ?? event.outcome}.`);
    const isCarrying = ({ sequence }: Landed) =>
      (this.#publisher.controlEpochOf(sequence) ?? -1) >= event.controlEpoch! && this.#hasPlayed(sequence, sent);
    await until(
      "the change is heard",
      () => this.#landed.some(isCarrying),
      () => this.#state(),
    );
    const writes = this.#publisher.writeTimes.filter((at) => at >= sent && at <= ended);
    const groups = this.#landed
      .filter((group) => group.at >= sent)
      .filter((group) => (this.#publisher.controlEpochOf(group.sequence) ?? -1) >= event.controlEpoch!)
      .map(
        ({ sequence, timestamp, at }): ChangedGroup => ({
          arrival: at,
          start: timestamp,
          played: this.#hasPlayed(sequence, sent),
        }),
      );
    return {
      ...audible({
        listeningSince,
        sent,
        // What had been sent before and is played all the same; the rest was taken back.
        frontier: microseconds(Math.min(frontierUs, ...groups.map(({ start }) => start))),
        groups,
      }),
      event,
      preparedMs: (ended - sent) / 1000,
      gapsMs: writes.slice(1).map((at, index) => (at - writes[index]!) / 1000),
    };
  }

  /** Turns knobs many times at once; every request has its end. */
  async burst(count: number): Promise<void> {
    await Promise.all(
      Array.from({ length: count }, (_, index) => this.#control({ op: "set", knobs: { gainDb: index % 3 } })),
    );
  }

  /** Gaps between all writes that are remembered, in milliseconds. */
  get gapsMs(): readonly number[] {
    const times = this.#publisher.writeTimes;
    return times.slice(1).map((at, index) => (at - times[index]!) / 1000);
  }

  /** Ends both sides. */
  async close(): Promise<void> {
    await this.#listener.close();
    await this.#publisher.close();
  }

  #request(kind: Kind): Promise<ControlEvent> {
    if (kind === "model") return this.#control({ op: "model", name: "slow" });
    if (kind === "source") return this.#control({ op: "swap_source", source: "other" });
    this.#loud = !this.#loud;
    return this.#control({ op: "set", knobs: { strength: this.#loud ? 0.2 : 1 } });
  }

  #control(operation: object): Promise<ControlEvent> {
    this.#requests++;
    return this.#publisher.control({ ...operation, requestId: `bench-${this.#requests}` });
  }

  #state(): object {
    return { publisher: this.#publisher.stats(), listener: this.#listener.stats(), landed: this.#landed.slice(-3) };
  }

  // When the playhead was at media time 0, going by what is being played.
  #listeningSince(): Microseconds {
    const run = this.#listener.record.findLast(isAudio)!;
    return microseconds(run.lastPulledAt - endOf(run));
  }

  #hasPlayed(sequence: number, since: Microseconds): boolean {
    const group = this.#landed.find((each) => each.sequence === sequence)!;
    const epoch = Math.floor(sequence / 65_536);
    return this.#listener.record.some(
      (run) =>
        isAudio(run) &&
        run.epoch === epoch &&
        run.lastPulledAt >= since &&
        run.timestamp! < group.timestamp + 20_000 &&
        endOf(run) > group.timestamp,
    );
  }
}

// A model that takes its time, as one does that is fetched from elsewhere.
async function slowModel(): Promise<Model> {
  const [model] = await Promise.all([
    loadModel(shippedModel),
    new Promise((resolve) => setTimeout(resolve, PREPARATION_MS)),
  ]);
  return model;
}

const isAudio = (run: PlayedRun): boolean => run.timestamp !== undefined;

function endOf({ timestamp, frames }: PlayedRun): number {
  return timestamp! + (frames * 1e6) / SAMPLE_RATE;
}

async function until(what: string, condition: () => boolean, state: () => object = () => ({})): Promise<void> {
  const end = performance.now() + LIMIT_MS;
  while (!condition()) {
    if (performance.now() > end) {
      throw new Error(`Still waiting after ${LIMIT_MS / 1000} s until ${what}: ${JSON.stringify(state())}`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
