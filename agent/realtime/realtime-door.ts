import { EventEmitter, once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { type RawData, type WebSocket, WebSocketServer } from "ws";
import { z } from "zod";
import { whyUnusable } from "../../base/bytes/bounded-file.js";
import {
  attachLogger,
  guard,
  guardHandlers,
  type Logger,
  ProtocolError,
  StateError,
  TransportError,
  validate,
} from "../../base/index.js";
import type { Publisher } from "../../publisher/index.js";
import type { Caller } from "../caller/caller.js";
import { partSchemas } from "../options.js";
import { Problems } from "../problems.js";
import { DoorAgent } from "./door-agent.js";
import { MAX_EVENT_CHARACTERS } from "./realtime-event.js";
import { RealtimePlayback } from "./realtime-playback.js";

/** Options of {@link RealtimeDoor}. */
export interface RealtimeDoorOptions {
  /** Says the agent's audio. Not closed with the door. */
  readonly publisher: Publisher;
  /** The person whom the agent hears; their speech interrupts it. Not closed with the door. */
  readonly caller?: Caller;
  /** Default 127.0.0.1: agents of this machine. */
  readonly host?: string;
  /** 0 picks a free one. Default 0. */
  readonly port?: number;
  readonly logger?: Logger;
}

/** Events of a {@link RealtimeDoor}. */
export interface RealtimeDoorEvents {
  /** A fault of an agent, which stays connected. Each kind is reported once. */
  problem: [Error];
}

const optionsSchema = z.strictObject({
  ...partSchemas,
  caller: partSchemas.caller.optional(),
  logger: partSchemas.logger.optional(),
  host: z.string().min(1).default("127.0.0.1"),
  port: z.number().int().min(0).max(65_535).default(0),
});
/** An agent is one connection; this is far more than come by mistake. */
const MAX_CONNECTIONS = 64;
/** How long a connection may take to become a WebSocket. */
const REQUEST_MS = 10_000;

/**
 * A local WebSocket for agents in any language. An agent connects and sends audio events of OpenAI's Realtime protocol,
 * its own or the service's, unchanged. It gets `output_audio_buffer.started`, `stopped` and `cleared`,
 * `conversation.item.truncate` with the milliseconds and words that were heard, to be forwarded to the service, and the
 * caller's audio as `input_audio_buffer.append`. One agent at a time: the newest replaces the one before, whose audio is
 * said to its end, or interrupted with that of the newest.
 */
export class RealtimeDoor extends EventEmitter<RealtimeDoorEvents> {
  readonly #options: z.output<typeof optionsSchema>;
  /** One for all agents: the speech of an agent that has left can still be interrupted. */
  readonly #playback: RealtimePlayback;
  readonly #caller: Caller | undefined;
  readonly #logger: Logger | undefined;
  readonly #requestMs: number;
  readonly #problems = new Problems();
  #server: Server | undefined;
  #isOpening = false;
  #isClosed = false;
  readonly #sockets = new Set<Socket>();
  #agent: DoorAgent | undefined;
  #detachLogger = () => {};
  readonly #speech = () => this.#agent?.callerSpoke();
  readonly #silence = () => this.#agent?.callerFellSilent();

  /** @throws InputError `INVALID_OPTION`. */
  constructor(options: RealtimeDoorOptions, /** @internal */ requestMs = REQUEST_MS) {
    super();
    this.#requestMs = requestMs;
    guardHandlers(this);
    this.#options = validate("RealtimeDoor", optionsSchema, options);
    this.#playback = new RealtimePlayback(this.#options.publisher);
    this.#caller = this.#options.caller;
    this.#logger = this.#options.logger;
  }

  /** Address for agents. @throws StateError `NOT_LISTENING` before `listen`. */
  get url(): string {
    const address = this.#server?.address();
    if (address == null) {
      throw new StateError("NOT_LISTENING", "The door has an address once listen() has resolved.");
    }
    const { port } = address as AddressInfo;
    return `ws://${this.#options.host.includes(":") ? `[${this.#options.host}]` : this.#options.host}:${port}`;
  }

  /**
   * Opens the door.
   *
   * @throws TransportError `PORT_IN_USE` or `PORT_UNUSABLE`; StateError `ALREADY_LISTENING`, or `CLOSED` after `close()`.
   */
  async listen(): Promise<void> {
    if (this.#isOpening || this.#server !== undefined)
      throw new StateError("ALREADY_LISTENING", "listen() was called before.");
    this.#assertOpen();
    this.#isOpening = true;
    try {
      await this.#open();
    } finally {
      this.#isOpening = false;
    }
  }

  async #open(): Promise<void> {
    const { host, port } = this.#options;
    const timeouts = { headersTimeout: this.#requestMs, requestTimeout: this.#requestMs };
    const http = createServer({ ...timeouts, connectionsCheckingInterval: this.#requestMs / 10 }, refuseRequest);
    http.maxConnections = MAX_CONNECTIONS;
    http.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
    const agents = new WebSocketServer({
      server: http,
      maxPayload: 2 * MAX_EVENT_CHARACTERS,
      verifyClient: isNoPage,
    });
    try {
      http.listen(port, host);
      await once(agents, "listening");
    } catch (cause) {
      const isTaken = (cause as NodeJS.ErrnoException).code === "EADDRINUSE";
      throw new TransportError(
        isTaken ? "PORT_IN_USE" : "PORT_UNUSABLE",
        `The port ${port} of ${host} ${isTaken ? "is in use" : `can't be used: ${whyUnusable(cause)}`}.`,
        { cause },
      );
    }
    if (this.#isClosed) http.close();
    this.#assertOpen();
    this.#server = http;
    if (this.#logger) this.#detachLogger = attachLogger(this.#logger);
    agents.on("connection", (socket) => this.#accept(socket));
    this.#caller?.on("speech", this.#speech);
    this.#caller?.on("silence", this.#silence);
  }

  /** Closes the door, and the agent's connection; audio already received is still said. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#caller?.off("speech", this.#speech);
    this.#caller?.off("silence", this.#silence);
    this.#agent?.close();
    this.#detachLogger();
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new StateError("CLOSED", "The door was used after close().");
  }

  #accept(socket: WebSocket): void {
    this.#agent?.close("Another agent has taken the place of this one.");
    const agent = new DoorAgent(socket, this.#playback, this.#caller);
    this.#agent = agent;
    socket.on("error", (error) =>
      this.#problem(new ProtocolError("AGENT_FAILED", `The agent failed: ${error.message}.`)),
    );
    socket.on("close", () => agent.close());
    socket.on(
      "message",
      guard("agent.door", (data: RawData, isBinary: boolean) => {
        const problem = agent.receive(isBinary ? new Uint8Array(0) : String(data));
        if (problem === undefined) return;
        this.#problem(new ProtocolError("AGENT_EVENT", problem));
        agent.refuse(problem);
      }),
    );
  }

  #problem(error: Error): void {
    if (!this.#problems.isNew(error.message)) return;
    this.#logger?.warn({ err: error }, "The door stays open.");
    this.emit("problem", error);
  }
}

function refuseRequest(_: IncomingMessage, response: ServerResponse): void {
  response.writeHead(426, { "content-type": "text/plain", connection: "close" }).end("This is a WebSocket.\n");
}

// Any page in a browser of this machine could connect, and browsers always send its origin.
function isNoPage({ req }: { readonly req: IncomingMessage }): boolean {
  return req.headers.origin === undefined;
}
