import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { InputError, type Microseconds, TransportError } from "../../base/index.js";
import type { CloseInfo } from "../session.js";
import { Liveness } from "./liveness.js";
import { type Reconnectable, Reconnector } from "./reconnector.js";

interface FakeSession extends Reconnectable {
  end(info?: CloseInfo): void;
}

function makeSession(): FakeSession {
  let end!: (info?: CloseInfo) => void;
  const closed = new Promise<CloseInfo>((resolve) => {
    end = (info = { closeCode: 0, reason: "" }) => resolve(info);
  });
  return { closed, end, close: () => end() };
}

async function read(reconnector: Reconnector<FakeSession>, note: (reason: Error | undefined) => void): Promise<void> {
  for await (const { reason } of reconnector.retries) note(reason);
}

/** A clock that moves when a test moves it and while a reconnector sleeps on it; it keeps these waits. */
class ReconnectorClock {
  now = 0;
  readonly waits: number[] = [];
  /** Options that put a reconnector on this clock, with a delay in the middle of its random range. */
  readonly options = {
    clock: () => this.now as Microseconds,
    random: () => 0.5,
    sleep: async (ms: number) => {
      this.waits.push(ms);
      this.now += ms * 1000;
    },
  };
}

test("the delay before an attempt is short at first, grows with the outage, and resets after a session that lasted", async () => {
  const time = new ReconnectorClock();
  const { waits } = time;
  const sessions: FakeSession[] = [];
  let failures = 100;
  const reconnector: Reconnector<FakeSession> = new Reconnector({
    connect: async () => {
      if (failures-- > 0) throw new TransportError("CONNECT_FAILED", "No.");
      return makeSession();
    },
    serve: (session) => {
      sessions.push(session);
      expect(reconnector.state).toBe("connected");
      // The first session ends at once, the second lasts for a minute.
      if (sessions.length === 2) time.now += 60_000_000;
      if (sessions.length === 3) reconnector.close();
      else session.close();
    },
    ...time.options,
  });
  expect(await reconnector.closed).toBeUndefined();
  expect(reconnector.state).toBe("closed");
  expect(sessions).toHaveLength(3);
  expect(waits[0]).toBe(75);
  let outageMs = 0;
  for (const wait of waits.slice(0, 101)) {
    expect(wait).toBeCloseTo(0.75 * Math.min(Math.max(100, 0.1 * outageMs), 8000), 0);
    outageMs += wait;
  }
  // The outage went on through the session that ended at once, and ended with the one that lasted.
  expect(waits[100]).toBe(6000);
  expect(waits[101]).toBe(75);
  expect(waits).toHaveLength(102);
});

test("a reason repeats until an outage is over, whatever others come between", async () => {
  const time = new ReconnectorClock();
  const outcomes = ["a", "a", "b", "a", "b", "session", "b", "a", "close"];
  const reconnector: Reconnector<FakeSession> = new Reconnector({
    connect: async () => {
      const outcome = outcomes.shift()!;
      if (outcome === "close") reconnector.close();
      if (outcome === "session") return makeSession();
      throw new TransportError("CONNECT_FAILED", outcome);
    },
    serve: (session) => {
      time.now += 60_000_000;
      session.close();
    },
    ...time.options,
  });
  const seen: string[] = [];
  for await (const { reason, isRepeated } of reconnector.retries)
    seen.push(`${reason?.message ?? "ended"}${isRepeated ? " again" : ""}`);
  expect(seen).toEqual(["a", "a again", "b", "a again", "b again", "ended", "b", "a"]);
});

test("a peer that is lost every three seconds is tried again as soon each time", async () => {
  const time = new ReconnectorClock();
  const { waits } = time;
  const reconnector: Reconnector<FakeSession> = new Reconnector({
    connect: async () => makeSession(),
    serve: (session) => {
      time.now += 3_000_000;
      if (waits.length === 30) reconnector.close();
      else session.close();
    },
    ...time.options,
  });
  expect(await reconnector.closed).toBeUndefined();
  expect(waits).toEqual(Array.from({ length: 30 }, () => 75));
});

test("an unusable session counts as a failure, and an error that no retry can mend ends the reconnector", async () => {
  const reasons: string[] = [];
  let attempts = 0;
  const reconnector = new Reconnector({
    connect: async () => {
      if (++attempts === 2) throw new InputError("INVALID_URL", "The URL is wrong.");
      return makeSession();
    },
    serve: () => {
      throw new TransportError("REFUSED", "Not like this.");
    },
    sleep: async () => undefined,
  });
  const reading = read(reconnector, (reason) => reasons.push((reason as TransportError).code));
  expect(await reconnector.closed).toMatchObject({ code: "INVALID_URL" });
  await reading;
  expect(reasons).toEqual(["REFUSED"]);
  expect(reconnector.state).toBe("closed");
});

