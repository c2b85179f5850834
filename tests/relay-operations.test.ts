import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { expect, onTestFinished, test, vi } from "vitest";
import { Relay, type RelayOptions, signToken, type TokenKey } from "../relay/index.js";
import { encodeAnnounce, encodeAnnounceOk } from "../relay/wire/announce.js";
import { StreamReader, StreamType } from "../relay/wire/stream.js";
import { encodeSubscribe } from "../relay/wire/subscribe.js";
import { certificateHash, connect, createCertificate, loadCertificate, type Session } from "../transport/index.js";
import { refused as refusedWith } from "./support/refused.js";
import { dial, startRelay } from "./support/relay.js";

const PLAIN = { priority: 128, ordered: false, maxLatencyMs: 0, startGroup: undefined, endGroup: undefined };

/** Announces broadcasts on the stream that the relay asks on. */
async function announce(session: Session, suffixes: readonly string[]): Promise<void> {
  const stream = await session.acceptBidirectional();
  expect(await new StreamReader(stream!.receive, 1000).varint()).toBe(StreamType.ANNOUNCE);
  await stream!.send.write(encodeAnnounceOk(9n, suffixes.length));
  for (const suffix of suffixes) await stream!.send.write(encodeAnnounce({ suffix, active: true, hops: [] }, 5));
}

