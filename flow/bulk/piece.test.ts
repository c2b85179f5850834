import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromMilliseconds, fromSeconds, type Microseconds, microseconds, ProtocolError } from "../../base/index.js";
import { BulkReceiver } from "./bulk-receiver.js";
import { BulkSender } from "./bulk-sender.js";
import { BULK_UNIT_BYTES, type BulkAck, decodePiece, encodePiece, MAX_PIECE_UNITS } from "./piece.js";

const start = fromSeconds(100);

function bytesOf(length: number, seed: number): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) | 0;
    return state >>> 16;
  });
}

function receiverOf(payload: Uint8Array, options: Partial<ConstructorParameters<typeof BulkReceiver>[0]> = {}) {
  const head = { bytes: payload.length, sha256: createHash("sha256").update(payload).digest("hex") };
  return new BulkReceiver({ head, now: start, hash: createHash("sha256"), ...options });
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
  return "none";
}

interface Link {
  readonly bytesPerSecond: number;
  readonly delayMs: number;
  readonly jitterMs: number;
  /** Of 100 pieces, and of 100 acknowledgements. */
  readonly lossPercent: number;
  readonly duplicatePercent: number;
  readonly seed: number;
}

/** Sends a payload over a simulated link; its clocks differ by a lot. */
function transfer(payload: Uint8Array, link: Link, limit = fromSeconds(600)) {
  const sender = new BulkSender({ payload });
  const receiver = receiverOf(payload);
  const skew = 5e9;
  let random = link.seed;
  const chance = () => {
    random = (Math.imul(random, 1_664_525) + 1_013_904_223) | 0;
    return (random >>> 8) / 2 ** 24;
  };
  const events: { at: number; run: () => void }[] = [];
  const later = (at: number, run: () => void) => {
    const place = events.findIndex((event) => event.at > at);
    events.splice(place === -1 ? events.length : place, 0, { at, run });
  };
  let freeAt = 0;
  let worstQueue = 0;
  let worstSettledQueue = 0;
  let now = start as number;
  const seen = { pieces: 0, acks: 0, largestFlight: 0 };
  while (!sender.finished && now < start + limit) {
    for (let piece = sender.take(now as Microseconds); piece; piece = sender.take(now as Microseconds)) {
      seen.pieces++;
      seen.largestFlight = Math.max(seen.largestFlight, sender.stats.inFlightBytes);
      freeAt = Math.max(freeAt, now) + (piece.length / link.bytesPerSecond) * 1e6;
      worstQueue = Math.max(worstQueue, freeAt - now);
      if (now - start > 2e6) worstSettledQueue = Math.max(worstSettledQueue, freeAt - now);
      const sent = piece.slice();
      for (let copy = chance() < link.duplicatePercent / 100 ? 2 : 1; copy > 0; copy--) {
        if (chance() < link.lossPercent / 100) continue;
        later(freeAt + (link.delayMs + chance() * link.jitterMs) * 1e3, () =>
          receiver.receive(sent, microseconds(now - skew)),
        );
      }
    }
    const ack = receiver.takeAck(microseconds(now - skew));
    if (ack) {
      seen.acks++;
      const travelled: BulkAck = JSON.parse(JSON.stringify(ack));
      if (chance() >= link.lossPercent / 100)
        later(now + link.delayMs * 1e3, () => sender.acknowledged(travelled, now as Microseconds));
    }
    const next = Math.min(
      events[0]?.at ?? Number.POSITIVE_INFINITY,
      sender.nextAt(now as Microseconds) ?? Number.POSITIVE_INFINITY,
      now + 5000,
    );
    now = Math.max(now + 1, Math.ceil(next));
    while (events.length > 0 && events[0]!.at <= now) events.shift()!.run();
  }
  return { sender, receiver, seconds: (now - start) / 1e6, worstQueue, worstSettledQueue, ...seen };
}

