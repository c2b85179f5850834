import { once } from "node:events";
import { expect, test } from "vitest";
import { createEnvironment } from "../environment.js";
import { type Logger, SILENT } from "../ops/log.js";
import { checkOptions } from "../options.js";
import { Upstream } from "./upstream.js";

test("an edge that can't ever reach its upstream logs why, raises a problem and tries no more", async () => {
  const warnings: unknown[][] = [];
  const log: Logger = { ...SILENT, warn: (...line: unknown[]) => void warnings.push(line) };
  const options = { url: "http://127.0.0.1:1", certificateHashes: [new Uint8Array(32)] };
  const environment = createEnvironment(checkOptions({}), {});
  const upstream = new Upstream(options, { environment, protocols: ["moq-lite-05"], log });
  const [problem] = await once(upstream, "problem");
  const reason = "connect.certificateHashes must come with an https:// URL, but is given with http://127.0.0.1:1.";
  expect(problem).toMatchObject({ code: "INVALID_OPTION", message: reason });
  expect(warnings).toEqual([[{ reason }, "The upstream relay is not tried again."]]);
  upstream.close();
});
