import { randomBytes } from "node:crypto";
import { performance } from "node:perf_hooks";
import { setTimeout as wait } from "node:timers/promises";
import { broadcastName, broadcastPath, StateError, TransportError } from "../../base/index.js";
import { type ConnectOptions, connect, endOf, type Session } from "../../transport/index.js";
import { LoadPublisher } from "./load-publisher.js";
import { LoadWatcher } from "./load-watcher.js";

const PROTOCOL = "moq-lite-05";
// Their ages on arrival are the latency; of the others only the number of objects is kept.
const PROBES = 20;
const LANES = 16;
const ANSWER_MS = 10_000;
const WARM_SECONDS = 1;
const STRAGGLERS_MS = 500;
/** How long the end of a session may come after what failed because of it. */
const REASON_MS = 50;

/** Options for {@link loadRelay}. */
export interface LoadOptions {
  /** The relay, with a token as `?jwt=` that may publish and watch. */
  readonly url: string | URL;
  /** How to connect. */
  readonly connect?: Omit<ConnectOptions, "signal" | "protocols">;
  /** Where in the relay the run's broadcast is published; its name ends in random letters. Default `unsay-bench`. */
  readonly broadcast?: string;
  /** Sessions that watch. */
  readonly watchers: number;
  /** Sessions that begin each second, or undefined for as fast as they can. */
  readonly joinsPerSecond?: number;
  /** How long objects are counted. */
  readonly seconds: number;
  /** Objects a second. */
  readonly perSecond: number;
  /** Payload bytes of each, from {@link MIN_PAYLOAD_BYTES} on. */
  readonly payloadBytes: number;
  /** How the publisher sends them. */
  readonly via: "datagram" | "stream";
  /** Ends the run early. */
  readonly signal: AbortSignal;
}

/** What a load run showed. */
export interface LoadResult {
  /** Watchers that joined. */
  readonly joined: number;
  /** Watchers that could not. */
  readonly failed: number;
  /** Why the first of them could not; undefined when all joined. */
  readonly failure: Error | undefined;
  /** Sessions that ended before the run did. */
  readonly lost: number;
  /** Objects published while it counted. */
  readonly published: number;
  /** Of the published times the joined, the share that arrived. */
  readonly deliveredShare: number;
  /** Milliseconds from connecting to having subscribed, one for each that joined. */
  readonly joinMs: readonly number[];
  /** Milliseconds from the publisher's send to arrival at up to 20 of the watchers. */
  readonly latencyMs: readonly number[];
  /** Share of the time for which this process's event loop was busy; near 1 it measured itself. */
  readonly loopShare: number;
}

/**
 * Publishes to a relay and watches there many times over, with sessions of their own. Throws a `TransportError`:
 * `CONNECT_FAILED` and so on for the publisher, `UNSUPPORTED_VERSION`, `NOT_ANSWERED`. An abort while objects are counted
 * ends the run with what it showed so far; before that it throws a `StateError` (`INTERRUPTED`).
 */
export async function loadRelay(options: LoadOptions): Promise<LoadResult> {
  const { watchers, seconds, perSecond, signal } = options;
  const path = broadcastPath(`${broadcastName(options.broadcast ?? "unsay-bench")}/${randomBytes(4).toString("hex")}`);
  const sessions: Session[] = [];
  const open = async (): Promise<Session> => {
    const session = await connect(options.url, { ...options.connect, protocols: [PROTOCOL], signal });
    sessions.push(session);
    if (session.protocol !== PROTOCOL)
      throw new TransportError("UNSUPPORTED_VERSION", `The relay speaks ${session.protocol || "no"} ${PROTOCOL}.`);
    return session;
  };
  try {
    const session = await open();
    const publisher = await reasoned(session, LoadPublisher.start(session, path));
    // The relay has to know of the broadcast before it takes subscriptions.
    await pause(200, signal);
    const crowd: LoadWatcher[] = [];
    const joinMs: number[] = [];
    let [next, failed] = [0, 0];
    let failure: Error | undefined;
    const every = Math.max(1, Math.floor(watchers / PROBES));
    const start = performance.now();
    const lane = async (): Promise<void> => {
      while (next < watchers && !signal.aborted) {
        const index = next++;
        const due = options.joinsPerSecond === undefined ? 0 : start + (index / options.joinsPerSecond) * 1000;
        await pause(due - performance.now(), signal);
        if (signal.aborted) break;
        const from = performance.now();
        try {
          const watching = await open();
          crowd.push(await reasoned(watching, LoadWatcher.start(watching, path, index % every === 0)));
          joinMs.push(performance.now() - from);
        } catch (error) {
          failed++;
          failure ??= error instanceof Error ? error : new Error(String(error));
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(LANES, watchers) }, lane));
    if (crowd.length === 0 && failure !== undefined) throw failure;
    const answered = await Promise.race([
      publisher.watched.then(() => true),
      session.closed.then((info) => Promise.reject(endOf(info))),
      pause(ANSWER_MS, signal, false),
    ]);
    if (signal.aborted) throw interrupted();
    if (!answered)
      throw new TransportError("NOT_ANSWERED", "The relay did not subscribe to what the load run publishes.");

    const published = { objects: 0 };
    const publish = async (length: number, counted: boolean): Promise<void> => {
      const from = performance.now();
      for (let index = 0; index < length * perSecond && !signal.aborted; index++) {
        const left = from + (index / perSecond) * 1000 - performance.now();
        await pause(left, signal);
        if (signal.aborted) return;
        await publisher.send(options.via, options.payloadBytes, Math.round(performance.now() * 1000), counted);
        if (counted) published.objects++;
      }
    };
    await publish(WARM_SECONDS, false);
    if (signal.aborted) throw interrupted();
    const before = performance.eventLoopUtilization();
    await publish(seconds, true);
    const { utilization } = performance.eventLoopUtilization(before);
    await pause(STRAGGLERS_MS);
    const arrived = crowd.reduce((sum, { objects }) => sum + objects, 0);
    return {
      joined: crowd.length,
      failed,
      failure,
      lost: crowd.filter(({ ended }) => ended).length,
      published: published.objects,
      deliveredShare: arrived / (published.objects * crowd.length || 1),
      joinMs,
      latencyMs: crowd.flatMap(({ ages }) => ages),
      loopShare: utilization,
    };
  } catch (error) {
    throw signal.aborted ? interrupted() : error;
  } finally {
    for (const session of sessions) session.close();
  }
}

/** What a session is used for; where that fails because the relay ended the session, it fails with the relay's reason. */
async function reasoned<T>(session: Session, use: Promise<T>): Promise<T> {
  try {
    return await use;
  } catch (error) {
    const ended = await Promise.race([session.closed, pause<undefined>(REASON_MS)]);
    throw ended ? endOf(ended) : error;
  }
}

function interrupted(): StateError {
  return new StateError("INTERRUPTED", "The load run was stopped before it counted anything.");
}

/** Waits, but not beyond the abort of the signal. */
async function pause<T>(ms: number, signal?: AbortSignal, value?: T): Promise<T | undefined> {
  if (ms > 0) await wait(ms, undefined, { signal }).catch(() => {});
  return value;
}