describe("a payload over a link", () => {
  test("a payload arrives byte for byte over any link that loses, repeats and reorders, within bounds", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 200_000 }),
        fc.record({
          bytesPerSecond: fc.constantFrom(50_000, 625_000, 1e6, 20e6),
          delayMs: fc.integer({ min: 0, max: 300 }),
          jitterMs: fc.constantFrom(0, 5, 100),
          lossPercent: fc.constantFrom(0, 2, 30),
          duplicatePercent: fc.constantFrom(0, 20),
          seed: fc.integer(),
        }),
        (length, link) => {
          const payload = bytesOf(length, link.seed);
          const { sender, receiver, largestFlight } = transfer(payload, link);
          expect(sender.finished).toBe(true);
          expect(Buffer.compare(receiver.payload(), payload)).toBe(0);
          expect(largestFlight).toBeLessThan(1_048_576 + MAX_PIECE_UNITS * BULK_UNIT_BYTES);
        },
      ),
      { seed: 4, numRuns: 60 },
    );
  });

  test("a payload fills a narrow link and no more than a little of its queue", () => {
    for (const delayMs of [2, 20, 100]) {
      const link = { bytesPerSecond: 625_000, delayMs, jitterMs: 0, lossPercent: 0, duplicatePercent: 0, seed: 1 };
      const { seconds, worstQueue, worstSettledQueue, sender } = transfer(bytesOf(8_000_000, 1), link);
      expect(seconds).toBeLessThan((8 / 0.625) * 1.5);
      expect(worstQueue).toBeLessThan(fromMilliseconds(80));
      expect(worstSettledQueue).toBeLessThan(fromMilliseconds(55));
      expect(sender.stats.repeated).toBe(0);
    }
  });

  test("a payload continues where it was when the path changes", () => {
    const payload = bytesOf(20_000, 3);
    const sender = new BulkSender({ payload });
    const receiver = receiverOf(payload);
    expect(sender.take(start)).toBeDefined();
    sender.restart(fromSeconds(101));
    for (let turn = 0; turn < 1000 && !sender.finished; turn++) {
      const now = microseconds(fromSeconds(101) + turn * 30_000);
      for (let piece = sender.take(now); piece; piece = sender.take(now)) receiver.receive(piece, now);
      const ack = receiver.takeAck(microseconds(now + 25_000));
      if (ack) sender.acknowledged(ack, microseconds(now + 25_000));
    }
    expect(receiver.payload()).toEqual(payload);
  });
});

describe("BulkReceiver", () => {
  test("a receiver refuses a payload that is too large, malformed, silent or another one, each with its own code", () => {
    const payload = bytesOf(3000, 7);
    expect(codeOf(() => receiverOf(payload, { maxBytes: 2999 }))).toBe("BULK_TOO_LARGE");
    const receiver = receiverOf(payload);
    const receive = (firstUnit: number, bytes: Uint8Array) =>
      codeOf(() => receiver.receive(encodePiece({ firstUnit, sentAt: start, bytes }), start));
    expect(receive(0, new Uint8Array(0))).toBe("BULK_PIECE");
    expect(receive(0, new Uint8Array(1000))).toBe("BULK_PIECE");
    expect(receive(2, new Uint8Array(1024))).toBe("BULK_PIECE");
    expect(receive(2 ** 32 - 1, new Uint8Array(1024))).toBe("BULK_PIECE");
    expect(codeOf(() => receiver.receive(new Uint8Array(17_000), start))).toBe("BULK_PIECE");
    expect(codeOf(() => receiver.payload())).toBe("BULK_TRUNCATED");
    expect(receive(0, new Uint8Array(2048))).toBe("none");
    receiver.checkIdle(fromSeconds(109));
    expect(codeOf(() => receiver.checkIdle(fromSeconds(110)))).toBe("BULK_IDLE");
    expect(receive(2, payload.subarray(2048))).toBe("none");
    expect(receiver.whole).toBe(true);
    expect(codeOf(() => receiver.payload())).toBe("BULK_DIGEST");
    receiver.checkIdle(fromSeconds(1000));
  });

  test("a receiver fails only with a typed error, on any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), (bytes) => {
        const receiver = receiverOf(bytesOf(5000, 1));
        codeOf(() => decodePiece(bytes));
        codeOf(() => receiver.receive(bytes, start));
        receiver.takeAck(fromSeconds(200));
      }),
      { seed: 9, numRuns: 2000 },
    );
  });
});
