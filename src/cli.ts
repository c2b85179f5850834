#!/usr/bin/env node
import "../base/polyfills.js";
import { isatty } from "node:tty";
import { whyUnusable } from "../base/bytes/bounded-file.js";
import { untilStopped } from "./command.js";
import { describeFailure } from "./fail.js";
import { main } from "./main.js";
import { StatusLine } from "./status-line.js";

const terminals = [0, 1, 2].filter((descriptor) => isatty(descriptor));
const ending = new AbortController();
let interrupts = 0;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    // A second Ctrl-C means the user will not wait for an orderly end; a closing terminal sends more than one hangup.
    if (signal !== "SIGHUP" && ++interrupts > 1) process.exit(130);
    ending.abort();
  });
}

// A reader that goes away, as `head` does, has all it wanted: the command ends in order and quietly. A full disk is an
// error.
let outputFailure: Error | undefined;
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (cause: NodeJS.ErrnoException) => {
    if (stream === process.stdout && cause.code !== "EPIPE") outputFailure ??= cause;
    ending.abort();
  });
}

const status = new StatusLine(process.stderr, process.env);
const error = (text: string): void => status.write(text);

// Node prints warnings with hints for programmers; a user gets the sentence alone.
process.removeAllListeners("warning");
process.on("warning", ({ message }) => error(`unsay: ${message}\n`));

// The last resort: a user gets a sentence instead of a stack trace, even for an unforeseen error.
process.on("uncaughtException", (thrown) => {
  const { message, code } = describeFailure(thrown);
  error(`unsay: This should not have happened: ${message} (${code})\n`);
  process.exit(1);
});

const exitCode = await main(process.argv.slice(2), {
  environment: process.env,
  signal: ending.signal,
  status,
  error,
  out: (text) => {
    if (process.stdout.isTTY) status.yield();
    process.stdout.write(text);
  },
});

// A write that failed is reported after its callback.
const written = new Promise<void>((resolve) => process.stdout.write("", () => setImmediate(resolve)));
await untilStopped(ending.signal, written);
if (outputFailure !== undefined)
  error(`unsay: Standard output cannot be written: ${whyUnusable(outputFailure)}. (OUTPUT_FAILED)\n`);
// At its end Node restores the settings of its terminals, and crashes where one has been closed: a hangup ends it before.
if (!terminals.every((descriptor) => isatty(descriptor))) {
  process.removeAllListeners("SIGHUP");
  process.kill(process.pid, "SIGHUP");
}
// An abandoned QUIC dial cannot be cancelled and would keep the process for another half minute.
process.exit(outputFailure === undefined ? exitCode : 1);
