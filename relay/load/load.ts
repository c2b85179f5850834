import { randomBytes } from "node:crypto";
import { performance } from "node:perf_hooks";
import { setTimeout as wait } from "node:timers/promises";
import { broadcastName, broadcastPath, StateError, TransportError } from "../../base/index.js";
import { type ConnectOptions, connect, endOf, type Session } from "../../transport/index.js";
import { LoadPublisher } from "./load-publisher.js";
import { LoadWatcher } from "./load-watcher.js";

const PROTOCOL = "moq-lite-05";
// Watchers whose ages on arrival are the latency; the others only count objects.
const PROBES = 20;
const LANES = 16;
const ANSWER_MS = 10_000;
const WARM_SECONDS = 1;
const STRAGGLERS_MS = 500;
/** How long after a failure the end of the session that caused it may arrive. */
const REASON_MS = 50;

/** Options for {@link loadRelay}. */
export interface LoadOptions {
  /** The relay, with a token as `?jwt=` that may publish and watch. */
  readonly url: string | URL;
  /** Options of the connection. */
  readonly connect?: Omit<ConnectOptions, "signal" | "protocols">;
  /** Path of the run's broadcast at the relay; random letters are appended. Default `unsay-bench`. */
  readonly broadcast?: string;
  /** Number of watching sessions. */
  readonly watchers: number;
  /** Sessions opened per second, or undefined for as fast as possible. */
  readonly joinsPerSecond?: number;
  /** How long to count objects. */
  readonly seconds: number;
  /** Objects per second. */
  readonly perSecond: number;
  /** Payload bytes of each, from {@link MIN_PAYLOAD_BYTES} on. */
  readonly payloadBytes: number;
  /** How to send them. */
  readonly via: "datagram" | "stream";
  /** Ends the run early. */
  readonly signal: AbortSignal;
}

/** Result of a load run. */
export interface LoadResult {
  /** Watchers that joined. */
  readonly joined: number;
  /** Watchers that could not join. */
  readonly failed: number;
  /** The first watcher's error; undefined when all joined. */
  readonly failure: Error | undefined;
  /** Sessions that ended before the run did. */
  readonly lost: number;
  /** Objects published while counting. */
  readonly published: number;
  /** The share that arrived of the published objects times the joined watchers. */
  readonly deliveredShare: number;
  /** Milliseconds from connecting to a subscription, one for each watcher that joined. */
  readonly joinMs: readonly number[];
  /** Milliseconds from the publisher's send to arrival at up to 20 of the watchers. */
  readonly latencyMs: readonly number[];
  /** Share of the time that this process's event loop was busy; near 1 it measured itself. */
  readonly loopShare: number;
}

/**
 * Publishes to a relay and watches there in many sessions of its own. An abort while counting ends the run with the
 * results so far.
 *
 * @throws TransportError `CONNECT_FAILED` and its like for the publisher, `UNSUPPORTED_VERSION`, `NOT_ANSWERED`;
 * StateError `INTERRUPTED` for an abort before it counts.
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
    // The relay has to know the broadcast before it takes subscriptions.
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
    if (!answered) throw new TransportError("NOT_ANSWERED", "The relay did not subscribe to the load run's broadcast.");

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

/** Uses a session; where that fails because the relay ended the session, it fails with the relay's reason. */
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

/** Waits, until the signal aborts. */
async function pause<T>(ms: number, signal?: AbortSignal, value?: T): Promise<T | undefined> {
  if (ms > 0) await wait(ms, undefined, { signal }).catch(() => {});
  return value;
}
