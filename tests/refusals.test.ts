import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { Publisher } from "../publisher/index.js";
import { signToken, type TokenKey } from "../relay/index.js";
import { Controller, Listener } from "../watch/index.js";
import { startRelay } from "./support/relay.js";
import { endOf, tone } from "./support/stage.js";

const key: TokenKey = { kty: "oct", alg: "HS256", k: Buffer.alloc(32, 1).toString("base64url") };
async function withKeys(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "unsay-refusals-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  await writeFile(join(directory, "key.jwk"), JSON.stringify(key));
  return (await startRelay({ auth: { keys: directory } })).url;
}

function publish(url: string, backend: "quic" | "qmux", broadcast = "demo"): Publisher {
  const publisher = new Publisher({ url, broadcast, connect: { backends: [backend] } });
  onTestFinished(() => publisher.close());
  return publisher;
}

test.each(["quic", "qmux"] as const)(
  "a refused publisher, listener and name learn the relay's reason over %s",
  async (backend) => {
    const url = await withKeys();
    expect(await endOf(publish(url, backend))).toMatchObject({
      code: "UNAUTHORIZED",
      message: "This path needs a token.",
      retryable: false,
    });
    const token = await signToken(key, { root: "", put: "stage", get: "stage" });
    expect(await endOf(publish(`${url}?jwt=${token}`, backend, "other/voice"))).toMatchObject({
      code: "NOT_GRANTED",
      message: expect.stringMatching(/^The token .+ publishing .*other\/voice\.$/),
    });
    // A token that may only watch.
    const watching = await signToken(key, { root: "", put: [], get: "" });
    expect(await endOf(publish(`${url}?jwt=${watching}`, backend, "voice"))).toMatchObject({
      code: "NOT_GRANTED",
    });

    const options = { url: `${url}?jwt=${token}`, connect: { backends: [backend] } };
    const stranger = new Listener({ ...options, broadcast: "other/voice" });
    onTestFinished(() => stranger.close());
    expect(await endOf(stranger)).toMatchObject({
      code: "NOT_GRANTED",
      message: "The token grants neither publishing nor watching other/voice.",
    });
    const forged = new Listener({ ...options, url: `${url}?jwt=a.b.c`, broadcast: "stage/voice" });
    onTestFinished(() => forged.close());
    expect(await endOf(forged)).toMatchObject({ code: "UNAUTHORIZED", message: "The token is not a JWT." });
  },
);

test.each(["quic", "qmux"] as const)(
  "tokens that grant exactly one broadcast, by its path, publish, hear and control it, and nothing else, over %s",
  async (backend) => {
    const url = await withKeys();
    const [put, get] = await Promise.all([
      signToken(key, { root: "live", put: "stage.hang", get: "stage.control" }),
      signToken(key, { root: "live", get: "stage.hang" }),
    ]);
    const desk = await signToken(key, { root: "live", put: "stage.control/desk", get: "stage.hang" });
    const connect = { backends: [backend] };
    const publisher = new Publisher({ url: `${url}/live?jwt=${put}`, broadcast: "stage", connect, control: true });
    onTestFinished(() => publisher.close());
    const controller = new Controller({ url: `${url}/live?jwt=${desk}`, broadcast: "stage", id: "desk", connect });
    onTestFinished(() => controller.close());
    const listener = new Listener({ url: `${url}/live?jwt=${get}`, broadcast: "stage", connect });
    onTestFinished(() => listener.close());
    const speech = publisher.say(await tone({ ms: 500 }));
    expect(await speech.done).toMatchObject({ outcome: "finished", heardMs: 500, measured: true });
    expect(listener.stats().playedMs).toBeGreaterThan(0);
    expect(await controller.send({ op: "set", knobs: { gainDb: -10 } })).toMatchObject({ outcome: "applied" });
    const other = new Listener({ url: `${url}/live?jwt=${get}`, broadcast: "other", connect });
    onTestFinished(() => other.close());
    expect(await endOf(other)).toMatchObject({ code: "NOT_GRANTED" });
  },
);

test.each(["quic", "qmux"] as const)(
  "a listener whose token grants no watching of its name is refused at once, and the name's publisher is not, over %s",
  async (backend) => {
    const url = await withKeys();
    const connect = { backends: [backend] };
    for (const claims of [{ put: "stage" }, { put: "stage.hang" }, { put: "" }]) {
      const jwt = await signToken(key, { root: "live", ...claims });
      const listener = new Listener({ url: `${url}/live?jwt=${jwt}`, broadcast: "stage", connect });
      onTestFinished(() => listener.close());
      expect(await endOf(listener)).toMatchObject({
        code: "NOT_GRANTED",
        message: "The token does not grant watching stage.",
      });
    }
    // A publisher that would never find a controller.
    const deaf = await signToken(key, { root: "live", put: "stage.hang" });
    const obeying = new Publisher({ url: `${url}/live?jwt=${deaf}`, broadcast: "stage", connect, control: true });
    onTestFinished(() => obeying.close());
    expect(await endOf(obeying)).toMatchObject({
      code: "NOT_GRANTED",
      message: "The token grants neither publishing nor watching stage.control.",
    });

    // What a publisher asks for: its own name, reports and controllers.
    const [put, get] = await Promise.all([
      signToken(key, { root: "live", put: "" }),
      signToken(key, { root: "live", get: "stage" }),
    ]);
    const publisher = new Publisher({ url: `${url}/live?jwt=${put}`, broadcast: "stage", connect, control: true });
    onTestFinished(() => publisher.close());
    const listener = new Listener({ url: `${url}/live?jwt=${get}`, broadcast: "stage", connect });
    onTestFinished(() => listener.close());
    expect(await publisher.say(await tone({ ms: 500 })).done).toMatchObject({ outcome: "finished", heardMs: 500 });
    expect(publisher.state).toBe("publishing");
  },
);

test("a publisher that finds no room at a relay emits that, and is heard as soon as there is room", async () => {
  const { relay, url } = await startRelay({ limits: { broadcasts: 1 } });
  // The first broadcast of a session may take a place beyond that.
  const others = [publish(url, "quic", "first"), publish(url, "qmux", "second")];
  await expect.poll(() => relay.stats().broadcasts).toBe(2);
  const third = publish(url, "qmux", "third");
  const [problem] = await once(third, "problem");
  expect(problem).toMatchObject({
    code: "UNAVAILABLE",
    retryable: true,
    message: "The relay has no room for another broadcast.",
  });
  await Promise.all(others.map((other) => other.close()));
  const listener = new Listener({ url, broadcast: "third" });
  onTestFinished(() => listener.close());
  expect(await third.say(await tone({ ms: 200 })).done).toMatchObject({ outcome: "finished", heardMs: 200 });
});

test("a publisher without its relay emits a problem that a retry can mend, and continues", async () => {
  const publisher = new Publisher({ url: "https://127.0.0.1:1" });
  onTestFinished(() => publisher.close());
  const [problem] = await once(publisher, "problem");
  expect(problem).toMatchObject({ retryable: true, message: expect.stringContaining("nothing listens on that port") });
  expect(publisher.state).toBe("connecting");
});

test("a publisher that does not trust the relay's certificate ends with that reason", async () => {
  const url = (await startRelay()).url.replace("http:", "https:");
  expect(await endOf(new Publisher({ url }))).toMatchObject({
    code: "CERTIFICATE_UNTRUSTED",
    retryable: false,
  });
});
