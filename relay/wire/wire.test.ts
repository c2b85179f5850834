import * as Moq from "@kixelated/moq";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ByteWriter, concatenate, ProtocolError, unzigzag, varintSize, zigzag } from "../../base/index.js";
import {
  decodeAnnounce,
  decodeAnnounceInit,
  decodeAnnounceOk,
  decodeAnnounceRequest,
  encodeAnnounce,
  encodeAnnounceInit,
  encodeAnnounceOk,
  encodeAnnounceRequest,
} from "./announce.js";
import { deltaBytes } from "./delta.js";
import {
  decodeDatagram,
  decodeGroupHeader,
  encodeDatagram,
  encodeGroupHeader,
  FrameParser,
  type WireFrame,
} from "./group.js";
import { MessageReader } from "./message-reader.js";
import {
  decodeClientSetup,
  decodeServerSetup,
  decodeSetup,
  encodeClientSetup,
  encodeServerSetup,
  encodeSetupStream,
} from "./setup.js";
import { StreamReader } from "./stream.js";
import {
  decodeSubscribe,
  decodeSubscribeUpdate,
  encodeSubscribe,
  encodeSubscribeResponse,
  encodeSubscribeUpdate,
  readSubscribeResponse,
} from "./subscribe.js";
import {
  decodeFetch,
  decodeTrackInfo,
  decodeTrackRequest,
  encodeFetch,
  encodeTrackInfo,
  encodeTrackRequest,
} from "./track.js";
import type { Version } from "./version.js";

const VERSIONS: Version[] = [2, 3, 4, 5];
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const bytes = (text: string) => new Uint8Array(Buffer.from(text.replaceAll(" ", ""), "hex"));
const number = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const path = fc.array(fc.stringMatching(/^[a-z0-9.]{1,8}$/), { maxLength: 5 }).map((parts) => parts.join("/"));

/** The body of a message that follows a stream type. */
function body(encoded: Uint8Array): MessageReader {
  const reader = new MessageReader(encoded);
  reader.varint();
  return new MessageReader(reader.bytes(reader.varint()));
}

function message(encoded: Uint8Array): MessageReader {
  const reader = new MessageReader(encoded);
  return new MessageReader(reader.bytes(reader.varint()));
}

function streamOf(encoded: Uint8Array, piece = 3): StreamReader {
  let offset = 0;
  return new StreamReader(
    {
      read: async () => {
        if (offset >= encoded.length) return undefined;
        offset += piece;
        return encoded.subarray(offset - piece, offset);
      },
      stop() {},
    },
    4096,
  );
}

test("varints equal those of the MoQ package, and zigzag inverts itself", () => {
  fc.assert(
    fc.property(number, (value) => {
      const encoded = new ByteWriter(1).varint(value).finish();
      expect(hex(encoded)).toBe(hex(Moq.Varint.encode(value)));
      expect(encoded.length).toBe(varintSize(value));
      expect(new MessageReader(encoded).varint()).toBe(value);
    }),
    { seed: 1 },
  );
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 62n - 1n }), (value) => {
      expect(new MessageReader(new ByteWriter().varint(value).finish()).varint62()).toBe(value);
    }),
    { seed: 2 },
  );
  expect([0, -1, 1, -2, 2 ** 40].map(zigzag)).toEqual([0, 1, 2, 3, 2 ** 41]);
  for (const value of [0, -1, 1, -2, 2 ** 40, -(2 ** 40)]) expect(unzigzag(zigzag(value))).toBe(value);
});

