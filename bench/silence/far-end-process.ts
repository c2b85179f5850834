import { microseconds } from "../../base/index.js";
import { type Impairment, impair } from "../../tests/support/impairment.js";
import { Listener, type ListenerStats } from "../../watch/index.js";
import { type Answer, type Call, type FarEndCalls, shared } from "./far-end.js";
import { FlushWatch, heardAfterInterrupt, reachedAt } from "./record.js";

/** Pulls this often, so that the record tells when a sample was heard to within this. */
const PULL_MS = 2;
/** How long to wait for the broadcast. */
const TIMEOUT_MS = 25_000;

interface Lane {
  readonly proxy: Impairment;
  readonly listener: Listener;
  flush: FlushWatch | undefined;
  before: ListenerStats | undefined;
}

const lanes = new Map<number, Lane>();

function find(lane: number): Lane {
  const found = lanes.get(lane);
  if (found === undefined) throw new Error(`There is no lane ${lane}.`);
  return found;
}

const calls: FarEndCalls = {
  async open({ lane, port, certificateHash, broadcast, link, seed }) {
    const proxy = await impair({ target: { host: "127.0.0.1", port }, up: link, down: link, seed });
    const listener = new Listener({
      url: `https://127.0.0.1:${proxy.port}`,
      broadcast,
      pullIntervalMs: PULL_MS,
      timeoutMs: TIMEOUT_MS,
      connect: { backends: ["quic"], certificateHashes: [Buffer.from(certificateHash, "hex")] },
    });
    lanes.set(lane, { proxy, listener, flush: undefined, before: undefined });
  },
  stats: (lane) => find(lane).listener.stats(),
  arm(lane) {
    const found = find(lane);
    found.flush?.stop();
    found.flush = new FlushWatch(found.listener);
    found.before = found.listener.stats();
  },
  outcome(lane, { calledAt, epoch, reply }) {
    const { listener, flush, before } = find(lane);
    if (flush?.first === undefined || before === undefined) return undefined;
    const heard = heardAfterInterrupt(listener.record, {
      calledAt: microseconds(shared(calledAt, true)),
      flush: flush.first,
      epoch,
      reply,
    });
    if (heard.replyAt === undefined) return undefined;
    return {
      before,
      flush: flush.first,
      heard: {
        ...heard,
        silentAt: heard.silentAt && microseconds(shared(heard.silentAt)),
        replyAt: microseconds(shared(heard.replyAt)),
      },
      after: listener.stats(),
    };
  },
  reached(lane, time) {
    const at = reachedAt(find(lane).listener.record, time);
    return at && shared(at);
  },
  async close(lane) {
    const { listener, proxy } = find(lane);
    lanes.delete(lane);
    await listener.close();
    await proxy.close();
  },
};

async function answer({ id, name, parameters }: Call): Promise<Answer> {
  try {
    const call = calls[name] as (...parameters: readonly unknown[]) => unknown;
    return { id, value: await call(...parameters) };
  } catch (error) {
    return { id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

// The protocol library tells every step of its own.
console.debug = () => {};
process.on("message", async (call: Call) => process.send?.(await answer(call)));
process.on("disconnect", () => process.exit());
