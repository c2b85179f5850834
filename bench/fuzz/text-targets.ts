import { readFileSync } from "node:fs";
import { parseModelContract } from "../../publisher/denoise/model-contract.js";
import { SitePolicy } from "../../relay/admission/site-policy.js";
import { grantsOf, parseKeys, signToken } from "../../relay/admission/token.js";
import { commands } from "../../src/commands/index.js";
import { hideTokens, parseConfig } from "../../src/config.js";
import { endOf, readReason } from "../../transport/refusal.js";
import type { Target } from "./fuzzer.js";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const KEY = { kty: "oct", alg: "HS256", kid: "a", k: "A".repeat(43), scope: { root: "a", put: "b", get: ["c"] } };
const SETTINGS = Object.fromEntries(
  await Promise.all(commands.map(async ({ name, load }) => [name, (await load()).settings] as const)),
);
const sitePolicies = [
  new SitePolicy({ host: "127.0.0.1" }),
  new SitePolicy({ host: "::", allowedOrigins: ["https://a.example"], allowedHosts: ["b.example"] }),
];

/** Texts that a person, a browser or a peer hands in. */
export const TEXT_TARGETS: readonly Target[] = [
  {
    name: "keys",
    json: true,
    seeds: [encode(JSON.stringify(KEY)), encode(JSON.stringify({ keys: [KEY, KEY] }))],
    execute(input) {
      for (const { scope } of parseKeys(decode(input), "The key")) if (scope) grantsOf(scope);
      return 0;
    },
  },
  {
    name: "signing-key",
    json: true,
    seeds: [encode(JSON.stringify(KEY)), encode(JSON.stringify({ ...KEY, alg: "HS512", k: "A".repeat(86) }))],
    async execute(input) {
      for (const key of parseKeys(decode(input), "The key")) await signToken(key, { root: "a", put: "b", get: "c" });
      return 0;
    },
  },
  {
    name: "config",
    json: true,
    seeds: [encode(JSON.stringify({ relay: { port: 4443, allowHost: ["a"] }, watch: { jitterMs: 80 } }))],
    execute(input) {
      parseConfig(decode(input), "unsay.json", SETTINGS);
      return 0;
    },
  },
  {
    name: "model-contract",
    json: true,
    seeds: [new Uint8Array(readFileSync(new URL("../../models/unsay-denoise.json", import.meta.url)))],
    execute(input) {
      parseModelContract(input, "model.json");
      return 0;
    },
  },
  {
    name: "request-source",
    seeds: [
      encode("127.0.0.1:4443\nhttps://a.example"),
      encode("[::1]:80\nnull"),
      encode("b.example\nhttp://10.0.0.1"),
    ],
    execute(input) {
      const [host, origin] = decode(input).split("\n");
      for (const policy of sitePolicies) policy.refuse({ host, origin });
      return 0;
    },
  },
  {
    name: "close-reason",
    seeds: [encode("UNAUTHORIZED: This path needs a token."), encode("\x1b[31mNAME_TAKEN: of a\u202eb")],
    execute(input) {
      const reason = decode(input);
      const said = [readReason(reason)?.message ?? "", endOf({ closeCode: input.length, reason }).message];
      if (said.some((text) => /[\p{Cc}\p{Cf}]/u.test(text))) throw new RangeError("A control character is left.");
      return 0;
    },
  },
  {
    name: "hidden-token",
    seeds: [encode("https://a/?jwt=e30.e30.e30&b=c https://a/?b=c&JWT=e30")],
    execute(input) {
      const text = hideTokens(decode(input));
      if (/[?&]jwt=e30/i.test(text)) throw new RangeError("A token is left.");
      return 0;
    },
  },
];