test("tokens limit publishing and watching, and end the session when they expire", async () => {
  const directory = await mkdtemp(join(tmpdir(), "unsay-relay-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const key: TokenKey = { kty: "oct", alg: "HS256", k: Buffer.alloc(32, 1).toString("base64url") };
  await writeFile(join(directory, "key.jwk"), JSON.stringify(key));
  const { relay, url } = await startRelay({ auth: { keys: directory, public: { get: ["open"] } } });

  expect(await refusedWith(dial(`${url}closed`))).toMatchObject({
    code: "UNAUTHORIZED",
    message: "This path needs a token.",
    retryable: false,
  });
  expect(relay.stats().counters.sessionsRefused.unauthorized).toBe(1);

  const exp = Math.floor(Date.now() / 1000) + 3;
  const token = await signToken(key, { root: "open", put: "", exp });
  const publisher = await dial(`${url}open?jwt=${token}`);
  await announce(publisher, ["a.hang"]);
  await expect.poll(() => relay.stats().broadcasts).toBe(1);

  const watcher = await dial(`${url}open`);
  const refused = await watcher.openBidirectional();
  await refused.send.write(encodeSubscribe({ ...PLAIN, id: 0, broadcast: "none.hang", track: "audio" }, 5));
  await expect(refused.receive.read()).rejects.toMatchObject({ streamCode: 13 });
  const forbidden = await publisher.openBidirectional();
  await forbidden.send.write(encodeSubscribe({ ...PLAIN, id: 0, broadcast: "a.hang", track: "audio" }, 5));
  await expect(forbidden.receive.read()).rejects.toMatchObject({ streamCode: 6 });

  expect(await publisher.closed).toMatchObject({ closeCode: 6, reason: "UNAUTHORIZED: The token has expired." });
  await expect.poll(() => relay.stats().broadcasts).toBe(0);
});

test("a session ends with its token though the clock is set forward meanwhile", async () => {
  const directory = await mkdtemp(join(tmpdir(), "unsay-relay-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const key: TokenKey = { kty: "oct", alg: "HS256", k: Buffer.alloc(32, 1).toString("base64url") };
  await writeFile(join(directory, "key.jwk"), JSON.stringify(key));
  const { relay, url } = await startRelay({ auth: { keys: directory } });
  const inHours = (hours: number) => Math.floor(Date.now() / 1000) + hours * 3600;
  const short = await dial(`${url}?jwt=${await signToken(key, { get: "", exp: inHours(2) })}`);
  await dial(`${url}?jwt=${await signToken(key, { get: "", exp: inHours(9) })}`);
  await expect.poll(() => relay.stats().sessions).toBe(2);
  vi.useFakeTimers({ toFake: ["Date"], now: inHours(3) * 1000 });
  onTestFinished(() => void vi.useRealTimers());
  expect(await short.closed).toMatchObject({ closeCode: 6, reason: "UNAUTHORIZED: The token has expired." });
  await expect.poll(() => relay.stats().sessions).toBe(1);
});

test("a relay answers at its limits with a code, and counts it", async () => {
  const limits = { sessions: 2, subscriptionsPerSession: 1, announcementsPerSession: 2, broadcasts: 10 };
  const { relay, url } = await startRelay({ limits });
  const greedy = await dial(url);
  await dial(url);
  await expect.poll(() => relay.stats().sessions).toBe(2);
  expect(await refusedWith(dial(url))).toMatchObject({ code: "UNAVAILABLE", retryable: true });
  expect(relay.stats().counters.sessionsRefused.limit).toBe(1);
  await announce(greedy, ["a", "b", "c"]);
  expect(await greedy.closed).toMatchObject({
    closeCode: 15,
    reason: expect.stringContaining("TOO_MANY_ANNOUNCEMENTS"),
  });
  expect(relay.stats().counters.capped.announcements).toBe(1);
  expect(relay.stats().broadcasts).toBe(0);
});

test("a silent client is closed in time, unless its version has nothing to send", async () => {
  const { relay, url } = await startRelay({ limits: { handshakeMs: 300 } });
  const quiet = await dial(url);
  const older = await connect(url, { backends: ["quic"], protocols: ["moq-lite-04"] });
  onTestFinished(() => older.close());
  const publisher = await dial(url);
  await announce(publisher, ["a.hang"]);
  expect(await quiet.closed).toMatchObject({ closeCode: 3 });
  await new Promise((resolve) => setTimeout(resolve, 400));
  expect(relay.stats()).toMatchObject({ sessions: 2, broadcasts: 1 });
  expect(relay.stats().counters.sessionsRefused.timeout).toBe(1);
});

test("the operations port serves metrics, health and broadcasts, and a drain asks peers to leave", async () => {
  const { relay, url } = await startRelay({ opsPort: 0 });
  const ops = (path: string) => fetch(`http://127.0.0.1:${relay.opsPort}${path}`);
  const publisher = await dial(url);
  await announce(publisher, ["a.hang"]);
  await expect.poll(() => relay.stats().broadcasts).toBe(1);
  const metrics = await (await ops("/metrics")).text();
  expect(metrics).toContain("unsay_relay_sessions 1");
  expect(metrics).toContain('unsay_relay_groups_dropped_total{reason="stale"} 0');
  expect(metrics).toContain("nodejs_eventloop_lag_seconds");
  expect((await ops("/health")).status).toBe(200);
  expect((await ops("/ready")).status).toBe(200);
  expect(await (await ops("/broadcasts")).json()).toMatchObject([{ path: "a.hang", tracks: [] }]);

  const drained = relay.drain(5000);
  const goaway = await publisher.acceptBidirectional();
  expect(await new StreamReader(goaway!.receive, 1000).varint()).toBe(StreamType.GOAWAY);
  expect((await ops("/ready")).status).toBe(503);
  expect(await refusedWith(dial(url))).toMatchObject({ code: "UNAVAILABLE", message: "The relay is shutting down." });
  publisher.close();
  await drained;
  expect(relay.stats().sessions).toBe(0);
});

test("a rotated certificate appears at once on the same port: hash, HTTPS, QUIC; WebSocket sessions stay", async () => {
  const directory = await mkdtemp(join(tmpdir(), "unsay-relay-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const paths = { cert: join(directory, "cert.pem"), key: join(directory, "key.pem") };
  const write = async ({ cert, key }: { cert: string; key: string }) => {
    await writeFile(paths.cert, cert);
    await writeFile(paths.key, key);
  };
  const [first, second, third] = await Promise.all([createCertificate(), createCertificate(), createCertificate()]);
  const [firstHash, secondHash, thirdHash] = [first, second, third].map(({ cert }) => certificateHash(cert));
  await write(first);
  const certificate = await loadCertificate(paths);
  onTestFinished(() => certificate.close());
  const { relay, url } = await startRelay({ certificate });
  const { port } = relay.address;
  const served = async () => (await fetch(`${url}certificate.sha256`)).text();
  const shown = () =>
    new Promise<string | undefined>((resolve, reject) => {
      const socket: TLSSocket = connectTls({ host: "127.0.0.1", port, rejectUnauthorized: false }, () => {
        const hash = socket.getPeerX509Certificate()?.fingerprint256.replaceAll(":", "").toLowerCase();
        socket.destroy();
        resolve(hash);
      });
      socket.once("error", reject);
    });
  expect([relay.fingerprint, await served(), await shown()]).toEqual([firstHash, firstHash, firstHash]);

  const quic = await dial(url);
  const webSocket = await connect(url, { backends: ["qmux"] });
  onTestFinished(() => webSocket.close());
  await expect.poll(() => relay.stats().sessions).toBe(2);
  await write(second);
  await quic.closed;
  expect([relay.fingerprint, await served(), await shown()]).toEqual([secondHash, secondHash, secondHash]);
  // A client of ours knocks until the port is back.
  await expect.poll(() => dial(url).catch(() => undefined)).toBeDefined();
  await announce(webSocket, ["a.hang"]);
  await expect.poll(() => relay.stats()).toMatchObject({ sessions: 2, broadcasts: 1 });
  expect(relay.address.port).toBe(port);

  await relay.setCertificate(third);
  expect([relay.fingerprint, await served(), await shown()]).toEqual([thirdHash, thirdHash, thirdHash]);
  const pinned = (hash: string) =>
    connect(`https://127.0.0.1:${port}/`, {
      backends: ["quic"],
      certificateHashes: [Uint8Array.from(Buffer.from(hash, "hex"))],
    });
  await expect(pinned(secondHash!)).rejects.toMatchObject({ code: "CERTIFICATE_UNTRUSTED" });
  (await pinned(thirdHash!)).close();
  await expect(relay.setCertificate({ cert: first.cert, key: second.key })).rejects.toMatchObject({
    code: "CERTIFICATE_UNUSABLE",
  });
  expect(await served()).toBe(thirdHash);
});

test("a relay refuses an unusable logger or certificate in one sentence", async () => {
  const half = { info() {}, warn() {} } as unknown as NonNullable<RelayOptions["logger"]>;
  expect(() => new Relay({ logger: half })).toThrow("Relay.logger must have the methods debug, info, warn and");
  expect(() => new Relay({ certificate: {} as never })).toThrow("Relay.certificate must be { cert, key }");
  const relay = new Relay({ port: 0, certificate: { cert: "no", key: "no" } });
  await expect(relay.listen()).rejects.toMatchObject({ code: "CERTIFICATE_UNUSABLE" });
});
