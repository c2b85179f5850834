import { background, guard, ProtocolError, TransportError, UnsayError } from "../../base/index.js";
import {
  decodeReceipt,
  isReportDatagram,
  REPORT_STREAM_TYPE,
  ReportStreamReader,
  ReportStreamWriter,
} from "../../flow/report/index.js";
import type { BidirectionalStream, ReceiveStream, Session } from "../../transport/index.js";
import type { Scope } from "../admission/scope.js";
import type { Origin } from "../broadcast/origin.js";
import type { UpstreamReports } from "../edge/upstream-reports.js";
import type { RelayEnvironment } from "../environment.js";
import type { Logger } from "../ops/log.js";
import { Code } from "../wire/code.js";
import { decodeGoaway, encodeGoaway } from "../wire/goaway.js";
import {
  decodeClientSetup,
  decodeServerSetup,
  decodeSetup,
  encodeClientSetup,
  encodeServerSetup,
  encodeSetupStream,
} from "../wire/setup.js";
import { DataType, StreamReader, StreamType } from "../wire/stream.js";
import { hasGoaway, hasTimestamps, SETUP_VERSION_02, type Version, versionName, versionOf } from "../wire/version.js";
import { Egress, refuse } from "./egress.js";
import { Ingest } from "./ingest.js";
import type { Peer } from "./peer.js";
import { askPeer, SessionLife } from "./session-life.js";

// Unknown stream types are legal in moq-lite, but a peer that opens nothing else speaks another protocol.
const MAX_UNKNOWN_STREAMS = 8;
// Before any media: a record is small and decides what is sent.
const RECORD_PRIORITY = 0x7fff_ffff;

/** Options for {@link RelaySession}. */
export interface RelaySessionOptions {
  /** Unique at this relay. */
  readonly id: string;
  readonly session: Session;
  readonly scope: Scope;
  /**
   * Where this relay connected to the peer, its upstream: the reports published to it, which are all that it may watch.
   */
  readonly upstreamReports?: UpstreamReports;
  readonly environment: RelayEnvironment;
  readonly log: Logger;
}

/** One moq-lite session of the relay, with both sides: what the peer watches and what it publishes. */
export class RelaySession implements Peer {
  readonly id: string;
  readonly session: Session;
  readonly #options: RelaySessionOptions;
  readonly #records = new ReportStreamWriter(() => this.session.openUnidirectional({ priority: RECORD_PRIORITY }));
  readonly #ingest: Ingest;
  readonly #egress: Egress;
  readonly #life: SessionLife;
  #version: Version = 5;
  #peerHopId = 0n;
  #requests = 0;
  #receiving = 0;
  #unknownStreams = 0;
  #greeted = false;
  #closed = false;

  constructor(options: RelaySessionOptions) {
    this.id = options.id;
    this.session = options.session;
    this.#options = options;
    this.#ingest = new Ingest(this);
    this.#egress = new Egress(this);
    this.#life = new SessionLife({ clock: options.environment.clock, ask: () => askPeer(this.session, this.#version) });
  }

  get version(): Version {
    return this.#version;
  }

  /** Bytes of groups to the peer that the transport has not taken yet. */
  get pendingBytes(): number {
    return this.#egress.pendingBytes;
  }

  get scope(): Scope {
    return this.#options.scope;
  }

  get origin(): Origin {
    return this.environment.origin;
  }

  get offered(): Origin {
    return this.#options.upstreamReports?.origin ?? this.origin;
  }

  get upstreamReports(): UpstreamReports | undefined {
    return this.#options.upstreamReports;
  }

  get environment(): RelayEnvironment {
    return this.#options.environment;
  }

  get log(): Logger {
    return this.#options.log;
  }

  get hopId(): bigint {
    return this.environment.hopId;
  }

  get peerHopId(): bigint {
    return this.#peerHopId;
  }

