import type { Command } from "../command.js";

/** A subcommand's line in `--help`; everything else is loaded when it is called for. */
export interface CommandEntry {
  readonly name: string;
  /** One sentence for the list of commands. */
  readonly summary: string;
  load(): Promise<Command>;
}

/** Every subcommand of `unsay`, in the order `--help` lists them. Each loads alone: all of them take half a second. */
export const commands: readonly CommandEntry[] = [
  {
    name: "demo",
    summary: "Run relay, publisher, a listener and a page to play with, on an embedded recording.",
    load: async () => (await import("./demo.js")).demo,
  },
  {
    name: "relay",
    summary: "Take broadcasts and fan them out to watchers, over QUIC and WebSocket.",
    load: async () => (await import("./relay.js")).relay,
  },
  {
    name: "publish",
    summary: "Denoise a recording or live audio and publish it.",
    load: async () => (await import("./publish.js")).publish,
  },
  {
    name: "watch",
    summary: "Play a broadcast into a file, a pipe or a live meter.",
    load: async () => (await import("./watch.js")).watch,
  },
  {
    name: "call",
    summary: "Call a bot over Twilio's Media Streams and publish its voice.",
    load: async () => (await import("./call.js")).call,
  },
  {
    name: "agent",
    summary: "Open a local WebSocket that speaks Realtime audio events, for agents in any language.",
    load: async () => (await import("./agent.js")).agent,
  },
  {
    name: "page",
    summary: "Write a page that plays a broadcast, for any web server.",
    load: async () => (await import("./page.js")).page,
  },
  {
    name: "control",
    summary: "Control a publisher remotely: settings, model, source, spliced audio.",
    load: async () => (await import("./control.js")).control,
  },
  {
    name: "token",
    summary: "Create keys, and tokens that permit publishing and watching.",
    load: async () => (await import("./token.js")).token,
  },
  {
    name: "bench",
    summary: "Load a relay with a publisher and many watchers, and report what arrived and when.",
    load: async () => (await import("./bench.js")).bench,
  },
];
