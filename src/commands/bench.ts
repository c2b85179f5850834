import { z } from "zod";
import { TransportError } from "../../base/index.js";
import { type LoadResult, loadRelay, MIN_PAYLOAD_BYTES } from "../../relay/index.js";
import { command } from "../command.js";
import { flag, number } from "../config.js";
import { connectionSettings, connectOptions, relayUrl } from "./connection.js";

const BUSY = 0.8;

/** `unsay bench`: loads an existing relay with a publisher and many watchers of its own. */
export const bench = command({
  positional: "what",
  examples: [
    "unsay bench relay --url http://localhost:4443 --watchers 200 --seconds 30",
    "unsay bench relay --url https://relay.example:4443 --token $TOKEN --delivery stream --json",
  ],
  settings: {
    what: { schema: z.enum(["relay"], { error: "it must be relay" }), value: "<relay>", help: "the relay to load" },
    ...connectionSettings,
    broadcast: {
      ...connectionSettings.broadcast,
      schema: connectionSettings.broadcast.schema.unwrap().default("unsay-bench"),
      help: "path of the run's broadcast; its name is random",
    },
    watchers: {
      schema: number({ min: 1, max: 10_000, integer: true }).default(100),
      value: "<number>",
      help: "sessions that watch, each with a socket of its own",
    },
    joinsPerSecond: {
      schema: number({ min: 0.1, max: 10_000 }).optional(),
      value: "<number>",
      help: "sessions opened per second; default: as fast as possible",
    },
    seconds: { schema: number({ min: 1, max: 86_400 }).default(10), value: "<number>", help: "how long to count" },
    rate: {
      schema: number({ min: 1, max: 10_000 }).default(50),
      value: "<number>",
      help: "objects per second; 50 for Opus frames of 20 ms",
    },
    bytes: {
      schema: number({ min: MIN_PAYLOAD_BYTES, max: 1150, integer: true }).default(160),
      value: "<number>",
      help: "payload of an object; 160 is 64 kbit/s at that rate",
    },
    delivery: {
      schema: z.enum(["datagram", "stream"]).default("datagram"),
      value: "<name>",
      help: "how the publisher sends: by datagram, or a stream for each object",
    },
    json: { schema: flag.default(false), help: "print the outcome as one line of JSON" },
  },
  async run(config, { signal, print }) {
    const result = await loadRelay({
      url: relayUrl(config),
      connect: await connectOptions(config),
      broadcast: config.broadcast,
      watchers: config.watchers,
      ...(config.joinsPerSecond !== undefined && { joinsPerSecond: config.joinsPerSecond }),
      seconds: config.seconds,
      perSecond: config.rate,
      payloadBytes: config.bytes,
      via: config.delivery,
      signal,
    });
    const outcome = summary(result);
    if (config.json) print(JSON.stringify(outcome));
    else {
      for (const line of describe(outcome)) print(line);
      if (signal.aborted) print("It was stopped early: these are the figures up to then.");
      if (outcome.eventLoopShare > BUSY)
        print("This machine was busy itself: run fewer watchers, or several of these.");
    }
    if (outcome.failed + outcome.lost === 0) return 0;
    const reason = result.failure === undefined ? "" : ` The first failed because: ${result.failure.message}`;
    throw new TransportError(
      "WATCHERS_LOST",
      `Of ${config.watchers} watchers ${outcome.failed} could not join and ${outcome.lost} lost their session.${reason}`,
    );
  },
});

function summary({ joinMs, latencyMs, loopShare, deliveredShare, failure: _, ...counts }: LoadResult) {
  const of = (values: readonly number[]) => {
    const sorted = [...values].sort((left, right) => left - right);
    const at = (fraction: number): number | null => {
      const value = sorted[Math.min(sorted.length - 1, Math.floor(fraction * sorted.length))];
      return value === undefined ? null : Math.round(value * 100) / 100;
    };
    return { p50: at(0.5), p99: at(0.99), max: at(1) };
  };
  return {
    ...counts,
    deliveredPercent: Math.round(deliveredShare * 10_000) / 100,
    joinMs: of(joinMs),
    latencyMs: of(latencyMs),
    eventLoopShare: Math.round(loopShare * 100) / 100,
  };
}

function describe(outcome: ReturnType<typeof summary>): string[] {
  const { joined, failed, lost, published, deliveredPercent, joinMs, latencyMs, eventLoopShare } = outcome;
  return [
    `watchers   ${joined} joined, ${failed} failed, ${lost} lost`,
    `delivered  ${deliveredPercent} % of ${published} objects to each`,
    `latency    p50 ${latencyMs.p50} ms, p99 ${latencyMs.p99} ms, max ${latencyMs.max} ms`,
    `join       p50 ${joinMs.p50} ms, p99 ${joinMs.p99} ms, max ${joinMs.max} ms`,
    `this side  event loop ${Math.round(eventLoopShare * 100)} % busy`,
  ];
}
