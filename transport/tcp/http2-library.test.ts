import { execFile } from "node:child_process";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { compiledPath } from "../../tests/support/compile.js";

test("loading the library for HTTP/2 prints nothing and returns the host its console, however many ask for it", async () => {
  // In a process of its own: the library prints when it is first loaded.
  const script = `
    const { importLibrary } = await import(${JSON.stringify(pathToFileURL(compiledPath("transport/tcp/http2-library.ts")))});
    const { log, error } = console;
    const [first] = await Promise.all([importLibrary(), importLibrary()]);
    const second = await importLibrary();
    console.log(typeof first.WebTransport, first === second, console.log === log, console.error === error);
  `;
  const run = promisify(execFile)(process.execPath, ["--input-type=module", "--eval", script]);
  expect(await run).toEqual({ stdout: "function true true true\n", stderr: "" });
});
