import { z } from "zod";
import { Listener, RawSink, WavSink } from "../../watch/index.js";
import { command, elapsed } from "../command.js";
import { flag, number } from "../config.js";
import { Meter } from "../meter.js";
import { connectionSettings, connectOptions, relayUrl } from "./connection.js";

/** `unsay watch`: plays a broadcast without a sound card. */
export const watch = command({
  name: "watch",
  summary: "Play a broadcast into a file, a pipe or a live meter.",
  positional: "url",
  examples: [
    "unsay watch http://localhost:4443 --wav heard.wav --seconds 30",
    "unsay watch http://localhost:4443 --stdout | aplay -f S16_LE -r 48000 -c 1",
  ],
  settings: {
    ...connectionSettings,
    wav: { schema: z.string().min(1).optional(), value: "<file>", help: "write what is heard to a WAV file" },
    stdout: { schema: flag.default(false), help: "write what is heard to standard output as raw 16-bit PCM at 48 kHz" },
    seconds: { schema: number({ min: 0.1 }).optional(), value: "<number>", help: "stop after this long" },
    jitterMs: {
      schema: number({ min: 0, max: 10_000 }).default(80),
      value: "<ms>",
      help: "delay from arrival to sound at first; it adapts from there",
    },
    timeoutMs: {
      schema: number({ min: 1, max: 86_400_000 }).default(10_000),
      value: "<ms>",
      help: "give up when nothing is published for so long",
    },
    json: { schema: flag.default(false), help: "print the numbers as one line of JSON a second instead of the meter" },
  },
  async run(config, { signal, print, logger, status }) {
    const sink =
      config.wav !== undefined
        ? new WavSink({ path: config.wav })
        : config.stdout
          ? new RawSink({ stream: process.stdout })
          : undefined;
    const listener = new Listener({
      url: relayUrl(config),
      broadcast: config.broadcast,
      jitterMs: config.jitterMs,
      timeoutMs: config.timeoutMs,
      connect: connectOptions(config),
      ...(sink && { sink }),
    });
    listener.on("problem", (error) => logger.warn({ err: error }, "The listener recovers by itself."));
    const read = () => listener.stats();
    const meter = config.json || config.stdout ? undefined : new Meter({ read, status });
    const ticker = config.json && !config.stdout ? setInterval(() => print(JSON.stringify(read())), 1000) : undefined;
    try {
      await Promise.race([listener.closed, elapsed(config.seconds, signal)]);
      if (config.json && !config.stdout) print(JSON.stringify(read()));
      return 0;
    } finally {
      clearInterval(ticker);
      meter?.close();
      await listener.close();
    }
  },
});
