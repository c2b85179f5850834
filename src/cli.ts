#!/usr/bin/env node
import "../base/polyfills.js";
import { main } from "./main.js";

const interrupt = new AbortController();
let interrupts = 0;
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    // A second Ctrl-C means the user will not wait for an orderly end.
    if (++interrupts > 1) process.exit(130);
    interrupt.abort();
  });
}

// Node prints warnings with hints for programmers; a user gets the sentence alone.
process.removeAllListeners("warning");
process.on("warning", ({ message }) => process.stderr.write(`unsay: ${message}\n`));

const exitCode = await main(process.argv.slice(2), {
  environment: process.env,
  signal: interrupt.signal,
  out: (text) => process.stdout.write(text),
  error: (text) => process.stderr.write(text),
});

// A QUIC dial that was given up cannot be cancelled and would keep the process for another half minute.
process.stdout.write("", () => process.exit(exitCode));
