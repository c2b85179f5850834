import { microseconds } from "../../base/index.js";
import {
  decodeLegacyFrame,
  decodeVoiceFrame,
  encodeCatalog,
  encodeLegacyFrame,
  encodeVoiceFrame,
  parseCatalog,
} from "../../container/index.js";
import { decodePiece, encodePiece } from "../../flow/bulk/piece.js";
import { decodeControlAnswer, decodeControlRequest, parseOperation } from "../../flow/control/index.js";
import {
  decodeAggregate,
  decodeReceipt,
  decodeReport,
  encodeAggregate,
  encodeReceipt,
  encodeReport,
  frameReport,
  type Report,
  ReportAggregator,
  ReportStreamReader,
} from "../../flow/report/index.js";
import {
  decodeAnnounce,
  decodeAnnounceInit,
  decodeAnnounceOk,
  decodeAnnounceRequest,
  encodeAnnounce,
  encodeAnnounceRequest,
} from "../../relay/wire/announce.js";
import { decodeGoaway, encodeGoaway } from "../../relay/wire/goaway.js";
import { decodeDatagram, decodeGroupHeader, encodeGroupHeader, FrameParser } from "../../relay/wire/group.js";
import type { MessageReader } from "../../relay/wire/message-reader.js";
import {
  decodeClientSetup,
  decodeServerSetup,
  decodeSetup,
  encodeClientSetup,
  encodeServerSetup,
  encodeSetupStream,
} from "../../relay/wire/setup.js";
import { StreamReader } from "../../relay/wire/stream.js";
import {
  decodeSubscribe,
  decodeSubscribeUpdate,
  encodeSubscribe,
  readSubscribeResponse,
} from "../../relay/wire/subscribe.js";
import {
  decodeFetch,
  decodeTrackInfo,
  decodeTrackRequest,
  encodeFetch,
  encodeTrackInfo,
  encodeTrackRequest,
} from "../../relay/wire/track.js";
import type { Version } from "../../relay/wire/version.js";
import type { Target } from "./fuzzer.js";

const MAX_PATH_BYTES = 1024;
const MAX_MESSAGE_BYTES = 65_536;
const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

const REPORT: Report = {
  broadcast: 1,
  session: 2,
  reportId: 3,
  clientTimeMs: 4000,
  playhead: microseconds(5_000_000),
  playing: true,
  discontinuity: 1,
  from: microseconds(4_000_000),
  heardUntil: microseconds(4_100_000),
  receivedBytes: 60_000,
  receivedGroup: 70,
  worstLead: microseconds(20_000),
  worstLeadGroup: 69,
  bufferedMs: 100,
  bleedMs: 0,
  staleMs: 0,
};

function aggregateOf(reports: readonly Report[]): Uint8Array {
  const aggregator = new ReportAggregator({ broadcast: 1 });
  const now = microseconds(10_000_000);
  for (const report of reports) aggregator.fold(report, now);
  return encodeAggregate(aggregator.aggregate(now, { group: 70, bytes: 70_000 }));
}

/** What the relay does with a report: what it makes of any that it takes must be one that a publisher takes. */
function fold(input: Uint8Array): number {
  const decoded = decodeReport(input);
  if (!decoded.ok) return 0;
  const again = decodeReport(encodeReport(decoded.report));
  if (!again.ok) throw new RangeError(`A report comes back as ${again.code}.`);
  const folded = decodeAggregate(aggregateOf([REPORT, decoded.report]));
  if (!folded.ok) throw new RangeError(`An aggregate comes back as ${folded.code}.`);
  return 0;
}

function streamOf(input: Uint8Array): StreamReader {
  let offset = 0;
  const read = async () => {
    if (offset >= input.length) return undefined;
    offset += 7;
    return input.subarray(offset - 7, offset);
  };
  return new StreamReader({ read, stop() {} }, MAX_MESSAGE_BYTES);
}

function message(
  name: string,
  seeds: readonly Uint8Array[],
  decode: (body: MessageReader) => unknown,
  typed = true,
): Target {
  return {
    name,
    seeds,
    async execute(input) {
      const stream = streamOf(input);
      if (typed) await stream.varint();
      decode(await stream.message());
      return 0;
    },
  };
}

