import { z } from "zod";
import { Caller, RealtimeDoor } from "../../agent/index.js";
import { BROADCAST_NAME_RULE, broadcastName, InputError, isBroadcastName, MediaError, race } from "../../base/index.js";
import { openSource, Publisher } from "../../publisher/index.js";
import { aborted, type CommandContext, command } from "../command.js";
import { flag, number } from "../config.js";
import { AgentDemo } from "../demo/agent/agent-demo.js";
import type { AgentVerdict } from "../demo/agent/rehearsal.js";
import { onOneLine } from "../fail.js";
import { shippedModel } from "../package.js";
import { connectionSettings, connectOptions, problemWatch, relayUrl, retrySetting } from "./connection.js";

const { broadcast, ...connection } = connectionSettings;

/** `unsay agent`: a local WebSocket for agents in any language. */
export const agent = command({
  examples: [
    "unsay agent --demo",
    "unsay agent --demo --caller hello.wav --headless --json",
    "unsay agent --port 8765 --url http://localhost:4443 --broadcast agent --listen caller",
  ],
  settings: {
    port: {
      schema: number({ min: 0, max: 65_535, integer: true }).default(8765),
      value: "<number>",
      help: "port on 127.0.0.1 where the agent connects, or with --demo of the page; 0 picks a free one",
    },
    ...connection,
    // Only for the door: the demo brings its own relay.
    url: { ...connection.url, schema: connection.url.schema.optional() },
    ...retrySetting,
    broadcast: { ...broadcast, help: "name of the agent's broadcast" },
    listen: {
      schema: z.string().refine(isBroadcastName, `it ${BROADCAST_NAME_RULE}`).optional(),
      value: "<name>",
      help: "the caller's broadcast: denoised and sent to the agent, which it interrupts",
    },
    demo: {
      schema: flag.default(false),
      help: "talk to a scripted agent on a page; it needs neither relay nor service",
    },
    caller: {
      schema: z.string().min(1).optional(),
      value: "<file>",
      help: "with --demo: a recording that speaks over the agent; exits with 0 if the agent reacted correctly",
    },
    headless: { schema: flag.default(false), help: "with --demo: do not print the URL of the page" },
    json: { schema: flag.default(false), help: "with --caller: print the verdict as one line of JSON" },
  },
  async run(config, context) {
    if (config.demo) return runDemo(config, context);
    const { signal, logger, print, notice } = context;
    for (const name of ["caller", "headless", "json"] as const)
      if (config[name]) throw new InputError("INVALID_OPTION", `--${name} goes with --demo.`);
    const problems = problemWatch(config, notice);
    const connect = await connectOptions(config);
    const url = relayUrl({ url: required(config.url), token: config.token });
    const { listen } = config;
    if (listen !== undefined && broadcastName(listen) === broadcastName(config.broadcast))
      throw new InputError("INVALID_OPTION", "--listen must be another broadcast than --broadcast.");
    const publisher = new Publisher({ url, broadcast: config.broadcast, connect, logger });
    const caller =
      listen === undefined
        ? undefined
        : new Caller({ url, broadcast: listen, agent: publisher, connect, model: shippedModel });
    publisher.on("problem", problems.take);
    caller?.on("problem", problems.take);
    const door = new RealtimeDoor({ publisher, port: config.port, logger, ...(caller && { caller }) });
    door.on("problem", (problem) => notice(problem.message));
    try {
      await door.listen();
      print(onOneLine(`an agent may connect to ${door.url}; it is heard as ${config.broadcast}`));
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

function required(url: string | undefined): string {
  if (url === undefined)
    throw new InputError("INVALID_OPTION", "--url must be a URL such as http://localhost:4443, but is missing.");
  return url;
}

async function runDemo(
  config: {
    readonly port: number;
    readonly caller?: string | undefined;
    readonly headless: boolean;
    readonly json: boolean;
  },
  { signal, logger, print }: CommandContext,
): Promise<number> {
  const { port, caller, headless, json } = config;
  if (caller === undefined && (headless || json))
    throw new InputError("INVALID_OPTION", `--${headless ? "headless" : "json"} goes with --caller.`);
  const recording = caller === undefined ? undefined : await openSource({ file: caller });
  const demo = await AgentDemo.start({ port, logger });
  try {
    if (!headless && !json) print(`\n  Talk to the agent:  ${demo.pageUrl}\n`);
    const ended = await race([demo.closed, recording ? demo.rehearse(recording, signal) : aborted(signal)]);
    if (ended instanceof Error) throw ended;
    if (!ended) return 0;
    print(json ? JSON.stringify(ended) : describe(ended));
    if (ended.ok || signal.aborted) return 0;
    throw new MediaError("DEMO_FAILED", failure(ended));
  } finally {
    await demo.close();
  }
}

function describe({ silenceMs, heardMs, heardText }: AgentVerdict): string {
  return `silent after ${silenceMs ?? "-"} ms; heard ${heardMs ?? "-"} ms: "${heardText ?? ""}"`;
}

function failure({ interrupted, answered, heardMs, speakerMs, staleMs, exact }: AgentVerdict): string {
  if (!interrupted) return "The caller's recording did not interrupt the agent: no speech was found in it.";
  if (!answered) return "The agent was not heard again after the caller had spoken.";
  return `The agent counts ${heardMs} ms as heard (${exact ? "exact" : "estimated"}), the speaker played ${speakerMs ?? "no"} ms, ${staleMs} ms of it stale.`;
}
