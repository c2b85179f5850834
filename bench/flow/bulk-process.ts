import { type Impairment, impair, type Link } from "../../tests/support/impairment.js";
import { Listener } from "../../watch/index.js";
import { type RemoteProcess, serve, startRemote } from "../support/remote.js";
import { BulkEnd, type BulkEndOptions } from "./bulk-end.js";

/** Calls to the process with the far end of a link. */
export interface BulkCalls {
  /** Connects through a link, and listens to a broadcast where one is named. */
  open(
    options: BulkEndOptions & { readonly link: Link; readonly seed: number; readonly listen?: string },
  ): Promise<void>;
  /** See {@link BulkEnd}. */
  prepare(bytes: number, seed: number): Promise<string>;
  send(): Promise<number>;
  startProbes(): void;
  takeProbes(): number[];
  received(): string[];
  /** The most bytes that ever waited at the bottleneck, each way. */
  backlog(): { readonly up: number; readonly down: number };
  /** Whether the listener plays, and milliseconds of silence it had. */
  heard(): { readonly playing: boolean; readonly underrunMs: number };
  close(): Promise<void>;
}

/** Starts the process. */
export function startBulkProcess(): Promise<RemoteProcess<BulkCalls>> {
  return startRemote<BulkCalls>(new URL(import.meta.url));
}

let proxy: Impairment | undefined;
let end: BulkEnd | undefined;
let listener: Listener | undefined;

const calls: BulkCalls = {
  async open({ link, seed, listen, ...options }) {
    proxy = await impair({ target: { host: "127.0.0.1", port: options.port }, up: link, down: link, seed });
    const { port } = proxy;
    end = await BulkEnd.open({ ...options, port });
    if (listen === undefined) return;
    const certificateHashes = [Buffer.from(options.certificateHash, "hex")];
    listener = new Listener({
      url: `https://127.0.0.1:${port}`,
      broadcast: listen,
      timeoutMs: 25_000,
      connect: { backends: ["quic"], certificateHashes },
    });
  },
  prepare: (bytes, seed) => end!.prepare(bytes, seed),
  send: () => end!.send(),
  startProbes: () => end!.startProbes(),
  takeProbes: () => end!.takeProbes(),
  received: () => end!.received(),
  backlog() {
    const { up, down } = proxy!.stats();
    return { up: up.maxBacklogBytes, down: down.maxBacklogBytes };
  },
  heard() {
    const { playing, underrunMs } = listener!.stats();
    return { playing, underrunMs };
  },
  async close() {
    await listener?.close();
    await end?.close();
    await proxy?.close();
    listener = undefined;
  },
};

if (process.send !== undefined) serve(calls);