function held(frames: readonly { readonly payload: Uint8Array }[]): number {
  return frames.reduce((sum, { payload }) => sum + payload.length, 0);
}

const DELIVERY = { priority: 1, ordered: true, maxLatencyMs: 100, startGroup: 1, endGroup: undefined };
const SUBSCRIBE = { id: 1, broadcast: "a/b", track: "audio", ...DELIVERY };
const REQUEST = { order: 0, op: "set", requestId: "r", knobs: { strength: 1 } };
const SKIPS = { window: 1, age: 2, passed: 3, stale: 4, overflow: 5 };
const RECEIPT = { broadcast: 1, session: 2, reportId: 3, level: "full", stalenessMs: 4, queueingMs: 5 } as const;

/** A message has a form of its own in each version. */
function versions(
  name: string,
  seed: (version: Version) => Uint8Array,
  decode: (body: MessageReader, version: Version) => unknown,
  typed = true,
): Target[] {
  return ([2, 3, 4, 5] as const).map((version) =>
    message(`${name}-0${version}`, [seed(version)], (body) => decode(body, version), typed),
  );
}

function shortMessage(name: string, seed: Uint8Array, decode: (body: MessageReader) => unknown): Target {
  return {
    name,
    seeds: [seed],
    async execute(input) {
      const stream = streamOf(input);
      await stream.varint();
      decode(await stream.shortMessage());
      return 0;
    },
  };
}