describe("messages", () => {
  test("messages have the bytes that stock peers send", () => {
    // Subscribe 1, group 2, 20 ms in microseconds, legacy container frame.
    expect(hex(encodeGroupHeader(1, 2))).toBe("00020102");
    expect(
      hex(
        encodeSubscribe(
          {
            id: 0,
            broadcast: "a.hang",
            track: "audio",
            priority: 5,
            ordered: false,
            maxLatencyMs: 0,
            startGroup: undefined,
            endGroup: undefined,
          },
          2,
        ),
      ),
    ).toBe("020f0006612e68616e6705617564696f05");
    expect(hex(encodeSubscribeResponse({ kind: "ok" }, 2))).toBe("00");
    expect(hex(encodeSubscribeResponse({ kind: "ok" }, 4))).toBe("00050000000000");
    expect(hex(encodeSubscribeResponse({ kind: "start", group: 7 }, 5))).toBe("000107");
    expect(hex(encodeSubscribeResponse({ kind: "end", group: 8 }, 5))).toBe("010108");
    expect(hex(encodeSetupStream({ origin: 5n }))).toBe("010401050105");
    expect(hex(encodeAnnounceOk(3n, 1))).toBe("020301");
    expect(hex(encodeAnnounce({ suffix: "a", active: true, hops: [] }, 5))).toBe("0401016100");
    expect(hex(encodeAnnounce({ suffix: "a", active: true, hops: [9n] }, 4))).toBe("050101610109");
    expect(hex(encodeAnnounce({ suffix: "a", active: false, hops: [9n] }, 2))).toBe("03000161");
    expect(hex(encodeAnnounceRequest({ prefix: "", excludeHop: 4n }, 5))).toBe("01020004");
    expect(hex(encodeAnnounceRequest({ prefix: "", excludeHop: 4n }, 2))).toBe("010100");
    expect(hex(encodeTrackInfo({ priority: 1, ordered: true, maxLatencyMs: 5, timescale: 1000 }))).toBe("0501010543e8");
    expect(hex(encodeServerSetup(0xff0dad02))).toBe("210009c0000000ff0dad0200");
  });

  test("messages survive a round trip, in every version", () => {
    const delivery = fc.record({
      priority: fc.integer({ min: 0, max: 255 }),
      ordered: fc.boolean(),
      maxLatencyMs: number,
      startGroup: fc.option(fc.integer({ min: 0, max: 2 ** 50 }), { nil: undefined }),
      endGroup: fc.option(fc.integer({ min: 0, max: 2 ** 50 }), { nil: undefined }),
    });
    fc.assert(
      fc.property(fc.constantFrom(...VERSIONS), path, delivery, number, (version, broadcast, update, id) => {
        const lost =
          version === 2 ? { ordered: false, maxLatencyMs: 0, startGroup: undefined, endGroup: undefined } : {};
        const subscribe = { id, broadcast, track: "audio", ...update };
        expect(decodeSubscribe(body(encodeSubscribe(subscribe, version)), version, 100)).toEqual({
          ...subscribe,
          ...lost,
        });
        expect(decodeSubscribeUpdate(message(encodeSubscribeUpdate(update, version)), version)).toEqual({
          ...update,
          ...lost,
        });
        const request = { prefix: broadcast, excludeHop: version >= 4 ? BigInt(id) : 0n };
        expect(decodeAnnounceRequest(body(encodeAnnounceRequest(request, version)), version, 100)).toEqual(request);
        const hops = version >= 4 ? [BigInt(id), 2n ** 61n] : version === 3 ? [0n, 0n] : [];
        const announce = { suffix: broadcast, active: true, hops };
        expect(decodeAnnounce(message(encodeAnnounce(announce, version)), version, 100)).toEqual(announce);
        const fetch = { broadcast, track: "t", priority: 3, group: id };
        expect(decodeFetch(body(encodeFetch(fetch)), 100)).toEqual(fetch);
        expect(decodeTrackRequest(body(encodeTrackRequest({ broadcast, track: "t" })), 100)).toEqual({
          broadcast,
          track: "t",
        });
      }),
      { seed: 3 },
    );
    expect(decodeAnnounceInit(message(encodeAnnounceInit(["a", "b/c"])), 100, 5)).toEqual(["a", "b/c"]);
    expect(decodeAnnounceOk(message(encodeAnnounceOk(2n ** 60n, 3)))).toEqual({ origin: 2n ** 60n, active: 3 });
    const setup = { origin: 2n ** 60n, path: "/a?b=c", role: "publisher" as const };
    expect(decodeSetup(body(encodeSetupStream(setup)))).toEqual(setup);
    expect(decodeClientSetup(new MessageReader(encodeClientSetup([1, 2 ** 32]), 3))).toEqual([1, 2 ** 32]);
    expect(decodeServerSetup(new MessageReader(encodeServerSetup(77), 3))).toBe(77);
    expect(decodeGroupHeader(body(encodeGroupHeader(70, 2 ** 40)))).toEqual({ subscribe: 70, sequence: 2 ** 40 });
  });

  test("messages of a Subscribe Stream are read however they are cut", async () => {
    const responses = [
      { kind: "start", group: 3 },
      { kind: "drop", start: 1, end: 2, code: 3 },
      { kind: "end", group: 9 },
    ] as const;
    const stream = streamOf(concatenate(responses.map((response) => encodeSubscribeResponse(response, 5))));
    for (const response of responses) expect(await readSubscribeResponse(stream, 5)).toEqual(response);
    expect(await readSubscribeResponse(stream, 5)).toBeUndefined();
  });

  test("false messages end in a ProtocolError, never in anything else", async () => {
    const decoders: ((reader: MessageReader) => unknown)[] = [
      (reader) => decodeSubscribe(reader, 5, 100),
      (reader) => decodeSubscribe(reader, 2, 100),
      (reader) => decodeAnnounce(reader, 5, 100),
      (reader) => decodeAnnounceRequest(reader, 4, 100),
      (reader) => decodeAnnounceInit(reader, 100, 10),
      (reader) => decodeAnnounceOk(reader),
      (reader) => decodeSetup(reader),
      (reader) => decodeClientSetup(reader),
      (reader) => decodeTrackInfo(reader),
      (reader) => decodeTrackRequest(reader, 100),
      (reader) => decodeFetch(reader, 100),
      (reader) => decodeGroupHeader(reader),
    ];
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (garbage) => {
        const errors = decoders.flatMap((decode) => {
          try {
            decode(new MessageReader(garbage));
            return [];
          } catch (error) {
            return [error];
          }
        });
        expect(errors.filter((error) => !(error instanceof ProtocolError))).toEqual([]);
      }),
      { seed: 4, numRuns: 2000 },
    );
    await expect(streamOf(bytes("50 01 00")).message()).rejects.toMatchObject({ code: "MESSAGE_TOO_LONG" });
    await expect(streamOf(bytes("05 01")).message()).rejects.toMatchObject({ code: "TRUNCATED_MESSAGE" });
    expect(() => decodeTrackInfo(new MessageReader(bytes("00 00 00 00")))).toThrow(/timescale is 0/);
    expect(() => decodeSubscribe(new MessageReader(bytes("00 08 61616161616161 61 00 00")), 2, 4)).toThrow(
      /more than 4/,
    );
  });
});

