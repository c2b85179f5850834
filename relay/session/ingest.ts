import { type Clock, guard, ProtocolError, shownName, TransportError } from "../../base/index.js";
import { isFeedbackPath } from "../../flow/report/index.js";
import { type BidirectionalStream, type ReceiveStream, StreamError } from "../../transport/index.js";
import { allows } from "../admission/scope.js";
import { Broadcast, type BroadcastSource } from "../broadcast/broadcast.js";
import { ByteBudget } from "../broadcast/byte-budget.js";
import type { CachedGroup } from "../broadcast/cached-group.js";
import { CATALOG_TRACK, legacyTime } from "../broadcast/legacy-time.js";
import { arrivalStamp, SYNTHETIC_INFO, type Track, type TrackSource } from "../broadcast/track.js";
import { decodeAnnounce, decodeAnnounceInit, decodeAnnounceOk, encodeAnnounceRequest } from "../wire/announce.js";
import { Code } from "../wire/code.js";
import { decodeDatagram, decodeGroupHeader, FrameParser } from "../wire/group.js";
import { joinPath, stripPrefix } from "../wire/path.js";
import type { StreamReader } from "../wire/stream.js";
import { encodeSubscribe, encodeSubscribeUpdate, readSubscribeResponse } from "../wire/subscribe.js";
import { decodeTrackInfo, encodeTrackRequest } from "../wire/track.js";
import { hasRanges, hasTimestamps, versionName } from "../wire/version.js";
import type { Peer } from "./peer.js";

// How long the peer may take to answer our request.
const ANSWER_MS = 10_000;
// Another attempt may find room.
const NO_ROOM = "UNAVAILABLE: The relay has no room for another broadcast.";

interface TrackPull {
  readonly track: Track;
  readonly stamp: (payload: Uint8Array) => number | undefined;
}

/** A group whose stream has not ended. */
interface ReceivingGroup {
  readonly track: Track;
  readonly record: CachedGroup;
  readonly parser: FrameParser;
  readonly stream: ReceiveStream;
  /** Its bytes beside the cache: an incomplete frame, and all of a group that the cache has dropped. */
  held: number;
}

/** The publishing side of a connection: the peer's announcements, and our subscriptions to them. */
export class Ingest implements BroadcastSource {
  readonly id: string;
  readonly #peer: Peer;
  readonly #clock: Clock;
  readonly #partial: ByteBudget;
  // The peer's announcements, by the peer's own path.
  readonly #announced = new Map<string, Broadcast>();
  // Our subscriptions, by our subscribe id.
  readonly #pulls = new Map<number, TrackPull>();
  readonly #receiving = new Set<ReceivingGroup>();
  #nextSubscribe = 0;
  #ended = false;
  #blindLogged = false;
  #refusalLogged = false;

  constructor(peer: Peer) {
    this.id = peer.id;
    this.#peer = peer;
    this.#clock = peer.environment.clock;
    const { limits, partial } = peer.environment;
    this.#partial = new ByteBudget(limits.partialBytesPerSession, partial);
  }

