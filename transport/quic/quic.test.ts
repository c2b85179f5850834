import { Broadcast, Connection, Path, Time } from "@kixelated/moq";
import { expect, test } from "vitest";
import { certificateHash, connectQuic, createCertificate, listenQuic, toWebTransport } from "../index.js";

test("a track published over QUIC is consumed at the other end with moq-lite-05", async () => {
  const certificate = await createCertificate();
  const server = await listenQuic({ host: "127.0.0.1", port: 0, certificate });
  const url = new URL(`https://127.0.0.1:${server.address.port}/room?x=1`);
  const accepting = server.accept();
  const connecting = connectQuic(url, { certificateHashes: [Buffer.from(certificateHash(certificate.cert), "hex")] });
  const request = await accepting;
  expect(request?.url.pathname).toBe("/room");
  expect(request?.url.searchParams.get("x")).toBe("1");
  const theirs = await request!.accept();
  const ours = await connecting;
  expect([ours.protocol, theirs.protocol]).toEqual(["moq-lite-05", "moq-lite-05"]);

  const tapped: Uint8Array[] = [];
  const transport = toWebTransport(theirs, {
    tap: (datagram) => {
      if (datagram[0] !== 0xee) return false;
      tapped.push(datagram);
      return true;
    },
  });
  const [publisher, listener] = await Promise.all([
    Connection.accept(transport, theirs.url),
    Connection.connect(url, { transport: toWebTransport(ours) }),
  ]);
  expect(listener.version).toBe("moq-lite-05");

  const broadcast = new Broadcast.Producer();
  const path = Path.from("demo.hang");
  publisher.publish(path, broadcast);
  const serving = (async () => {
    for (;;) {
      const requested = await broadcast.requested();
      if (!requested) return;
      const track = requested.accept();
      track.writeFrame({ payload: Uint8Array.of(1, 2, 3), timestamp: Time.Timestamp.fromMicros(20_000 as Time.Micro) });
    }
  })();

  const announced = await listener.announced().next();
  expect(announced?.path).toBe("demo.hang");
  const track = listener.consume(path).track("audio").subscribe();
  const group = await track.nextGroup();
  expect((await group?.readFrame())?.payload).toEqual(Uint8Array.of(1, 2, 3));

  expect(ours.datagrams?.send(Uint8Array.of(0xee, 9))).toBe(true);
  await expect.poll(() => tapped.length).toBe(1);
  expect([...tapped[0]!]).toEqual([0xee, 9]);

  ours.close({ closeCode: 7, reason: "enough" });
  expect(await theirs.closed).toEqual({ closeCode: 7, reason: "enough" });
  broadcast.close();
  await serving;
  await server.close();
  expect(await server.accept()).toBeUndefined();
});

test("a new certificate ends the sessions, and clients that trust it return to the same port and the same accept", async () => {
  const [first, second] = [await createCertificate(), await createCertificate()];
  const server = await listenQuic({ host: "127.0.0.1", port: 0, certificate: first });
  const url = new URL(`https://127.0.0.1:${server.address.port}/`);
  const dial = (certificate: { cert: string }) =>
    connectQuic(url, { certificateHashes: [Buffer.from(certificateHash(certificate.cert), "hex")] });
  const [before] = await Promise.all([dial(first), server.accept().then((request) => request?.accept())]);
  const accepting = server.accept();
  await server.setCertificate?.(second);
  await before.closed;
  await expect(dial(first)).rejects.toMatchObject({ code: "CERTIFICATE_UNTRUSTED" });
  const [after] = await Promise.all([dial(second), accepting.then((request) => request?.accept())]);
  expect(after.protocol).toBe("moq-lite-05");
  await server.close();
  await after.closed;
});

test("a session that both sides close keeps the reason of the side that closed first, though it was not read yet", async () => {
  const certificate = await createCertificate();
  const server = await listenQuic({ host: "127.0.0.1", port: 0, certificate });
  const url = new URL(`https://127.0.0.1:${server.address.port}/`);
  const accepting = server.accept();
  const connecting = connectQuic(url, { certificateHashes: [Buffer.from(certificateHash(certificate.cert), "hex")] });
  const theirs = await (await accepting)!.accept();
  const ours = await connecting;
  theirs.close({ closeCode: 6, reason: "NOT_GRANTED: The token does not grant it." });
  // The binding's threads read the close while this one does nothing.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
  ours.close();
  expect(await ours.closed).toEqual({ closeCode: 6, reason: "NOT_GRANTED: The token does not grant it." });
  expect(await theirs.closed).toEqual({ closeCode: 6, reason: "NOT_GRANTED: The token does not grant it." });
  await server.close();
});
