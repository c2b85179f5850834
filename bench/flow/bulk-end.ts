import { webcrypto } from "node:crypto";
import * as Moq from "@kixelated/moq";
import { monotonicClock } from "../../base/index.js";
import { type ControlEvent, parseOperation } from "../../flow/control/index.js";
import { RemoteControl } from "../../publisher/control/remote-control.js";
import { connect, type Session, toWebTransport } from "../../transport/index.js";
import { Controller } from "../../watch/index.js";
import { seededRandom } from "../harness.js";

/** Where an end connects, and as whom. */
export interface BulkEndOptions {
  readonly port: number;
  /** In hex. */
  readonly certificateHash: string;
  /** Broadcast that it takes operations for. */
  readonly own: string;
  /** Broadcast that it sends operations to. */
  readonly other: string;
}

const PROBE_EVERY_MS = 50;
const PROBE_TIMEOUT_MS = 20_000;

/** One end of a link: takes payloads and answers, and sends them to the other end. */
export class BulkEnd {
  readonly #remote: RemoteControl;
  readonly #session: Session;
  readonly #bulk: Controller;
  readonly #probe: Controller;
  readonly #received: string[] = [];
  readonly #probesMs: number[] = [];
  #payload = new Uint8Array();
  #probing: Promise<void> | undefined;
  #closed = false;

  private constructor(remote: RemoteControl, session: Session, bulk: Controller, probe: Controller) {
    this.#remote = remote;
    this.#session = session;
    this.#bulk = bulk;
    this.#probe = probe;
  }

  /** Connects. */
  static async open({ port, certificateHash, own, other }: BulkEndOptions): Promise<BulkEnd> {
    const options = { backends: ["quic" as const], certificateHashes: [Buffer.from(certificateHash, "hex")] };
    const url = `https://127.0.0.1:${port}`;
    const session = await connect(new URL(url), options);
    const remote = new RemoteControl({
      broadcast: own,
      clock: monotonicClock,
      logger: { debug: () => {}, info: () => {}, warn: () => {} },
      async control(value, payload): Promise<ControlEvent> {
        const { op, requestId } = parseOperation(value, payload);
        if (payload !== undefined) end.#received.push(await hashOf(payload));
        return { outcome: "applied", op, requestId, controlEpoch: 0, reason: undefined };
      },
    });
    const control = () => new Controller({ url, broadcast: other, connect: options, timeoutMs: PROBE_TIMEOUT_MS });
    // Requests of one controller are done in their order, so the probes need another.
    const end: BulkEnd = new BulkEnd(remote, session, control(), control());
    const connection = await Moq.Connection.connect(new URL(session.url), { transport: toWebTransport(session) });
    const broadcast = new Moq.Broadcast.Producer();
    remote.attach(broadcast, connection);
    connection.publish(Moq.Path.from(`${own}.hang`), broadcast);
    return end;
  }

  /** Creates the random bytes to send, which blocks for a moment; returns their hash. */
  prepare(bytes: number, seed: number): Promise<string> {
    const random = seededRandom(seed);
    this.#payload = new Uint8Array(bytes);
    const words = new Uint32Array(this.#payload.buffer);
    for (let index = 0; index < words.length; index++) words[index] = random() * 2 ** 32;
    return hashOf(this.#payload);
  }

  /** Sends what was prepared; resolves with the milliseconds it took until the other end had all. */
  async send(): Promise<number> {
    const startedAt = performance.now();
    await this.#bulk.send({ op: "model" }, this.#payload);
    return performance.now() - startedAt;
  }

  /** Begins to send small requests one after the other. */
  startProbes(): void {
    this.#probing ??= this.#probeOnAndOn();
  }

  /** The round trips of the small requests since the last call, in milliseconds. */
  takeProbes(): number[] {
    return this.#probesMs.splice(0);
  }

  /** Hashes of what came. */
  received(): string[] {
    return [...this.#received];
  }

  /** Ends it. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#bulk.close(), this.#probe.close()]);
    await this.#probing;
    await this.#remote.close();
    this.#session.close();
  }

  async #probeOnAndOn(): Promise<void> {
    for (let turn = 0; !this.#closed; turn = (turn + 1) % 100) {
      const startedAt = performance.now();
      try {
        await this.#probe.send({ op: "set", knobs: { strength: turn / 100 } });
        this.#probesMs.push(performance.now() - startedAt);
      } catch {
        // The end is closing, or the answer never came: the number of probes shows the missing one.
      }
      await new Promise((resolve) => setTimeout(resolve, PROBE_EVERY_MS));
    }
  }
}

// Off the event loop: the relay may live in this process.
async function hashOf(bytes: Uint8Array): Promise<string> {
  return Buffer.from(await webcrypto.subtle.digest("SHA-256", bytes)).toString("hex");
}
