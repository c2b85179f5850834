import { type Broadcast, Connection, type Group, RemoteError, Time, type Track } from "@kixelated/moq";
import {
  type Clock,
  Inbox,
  type Microseconds,
  monotonicClock,
  sleep,
  TransportError,
  UnsayError,
} from "../base/index.js";
import { demuxStreams } from "./adapter/stream-demux.js";
import { toWebTransport } from "./adapter/web-transport.js";
import { Outage } from "./path/outage.js";
import type { ReceiveStream, Session } from "./session.js";

/**
 * Format of the records that a peer sends beside the protocol: in datagrams, or on a one-way stream without datagrams.
 */
export interface RecordFormat {
  /** The first bytes of a stream of records. */
  readonly streamType: Uint8Array;
  /** Whether a datagram is a record. */
  isRecord(datagram: Uint8Array): boolean;
  /** Creates a reader that splits one stream, after its type, into records. It throws on other streams. */
  newReader(): { push(bytes: Uint8Array): Uint8Array[] };
}

/** Options of {@link openMoq}. */
export interface MoqOptions {
  /** The format of the peer's records; without one the library gets them. */
  readonly records?: RecordFormat;
  /** Aborts the set-up. */
  readonly signal?: AbortSignal;
}

/** A MoQ connection over a session of ours. */
export interface Moq {
  readonly connection: Connection.Established;
  /** The peer's records until the session ends; drops the oldest when the reader falls far behind. */
  readonly records: AsyncIterable<Uint8Array>;
}

/** A session in a browser, as `transport/browser` opens it. */
export interface BrowserCarrier {
  readonly transport: WebTransport;
  readonly url: URL;
  tap: ((datagram: Uint8Array) => boolean) | undefined;
}

/** Records that wait for a reader: three seconds of them at most. */
const MAX_RECORDS = 64;

/** Sets up MoQ on a session, and separates the records that the peer sends beside it. */
export async function openMoq(
  session: Session | BrowserCarrier,
  { records: format, signal }: MoqOptions = {},
): Promise<Moq> {
  const records = new Inbox<Uint8Array>({ most: MAX_RECORDS });
  const tap = (datagram: Uint8Array): boolean => {
    if (format?.isRecord(datagram) !== true) return false;
    records.push(datagram);
    return true;
  };
  // The library logs the URL to the console, where a token must not appear; it needs no query any more.
  const url = new URL(session.url);
  url.search = "";
  let transport: WebTransport;
  if ("transport" in session) {
    session.tap = tap;
    transport = session.transport;
  } else transport = toWebTransport(withoutRecords(session, format, records), { tap });
  const end = () => records.end();
  transport.closed.then(end, end);
  const connection = await Connection.connect(url, { transport, ...(signal && { signal }) });
  return { connection, records };
}

function withoutRecords(session: Session, format: RecordFormat | undefined, records: Inbox<Uint8Array>): Session {
  if (format === undefined || session.datagrams !== undefined) return session;
  return demuxStreams(session, format.streamType, (stream) => void readRecords(stream, format, records));
}

async function readRecords(stream: ReceiveStream, format: RecordFormat, records: Inbox<Uint8Array>): Promise<void> {
  const reader = format.newReader();
  try {
    for (let bytes = await stream.read(); bytes; bytes = await stream.read())
      for (const record of reader.push(bytes)) records.push(record);
  } catch {
    // A stream that ended early or holds no records; the session continues without it.
    stream.stop(0);
  }
}

/** Events of following a track, in order. */
export type TrackEvent =
  /** A subscription began: the first, or another one after the last had ended. */
  | { readonly kind: "subscribed"; readonly track: Track.Subscriber }
  | {
      readonly kind: "frame";
      readonly sequence: number;
      /** Its index in its group. */
      readonly index: number;
      readonly payload: Uint8Array;
      readonly via: "stream" | "datagram";
    }
  /** A group ended; `whole` is false where it was reset, or refused because too many were open. */
  | { readonly kind: "end"; readonly sequence: number; readonly whole: boolean }
  /** The subscription ended: in order, or with an error; `isRepeated`: one before it did so since the track last worked. */
  | { readonly kind: "ended"; readonly error: Error | undefined; readonly isRepeated: boolean };