  /** Whether the peer announces a broadcast at a path of this relay. */
  announces(path: string): boolean {
    const suffix = stripPrefix(this.#peer.scope.root, path);
    return suffix !== undefined && this.#announced.has(suffix);
  }

  sendAggregate(broadcast: string, body: Uint8Array): boolean {
    const published = this.#peer.upstreamReports?.send(broadcast, body) ?? false;
    return this.#peer.sendRecord(body) || published;
  }

  alive(): boolean {
    return this.#peer.alive();
  }

  /** Source of a track that the peer announced. */
  track(broadcast: string, name: string, catalog: Uint8Array | undefined): TrackSource {
    if (hasTimestamps(this.#peer.version)) {
      return {
        timed: true,
        info: () => this.#requestInfo(broadcast, name),
        subscribe: (track) => this.#subscribe(broadcast, track, () => undefined),
      };
    }
    const time = legacyTime(catalog, name);
    return {
      timed: time !== undefined,
      info: () => Promise.resolve(SYNTHETIC_INFO),
      subscribe: (track) => this.#subscribe(broadcast, track, time ?? this.#blindStamp(name)),
    };
  }

  #blindStamp(track: string): TrackPull["stamp"] {
    if (!this.#blindLogged && track !== CATALOG_TRACK) {
      this.#blindLogged = true;
      this.#peer.log.warn(
        { version: versionName(this.#peer.version), track },
        "The publisher's version carries no timestamps and its catalog names no container that does, so nothing of it can be taken back here.",
      );
    }
    return arrivalStamp(this.#clock);
  }

  async #requestInfo(broadcast: string, track: string) {
    return withTimeout("TRACK", async () => {
      const { send, receive } = await this.#peer.session.openBidirectional();
      await send.write(encodeTrackRequest({ broadcast, track }));
      const reader = this.#peer.reader(receive);
      const info = decodeTrackInfo(await reader.message());
      // Not before the answer: the Rust implementation takes our end as a cancellation.
      void send.finish();
      reader.discard(Code.CANCEL).catch(() => {});
      return info;
    });
  }

  #subscribe(broadcast: string, track: Track, stamp: TrackPull["stamp"]): () => void {
    const id = this.#nextSubscribe++;
    this.#pulls.set(id, { track, stamp });
    let cancelled = false;
    let stream: BidirectionalStream | undefined;
    const cancel = (): void => {
      cancelled = true;
      this.#pulls.delete(id);
      void stream?.send.finish();
      stream?.receive.stop(Code.CANCEL);
    };
    const run = async (): Promise<void> => {
      stream = await this.#peer.session.openBidirectional();
      if (cancelled) return cancel();
      const version = this.#peer.version;
      const whole = { maxLatencyMs: this.#limits.cacheMs, startGroup: undefined, endGroup: undefined };
      const message = { id, broadcast, track: track.name, priority: 128, ordered: false, ...whole };
      await stream.send.write(encodeSubscribe(message, version));
      // Awaiting this first would cost a round trip: the publisher ranks its own tracks, audio before video.
      const { priority, ordered } = await track.info();
      if (hasTimestamps(version)) {
        await stream.send.write(encodeSubscribeUpdate({ ...whole, priority, ordered }, version));
      }
      const reader = this.#peer.reader(stream.receive);
      while ((await readSubscribeResponse(reader, version)) !== undefined);
    };
    run().then(
      () => {
        // Groups in flight keep their place for a moment.
        setTimeout(
          guard("relay.pull", () => this.#pulls.delete(id)),
          1000,
        ).unref();
        track.close();
      },
      (error: unknown) => {
        this.#pulls.delete(id);
        track.close(error instanceof StreamError ? (error.streamCode ?? Code.DROPPED) : Code.DROPPED);
        if (!cancelled) this.#peer.streamFailed(error);
      },
    );
    return cancel;
  }

  /** Follows the peer's announcements until they end. */
  async follow(): Promise<void> {
    const { origin, hopId } = this.#peer;
    const { send, receive } = await this.#peer.session.openBidirectional();
    const version = this.#peer.version;
    await send.write(encodeAnnounceRequest({ prefix: "", excludeHop: hopId }, version));
    const reader = this.#peer.reader(receive);
    let responder = 0n;
    const limits = this.#limits;
    if (!hasRanges(version)) {
      const init = decodeAnnounceInit(await reader.message(), limits.pathBytes, limits.announcementsPerSession);
      for (const suffix of init) this.#started(suffix, []);
    }
    if (hasTimestamps(version)) responder = decodeAnnounceOk(await reader.message()).origin;
    this.#peer.greet();
    let allowance = limits.announcementsPerSecond;
    let at = this.#clock();
    for (;;) {
      const body = await reader.messageMaybe();
      if (body === undefined) break;
      // What a session that has ended sent before then waits here for its turn.
      if (this.#ended) return;
      const { suffix, active, hops } = decodeAnnounce(body, version, limits.pathBytes);
      if (!active) {
        const broadcast = this.#announced.get(suffix);
        this.#announced.delete(suffix);
        if (broadcast) origin.withdraw(broadcast);
      } else if (!hops.includes(hopId)) {
        this.#started(suffix, responder === 0n ? hops : [...hops, responder]);
      }
      const now = this.#clock();
      allowance = Math.min(
        limits.announcementsPerSecond,
        allowance + ((now - at) / 1e6) * limits.announcementsPerSecond,
      );
      at = now;
      if (--allowance < 0) await sleep(1000 / limits.announcementsPerSecond);
    }
    this.#withdraw();
  }

  #withdraw(): void {
    for (const broadcast of this.#announced.values()) this.#peer.origin.withdraw(broadcast);
    this.#announced.clear();
  }

  #started(suffix: string, hops: readonly bigint[]): void {
    if (this.#ended) return;
    const { scope, origin, environment, log, upstreamReports } = this.#peer;
    // Reports from elsewhere are for the publisher, which is upstream.
    if (upstreamReports !== undefined && isFeedbackPath(suffix)) return;
    const path = joinPath(scope.root, suffix);
    if (!allows(scope.put, path)) {
      // Once: a session may try hundreds of names a second.
      const level = this.#refusalLogged ? "debug" : "warn";
      this.#refusalLogged = true;
      log[level]({ path }, "The session announced a broadcast that it may not publish.");
      this.#refuse(suffix);
      return;
    }
    if (!this.#announced.has(suffix) && this.#announced.size >= this.#limits.announcementsPerSession) {
      environment.counters.capped.announcements++;
      throw new ProtocolError("TOO_MANY_ANNOUNCEMENTS", "The session announces more broadcasts than it may.");
    }
    const broadcast = new Broadcast({ path, sourcePath: suffix, source: this, hops, environment });
    if (!origin.publish(broadcast, this.#announced.size)) {
      if (!this.#mayStay(suffix)) this.#peer.session.close({ closeCode: Code.BOUNDS_EXCEEDED, reason: NO_ROOM });
      return;
    }
    this.#announced.set(suffix, broadcast);
    log.info({ path }, "A broadcast is announced.");
  }

  /**
   * moq-lite has no answer to an announcement, so a session whose only announcement is refused is closed with the reason.
   * One that also publishes something else stays, and so does a listener that may not publish its reports.
   */
  #mayStay(suffix: string): boolean {
    return this.#announced.size > 0 || isFeedbackPath(suffix) || this.#peer.upstreamReports !== undefined;
  }

  #refuse(suffix: string): void {
    if (this.#mayStay(suffix)) return;
    const token = this.#peer.session.url.searchParams.has("jwt");
    const name = shownName(suffix);
    const why = token ? `The token does not grant publishing ${name}.` : `Publishing ${name} takes a token.`;
    this.#peer.session.close({ closeCode: Code.UNAUTHORIZED, reason: `NOT_GRANTED: ${why}` });
  }

  /** Takes a group that the peer sends on a stream. */
  async receiveGroup(reader: StreamReader, stream: ReceiveStream): Promise<void> {
    const { subscribe, sequence } = decodeGroupHeader(await reader.message());
    const pull = this.#pulls.get(subscribe);
    if (pull === undefined) {
      stream.stop(Code.CANCEL);
      if (subscribe >= this.#nextSubscribe)
        throw new ProtocolError(
          "UNKNOWN_SUBSCRIPTION",
          `A group names the subscription ${subscribe}, which never was.`,
        );
      return;
    }
    const { track, stamp } = pull;
    if (track.cache === undefined) await track.info();
    const record = track.begin(sequence);
    if (record === undefined) return reader.discard(Code.CANCEL);
    const parser = new FrameParser({ version: this.#peer.version, maxFrameBytes: this.#limits.frameBytes, stamp });
    const receiving: ReceivingGroup = { track, record, parser, stream, held: 0 };
    this.#receiving.add(receiving);
    try {
      for (;;) {
        const chunk = await reader.chunk();
        if (chunk === undefined) break;
        const frames = parser.push(chunk);
        if (frames.length > 0 && !track.push(record, frames)) {
          return reader.discard(Code.STALE_GROUP).catch(() => {});
        }
        if (!this.#mayGoOn(receiving)) return;
      }
      if (!this.#receiving.has(receiving)) return;
      if (parser.incomplete) throw new ProtocolError("TRUNCATED_MESSAGE", "A group ended in the middle of a frame.");
      track.end(record);
    } catch (error) {
      track.abort(record, error instanceof StreamError ? (error.streamCode ?? Code.CANCEL) : Code.DROPPED);
      throw error;
    } finally {
      this.#over(receiving);
    }
  }

  /** Gives up groups that hold too much memory, such as one that its cache has dropped; called several times a second. */
  sweep(): void {
    for (const receiving of this.#receiving) this.#mayGoOn(receiving);
  }

  /** Counts the memory of a group that is being received, and gives it up where that is too much. */
  #mayGoOn(receiving: ReceivingGroup): boolean {
    const { track, record, parser, stream } = receiving;
    const held = parser.heldBytes + (track.keeps(record) ? 0 : record.cost);
    this.#partial.add(held - receiving.held);
    receiving.held = held;
    const cap = this.#cap(record, held);
    if (cap === undefined) return true;
    this.#peer.environment.counters.capped[cap]++;
    track.abort(record, Code.BOUNDS_EXCEEDED);
    stream.stop(Code.BOUNDS_EXCEEDED);
    this.#over(receiving);
    return false;
  }

  #over(receiving: ReceivingGroup): void {
    this.#receiving.delete(receiving);
    this.#partial.add(-receiving.held);
    receiving.held = 0;
  }

  #cap(record: CachedGroup, held: number): "groups" | "partial" | undefined {
    const { cacheBytesPerBroadcast, framesPerGroup } = this.#limits;
    if (record.cost > cacheBytesPerBroadcast || record.frames.length > framesPerGroup) return "groups";
    return held > 0 && this.#partial.exceeded ? "partial" : undefined;
  }

  /** Takes an object that the peer sends as a datagram. */
  receiveObject(body: Uint8Array): void {
    try {
      const { subscribe, sequence, frame } = decodeDatagram(body);
      // A datagram of an unknown subscription is dropped quietly, as moq-lite asks.
      this.#pulls.get(subscribe)?.track.datagram(sequence, frame);
    } catch (error) {
      this.#peer.fail(error);
    }
  }

  /** Withdraws all announcements of the peer. */
  end(): void {
    this.#ended = true;
    this.#withdraw();
  }

  get #limits() {
    return this.#peer.environment.limits;
  }
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

async function withTimeout<T>(what: string, work: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const working = work();
  working.catch(() => {});
  try {
    return await Promise.race([
      working,
      new Promise<never>((_, reject) => {
        timer = setTimeout(
          () =>
            reject(
              new TransportError("ANSWER_TIMEOUT", `The peer did not answer a ${what} request in ${ANSWER_MS} ms.`),
            ),
          ANSWER_MS,
        );
      }),
    ]);
  } finally {
    clearTimeout(timer);
  }
}
