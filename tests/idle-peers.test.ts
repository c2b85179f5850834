import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, onTestFinished, test } from "vitest";
import { Relay } from "../relay/index.js";
import { connect } from "../transport/index.js";
import { compiledPath } from "./support/compile.js";

// QUIC takes 30 to 40 seconds: its idle limit, counted from the last keepalive that was sent.
test("a relay drops peers that were killed or hang within the idle limit, and keeps one that is merely quiet", async () => {
  const relay = new Relay({ port: 0 });
  onTestFinished(() => relay.close());
  const { host, port } = await relay.listen();
  const url = `http://${host}:${port}/`;
  const quiet = await connect(url, { backends: ["quic"], protocols: ["moq-lite-04"] });
  onTestFinished(() => quiet.close());
  const start = async (...backends: string[]) => {
    const peer = spawn(process.execPath, [compiledPath("tests/support/silent-peer.ts"), url, ...backends]);
    onTestFinished(() => {
      peer.kill("SIGKILL");
    });
    expect(String(await once(peer.stdout, "data"))).toContain("connected");
    return peer;
  };
  const [killed, hanging] = await Promise.all([start("quic", "qmux"), start("qmux")]);
  await expect.poll(() => relay.stats().sessions).toBe(4);
  hanging.kill("SIGSTOP");
  killed.kill("SIGKILL");
  // The system ends a dead process's TCP connection.
  await expect.poll(() => relay.stats().sessions).toBeLessThan(4);
  await expect.poll(() => relay.stats().sessions, { timeout: 90_000 }).toBe(1);
  expect(relay.stats().counters.sessionsRefused.timeout).toBe(0);
  const again = await quiet.openBidirectional();
  again.send.reset(0);
});