/** Options of following a track. */
export interface FollowOptions {
  /** Relative to the session's other subscriptions; higher goes first. */
  readonly priority: number;
  /** Stops at once. */
  readonly signal: AbortSignal;
  /**
   * Maximum age of a group that is still wanted, in milliseconds; 0 asks for the newest alone. Default 30,000: the
   * maximum lead.
   */
  readonly keepMs?: number;
  /** Groups read in parallel; any more are refused. Default 256. */
  readonly maxOpenGroups?: number;
  /**
   * Subscribes again even after an orderly end, for a track that may be created again under its name. Default false.
   */
  readonly persistent?: boolean;
  /**
   * Delays before subscribing again, in milliseconds: doubled from the first to the most while no subscription
   * succeeds. Default 250 and 4000.
   */
  readonly retryMs?: { readonly first: number; readonly most: number };
  readonly clock?: Clock;
}

const KEEP_MS = 30_000;
const MAX_OPEN_GROUPS = 256;
const RETRY_MS = { first: 250, most: 4000 };

/**
 * Follows a track: subscribes, reads its groups in parallel and its datagrams, and subscribes again when that breaks.
 * It ends with the signal, the broadcast, or an orderly end of the track.
 */
export async function* followTrack(
  broadcast: Broadcast.Consumer,
  name: string,
  options: FollowOptions,
): AsyncGenerator<TrackEvent, void> {
  const { priority, signal, persistent = false, retryMs = RETRY_MS, clock = monotonicClock } = options;
  const { keepMs = KEEP_MS, maxOpenGroups = MAX_OPEN_GROUPS } = options;
  const outage = new Outage(clock);
  for (let waitMs = retryMs.first; !signal.aborted; waitMs = Math.min(waitMs * 2, retryMs.most)) {
    // Where only the newest group counts, an older one must not delay it.
    const track = broadcast.track(name).subscribe({ priority, ordered: keepMs > 0, latencyMax: keepMs });
    const reader = new TrackReader(track, maxOpenGroups);
    const close = (): void => reader.close();
    signal.addEventListener("abort", close);
    let error: Error | undefined;
    let workedAt: Microseconds | undefined;
    try {
      yield { kind: "subscribed", track };
      for await (const event of reader.read()) {
        if (signal.aborted) return;
        waitMs = retryMs.first;
        workedAt ??= clock();
        yield event;
      }
    } catch (cause) {
      error = trackError(name, cause);
    } finally {
      signal.removeEventListener("abort", close);
      reader.close();
    }
    if (signal.aborted) return;
    if (workedAt !== undefined) outage.lost(workedAt);
    yield { kind: "ended", error, isRepeated: error !== undefined && outage.repeats(error.message) };
    if (error === undefined && !persistent) return;
    await sleep(waitMs, signal);
    if (broadcast.closed.peek() !== undefined) return;
  }
}

/** Codes with which relays end a subscription; moq-lite assigns none, so these are the ones that the Rust relay uses. */
const ENDED_WITH = { noRoom: 11, notFound: 13 };

/** Why a subscription to a track failed: the relay gives a number alone, which becomes a sentence. */
export function trackError(name: string, cause: unknown): Error {
  if (cause instanceof RemoteError) {
    if (cause.code === ENDED_WITH.noRoom)
      return new TransportError("UNAVAILABLE", `The relay has no room for a subscription to ${name}.`, { cause });
    const why = cause.code === ENDED_WITH.notFound ? "there is no such track" : `it gave the code ${cause.code}`;
    return new TransportError("TRACK_BROKEN", `The relay ended the track ${name}: ${why}.`, { cause });
  }
  if (cause instanceof UnsayError) return cause;
  const why = cause instanceof Error ? cause.message : String(cause);
  return new TransportError("TRACK_BROKEN", `The track ${name} broke: ${why.replace(/\.$/, "")}.`, { cause });
}

