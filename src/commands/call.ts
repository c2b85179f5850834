import { z } from "zod";
import { Caller, MediaStreamsCall } from "../../agent/index.js";
import { BROADCAST_NAME_RULE, broadcastName, InputError, isBroadcastName, race } from "../../base/index.js";
import { Publisher } from "../../publisher/index.js";
import { aborted, command } from "../command.js";
import { flag, list } from "../config.js";
import { onOneLine } from "../fail.js";
import { shippedModel } from "../package.js";
import {
  connectionSettings,
  connectOptions,
  neverConnected,
  problemWatch,
  relayUrl,
  retrySetting,
} from "./connection.js";

const { broadcast, ...connection } = connectionSettings;

/** `unsay call`: the telephone side of a bot that speaks Twilio's Media Streams. */
export const call = command({
  positional: "bot",
  examples: [
    "unsay call ws://localhost:5050/media --url http://localhost:4443 --broadcast bot --listen caller",
    "unsay watch http://localhost:4443 --broadcast bot",
  ],
  settings: {
    bot: {
      schema: z.url({ protocol: /^wss?$/, error: "it must be a URL such as ws://localhost:5050/media" }),
      value: "<url>",
      help: "the bot's WebSocket",
    },
    ...connection,
    ...retrySetting,
    broadcast: { ...broadcast, help: "name of the bot's broadcast" },
    listen: {
      schema: z.string().refine(isBroadcastName, `it ${BROADCAST_NAME_RULE}`).optional(),
      value: "<name>",
      help: "the caller's broadcast, denoised and sent to the bot; default: no caller",
    },
    marks: {
      schema: z.enum(["first", "all"]).default("all"),
      value: "<which>",
      help: "a mark comes back when the first listener heard the audio before it, or when all have",
    },
    parameters: {
      schema: list.default([]),
      value: "<name=value,...>",
      help: "sent to the bot as start.customParameters",
    },
    json: { schema: flag.default(false), help: "print the numbers of the call as one line of JSON at the end" },
  },
  async run(config, { signal, logger, print, notice }) {
    const { listen } = config;
    if (listen !== undefined && broadcastName(listen) === broadcastName(config.broadcast))
      throw new InputError("INVALID_OPTION", "--listen must be another broadcast than --broadcast.");
    const customParameters = parametersOf(config.parameters);
    const problems = problemWatch(config, notice);
    const connect = await connectOptions(config);
    const url = relayUrl(config);
    const publisher = new Publisher({ url, broadcast: config.broadcast, connect, logger });
    const caller =
      listen === undefined
        ? undefined
        : new Caller({ url, broadcast: listen, agent: publisher, connect, model: shippedModel });
    publisher.on("problem", problems.take);
    caller?.on("problem", problems.take);
    const call = new MediaStreamsCall({
      bot: config.bot,
      publisher,
      marks: config.marks,
      customParameters,
      ...(connect.ca !== undefined && { ca: connect.ca }),
      ...(caller && { caller }),
    });
    call.on("started", ({ streamSid }) =>
      print(onOneLine(`calling ${config.bot} as ${streamSid}, heard as ${config.broadcast}`)),
    );
    call.on("problem", (problem) => notice(problem.message));
    try {
      const ends = [publisher.closed, problems.fatal, aborted(signal), ...(caller ? [caller.closed] : [])];
      const ended = await race([call.closed, ...ends]);
      if (ended instanceof Error) throw ended;
      await race([publisher.drained(), ...ends]);
      if (publisher.stats().sessions === 0 && !signal.aborted) throw neverConnected(problems.last(), config.url);
      return 0;
    } finally {
      await call.close();
      if (config.json) print(JSON.stringify(call.stats()));
      await caller?.close();
      await publisher.close();
    }
  },
});

function parametersOf(pairs: readonly string[]): Record<string, string> {
  const parameters = new Map<string, string>();
  for (const pair of pairs) {
    const at = pair.indexOf("=");
    const fault =
      at < 1 ? "be name=value pairs" : parameters.has(pair.slice(0, at)) ? "have each name once" : undefined;
    if (fault !== undefined)
      throw new InputError("INVALID_OPTION", `--parameters must ${fault}, but has ${JSON.stringify(pair)}.`);
    parameters.set(pair.slice(0, at), pair.slice(at + 1));
  }
  return Object.fromEntries(parameters);
}
