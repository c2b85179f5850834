import { expect, test } from "vitest";
import { InputError, type Microseconds, TransportError } from "../base/index.js";
import { Reconnector } from "./reconnector.js";
import type { CloseInfo, Session } from "./session.js";

function makeSession(): Session & { end(): void } {
  let end!: () => void;
  const closed = new Promise<CloseInfo>((resolve) => {
    end = () => resolve({ closeCode: 0, reason: "" });
  });
  return { closed, end, close: () => end() } as unknown as Session & { end(): void };
}

test("it connects again after every end, waits longer after every failure, and starts over after a long session", async () => {
  let now = 0;
  const waits: number[] = [];
  const sessions: ReturnType<typeof makeSession>[] = [];
  let failures = 4;
  const reconnector: Reconnector = new Reconnector({
    connect: async () => {
      if (failures-- > 0) throw new TransportError("CONNECT_FAILED", "No.");
      return makeSession();
    },
    onSession: (session) => {
      sessions.push(session as ReturnType<typeof makeSession>);
      expect(reconnector.state).toBe("connected");
      if (sessions.length === 1) now += 60_000_000;
      if (sessions.length === 3) reconnector.close();
      else session.close();
    },
    backoff: { initialMs: 100, maxMs: 400 },
    clock: () => now as Microseconds,
    random: () => 0.5,
    sleep: async (ms) => {
      waits.push(ms);
    },
  });
  expect(await reconnector.closed).toBeUndefined();
  expect(reconnector.state).toBe("closed");
  expect(sessions).toHaveLength(3);
  // Three quarters of 100, 200, 400 and at most 400; then 100 again after the session of a minute.
  expect(waits).toEqual([75, 150, 300, 300, 75, 150]);
});

test("a session that can not be used counts as a failure, and what no repeat can mend ends it", async () => {
  const reasons: string[] = [];
  let attempts = 0;
  const reconnector = new Reconnector({
    connect: async () => {
      if (++attempts === 2) throw new InputError("INVALID_URL", "The URL is wrong.");
      return makeSession();
    },
    onSession: () => {
      throw new TransportError("REFUSED", "Not like this.");
    },
    onRetry: (reason) => reasons.push((reason as TransportError).code),
    sleep: async () => undefined,
  });
  expect(await reconnector.closed).toMatchObject({ code: "INVALID_URL" });
  expect(reasons).toEqual(["REFUSED"]);
  expect(reconnector.state).toBe("closed");
});

test("closing gives up an attempt and a wait at once, and is idempotent", async () => {
  const hanging = new Reconnector({
    connect: (signal) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("aborted")), { once: true })),
    onSession: () => undefined,
  });
  await Promise.resolve();
  hanging.close();
  hanging.close();
  expect(await hanging.closed).toBeUndefined();

  const waiting = new Reconnector({
    connect: () => Promise.reject(new Error("no")),
    onSession: () => undefined,
    backoff: { initialMs: 1e9, maxMs: 1e9 },
  });
  await expect.poll(() => waiting.state).toBe("waiting");
  waiting.close();
  expect(await waiting.closed).toBeUndefined();
});
