import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { certificateHash, connectQuic, createCertificate, listenQuic } from "../index.js";
import { FinishedStreams } from "./finished-streams.js";
import type { NativeSendStream } from "./native.js";

/** Answers like the binding for a stream that has ended. */
class Native implements NativeSendStream {
  state: "under way" | "arrived" | "stopped" = "under way";
  readonly calls: string[] = [];

  write = () => Promise.reject(new Error("closed stream"));

  async setPriority(priority: number): Promise<void> {
    this.calls.push(`priority ${priority}`);
    if (this.state === "arrived") throw new Error("closed stream");
  }

  async finish(): Promise<void> {
    this.calls.push("finish");
    if (this.state !== "stopped") throw new Error("closed stream");
  }

  async reset(code: number): Promise<void> {
    this.calls.push(`reset ${code}`);
  }
}

class Stream {
  readonly native = new Native();
  finished: NativeSendStream | undefined = this.native;
  readonly priority = 7;
  settled = false;

  settle(): void {
    this.finished = undefined;
    this.settled = true;
  }
}

describe("what is followed after its end", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test("streams are checked in the order of their ends, once each, and only the oldest while it is in flight", async () => {
    const finished = new FinishedStreams();
    const streams = Array.from({ length: 5 }, () => new Stream());
    const settled = () => streams.map((stream) => stream.settled);
    for (const stream of streams) finished.add(stream);
    for (const { native } of streams.slice(1)) native.state = "arrived";
    await vi.advanceTimersByTimeAsync(90);
    expect(streams.flatMap(({ native }) => native.calls)).toEqual([]);
    await vi.advanceTimersByTimeAsync(1000);
    expect(settled()).toEqual([false, false, false, false, false]);
    expect(streams[0]!.native.calls.slice(0, 4)).toEqual(["priority 7", "finish", "priority 7", "finish"]);
    expect(streams[0]!.native.calls.length).toBeLessThan(10);
    expect(streams.slice(1).flatMap(({ native }) => native.calls)).toEqual([]);
    streams[0]!.native.state = "arrived";
    await vi.advanceTimersByTimeAsync(1500);
    expect(settled()).toEqual([true, true, true, true, true]);
    for (const { native } of streams.slice(1)) expect(native.calls).toEqual(["priority 7"]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("a stopped stream is given up, a reset one skipped, and none is checked after the end", async () => {
    const finished = new FinishedStreams();
    const [stopped, reset, arrived, late] = [new Stream(), new Stream(), new Stream(), new Stream()];
    for (const stream of [stopped, reset, arrived]) finished.add(stream);
    stopped.native.state = "stopped";
    reset.settle();
    arrived.native.state = "arrived";
    await vi.advanceTimersByTimeAsync(500);
    expect(stopped.native.calls).toEqual(["priority 7", "finish", "reset 0"]);
    expect(reset.native.calls).toEqual([]);
    expect([stopped.settled, arrived.settled]).toEqual([true, true]);
    finished.add(late);
    finished.close();
    finished.add(late);
    await vi.advanceTimersByTimeAsync(1000);
    expect(late.native.calls).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });
});

test("over QUIC a stream settles some time after its end, whether it was read, stopped, reset or neither", async () => {
  const certificate = await createCertificate();
  const server = await listenQuic({ host: "127.0.0.1", port: 0, certificate });
  const accepting = server.accept();
  const connecting = connectQuic(new URL(`https://127.0.0.1:${server.address.port}/`), {
    certificateHashes: [Buffer.from(certificateHash(certificate.cert), "hex")],
  });
  const served = (await (await accepting)?.accept())!;
  const client = await connecting;
  const open = async (first: number) => {
    const send = await served.openUnidirectional({ priority: first });
    await send.write(Uint8Array.of(first));
    return { send, receive: (await client.acceptUnidirectional())! };
  };
  const [read, stopped, reset, unread] = [await open(1), await open(2), await open(3), await open(4)];
  stopped.receive.stop(9);
  reset.send.reset(9);
  for (const { send } of [read, stopped, unread]) {
    expect(send.settled).toBe(false);
    await send.finish();
  }
  await read.receive.read();
  for (const { send } of [read, stopped, reset, unread]) await expect.poll(() => send.settled).toBe(true);
  expect(await unread.receive.read()).toEqual(Uint8Array.of(4));
  expect(await unread.receive.read()).toBeUndefined();
  client.close();
  await served.closed;
  await server.close();
});
