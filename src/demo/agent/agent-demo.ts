import type { RequestListener } from "node:http";
import type { Logger } from "pino";
import { Caller, Conversation } from "../../../agent/index.js";
import { InputError } from "../../../base/index.js";
import { type AudioSource, Publisher } from "../../../publisher/index.js";
import { Relay } from "../../../relay/index.js";
import { shippedModel } from "../../package.js";
import {
  type ControlRequest,
  type InterruptReply,
  type PageRecording,
  type PageStats,
  pageHandler,
} from "../../page/index.js";
import { RECORDING, readOutline, readWhole } from "../recording.js";
import { type AgentVerdict, rehearse } from "./rehearsal.js";
import { ScriptedAgent } from "./scripted-agent.js";

/** The agent's voice, and the caller's. */
const BROADCASTS = { agent: "demo", caller: "caller" } as const;
/** Enough for an interrupt to take something back. */
const AHEAD_MS = 2000;

/** Options of {@link AgentDemo}. */
export interface AgentDemoOptions {
  /** Port of the relay and the page; 0 picks a free one. */
  readonly port: number;
  readonly logger: Logger;
}

interface AgentDemoParts {
  readonly relay: Relay;
  readonly outline: PageRecording;
  readonly samples: Float32Array;
}

/** An agent to talk to, in one process: relay, a scripted agent that hears its caller, and the page for the caller. */
export class AgentDemo {
  /** Resolves when one of its parts ended: with the reason, or with null after `close`. */
  readonly closed: Promise<Error | null>;
  readonly #relay: Relay;
  readonly #publisher: Publisher;
  readonly #caller: Caller;
  readonly #conversation: Conversation;
  readonly #agent: ScriptedAgent;
  #closing: Promise<void> | undefined;

  private constructor({ relay, outline, samples }: AgentDemoParts, { logger }: AgentDemoOptions) {
    this.#relay = relay;
    const { url } = this;
    this.#publisher = new Publisher({ url, broadcast: BROADCASTS.agent, aheadMs: AHEAD_MS, logger });
    this.#caller = new Caller({
      url,
      broadcast: BROADCASTS.caller,
      agent: this.#publisher,
      model: shippedModel,
      logger,
    });
    this.#conversation = new Conversation({ caller: this.#caller, publisher: this.#publisher });
    this.#agent = new ScriptedAgent({ conversation: this.#conversation, caller: this.#caller, outline, samples });
    this.closed = Promise.race([this.#publisher.closed, this.#caller.closed]);
    this.#agent.start();
  }

  /** Starts all parts. Throws errors of the relay, such as a `TransportError` `PORT_IN_USE`. */
  static async start(options: AgentDemoOptions): Promise<AgentDemo> {
    let demo: AgentDemo | undefined;
    const [outline, samples] = await Promise.all([readOutline(), readWhole(RECORDING.clean)]);
    const page = pageHandler({
      control: (request) => demo?.control(request),
      stats: () => demo?.pageStats(),
      recording: outline,
    });
    const handler: RequestListener = (request, response) => {
      if (!page(request, response)) response.writeHead(404, { "content-type": "text/plain" }).end("Not found.\n");
    };
    const relay = new Relay({ port: options.port, handler, logger: options.logger });
    await relay.listen();
    demo = new AgentDemo({ relay, outline, samples }, options);
    return demo;
  }

  /** URL of the relay. */
  get url(): string {
    return `http://127.0.0.1:${this.#relay.address.port}`;
  }

  /** URL of the page. */
  get pageUrl(): string {
    return `http://localhost:${this.#relay.address.port}`;
  }

  /** The page's numbers. */
  pageStats(): PageStats {
    const { listeners, frontierUs } = this.#publisher.stats();
    const caller = { broadcast: BROADCASTS.caller, isSpeaking: this.#caller.speaking };
    return { listeners, frontierUs, spoken: this.#agent.stats(), caller };
  }

  /** Runs a request of the page. @throws InputError `INVALID_OPTION` for one that an agent lacks. */
  async control({ op }: ControlRequest): Promise<unknown> {
    if (op === "resume") return this.#agent.resume();
    if (op !== "interrupt") throw new InputError("INVALID_OPTION", `The agent has nothing to ${op}.`);
    return { heard: await this.#agent.interrupt() } satisfies InterruptReply;
  }

  /** Lets a recorded caller speak over the agent, and judges the result. Ends early at the abort of the signal. */
  rehearse(source: AudioSource, signal: AbortSignal): Promise<AgentVerdict> {
    return rehearse({
      source,
      signal,
      url: this.url,
      broadcasts: BROADCASTS,
      agent: this.#agent,
      caller: this.#caller,
      conversation: this.#conversation,
      publisher: this.#publisher,
    });
  }

  /** Ends all parts; idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#agent.close();
    this.#conversation.close();
    await this.#caller.close();
    await this.#publisher.close();
    await this.#relay.close();
  }
}
