import { broadcastPath, InputError, TransportError } from "../../base/index.js";
import { Listener, type ListenerStats, RawSink, WavSink } from "../../watch/index.js";
import { command, elapsed, untilStopped } from "../command.js";
import { flag, number, writtenStream } from "../config.js";
import { Meter } from "../meter.js";
import {
  connectionSettings,
  connectOptions,
  problemWatch,
  relayUrl,
  reportUnanswered,
  retrySetting,
} from "./connection.js";

/** After this long without audio a sentence names what it waits for. */
const WAITING_MS = 1500;
/** Paths of the process's own standard output. */
const STANDARD_OUTPUT: ReadonlySet<string> = new Set(["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"]);

/** `unsay watch`: plays a broadcast without an audio card. */
export const watch = command({
  positional: "url",
  examples: [
    "unsay watch http://localhost:4443 --wav heard.wav --seconds 30",
    "unsay watch http://localhost:4443 --stdout | aplay -f S16_LE -r 48000 -c 1",
  ],
  settings: {
    ...connectionSettings,
    ...retrySetting,
    wav: { schema: writtenStream.optional(), value: "<file>", help: "write the audio heard to a WAV file" },
    stdout: {
      schema: flag.default(false),
      help: "write the audio heard to standard output as raw 16-bit PCM at 48 kHz",
    },
    seconds: {
      schema: number({ min: 0.1, max: 2_000_000 }).optional(),
      value: "<number>",
      help: "stop after this long",
    },
    jitterMs: {
      schema: number({ min: 0, max: 10_000 }).default(80),
      value: "<ms>",
      help: "initial delay from arrival to audio; it adapts from there",
    },
    timeoutMs: {
      schema: number({ min: 1, max: 86_400_000 }).default(10_000),
      value: "<ms>",
      help: "give up after this long without a broadcast",
    },
    json: {
      schema: flag.default(false),
      help: "print the numbers as one line of JSON per second instead of the meter",
    },
  },
  async run(config, { signal, print, logger, status, notice }) {
    if (config.wav !== undefined && config.stdout)
      throw new InputError("INVALID_OPTION", "--wav and --stdout exclude each other.");
    if (config.json && config.wav !== undefined && STANDARD_OUTPUT.has(config.wav))
      throw new InputError("INVALID_OPTION", `--json and --wav ${config.wav} exclude each other.`);
    if (config.json && config.stdout) throw new InputError("INVALID_OPTION", "--json and --stdout exclude each other.");
    // Before an older recording of that name is gone.
    const connect = await connectOptions(config);
    const wav = config.wav === undefined ? undefined : new WavSink({ path: config.wav });
    const sink = wav ?? (config.stdout ? new RawSink({ stream: process.stdout }) : undefined);
    const problems = problemWatch(config, notice);
    const listener = new Listener({
      url: relayUrl(config),
      broadcast: config.broadcast,
      jitterMs: config.jitterMs,
      timeoutMs: config.timeoutMs,
      connect,
      ...(sink && { sink }),
    });
    listener.on("problem", (error) => {
      logger.warn({ err: error }, "The listener recovers by itself.");
      problems.take(error);
    });
    const stopWaiting = reportWaiting(listener, config, notice);
    const stopUnanswered = reportUnanswered(config, () => listener.stats().sessions > 0, notice);
    const unread = setTimeout(() => {
      if (wav?.isUnread) notice(`Nothing reads the pipe ${config.wav} yet; waiting for a reader.`);
    }, WAITING_MS);
    const read = () => listener.stats();
    const meter = config.json || config.stdout ? undefined : new Meter({ read, status });
    const ticker = config.json ? setInterval(() => print(JSON.stringify(read())), 1000) : undefined;
    let isOver = false;
    let hasLeft = false;
    const full = wav?.failed.then((error) => {
      hasLeft = error.code === "PIPE_CLOSED";
      if (!isOver && !hasLeft) throw error;
    });
    try {
      const ended = listener.closed.then((error) => {
        if (error) throw error;
      });
      const ends = [ended, problems.fatal, elapsed(config.seconds, signal), ...(full ? [full] : [])];
      await Promise.race(ends);
      isOver = true;
      if (config.json) print(JSON.stringify(read()));
      // A reader that leaves has all it wanted.
      if (!signal.aborted && !hasLeft && read().playedMs === 0) throw silence(read(), config, problems.last());
      return 0;
    } finally {
      stopWaiting();
      stopUnanswered();
      clearTimeout(unread);
      clearInterval(ticker);
      meter?.close();
      const closing = listener.close().catch((error: unknown) => {
        // A run that has failed already has its reason.
        if (hasLeft || !isOver) return;
        if (!wav?.isUnread || !signal.aborted) throw error;
        notice(`Nothing reads the pipe ${config.wav}: nothing was written.`);
      });
      // A recording bounds its own end, and a slow disk may take longer.
      await (wav ? closing : untilStopped(signal, closing));
      if (sink && sink.droppedBytes > 0 && !wav?.isUnread)
        notice(`${sink.droppedBytes} bytes were left out: the output was too slow.`);
    }
  },
});

interface Waiting {
  readonly url: string;
  readonly broadcast: string;
  readonly seconds: number | undefined;
  readonly timeoutMs: number;
}

/** Prints what it waits for when there is no audio for a while, and when a broadcast has ended. */
function reportWaiting(listener: Listener, config: Waiting, notice: (sentence: string) => void): () => void {
  const name = broadcastPath(config.broadcast);
  const { host } = new URL(config.url);
  const timer = setTimeout(() => {
    if (listener.stats().state === "waiting")
      notice(`There is no ${name} at ${host} yet; waiting up to ${config.timeoutMs / 1e3} s.`);
  }, WAITING_MS);
  let played = false;
  listener.on("state", (state) => {
    if (state === "waiting" && played) notice(`${name} at ${host} has ended; waiting for it to come back.`);
    played ||= state === "playing";
  });
  return () => clearTimeout(timer);
}

/** Why no audio was heard until the time was up. */
function silence(stats: ListenerStats, { url, broadcast, seconds }: Waiting, problem: Error | undefined): Error {
  const name = broadcastPath(broadcast);
  const { host } = new URL(url);
  if (stats.sessions === 0)
    return problem ?? new TransportError("CONNECT_TIMEOUT", `There was no connection to ${host} within ${seconds} s.`);
  if (stats.state === "waiting" && stats.receivedFrames === 0)
    return new TransportError("NO_BROADCAST", `No publisher of ${name} at ${host} within ${seconds} s.`);
  return new TransportError("NOTHING_HEARD", `Nothing of ${name} at ${host} could be heard within ${seconds} s.`);
}