/** Reads one subscription. */
class TrackReader {
  readonly #track: Track.Subscriber;
  readonly #maxOpenGroups: number;
  readonly #inbox = new Inbox<TrackEvent>();
  readonly #open = new Set<Promise<void>>();
  /** Whether any group had several frames: then a datagram of one may not be its whole group. */
  #severalFrames = false;

  constructor(track: Track.Subscriber, maxOpenGroups: number) {
    this.#track = track;
    this.#maxOpenGroups = maxOpenGroups;
  }

  read(): AsyncIterable<TrackEvent> {
    Promise.all([this.#readGroups(), this.#readDatagrams()]).then(
      () => this.#inbox.end(),
      (error: unknown) => this.#inbox.end(error),
    );
    return this.#inbox;
  }

  /** Ends the subscription at once, whatever is still on its way; idempotent. */
  close(): void {
    this.#track.close();
    this.#inbox.end();
  }

  async #readGroups(): Promise<void> {
    for (let group = await this.#track.recvGroup(); group; group = await this.#track.recvGroup()) {
      if (this.#open.size >= this.#maxOpenGroups) {
        group.close();
        this.#inbox.push({ kind: "end", sequence: group.sequence, whole: false });
        continue;
      }
      const reading = this.#readGroup(group);
      this.#open.add(reading);
      void reading.then(() => this.#open.delete(reading));
    }
    // Groups in flight when the track ends still arrive.
    await Promise.all(this.#open);
  }

  async #readGroup(group: Group.Consumer): Promise<void> {
    const { sequence } = group;
    let index = 0;
    let whole = true;
    try {
      for (let frame = await group.readFrame(); frame; frame = await group.readFrame()) {
        if (index > 0) this.#severalFrames = true;
        this.#inbox.push({ kind: "frame", sequence, index: index++, payload: frame.payload, via: "stream" });
      }
    } catch {
      whole = false;
    }
    this.#inbox.push({ kind: "end", sequence, whole });
  }

  // A group of one frame may come as a datagram, and as a stream too.
  async #readDatagrams(): Promise<void> {
    for (let each = await this.#track.recvDatagram(); each; each = await this.#track.recvDatagram()) {
      const { sequence, payload } = each;
      this.#inbox.push({ kind: "frame", sequence, index: 0, payload, via: "datagram" });
      if (!this.#severalFrames) this.#inbox.push({ kind: "end", sequence, whole: true });
    }
  }
}

/** Options of {@link FrameTrackWriter}. */
export interface FrameTrackOptions {
  readonly name: string;
  /** Relative to the session's other tracks; higher goes first. */
  readonly priority: number;
  /** How long a relay should keep a group that a newer one has replaced, in milliseconds. */
  readonly retainMs: number;
  readonly clock?: Clock;
}

/** A track of groups of one frame each, such as a catalog, answers or reports. */
export class FrameTrackWriter {
  readonly #track: Track.Producer;
  readonly #clock: Clock;
  #last = 0;

  constructor(broadcast: Broadcast.Producer, { name, priority, retainMs, clock = monotonicClock }: FrameTrackOptions) {
    this.#clock = clock;
    this.#track = broadcast.createTrack(name, {
      timescale: Time.Timescale.MICRO,
      latencyMax: retainMs,
      priority,
      ordered: true,
    });
  }

  get used(): boolean {
    return this.#track.closed.peek() === undefined && this.#track.used.peek();
  }

  /** Writes one group; does nothing once the track has ended. */
  write(payload: Uint8Array): void {
    if (this.#track.closed.peek() !== undefined) return;
    // A group at the time of the one before would rewind it.
    this.#last = Math.max(this.#last + 1, this.#clock());
    const group = this.#track.appendGroup();
    group.writeFrame({ payload, timestamp: Time.Timestamp.fromMicros(this.#last) });
    group.close();
  }

  /** Ends the track; idempotent. */
  close(): void {
    this.#track.close();
  }
}
