import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { afterEach, expect, test } from "vitest";
import { StockRelay } from "../../bench/fanout/stock.js";
import { modelPayload, openSource, Publisher } from "../../publisher/index.js";
import { Controller } from "../../watch/index.js";

const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

test.each(["quic", "qmux"] as const)(
  "a stock relay carries operations, payloads and answers, over %s",
  async (backend) => {
    const relay = await StockRelay.start();
    closers.push(() => relay.end());
    const { url } = relay;
    const connect = { backends: [backend] };
    const model = "publisher/denoise/fixtures/tiny.onnx";
    const publisher = new Publisher({ url, connect, model, aheadMs: 500, control: true });
    closers.push(() => publisher.close());
    publisher.say(await openSource({ file: "examples/audio/noisy-speech.wav", loop: true }));
    const controller = new Controller({ url, broadcast: "demo", connect, timeoutMs: 30_000 });
    closers.push(() => controller.close());

    expect(await controller.send({ op: "set", knobs: { strength: 0.25 } })).toMatchObject({ outcome: "applied" });
    expect(publisher.knobs.strength).toBe(0.25);
    const [sidecar, onnx] = await Promise.all(
      ["json", "onnx"].map((end) => readFile(`publisher/denoise/fixtures/other.${end}`)),
    );
    expect(await controller.send({ op: "model" }, modelPayload(sidecar!, onnx!))).toMatchObject({ outcome: "applied" });
    const rubbish = await controller.send({ op: "model" }, new Uint8Array(randomBytes(200_000)));
    expect(rubbish).toMatchObject({ outcome: "failed", reason: expect.stringContaining("sidecar") });
    expect(publisher.stats().control).toMatchObject({
      controllers: 1,
      requests: 3,
      applied: 2,
      failed: 1,
      payloads: 0,
    });
  },
);
