import { z } from "zod";
import type { Logger } from "../base/index.js";
import type { Publisher } from "../publisher/index.js";
import type { Caller } from "./caller/caller.js";

function has<T>(...methods: readonly (keyof T & string)[]): (value: unknown) => boolean {
  return (value) =>
    methods.every((name) => typeof (value as Record<string, unknown> | undefined)?.[name] === "function");
}

/** Checks options that are objects of this library by the methods that are used. */
export const partSchemas = {
  publisher: z.custom<Publisher>(has<Publisher>("say"), { error: "be a Publisher" }),
  caller: z.custom<Caller>(has<Caller>("frames", "stats", "on", "off"), { error: "be a Caller" }),
  logger: z.custom<Logger>(has<Logger>("debug", "info", "warn"), { error: "have the methods debug, info and warn" }),
} as const;
