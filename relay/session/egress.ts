import {
  background,
  broadcastPaths,
  fromMilliseconds,
  fromSeconds,
  isBroadcastName,
  type Microseconds,
  ProtocolError,
  race,
  shownName,
} from "../../base/index.js";
import type { SkipReason } from "../../flow/congestion/index.js";
import {
  broadcastHash,
  decodeAggregate,
  decodeReport,
  encodeReceipt,
  type Receipt,
  type Report,
  reportKind,
} from "../../flow/report/index.js";
import type { BidirectionalStream, SendStream } from "../../transport/index.js";
import { allows } from "../admission/scope.js";
import { prefixesOf } from "../admission/token.js";
import { announce } from "../broadcast/announcer.js";
import type { Broadcast } from "../broadcast/broadcast.js";
import { ByteBudget } from "../broadcast/byte-budget.js";
import type { Track } from "../broadcast/track.js";
import { Watcher } from "../watcher/watcher.js";
import { type AnnounceRequest, decodeAnnounceRequest } from "../wire/announce.js";
import { Code } from "../wire/code.js";
import { joinPath, stripPrefix } from "../wire/path.js";
import type { StreamReader } from "../wire/stream.js";
import { decodeSubscribe, decodeSubscribeUpdate, encodeSubscribeResponse, type Subscribe } from "../wire/subscribe.js";
import { decodeFetch, decodeTrackRequest, encodeTrackInfo } from "../wire/track.js";
import { hasTimestamps } from "../wire/version.js";
import type { Peer } from "./peer.js";

interface Watched {
  readonly broadcast: Broadcast;
  readonly watchers: Set<Watcher>;
  confirmedAt?: Microseconds;
}

/** The session in a receipt for an edge's aggregate: an edge has many. */
const EDGE_SESSION = 0;
const RECEIPT_SPACING: Microseconds = fromSeconds(1);

/** The watching side of a connection: the peer's requests and deliveries, and its reports. */
export class Egress {
  readonly #peer: Peer;
  // Subscribe ids, and broadcasts by the hash in reports.
  readonly #subscriptions = new Set<number>();
  readonly #interests = new Set<AnnounceRequest>();
  readonly #watched = new Map<number, Watched>();
  readonly #pending: ByteBudget;
  readonly #queued: ByteBudget;
  #fetches = 0;

  constructor(peer: Peer) {
    this.#peer = peer;
    this.#pending = new ByteBudget(this.#limits.pendingBytesPerSession);
    this.#queued = new ByteBudget(this.#limits.queueBytesPerSession);
  }

  /** Bytes of groups to the peer that the transport has not taken yet. */
  get pendingBytes(): number {
    return this.#pending.usedBytes;
  }

