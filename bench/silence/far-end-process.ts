import "../../base/polyfills.js";
import { microseconds } from "../../base/index.js";
import { type Impairment, impair } from "../../tests/support/impairment.js";
import { Listener, type ListenerStats } from "../../watch/index.js";
import { shared } from "../support/clock.js";
import { serve } from "../support/remote.js";
import type { FarEndCalls } from "./far-end.js";
import { FlushWatch, heardAfterInterrupt, reachedAt } from "./record.js";
import { StallWatch } from "./stalls.js";

/** Interval of pulls, and so the resolution of the record. */
const PULL_MS = 2;
/** How long to wait for the broadcast. */
const TIMEOUT_MS = 60_000;

interface Ear {
  readonly proxy: Impairment;
  readonly listener: Listener;
  flush: FlushWatch | undefined;
  before: ListenerStats | undefined;
}

const ears = new Map<number, Ear>();
const stalls = new StallWatch();

function find(id: number): Ear {
  const found = ears.get(id);
  if (found === undefined) throw new Error(`There is no listener ${id}.`);
  return found;
}

serve<FarEndCalls>({
  async open({ id, port, certificateHash, broadcast, link, seed }) {
    const proxy = await impair({ target: { host: "127.0.0.1", port }, up: link, down: link, seed });
    const listener = new Listener({
      url: `https://127.0.0.1:${proxy.port}`,
      broadcast,
      pullIntervalMs: PULL_MS,
      timeoutMs: TIMEOUT_MS,
      connect: { backends: ["quic"], certificateHashes: [Buffer.from(certificateHash, "hex")] },
    });
    listener.closed.catch(() => {});
    ears.set(id, { proxy, listener, flush: undefined, before: undefined });
  },
  stats: (id) => find(id).listener.stats(),
  arm(id) {
    const found = find(id);
    found.flush?.stop();
    found.flush = new FlushWatch(found.listener);
    found.before = found.listener.stats();
  },
  outcome(id, { calledAt, epoch, reply }) {
    const { listener, flush, before } = find(id);
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
  reached(id, time) {
    const at = reachedAt(find(id).listener.record, time);
    return at && shared(at);
  },
  async close(id) {
    const { listener, proxy } = find(id);
    ears.delete(id);
    await listener.close();
    await proxy.close();
  },
  stalls: (from, until) => stalls.between(from, until),
});
