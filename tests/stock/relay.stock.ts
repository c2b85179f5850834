import { afterEach, expect, test } from "vitest";
import { StockRelay } from "../../bench/fanout/stock.js";
import { type AudioSource, openSource, Publisher, type PublisherOptions } from "../../publisher/index.js";
import { Relay } from "../../relay/index.js";
import { Listener, type ListenerOptions } from "../../watch/index.js";

const closers: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function stock(...peers: readonly string[]): Promise<StockRelay> {
  const relay = await StockRelay.start({ peers });
  closers.push(() => relay.end());
  return relay;
}

function publish(url: string, options: Partial<PublisherOptions>): Publisher {
  const publisher = new Publisher({ url, ...options });
  closers.push(() => publisher.close());
  return publisher;
}

function listen(url: string, options: Partial<ListenerOptions> = {}): Listener {
  const listener = new Listener({ url, broadcast: "demo", ...options });
  listener.closed.catch(() => {});
  closers.push(async () => listener.close());
  return listener;
}

function speech(seconds: number, hz: number): Promise<AudioSource> {
  const samples = Float32Array.from(
    { length: seconds * 48_000 },
    (_, index) => 0.3 * Math.sin((2 * Math.PI * hz * index) / 48_000),
  );
  return openSource({ samples, name: `${hz} Hz` });
}

/** Takes speech back while it plays, answers, and checks with the virtual speakers that nothing stale was heard. */
async function interruptHeard(publisher: Publisher, listeners: readonly Listener[]): Promise<void> {
  await expect.poll(() => listeners.every((one) => one.stats().playing && one.stats().bufferMs > 500)).toBe(true);
  await expect.poll(() => publisher.stats().listeners).toBe(listeners.length);
  const interruption = publisher.interrupt();
  const reply = publisher.say(await speech(1, 880));
  const { rewound, perListener } = await interruption;
  expect(rewound).toBe(true);
  expect(perListener.map(({ measured }) => measured)).toEqual(listeners.map(() => true));
  expect(await reply.done).toMatchObject({ outcome: "finished" });
  await expect.poll(() => listeners.map((one) => one.stats().discontinuities)).toEqual(listeners.map(() => 1));
  await expect
    .poll(() =>
      listeners.every((one) => one.record.some(({ epoch, timestamp }) => epoch === 1 && timestamp !== undefined)),
    )
    .toBe(true);
  for (const listener of listeners) expect(listener.stats().staleMs).toBe(0);
}

test.each(["quic", "qmux"] as const)(
  "a stock relay carries a take-back to our listeners and their reports to our publisher, over %s",
  async (backend) => {
    const { url } = await stock();
    const connect = { backends: [backend] };
    const publisher = publish(url, { source: await speech(60, 440), aheadMs: 4000, connect });
    await interruptHeard(publisher, [listen(url, { connect }), listen(url, { connect })]);
  },
);

test.each(["quic", "qmux"] as const)(
  "our relay serves its stock upstream's broadcasts, rewinds included, and reports to the publisher what was heard, over %s",
  async (backend) => {
    const origin = await stock();
    const publisher = publish(origin.url, { source: await speech(60, 440), aheadMs: 4000 });
    const edge = new Relay({ port: 0, upstream: { url: origin.url, backends: [backend] } });
    closers.push(() => edge.close());
    const { port } = await edge.listen();
    await expect.poll(() => edge.stats().broadcasts).toBe(1);
    const url = `http://127.0.0.1:${port}`;
    await interruptHeard(publisher, [listen(url), listen(url)]);
    // What the stock relay still sends of the old timeline ends here, and so do reports from elsewhere.
    expect(edge.stats().counters.rewinds).toBeGreaterThan(0);
    expect(edge.stats().broadcasts).toBe(1);
  },
);

test("a publisher hears of listeners at the far end of a cluster and of those behind an edge of ours alike", async () => {
  const far = await stock();
  const near = await stock(far.url);
  const publisher = publish(far.url, { source: await speech(60, 440), aheadMs: 4000 });
  const edge = new Relay({ port: 0, upstream: { url: near.url } });
  closers.push(() => edge.close());
  const { port } = await edge.listen();
  await expect.poll(() => edge.stats().broadcasts).toBe(1);
  const behind = `http://127.0.0.1:${port}`;
  await interruptHeard(publisher, [listen(near.url), listen(behind), listen(behind)]);
});

test("a take-back passes a cluster of stock relays from one end to the other, and reports the other way", async () => {
  const far = await stock();
  const near = await stock(far.url);
  const publisher = publish(far.url, { source: await speech(60, 440), aheadMs: 4000 });
  await interruptHeard(publisher, [listen(near.url), listen(far.url)]);
});