/** Records and messages that peers send. */
export const RECORD_TARGETS: readonly Target[] = [
  { name: "report", seeds: [encodeReport(REPORT)], execute: fold },
  {
    name: "aggregate",
    seeds: [aggregateOf([]), aggregateOf([REPORT])],
    execute(input) {
      const decoded = decodeAggregate(input);
      if (!decoded.ok) return 0;
      const again = decodeAggregate(encodeAggregate(decoded.aggregate));
      if (!again.ok) throw new RangeError(`An aggregate comes back as ${again.code}.`);
      return 0;
    },
  },
  {
    name: "receipt",
    seeds: [encodeReceipt({ ...RECEIPT, inFlightBytes: 6, windowBytes: 7, skips: SKIPS })],
    execute(input) {
      const decoded = decodeReceipt(input);
      if (decoded.ok && !decodeReceipt(encodeReceipt(decoded.receipt)).ok)
        throw new RangeError("A receipt does not come back.");
      return 0;
    },
  },
  {
    name: "report-stream",
    seeds: [frameReport(encodeReport(REPORT)), frameReport(aggregateOf([REPORT]))],
    execute(input) {
      const reader = new ReportStreamReader();
      const half = input.length >> 1;
      const records = [...reader.push(input.subarray(0, half)), ...reader.push(input.subarray(half))];
      return records.reduce((sum, { length }) => sum + length, 0);
    },
  },
  message("setup", [encodeSetupStream({ origin: 5n, path: "/a", role: "publisher" })], decodeSetup),
  shortMessage("client-setup", encodeClientSetup([0xff0dad02, 1]), decodeClientSetup),
  shortMessage("server-setup", encodeServerSetup(0xff0dad02), decodeServerSetup),
  ...versions(
    "announce-request",
    (version) => encodeAnnounceRequest({ prefix: "a/b", excludeHop: 4n }, version),
    (body, version) => decodeAnnounceRequest(body, version, MAX_PATH_BYTES),
  ),
  ...versions(
    "announce",
    (version) => encodeAnnounce({ suffix: "a", active: true, hops: [9n] }, version),
    (body, version) => decodeAnnounce(body, version, MAX_PATH_BYTES),
    false,
  ),
  message("announce-init", [Uint8Array.of(3, 1, 1, 97)], (body) => decodeAnnounceInit(body, MAX_PATH_BYTES, 64), false),
  message("announce-ok", [Uint8Array.of(2, 3, 1)], decodeAnnounceOk, false),
  ...versions(
    "subscribe",
    (version) => encodeSubscribe(SUBSCRIBE, version),
    (body, version) => decodeSubscribe(body, version, MAX_PATH_BYTES),
  ),
  message("subscribe-update", [Uint8Array.of(5, 1, 1, 1, 0, 0)], (body) => decodeSubscribeUpdate(body, 5), false),
  {
    name: "subscribe-response",
    seeds: [Uint8Array.of(0, 1, 7, 1, 1, 8), Uint8Array.of(2, 3, 1, 2, 3)],
    async execute(input) {
      const stream = streamOf(input);
      while ((await readSubscribeResponse(stream, 5)) !== undefined);
      return 0;
    },
  },
  message("fetch", [encodeFetch({ broadcast: "a", track: "t", priority: 1, group: 9 })], (body) =>
    decodeFetch(body, MAX_PATH_BYTES),
  ),
  message("track", [encodeTrackRequest({ broadcast: "a", track: "t" })], (body) =>
    decodeTrackRequest(body, MAX_PATH_BYTES),
  ),
  message(
    "track-info",
    [encodeTrackInfo({ priority: 1, ordered: true, maxLatencyMs: 5, timescale: 1000 })],
    decodeTrackInfo,
    false,
  ),
  message("goaway", [encodeGoaway("https://a/")], (body) => decodeGoaway(body, MAX_PATH_BYTES)),
  message("group", [encodeGroupHeader(1, 2)], decodeGroupHeader),
  ...([4, 5] as const).map(
    (version): Target => ({
      name: `frames-0${version}`,
      seeds: [Uint8Array.of(2, 3, 1, 2, 3, 1, 1, 9), Uint8Array.of(3, 7, 8, 9, 0)],
      execute(input) {
        const parser = new FrameParser({ version, maxFrameBytes: MAX_MESSAGE_BYTES, stamp: () => undefined });
        const half = input.length >> 1;
        const frames = [...parser.push(input.subarray(0, half)), ...parser.push(input.subarray(half))];
        for (const frame of frames) frame.bytes(version === 5 ? "plain" : "timed");
        return held(frames) + parser.heldBytes;
      },
    }),
  ),
  { name: "datagram", seeds: [Uint8Array.of(1, 2, 3, 4)], execute: (input) => decodeDatagram(input).frame.size },
  {
    name: "frame",
    seeds: [encodeLegacyFrame({ timestamp: microseconds(20_000), payload: Uint8Array.of(1, 2) })],
    execute(input) {
      const frame = decodeLegacyFrame(input, { keyframe: true });
      decodeLegacyFrame(encodeLegacyFrame(frame), { keyframe: true });
      return frame.payload.length;
    },
  },
  {
    name: "voice",
    seeds: [encodeVoiceFrame({ timestamp: microseconds(20_000), steps: Uint8Array.of(1, 255) })],
    execute: (input) => decodeVoiceFrame(input).steps.length,
  },
  {
    name: "catalog",
    json: true,
    seeds: [
      json({
        audio: { renditions: { a: { codec: "opus", sampleRate: 48_000, numberOfChannels: 1 } } },
        unsay: { renege: "rewind" },
      }),
    ],
    execute(input) {
      const catalog = parseCatalog(input);
      return encodeCatalog(catalog).length;
    },
  },
  {
    name: "control-request",
    json: true,
    seeds: [json(REQUEST), json({ order: 1, op: "interrupt", requestId: "s" })],
    execute(input) {
      parseOperation(decodeControlRequest(input).operation);
      return 0;
    },
  },
  {
    name: "control-answer",
    json: true,
    seeds: [
      json({ controller: "c", event: "set_applied", requestId: "r", controlEpoch: 1 }),
      json({
        controller: "c",
        event: "payload_ack",
        requestId: "r",
        next: 1,
        ranges: [[2, 3]],
        sentAt: 1,
        held: 2,
        delay: 3,
      }),
    ],
    execute(input) {
      decodeControlAnswer(input, "c");
      return 0;
    },
  },
  {
    name: "bulk-piece",
    seeds: [encodePiece({ firstUnit: 1, sentAt: microseconds(2), bytes: Uint8Array.of(3, 4) })],
    execute: (input) => decodePiece(input).bytes.length,
  },
];
