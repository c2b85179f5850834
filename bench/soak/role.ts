/** One role of the soak in a process of its own: `node --expose-gc --import tsx bench/soak/role.ts <JSON of Role>`. */
import "../../base/polyfills.js";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Controller, Listener, openAudio, Publisher, Relay } from "../../src/index.js";
import { pageHandler } from "../../src/page/index.js";

/** Role of a process, as its parent asks for it. */
export type Role =
  | { readonly kind: "relay" }
  | { readonly kind: "publisher" | "streams" | "datagrams" | "churn"; readonly url: string; readonly carrier: Carrier };

/** Carrier of the sessions. */
export type Carrier = "quic" | "qmux";

/** Messages from a process to its parent. */
export type Message =
  | { readonly port: number }
  /** Bytes of the heap and of buffers beside it after a full collection, and groups sent or received so far. */
  | { readonly bytes: number; readonly groups: number };

const SPEECH = fileURLToPath(new URL("../../examples/audio/noisy-speech.wav", import.meta.url));
const BROADCAST = "soak";

// Ctrl-C in a terminal reaches all processes: the parent ends them, once it has printed its table.
process.on("SIGINT", () => {});
process.on("disconnect", () => process.exit());

function send(message: Message): void {
  process.send?.(message);
}

/** Answers every message of the parent with what the heap holds after a collection. */
function measure(groups: () => number): void {
  process.on("message", () => {
    globalThis.gc?.();
    globalThis.gc?.();
    const { heapUsed, external } = process.memoryUsage();
    send({ bytes: heapUsed + external, groups: groups() });
  });
}

async function relay(): Promise<void> {
  const page = pageHandler({ control: () => undefined, stats: () => undefined });
  const relay = new Relay({
    port: 0,
    handler: (request, response) => {
      if (!page(request, response)) response.writeHead(404).end();
    },
  });
  const { port } = await relay.listen();
  send({ port });
  measure(() => relay.stats().counters.objectsIn ?? 0);
}

/** Speaks without end, and is interrupted every few seconds. */
async function publish(url: string, carrier: Carrier): Promise<void> {
  const publisher = new Publisher({ url, broadcast: BROADCAST, connect: { backends: [carrier] }, control: true });
  measure(() => publisher.stats().groups);
  for (let turn = 0; ; turn++) {
    publisher.say(openAudio({ file: SPEECH }));
    await delay(2500);
    publisher.set({ strength: turn % 2 });
    await delay(500);
    await publisher.interrupt();
    await delay(200);
  }
}

async function listen(url: string, carrier: Carrier, report: boolean): Promise<void> {
  const connect = { backends: [carrier] };
  // On a busy machine the publisher comes late.
  const listener = new Listener({ url, broadcast: BROADCAST, connect, report, timeoutMs: 600_000 });
  measure(() => listener.stats().receivedFrames);
  await listener.closed;
  throw new Error("The listener ended.");
}

/** Comes, sends an operation and goes, again and again: what the relay and the publisher hold must not grow with it. */
async function churn(url: string, carrier: Carrier): Promise<void> {
  let times = 0;
  measure(() => times);
  for (;;) {
    const options = { url, broadcast: BROADCAST, connect: { backends: [carrier] } };
    const listener = new Listener(options);
    const controller = new Controller(options);
    await delay(700);
    await controller.send({ op: "set", knobs: { gainDb: times % 3 } }).catch(() => {});
    await Promise.all([controller.close(), listener.close()]);
    times++;
  }
}

const role = JSON.parse(process.argv[2] ?? "") as Role;
process.on("disconnect", () => process.exit());
if (role.kind === "relay") await relay();
else if (role.kind === "publisher") await publish(role.url, role.carrier);
else if (role.kind === "churn") await churn(role.url, role.carrier);
else await listen(role.url, role.carrier, role.kind === "datagrams");