describe("groups", () => {
  test("groups split into the same frames however their bytes arrive, in both forms", () => {
    const frames = fc.array(
      fc.record({
        timestamp: fc.oneof(fc.maxSafeNat(), fc.integer({ min: 0, max: 2 ** 50 })),
        payload: fc.uint8Array({ maxLength: 200 }),
      }),
      { maxLength: 6 },
    );
    fc.assert(
      fc.property(frames, fc.integer({ min: 1, max: 50 }), fc.boolean(), (sent, piece, timed) => {
        const encoded = new ByteWriter();
        let previous = 0;
        for (const { timestamp, payload } of sent) {
          if (timed) encoded.bytes(deltaBytes(timestamp - previous));
          encoded.varint(payload.length).bytes(payload);
          previous = timestamp;
        }
        const wire = encoded.finish();
        let stamp = 0;
        const parser = new FrameParser({ version: timed ? 5 : 4, maxFrameBytes: 200, stamp: () => ++stamp });
        const got: WireFrame[] = [];
        for (let offset = 0; offset < wire.length; offset += piece)
          got.push(...parser.push(wire.subarray(offset, offset + piece)));
        expect(parser.incomplete).toBe(false);
        expect(got.map(({ payload }) => hex(payload))).toEqual(sent.map(({ payload }) => hex(payload)));
        expect(got.map(({ timestamp }) => timestamp)).toEqual(
          sent.map(({ timestamp }, index) => (timed ? timestamp : index + 1)),
        );
        const form = timed ? "timed" : "plain";
        expect(hex(concatenate([new Uint8Array(0), ...got.map((frame) => frame.bytes(form))]))).toBe(hex(wire));
        // Timestamps created from arrival times read back as such.
        const again = new FrameParser({ version: 5, maxFrameBytes: 200, stamp: () => 0 });
        const reread = again.push(concatenate([new Uint8Array(0), ...got.map((frame) => frame.bytes("timed"))]));
        expect(reread.map(({ timestamp }) => timestamp)).toEqual(got.map(({ timestamp }) => timestamp));
      }),
      { seed: 5 },
    );
  });

  test("groups with a frame too large or a timestamp out of range are refused", () => {
    const parser = () => new FrameParser({ version: 5, maxFrameBytes: 100, stamp: () => 0 });
    expect(() => parser().push(bytes("00 4065"))).toThrow(/exceeds the limit/);
    expect(() => parser().push(bytes("01 00"))).toThrow(/timestamp is negative/);
    const cut = parser();
    expect(cut.push(bytes("00 05 0102"))).toEqual([]);
    expect(cut.incomplete).toBe(true);
  });

  test("groups travel as datagrams", () => {
    const [frame] = new FrameParser({ version: 5, maxFrameBytes: 9, stamp: () => 0 }).push(bytes("04 03 80004e"));
    expect(hex(encodeDatagram(1, 65_536, frame!))).toBe("018001000002 80004e".replaceAll(" ", ""));
    const back = decodeDatagram(encodeDatagram(70, 2 ** 40, frame!));
    expect([back.subscribe, back.sequence, back.frame.timestamp, hex(back.frame.payload)]).toEqual([
      70,
      2 ** 40,
      2,
      "80004e",
    ]);
    expect(() => decodeDatagram(bytes("01 80"))).toThrow(ProtocolError);
    expect(decodeDatagram(bytes("ffffffffffffffff 00 00")).subscribe).toBe(2 ** 62);
    expect(() => decodeDatagram(bytes("00 ffffffffffffffff 00"))).toThrow(/larger than/);
  });
});
