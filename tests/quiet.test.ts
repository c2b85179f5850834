import { fork } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { compiledPath } from "./support/compile.js";

/** Runs the program that uses the library for all it does: what it logged, and what came out of it. */
async function runHost(...args: string[]): Promise<{ lines: string[]; output: string; code: number }> {
  const child = fork(compiledPath("tests/fixtures/quiet-host.ts"), args, { execArgv: [], silent: true });
  const outputs = [text(child.stdout!), text(child.stderr!)];
  let lines: string[] = [];
  child.on("message", (message) => {
    lines = message as string[];
  });
  const [code] = await once(child, "exit");
  return { lines, output: (await Promise.all(outputs)).join(""), code };
}

test.concurrent.each(["quic", "qmux"])(
  "a host over %s gets no word on its output, and all of it in its logger but the token",
  async (carrier) => {
    const { lines, output, code } = await runHost(carrier, "logged");
    expect(output).toBe("");
    expect(code).toBe(0);
    const log = lines.join("\n");
    // Of the publisher, the relay, the listener and the library beneath them.
    for (const expected of [
      "Publishing.",
      "The relay listens.",
      "The listener changed its state.",
      "subscribe start: ",
    ])
      expect(log).toContain(expected);
    expect(log).not.toContain("top-secret-token");
  },
  60_000,
);

test.concurrent("a host without a logger gets no output", async () => {
  expect(await runHost("quic", "unlogged")).toMatchObject({ output: "", code: 0 });
});
