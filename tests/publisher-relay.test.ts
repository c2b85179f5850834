import { expect, test } from "vitest";
import { heardBefore, inReserve, PATIENT, Stage, say, sleep, tone, until } from "./support/stage.js";

test.concurrent("a publisher learns after an interrupt how far each listener heard, never beyond what its speaker played", async () => {
  await using stage = new Stage();
  const relay = await stage.relay();
  const publisher = stage.publish(relay, { source: await tone(), aheadMs: 8000 }, PATIENT);
  const listeners = [stage.listen(relay), stage.listen(relay)];
  await inReserve(publisher, ...listeners);
  const interruption = publisher.interrupt();
  const reply = say(publisher, await tone({ ms: 300, hz: 880 }));
  const { heardUntil, perListener, to, rewound } = await interruption;
  expect(rewound).toBe(true);
  expect(perListener.map(({ measured }) => measured)).toEqual([true, true]);
  const reported = perListener.map((one) => one.heardUntil as number).sort((a, b) => a - b);
  expect(heardUntil).toBe(reported[0]);
  expect(await reply.done).toMatchObject({ outcome: "finished" });
  await until("both heard the reply", () =>
    listeners.every((listener) => (listener.stats().playheadUs ?? 0) > to + 300_000),
  );
  // Audio before the cut was still played after the report.
  const ends = listeners.map((listener) => heardBefore(listener, 1)).sort((a, b) => a - b);
  ends.forEach((end, i) => {
    expect(reported[i]! - end).toBeLessThanOrEqual(1);
    expect(reported[i]! - end).toBeGreaterThanOrEqual(-20_000);
  });
  for (const listener of listeners) expect(listener.stats()).toMatchObject({ staleMs: 0, discontinuities: 1 });
});

test.concurrent("a publisher sends several frames in a group without a hole, a delay or a stale sample, with datagrams or without", async () => {
  await using stage = new Stage();
  const relay = await stage.relay();
  const publisher = stage.publish(relay, { source: await tone(), aheadMs: 4000, groupFrames: 5 }, PATIENT);
  const listeners = (["quic", "qmux"] as const).map((backend) =>
    stage.listen(relay, { connect: { backends: [backend] } }),
  );
  await inReserve(publisher, ...listeners);
  const before = publisher.stats();
  expect(before.frontierUs / 20_000 / before.groups).toBeGreaterThan(4);
  const interruption = publisher.interrupt();
  // Thirteen frames: groups of one, five, five and two.
  const reply = say(publisher, await tone({ ms: 260, hz: 880 }));
  const { heardUntil, perListener, to } = await interruption;
  expect(perListener).toHaveLength(2);
  expect(await reply.done).toMatchObject({ outcome: "finished" });
  expect(publisher.stats().epoch).toBe(1);
  await until("both heard the reply", () =>
    listeners.every((listener) => (listener.stats().playheadUs ?? 0) > to + 400_000),
  );
  const ends = listeners.map((listener) => heardBefore(listener, 1));
  expect(Math.abs(heardUntil - Math.min(...ends))).toBeLessThan(20_000);
  for (const listener of listeners) {
    expect(listener.stats()).toMatchObject({ staleMs: 0, discontinuities: 1 });
    const heard = listener.record.filter((run) => run.epoch === 1 && run.timestamp !== undefined);
    expect(heard.reduce((sum, run) => sum + run.frames, 0)).toBeGreaterThanOrEqual(0.26 * 48_000);
  }
  // The news of the rewind, and again; everything else goes in groups.
  const { datagramsOut, repeatsOut } = relay.stats().counters;
  expect(datagramsOut - repeatsOut).toBe(1);
  // A group that stood open does not keep what comes later.
  say(publisher, await tone({ ms: 2000, hz: 660 }));
  await until("both hear what comes after a pause", () =>
    listeners.every((listener) => listener.stats().playing && (listener.stats().playheadUs ?? 0) > to + 1_000_000),
  );
});

test.concurrent("a listener keeps playing after a resume, and a late listener starts where the others are", async () => {
  await using stage = new Stage();
  const relay = await stage.relay();
  const publisher = stage.publish(relay, { source: await tone(), aheadMs: 4000 });
  const first = stage.listen(relay);
  await inReserve(publisher, first);
  await publisher.interrupt();
  expect(publisher.resume()).toBeDefined();
  await until("it plays on", () => first.stats().discontinuities === 1 && first.stats().playing);
  const late = stage.listen(relay);
  await until("the late one plays", () => late.stats().playing && late.stats().playedMs > 300);
  const distance = (late.stats().playheadUs ?? 0) - (first.stats().playheadUs ?? 0);
  expect(Math.abs(distance)).toBeLessThan(1_000_000);
  expect(first.stats().staleMs + late.stats().staleMs).toBe(0);
});

test.concurrent("the first listener after a time without any starts at the audio that is due now", async () => {
  await using stage = new Stage();
  const relay = await stage.relay();
  const publisher = stage.publish(relay, { source: await tone(), aheadMs: 8000 }, PATIENT);
  await until("connected", () => publisher.stats().connected);
  await sleep(1500);
  const listener = stage.listen(relay);
  await until("it plays", () => listener.stats().playing);
  const { playheadUs } = listener.stats();
  expect(Math.abs((playheadUs ?? 0) - publisher.stats().playheadUs)).toBeLessThan(1_500_000);
});

test.concurrent("what a publisher says while its session is being opened is heard from its start by a listener that waits", async () => {
  await using stage = new Stage();
  const relay = await stage.relay();
  const listener = stage.listen(relay);
  await until("the listener is there", () => listener.stats().state === "waiting");
  // Opening a session takes four round trips, and the listener's subscription two more.
  const { port } = await stage.link(relay, { delayMs: 150 });
  const certificateHashes = [Buffer.from(relay.fingerprint, "hex")];
  const publisher = stage.publish(`https://127.0.0.1:${port}`, { connect: { backends: ["quic"], certificateHashes } });
  const { outcome, listeners } = await say(publisher, await tone({ ms: 1000 })).done;
  expect(outcome).toBe("finished");
  expect(listeners).toMatchObject([{ heardMs: 1000, measured: true }]);
  const heard = listener.record.filter(({ timestamp }) => timestamp !== undefined);
  expect(heard.reduce((sum, { frames }) => sum + frames, 0)).toBeGreaterThanOrEqual(48_000);
});

test.concurrent("what was closed in mid-speech says neither that it is connected nor that it plays", async () => {
  await using stage = new Stage();
  const relay = await stage.relay();
  const publisher = stage.publish(relay, { source: await tone() }, PATIENT);
  const listener = stage.listen(relay);
  await until("audio", () => listener.stats().playing && listener.stats().levelDb > -60);
  expect(publisher.stats().connected).toBe(true);
  await Promise.all([listener.close(), publisher.close()]);
  const silent = { playing: false, voice: undefined, levelDb: -120, bufferMs: 0, backend: undefined };
  expect(listener.stats()).toMatchObject({ state: "closed", ...silent });
  expect(publisher.stats()).toMatchObject({ connected: false, listeners: 0, voiceActivity: 0 });
});
