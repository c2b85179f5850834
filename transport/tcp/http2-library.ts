import { setImmediate } from "node:timers/promises";
import { logForProcess, TransportError } from "../../base/index.js";

/** What the library for HTTP/2 prints where its optional package for HTTP/3 is missing. */
const LOADER = /^(?:Problem loading http3-quiche|Did you install @fails-components|http3 loader:)/;

/** As a variable, because the package's type declarations lack it. */
const LIBRARY: string = "@fails-components/webtransport";

/** Whether the optional package that adds HTTP/3 is installed. */
export async function hasHttp3(): Promise<boolean> {
  // Assembled at run time, so that bundlers and the compiler do not ask for an optional package.
  const name = ["@fails-components", "webtransport-transport-http3-quiche"].join("/");
  try {
    await import(name);
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ERR_MODULE_NOT_FOUND") return false;
    const text = cause instanceof Error ? cause.message : String(cause);
    throw new TransportError("HTTP3_UNAVAILABLE", `The package ${name} does not load: ${text}.`, { cause });
  }
}

/** The library for HTTP/2, as the type that describes it. */
export function importLibrary<T>(): Promise<T> {
  return withoutLoaderWords(async () => {
    const library: T = await import(LIBRARY);
    // The library began to look for it before.
    await hasHttp3().catch(() => false);
    return library;
  });
}

/** Loads a library; its words about an optional package go to the log instead of the host's console. */
async function withoutLoaderWords<T>(load: () => Promise<T>): Promise<T> {
  const { log, error } = console;
  const quiet =
    (print: typeof console.log) =>
    (...words: unknown[]): void => {
      const [first] = words;
      if (typeof first === "string" && LOADER.test(first)) logForProcess(first);
      else print.apply(console, words);
    };
  const replaced = { log: quiet(log), error: quiet(error) };
  Object.assign(console, replaced);
  try {
    return await load();
  } finally {
    // It prints once what it waits for has failed.
    await setImmediate();
    // A host may have set its own meanwhile.
    if (console.log === replaced.log) console.log = log;
    if (console.error === replaced.error) console.error = error;
  }
}
