import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { microseconds, fromMilliseconds as ms } from "../../base/index.js";
import { ReportAggregator } from "../../flow/report/index.js";
import type { SendStream, Session } from "../../transport/index.js";
import { ByteBudget } from "../broadcast/byte-budget.js";
import { CachedGroup } from "../broadcast/cached-group.js";
import type { Logger } from "../ops/log.js";
import { RelayCounters } from "../relay-counters.js";
import { Code } from "../wire/code.js";
import { decodeDatagram, WireFrame } from "../wire/group.js";
import { BurstSmoother } from "./burst-smoother.js";
import { Watcher } from "./watcher.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Streams that may wait for the transport, and datagrams that may go back to back. */
const [PENDING_STREAMS, BURST] = [16, 24];
/** Far enough ahead for a stream on a path of unknown delay, and too near for one. */
const [EARLY_MS, NEAR_MS] = [500, 20];

class Stream implements SendStream {
  settled = false;
  resetCode: number | undefined;
  readonly stopped = new Promise<undefined>(() => {});
  async write(): Promise<void> {}
  async finish(): Promise<void> {}
  reset(code: number): void {
    this.resetCode = code;
  }
  setPriority(): void {}
}

/** A watcher of audio that is sent ahead, and a session without credit for streams until the test grants it. */
class Stage {
  readonly counters = new RelayCounters();
  readonly streams: Stream[] = [];
  /** Sequences of the datagrams sent. */
  readonly datagrams: number[] = [];
  readonly watcher: Watcher;
  hasCredit: boolean;
  now = 1000;
  #opens = 0;
  readonly #waiting: (() => void)[] = [];
  readonly #aggregator = new ReportAggregator({ broadcast: 1 });
  #reportId = 0;

  constructor({ hasCredit = true } = {}) {
    this.hasCredit = hasCredit;
    const send = (body: Uint8Array): boolean => {
      this.datagrams.push(decodeDatagram(body).sequence);
      return true;
    };
    const session = {
      backend: "quic",
      datagrams: { maxSize: 1200, send },
      openUnidirectional: () => this.#open(),
    } as Partial<Session> as Session;
    const { counters } = this;
    this.watcher = new Watcher({
      ...{ clock: () => ms(this.now), session, version: 5, subscribe: 1, counters, repeat: "auto" },
      delivery: { priority: 100, ordered: true, endGroup: undefined },
      track: { singleFrames: true, bitrateBps: 1e6, live: false, after: () => [], followLow: () => undefined },
      limits: { queueGroups: 2048, queueBytes: 2 << 20, queueAge: ms(2000), pendingStreams: PENDING_STREAMS },
      windowMs: 250,
      listeners: { listener: () => this.#aggregator.listener(1) },
      sessionId: "1",
      pending: new ByteBudget(4 << 20),
      smoother: new BurstSmoother({ counters }),
      log: { info: () => {} } as unknown as Logger,
    });
    this.report(undefined, 0);
  }

  /** Streams asked for, granted or not. */
  get opens(): number {
    return this.#opens;
  }

  async #open(): Promise<SendStream> {
    this.#opens++;
    if (!this.hasCredit) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    const stream = new Stream();
    this.streams.push(stream);
    return stream;
  }