  /** Runs until the session ends; never rejects. */
  async run(): Promise<void> {
    const { log, environment } = this.#options;
    const giveUp = guard("relay.greeting", () => {
      if (this.#greeted) return;
      environment.counters.sessionsRefused.timeout++;
      this.close(Code.TIMEOUT, "The client said nothing in time.");
    });
    const greeting = setTimeout(giveUp, environment.limits.handshakeMs);
    background(
      "relay.session",
      this.session.closed.then(() => this.#end()),
    );
    try {
      await this.#start();
      log.info({ version: versionName(this.#version), backend: this.session.backend }, "The session is open.");
      this.#spawn(this.#acceptBidirectional());
      this.#spawn(this.#acceptUnidirectional());
      if (this.session.datagrams) this.#spawn(this.#receiveDatagrams());
      // Even for a peer that may publish nothing, which finds out when it tries.
      this.#spawn(this.#ingest.follow());
    } catch (error) {
      this.fail(error);
    }
    const { closeCode, reason } = await this.session.closed;
    clearTimeout(greeting);
    this.#end();
    log.info({ closeCode, reason }, "The session has ended.");
  }

  /** Ends the session with its token, and checks bounds; called several times a second. */
  sweep(now: number): void {
    const { expiresAt = Number.POSITIVE_INFINITY } = this.scope;
    // A timer would miss a clock that is set, or a machine that slept.
    if (expiresAt <= now && !this.#closed) this.close(Code.UNAUTHORIZED, "UNAUTHORIZED: The token has expired.");
    this.#ingest.sweep();
  }

  /** Asks the peer to leave, where the version supports it. */
  goaway(uri = ""): void {
    if (!hasGoaway(this.#version) || this.#closed) return;
    this.#spawn(
      (async () => {
        const { send, receive } = await this.session.openBidirectional();
        await send.write(encodeGoaway(uri));
        await send.finish();
        receive.stop(Code.CANCEL);
      })(),
    );
  }

  /** Ends the session. */
  close(code: number, reason: string): void {
    this.session.close({ closeCode: code, reason });
    this.#end();
  }

  // --- Calls of the two sides ----------------------------------------------------------------------------------------

  publishes(path: string): boolean {
    return this.#ingest.announces(path);
  }

  alive(): boolean {
    return this.#life.check();
  }

  greet(): void {
    this.#greeted = true;
  }

  sendRecord(body: Uint8Array): boolean {
    const { datagrams } = this.session;
    return datagrams ? datagrams.send(body) : this.#records.send(body);
  }

  reader(stream: ReceiveStream): StreamReader {
    return new StreamReader(stream, this.#limits.messageBytes);
  }

  fail(error: unknown): void {
    if (this.#closed) return;
    if (!(error instanceof ProtocolError)) {
      this.streamFailed(error);
      return;
    }
    const { counters } = this.#options.environment;
    counters.sessionsFailed++;
    this.#options.log.warn({ code: error.code, reason: error.message }, "The peer broke the protocol.");
    const unsupported = error.code === "UNSUPPORTED_VERSION";
    if (unsupported) counters.sessionsRefused.version++;
    this.close(unsupported ? Code.VERSION : Code.PROTOCOL_VIOLATION, `${error.code}: ${error.message}`);
  }

  streamFailed(error: unknown): void {
    if (error instanceof UnsayError) this.#options.log.debug({ code: error.code }, "A stream ended early.");
    else {
      this.#options.log.warn({ error: String(error) }, "The session failed in an unexpected way.");
      this.close(Code.CLOSED, "The relay failed to serve this session.");
    }
  }

  // --- Streams and datagrams that the peer opens ---------------------------------------------------------------------

  async #start(): Promise<void> {
    const agreed = versionOf(this.session.protocol);
    if (agreed === "setup") {
      this.#version = 2;
      await (this.upstreamReports === undefined ? this.#answerSetup() : this.#requestSetup());
      return;
    }
    this.#version = agreed;
    if (!hasTimestamps(agreed)) {
      // These versions have no SETUP, so a client that waits has nothing to send.
      this.greet();
      return;
    }
    const stream = await this.session.openUnidirectional();
    await stream.write(encodeSetupStream({ origin: this.hopId }));
    void stream.finish();
  }

  async #answerSetup(): Promise<void> {
    const stream = await this.session.acceptBidirectional();
    if (stream === undefined) throw new TransportError("SESSION_CLOSED", "The session ended before its SETUP.");
    const reader = this.reader(stream.receive);
    if ((await reader.varint()) !== StreamType.CLIENT_SETUP)
      throw new ProtocolError("UNEXPECTED_MESSAGE", "The session's first message is not a SETUP.");
    const versions = decodeClientSetup(await reader.shortMessage());
    if (!versions.includes(SETUP_VERSION_02))
      throw new ProtocolError("UNSUPPORTED_VERSION", "The client offers no version that the relay speaks.");
    this.greet();
    await stream.send.write(encodeServerSetup(SETUP_VERSION_02));
    this.#spawn(reader.drain());
  }

  async #requestSetup(): Promise<void> {
    const { send, receive } = await this.session.openBidirectional();
    await send.write(encodeClientSetup([SETUP_VERSION_02]));
    const reader = this.reader(receive);
    if ((await reader.varint()) !== StreamType.SERVER_SETUP)
      throw new ProtocolError("UNEXPECTED_MESSAGE", "The server's first message is not a SETUP.");
    if (decodeServerSetup(await reader.shortMessage()) !== SETUP_VERSION_02)
      throw new ProtocolError("UNSUPPORTED_VERSION", "The server chose a version that was not offered.");
    this.greet();
    this.#spawn(reader.drain());
  }

  async #acceptBidirectional(): Promise<void> {
    for (;;) {
      const stream = await this.session.acceptBidirectional();
      if (stream === undefined) return;
      this.#life.heard();
      if (this.#requests >= this.#limits.requestsPerSession) {
        this.#options.environment.counters.capped.streams++;
        refuse(stream, Code.BOUNDS_EXCEEDED);
        continue;
      }
      this.#requests++;
      this.#spawn(this.#serve(stream).finally(() => this.#requests--));
    }
  }

  async #serve(stream: BidirectionalStream): Promise<void> {
    const reader = this.reader(stream.receive);
    const type = await reader.varintMaybe();
    switch (type) {
      case undefined:
        void stream.send.finish();
        return;
      case StreamType.ANNOUNCE:
        return this.#egress.announce(reader, stream);
      case StreamType.SUBSCRIBE:
        return this.#egress.subscribe(reader, stream);
      case StreamType.FETCH:
        return this.#egress.fetch(reader, stream);
      case StreamType.TRACK:
        return this.#egress.track(reader, stream);
      case StreamType.GOAWAY: {
        const uri = decodeGoaway(await reader.message(), this.#limits.messageBytes);
        this.#options.log.info({ uri }, "The peer asks us to leave.");
        void stream.send.finish();
        return reader.discard(Code.CANCEL);
      }
      case StreamType.PROBE:
        // The carrier has no measurements to report; closing both ways lets the peer release its end.
        void stream.send.finish();
        stream.receive.stop(Code.CANCEL);
        return;
      default:
        refuse(stream, Code.UNEXPECTED_STREAM);
        this.#unknown(type);
    }
  }

  async #acceptUnidirectional(): Promise<void> {
    for (;;) {
      const stream = await this.session.acceptUnidirectional();
      if (stream === undefined) return;
      this.#life.heard();
      if (this.#receiving >= this.#limits.streamsPerSession) {
        this.#options.environment.counters.capped.streams++;
        stream.stop(Code.BOUNDS_EXCEEDED);
        continue;
      }
      this.#receiving++;
      this.#spawn(this.#receive(stream).finally(() => this.#receiving--));
    }
  }

  async #receive(stream: ReceiveStream): Promise<void> {
    const reader = this.reader(stream);
    if (await reader.startsWith(REPORT_STREAM_TYPE)) return this.#receiveRecords(reader);
    const type = await reader.varintMaybe();
    if (type === DataType.GROUP) return this.#ingest.receiveGroup(reader, stream);
    if (type === DataType.SETUP && hasTimestamps(this.#version)) {
      const setup = decodeSetup(await reader.message());
      this.greet();
      this.#peerHopId = setup.origin;
      return reader.discard(Code.CANCEL);
    }
    stream.stop(Code.UNEXPECTED_STREAM);
    if (type !== undefined) this.#unknown(type);
  }

  async #receiveRecords(reader: StreamReader): Promise<void> {
    const records = new ReportStreamReader();
    for (let bytes = await reader.chunk(); bytes; bytes = await reader.chunk())
      for (const record of records.push(bytes)) this.#takeRecord(record);
  }

  #takeRecord(record: Uint8Array): void {
    if (!this.environment.readsReports) return;
    if (this.upstreamReports !== undefined && decodeReceipt(record).ok) this.upstreamReports.answered();
    else this.#egress.report(record);
  }

  async #receiveDatagrams(): Promise<void> {
    const { datagrams } = this.session;
    for (;;) {
      const body = await datagrams?.receive();
      if (body === undefined) return;
      this.#life.heard();
      if (isReportDatagram(body)) this.#takeRecord(body);
      else if (hasTimestamps(this.#version)) this.#ingest.receiveObject(body);
    }
  }

  // --- Housekeeping ---------------------------------------------------------------------------------------------------

  get #limits() {
    return this.#options.environment.limits;
  }

  #unknown(type: number): void {
    if (++this.#unknownStreams > MAX_UNKNOWN_STREAMS)
      throw new ProtocolError("UNKNOWN_STREAM", `The peer opened many streams of unknown types, the last one ${type}.`);
  }

  #spawn(work: Promise<unknown>): void {
    work.catch((error: unknown) => this.fail(error));
  }

  #end(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#ingest.end();
    this.#egress.end();
    this.upstreamReports?.close();
  }
}