test("close() ends an attempt and a wait at once, and is idempotent", async () => {
  const hanging = new Reconnector<FakeSession>({
    connect: (signal) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("aborted")), { once: true })),
    serve: () => undefined,
  });
  await Promise.resolve();
  hanging.close();
  hanging.close();
  expect(await hanging.closed).toBeUndefined();

  const waiting = new Reconnector({
    connect: () => Promise.reject(new Error("no")),
    serve: () => undefined,
    backoff: { initialMs: 1e9, maxMs: 1e9 },
  });
  await expect.poll(() => waiting.state).toBe("waiting");
  waiting.close();
  expect(await waiting.closed).toBeUndefined();
});

describe("a session that falls silent", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  const clock = () => (performance.now() * 1000) as Microseconds;

  function start(connect: (signal: AbortSignal) => Promise<FakeSession>) {
    const watched: { session: FakeSession; liveness: Liveness }[] = [];
    const reasons: (string | undefined)[] = [];
    const reconnector = new Reconnector<FakeSession>({
      connect,
      serve: () => {},
      watch: (session) => {
        const each = { session, liveness: new Liveness({ ask: () => new Promise(() => {}), clock }) };
        watched.push(each);
        return each;
      },
      clock,
      random: () => 0.5,
    });
    void read(reconnector, (reason) => reasons.push((reason as TransportError | undefined)?.code));
    return { reconnector, watched, reasons };
  }

  test("a silent session is replaced by one opened beside it, without a delay and long before its carrier ends it", async () => {
    const made: FakeSession[] = [];
    const { reconnector, reasons } = start(async () => {
      made.push(makeSession());
      return made.at(-1)!;
    });
    await vi.advanceTimersByTimeAsync(2000);
    expect(made).toHaveLength(2);
    expect(await made[0]!.closed).toEqual({ closeCode: 0, reason: "" });
    expect(reconnector.session).toBe(made[1]);
    expect(reasons).toEqual(["SESSION_SILENT"]);
    reconnector.close();
    expect(await reconnector.closed).toBeUndefined();
  });

  test("a silent session stays when it comes back first, and the reconnector drops the attempt", async () => {
    const attempts: AbortSignal[] = [];
    const late: FakeSession[] = [];
    const { reconnector, watched, reasons } = start(async (signal) => {
      attempts.push(signal);
      if (attempts.length === 1) return makeSession();
      await new Promise((resolve) => setTimeout(resolve, 60_000));
      late.push(makeSession());
      return late.at(-1)!;
    });
    await vi.advanceTimersByTimeAsync(2000);
    expect(attempts).toHaveLength(2);
    watched[0]!.liveness.heard();
    await vi.advanceTimersByTimeAsync(100);
    expect(attempts[1]!.aborted).toBe(true);
    expect(reconnector.session).toBe(watched[0]!.session);
    expect(reasons).toEqual([]);
    watched[0]!.liveness.close();
    await vi.advanceTimersByTimeAsync(60_000);
    // A session opened too late is closed and never used.
    expect(await late[0]!.closed).toBeDefined();
    expect(watched).toHaveLength(1);
    reconnector.close();
    await reconnector.closed;
  });

  test("a silent session that ends leaves the concurrent attempt running, and a failed attempt is followed by another", async () => {
    let attempts = 0;
    const { reconnector, watched } = start(async () => {
      attempts++;
      if (attempts === 2) throw new TransportError("CONNECT_FAILED", "No.");
      if (attempts === 3) await new Promise((resolve) => setTimeout(resolve, 1000));
      return makeSession();
    });
    await vi.advanceTimersByTimeAsync(1700);
    expect(attempts).toBe(3);
    watched[0]!.session.end({ closeCode: 0, reason: "timed out", lost: true });
    await vi.advanceTimersByTimeAsync(1000);
    expect(attempts).toBe(3);
    expect(reconnector.session).toBe(watched[1]!.session);
    reconnector.close();
    await reconnector.closed;
  });
});

test("a session that does not use the best carrier gives way to one that does, once available", async () => {
  vi.useFakeTimers();
  const made: FakeSession[] = [];
  const upgrades: number[] = [];
  const make = async () => {
    made.push(makeSession());
    return made.at(-1)!;
  };
  const start = performance.now();
  const reasons: unknown[] = [];
  const reconnector = new Reconnector<FakeSession>({
    connect: make,
    upgrade: (session) => {
      if (session !== made[0]) return undefined;
      upgrades.push(performance.now() - start);
      return upgrades.length < 3 ? Promise.reject(new Error("no QUIC")) : make();
    },
    watch: (session) => {
      const liveness = new Liveness({ ask: async () => true, clock: () => (performance.now() * 1000) as Microseconds });
      return { session, liveness };
    },
    serve: () => {},
  });
  void read(reconnector, (reason) => reasons.push(reason));
  await vi.advanceTimersByTimeAsync(3_600_000);
  // After half a minute, and then less and less often.
  expect(upgrades.map(Math.round)).toEqual([30_000, 90_000, 210_000]);
  expect(reconnector.session).toBe(made[1]);
  expect(await made[0]!.closed).toBeDefined();
  expect(reasons).toEqual([undefined]);
  reconnector.close();
  expect(await reconnector.closed).toBeUndefined();
  vi.useRealTimers();
});