  /** Grants the streams asked for so far. */
  async grant(): Promise<void> {
    for (const resolve of this.#waiting.splice(0)) resolve();
    await this.settle();
  }

  async settle(): Promise<void> {
    for (let turn = 0; turn < 20; turn++) await undefined;
  }

  /** Offers a group of one frame that lies this far ahead of the playhead. */
  offer(sequence: number, { aheadMs = EARLY_MS, urgent = false, bytes = 40 } = {}): CachedGroup {
    const record = new CachedGroup(sequence, ms(this.now));
    record.timestamp = ms(this.now + aheadMs);
    record.urgent = urgent;
    record.push(WireFrame.of(record.timestamp, new Uint8Array(bytes)));
    record.end();
    this.watcher.offer(record, "stream");
    return record;
  }

  /** Has the listener report that it plays at the present time of the test. */
  report(receivedGroup: number | undefined, receivedBytes: number): void {
    const report = {
      ...{ broadcast: 1, session: 1, reportId: this.#reportId++, clientTimeMs: this.now, playing: true },
      ...{ playhead: ms(this.now), discontinuity: 0, from: undefined, heardUntil: undefined, receivedBytes },
      ...{ receivedGroup, worstLead: undefined, worstLeadGroup: undefined, bufferedMs: 0, bleedMs: 0, staleMs: 0 },
    };
    this.#aggregator.fold(report, microseconds(ms(this.now)));
    this.watcher.reported();
  }
}

test("a rewind overtakes streams that wait for credit, and so does every group that fits into a datagram", async () => {
  const stage = new Stage({ hasCredit: false });
  const stale = new Set(Array.from({ length: 20 }, (_, sequence) => stage.offer(sequence)));
  expect([stage.opens, stage.datagrams.length]).toEqual([PENDING_STREAMS, 0]);
  // A busy machine may hold up streams as well, for less time.
  stage.now += 201;
  stage.watcher.sweep();
  expect(stage.opens).toBe(PENDING_STREAMS);
  expect(stage.datagrams).toEqual([16, 17, 18, 19]);
  stage.watcher.discard((record) => stale.has(record));
  stage.offer(65_536, { urgent: true });
  expect(stage.datagrams.slice(4)).toEqual([65_536]);
  expect([stage.opens, stage.watcher.queuedGroups]).toEqual([PENDING_STREAMS + 1, 0]);
  // The cancelled opens take no place of the new audio, and send nothing once they get their credit.
  stage.offer(65_537);
  expect(stage.opens).toBe(PENDING_STREAMS + 2);
  await stage.grant();
  const codes = stage.streams.map(({ resetCode }) => resetCode);
  expect(codes).toEqual([...Array(PENDING_STREAMS).fill(Code.STALE_GROUP), undefined, undefined]);
});

test("an urgent group goes past busy streams, and one that does not fit into a datagram waits for them", () => {
  const stage = new Stage({ hasCredit: false });
  for (let sequence = 0; sequence < PENDING_STREAMS; sequence++) stage.offer(sequence);
  stage.offer(100, { bytes: 1300 });
  expect([stage.opens, stage.watcher.queuedGroups]).toEqual([PENDING_STREAMS, 1]);
  stage.offer(65_536, { urgent: true, bytes: 1300 });
  expect([stage.opens, stage.watcher.queuedGroups]).toEqual([PENDING_STREAMS + 1, 1]);
});

test("a rewind resets every stream of half a second of groups of 5 ms, and writes off those that arrived", async () => {
  const stage = new Stage();
  const stale = new Set<CachedGroup>();
  for (let sequence = 0; sequence < 103; sequence++) {
    stale.add(stage.offer(sequence));
    await stage.settle();
    stage.now += 5;
  }
  expect(stage.opens).toBe(103);
  for (const stream of stage.streams.slice(40, 60)) stream.settled = true;
  stage.watcher.sweep();
  stage.watcher.discard((record) => stale.has(record));
  expect(stage.streams.filter(({ resetCode }) => resetCode === Code.STALE_GROUP)).toHaveLength(83);
  expect(stage.counters.staleStreamsReset).toBe(83);
  expect(stage.watcher.control.inFlight(ms(stage.now))).toBe(0);
});

test("copies take their part of what may go back to back", async () => {
  const stage = new Stage();
  // An ack that a hole holds up makes the path a lossy one.
  let sequence = 0;
  for (; sequence < 100; sequence++) {
    stage.offer(sequence, { aheadMs: NEAR_MS });
    stage.now += 20;
    const held = sequence >= 30 && sequence < 45;
    stage.report(held ? 29 : sequence, (sequence + 1) * 40);
  }
  expect(stage.watcher.control.lossy).toBe(true);
  const offer = (aheadMs: number): void => {
    stage.offer(sequence++, { aheadMs, bytes: 3 });
    stage.report(sequence - 1, sequence * 40);
  };
  offer(EARLY_MS);
  for (let group = 0; group < 40; group++) {
    stage.now += 20;
    offer(EARLY_MS);
  }
  await stage.settle();
  stage.now += 200;
  stage.report(sequence - 1, sequence * 40);
  const { counters } = stage;
  const before = { datagrams: counters.datagramsOut, copies: counters.repeatsOut };
  // The last but one of the burst; the early group itself takes no datagram.
  for (let group = 0; group < BURST - 1; group++) stage.offer(sequence++, { aheadMs: NEAR_MS, bytes: 3 });
  const near = counters.datagramsOut - counters.repeatsOut - (before.datagrams - before.copies);
  expect(near).toBe(BURST - 1);
  const copies = counters.repeatsOut;
  stage.offer(sequence, { bytes: 3 });
  expect(counters.repeatsOut - copies).toBe(1);
});
