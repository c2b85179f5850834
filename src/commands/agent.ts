import { z } from "zod";
import { Caller, RealtimeDoor } from "../../agent/index.js";
import { BROADCAST_NAME_RULE, isBroadcastName, race } from "../../base/index.js";
import { Publisher } from "../../publisher/index.js";
import { aborted, command } from "../command.js";
import { number } from "../config.js";
import { shippedModel } from "../package.js";
import { connectionSettings, connectOptions, problemWatch, relayUrl, retrySetting } from "./connection.js";

const { broadcast, ...connection } = connectionSettings;

/** `unsay agent`: a local WebSocket for agents in any language. */
export const agent = command({
  name: "agent",
  summary: "Open a local WebSocket that speaks Realtime audio events, for agents in any language.",
  examples: ["unsay agent --port 8765 --url http://localhost:4443 --broadcast agent --listen caller"],
  settings: {
    port: {
      schema: number({ min: 0, max: 65_535, integer: true }).default(8765),
      value: "<number>",
      help: "port on 127.0.0.1 where the agent connects; 0 picks a free one",
    },
    ...connection,
    ...retrySetting,
    broadcast: { ...broadcast, help: "name of the broadcast in which the agent speaks" },
    listen: {
      schema: z.string().refine(isBroadcastName, `it ${BROADCAST_NAME_RULE}`).optional(),
      value: "<name>",
      help: "the caller's broadcast: denoised and sent to the agent, which it interrupts",
    },
  },
  async run(config, { signal, logger, print, notice }) {
    const problems = problemWatch(config, notice);
    const connect = connectOptions(config);
    const url = relayUrl(config);
    const { listen } = config;
    const publisher = new Publisher({ url, broadcast: config.broadcast, connect, logger });
    const caller =
      listen === undefined ? undefined : new Caller({ url, broadcast: listen, connect, model: shippedModel });
    publisher.on("problem", problems.take);
    caller?.on("problem", problems.take);
    const door = new RealtimeDoor({ publisher, port: config.port, logger, ...(caller && { caller }) });
    door.on("problem", (problem) => notice(problem.message));
    try {
      await door.listen();
      print(`an agent may connect to ${door.url}; it is heard as ${config.broadcast}`);
      const ended = await race([publisher.closed, problems.fatal, aborted(signal), ...(caller ? [caller.closed] : [])]);
      if (ended instanceof Error) throw ended;
      return 0;
    } finally {
      await door.close();
      await caller?.close();
      await publisher.close();
    }
  },
});