  /** Announces everything the peer may watch, until it leaves. */
  async announce(reader: StreamReader, { send, receive }: BidirectionalStream): Promise<void> {
    const { scope, offered, hopId, environment } = this.#peer;
    const request = decodeAnnounceRequest(await reader.message(), this.#peer.version, this.#limits.pathBytes);
    this.#peer.greet();
    const prefix = joinPath(scope.root, request.prefix);
    if (!this.#mayAsk(prefix)) return this.#refuse(request.prefix, "grants neither publishing nor watching");
    if (this.#interests.size >= this.#limits.interestsPerSession) {
      environment.counters.capped.interests++;
      return refuse({ send, receive }, Code.BOUNDS_EXCEEDED);
    }
    this.#interests.add(request);
    if (this.#listensInVain(request.prefix)) {
      this.#interests.delete(request);
      return this.#refuse(request.prefix, "does not grant watching");
    }
    const left = reader.drain().catch(() => {});
    await announce({
      clock: environment.clock,
      origin: offered,
      version: this.#peer.version,
      send,
      prefix,
      get: scope.get,
      publishes: (path) => this.#peer.publishes(path),
      hopId,
      left,
      hidden: (broadcast) =>
        broadcast.source.id === this.#peer.id ||
        (request.excludeHop !== 0n && broadcast.hops.includes(request.excludeHop)) ||
        (this.#peer.peerHopId !== 0n && broadcast.hops.includes(this.#peer.peerHopId)),
    }).finally(() => this.#interests.delete(request));
    receive.stop(Code.CANCEL);
  }

  /**
   * Whether the peer could ever see anything below a prefix; a publisher may ask about its own names. A listener asks for
   * both spellings of a name, and its token may grant one of them.
   */
  #mayAsk(prefix: string): boolean {
    const { get, put } = this.#peer.scope;
    const asked = prefixesOf(prefix);
    const overlaps = (other: string): boolean =>
      asked.some((one) => stripPrefix(other, one) !== undefined || stripPrefix(one, other) !== undefined);
    return [...get, ...put].some(overlaps);
  }

  /**
   * Whether the peer asks for both spellings of a name and may watch neither. Only a listener asks for both: a publisher
   * asks for the path that it publishes, and for paths of reports and controllers.
   */
  #listensInVain(prefix: string): boolean {
    if (!isBroadcastName(prefix)) return false;
    const { root, get } = this.#peer.scope;
    const asked = [...this.#interests].map((request) => request.prefix);
    return broadcastPaths(prefix).every((path) => asked.includes(path) && !allows(get, joinPath(root, path)));
  }

  // It would wait for ever for something it will never see.
  #refuse(prefix: string, grant: string): void {
    const token = this.#peer.session.url.searchParams.has("jwt");
    // A publisher looks for reports on its broadcast, and a listener for both spellings of a name, in any order.
    const name = shownName(prefix.replace(/\/\.feedback$/, ""));
    const why = token ? `The token ${grant} ${name}.` : `Watching ${name} takes a token.`;
    this.#peer.session.close({ closeCode: Code.UNAUTHORIZED, reason: `NOT_GRANTED: ${why}` });
  }

  /** Serves a subscription until it ends. */
  async subscribe(reader: StreamReader, stream: BidirectionalStream): Promise<void> {
    const { scope, environment } = this.#peer;
    const { counters, limits } = environment;
    const version = this.#peer.version;
    const message = decodeSubscribe(await reader.message(), version, limits.pathBytes);
    this.#peer.greet();
    if (this.#subscriptions.has(message.id))
      throw new ProtocolError("DUPLICATE_SUBSCRIPTION", `The subscribe id ${message.id} is taken.`);
    if (this.#subscriptions.size >= limits.subscriptionsPerSession) {
      counters.capped.subscriptions++;
      return refuse(stream, Code.BOUNDS_EXCEEDED);
    }
    const path = joinPath(scope.root, message.broadcast);
    if (!allows(scope.get, path)) return refuse(stream, Code.UNAUTHORIZED);
    const broadcast = this.#peer.offered.get(path);
    if (broadcast === undefined) return refuse(stream, Code.NOT_FOUND);
    const track = broadcast.track(message.track, this.#peer.id);
    if (track === undefined) return refuse(stream, Code.BOUNDS_EXCEEDED);

    const watcher = this.#makeWatcher(message, broadcast, track);
    const { send } = stream;
    background("relay.start", this.#answerStart(send, watcher));
    this.#subscriptions.add(message.id);
    const hash = broadcastHash(message.broadcast);
    this.#watch(hash, broadcast, watcher);
    try {
      track.attach(watcher, message.startGroup);
      // A subscriber that left does not wait for an answer, which may never come.
      const updates = this.#followUpdates(reader, watcher);
      if ((await race([track.info(), updates])) === "left") return void send.finish();
      if (!hasTimestamps(version)) await send.write(encodeSubscribeResponse({ kind: "ok" }, version));
      const outcome = await race([updates, track.closed]);
      if (outcome === "left") void send.finish();
      else if (outcome === undefined) {
        if (hasTimestamps(version)) {
          const newest = track.lastSequence;
          const group = newest === undefined ? 0 : Math.min(newest + 1, Number.MAX_SAFE_INTEGER);
          await send.write(encodeSubscribeResponse({ kind: "end", group }, version));
        }
        void send.finish();
      } else refuse(stream, outcome);
    } catch (error) {
      refuse(stream, Code.NOT_FOUND);
      throw error;
    } finally {
      track.detach(watcher);
      watcher.close();
      this.#unwatch(hash, watcher);
      this.#subscriptions.delete(message.id);
    }
  }

  #makeWatcher(message: Subscribe, broadcast: Broadcast, track: Track): Watcher {
    const { session, version, environment, id, log } = this.#peer;
    const { clock, counters, limits, smoother, repeat } = environment;
    return new Watcher({
      ...{ clock, session, version, track, counters, smoother, repeat },
      subscribe: message.id,
      delivery: message,
      limits: {
        queueGroups: limits.queueGroups,
        queueBytes: limits.queueBytes,
        queueAge: fromMilliseconds(limits.queueMs),
        pendingStreams: limits.pendingStreams,
      },
      windowMs: limits.windowMs,
      listeners: broadcast,
      sessionId: id,
      pending: this.#pending,
      queued: this.#queued,
      log: log.child({ broadcast: broadcast.path, track: track.name }),
    });
  }

  async #answerStart(send: SendStream, watcher: Watcher): Promise<void> {
    const { version } = this.#peer;
    if (!hasTimestamps(version)) return;
    const group = await watcher.started;
    quiet(send.write(encodeSubscribeResponse({ kind: "start", group }, version)));
  }

  // Resolves when the subscriber leaves, in any way.
  async #followUpdates(reader: StreamReader, watcher: Watcher): Promise<"left"> {
    try {
      for (;;) {
        const body = await reader.messageMaybe();
        if (body === undefined) return "left";
        watcher.update(decodeSubscribeUpdate(body, this.#peer.version));
      }
    } catch (error) {
      this.#peer.fail(error);
      return "left";
    }
  }

  /** Answers with the properties of a track. */
  async track(reader: StreamReader, stream: BidirectionalStream): Promise<void> {
    const request = decodeTrackRequest(await reader.message(), this.#limits.pathBytes);
    this.#peer.greet();
    const track = this.#find(request.broadcast, request.track, stream);
    if (track === undefined) return;
    try {
      await stream.send.write(encodeTrackInfo(await track.info()));
      void stream.send.finish();
    } catch (error) {
      refuse(stream, Code.NOT_FOUND);
      throw error;
    }
    await reader.discard(Code.CANCEL);
  }

  /** Sends one group of the cache. */
  async fetch(reader: StreamReader, stream: BidirectionalStream): Promise<void> {
    const request = decodeFetch(await reader.message(), this.#limits.pathBytes);
    this.#peer.greet();
    const { scope, offered, environment } = this.#peer;
    const path = joinPath(scope.root, request.broadcast);
    if (!allows(scope.get, path)) return refuse(stream, Code.UNAUTHORIZED);
    // Missing groups are not requested upstream.
    const record = offered.get(path)?.tracks.get(request.track)?.cache?.get(request.group);
    if (record === undefined || !record.ended || !hasTimestamps(this.#peer.version))
      return refuse(stream, Code.NOT_FOUND);
    if (this.#fetches >= this.#limits.fetchesPerSession || this.#pending.exceeded) {
      environment.counters.capped.fetches++;
      return refuse(stream, Code.BOUNDS_EXCEEDED);
    }
    const bytes = record.following("timed", 0);
    this.#fetches++;
    this.#pending.add(bytes.length);
    try {
      await stream.send.write(bytes);
      void stream.send.finish();
      await reader.discard(Code.CANCEL);
    } finally {
      this.#fetches--;
      this.#pending.add(-bytes.length);
    }
  }

  #find(broadcast: string, name: string, stream: BidirectionalStream): Track | undefined {
    const { scope, offered } = this.#peer;
    const path = joinPath(scope.root, broadcast);
    if (!allows(scope.get, path)) return void refuse(stream, Code.UNAUTHORIZED);
    const found = offered.get(path);
    if (found === undefined) return void refuse(stream, Code.NOT_FOUND);
    const track = found.track(name, this.#peer.id);
    if (track === undefined) refuse(stream, Code.BOUNDS_EXCEEDED);
    return track;
  }

  /** Takes a report of the peer, or an aggregate of an edge. */
  report(body: Uint8Array): void {
    const { counters } = this.#peer.environment;
    const aggregate = reportKind(body) === "aggregate";
    const decoded = aggregate ? decodeAggregate(body) : decodeReport(body);
    const hash = decoded.ok && ("report" in decoded ? decoded.report : decoded.aggregate).broadcast;
    const watched = hash === false ? undefined : this.#watched.get(hash);
    if (!decoded.ok || watched === undefined) {
      counters.reportsInvalid++;
      return;
    }
    counters.reportsIn++;
    if ("report" in decoded) {
      if (!watched.broadcast.report(this.#peer.id, decoded.report)) return;
      for (const watcher of watched.watchers) watcher.reported();
      this.#confirm(watched, decoded.report);
      return;
    }
    watched.broadcast.reportEdge(this.#peer.id, decoded.aggregate);
    const { broadcast, aggregateId } = decoded.aggregate;
    this.#confirm(watched, { broadcast, session: EDGE_SESSION, reportId: aggregateId });
  }

  // Sends a listener or an edge the relay's own numbers on its delivery, which also confirms that its reports are read.
  #confirm(watched: Watched, about: Pick<Report, "broadcast" | "session" | "reportId">): void {
    const { clock, counters } = this.#peer.environment;
    const now = clock();
    if (watched.confirmedAt !== undefined && now - watched.confirmedAt < RECEIPT_SPACING) return;
    const staleness = watched.broadcast.listener(this.#peer.id)?.latest?.staleness ?? 0;
    const skips = { window: 0, age: 0, passed: 0, stale: 0, overflow: 0 };
    let level: Receipt["level"] = "full";
    let [inFlightBytes, windowBytes, queueing] = [0, 0, 0];
    for (const watcher of watched.watchers) {
      const { control } = watcher;
      for (const [reason, count] of Object.entries(watcher.skips)) skips[reason as SkipReason] += count;
      if (control.level === "low" || level === "full") level = control.level;
      inFlightBytes += control.inFlight(now);
      windowBytes = Math.max(windowBytes, watcher.windowBytes);
      queueing = Math.max(queueing, control.queueing);
    }
    watched.confirmedAt = now;
    const sent = this.#peer.sendRecord(
      encodeReceipt({
        ...about,
        level,
        stalenessMs: staleness / 1000,
        queueingMs: queueing / 1000,
        inFlightBytes,
        windowBytes,
        skips,
      }),
    );
    if (sent) counters.receiptsOut++;
  }

  #watch(hash: number, broadcast: Broadcast, watcher: Watcher): void {
    const known = this.#watched.get(hash);
    if (known?.broadcast === broadcast) known.watchers.add(watcher);
    else this.#watched.set(hash, { broadcast, watchers: new Set([watcher]) });
  }

  #unwatch(hash: number, watcher: Watcher): void {
    const known = this.#watched.get(hash);
    if (known === undefined || !known.watchers.delete(watcher) || known.watchers.size > 0) return;
    this.#watched.delete(hash);
    known.broadcast.forget(this.#peer.id);
  }

  /** Forgets the peer's subscriptions. */
  end(): void {
    for (const { broadcast } of this.#watched.values()) broadcast.forget(this.#peer.id);
  }

  get #limits() {
    return this.#peer.environment.limits;
  }
}

/** Ends a request's stream both ways with a code. */
export function refuse({ send, receive }: BidirectionalStream, code: number): void {
  send.reset(code);
  receive.stop(code);
}

function quiet(work: Promise<unknown>): void {
  work.catch(() => {});
}
