import type { RequestListener } from "node:http";
import { isIPv6 } from "node:net";
import { z } from "zod";
import { InputError, UnsayError } from "../../base/index.js";
import {
  collectLessOften,
  limitsSchema,
  listenHostSchema,
  Relay,
  type RelayOptions,
  upstreamUrlSchema,
} from "../../relay/index.js";
import { type Certificates, loadCertificate, loadOrCreateCertificate, userFolder } from "../../transport/index.js";
import { aborted, changes, command } from "../command.js";
import { flag, list, number, numbers, type Resolved, type Settings } from "../config.js";
import { elementHandler, loadPage } from "../page/index.js";
import { readAuthorities } from "./connection.js";

const settings = {
  host: {
    schema: listenHostSchema,
    value: "<address>",
    help: "address to listen on",
  },
  port: {
    schema: number({ min: 0, max: 65_535, integer: true }).default(4443),
    value: "<number>",
    help: "port for QUIC (UDP) and WebSocket (TCP); 0 picks a free one",
  },
  cert: {
    schema: z.string().optional(),
    value: "<file>",
    help: "PEM certificate chain, read again when it changes; default: a self-signed one, renewed in time",
  },
  key: { schema: z.string().optional(), value: "<file>", help: "PEM private key of --cert" },
  authKeys: {
    schema: z.string().min(1).optional(),
    value: "<file|folder|url>",
    help: "keys of accepted tokens: a JSON Web Key, a key set, a folder of them or the URL of a set",
  },
  authAudience: {
    schema: list.optional(),
    value: "<name,...>",
    help: "names of this relay, one of which each token must have as its aud; default: tokens with an aud are refused",
  },
  publicPut: {
    schema: list.optional(),
    value: "<path,...>",
    help: "prefixes that need no token to publish; / for all",
  },
  publicGet: {
    schema: list.optional(),
    value: "<path,...>",
    help: "prefixes that need no token to watch; / for all",
  },
  allowHost: {
    schema: list.optional(),
    value: "<name,...>",
    help: "host names it answers to beside its address; default: on loopback those of loopback, elsewhere all",
  },
  allowOrigin: {
    schema: list.optional(),
    value: "<origin,...>",
    help: "web pages that may connect, such as https://app.example, * for all; default: at loopback and private addresses pages of such addresses, elsewhere all",
  },
  upstream: {
    schema: upstreamUrlSchema.optional(),
    value: "<url>",
    help: "serve the broadcasts of this other relay too; put a token in its ?jwt=",
  },
  ca: {
    schema: z.string().optional(),
    value: "<file>",
    help: "trust the certificate authorities in this PEM file for --upstream, instead of the system's",
  },
  opsPort: {
    schema: number({ min: 0, max: 65_535, integer: true }).optional(),
    value: "<number>",
    help: "port on loopback for /metrics, /health, /ready and /broadcasts; 0 picks a free one",
  },
  elements: {
    schema: flag.default(true),
    help: "do not serve <unsay-watch> and <unsay-talk> to web pages, as /unsay-element.js and /unsay-talk.js",
  },
  repeat: {
    schema: flag.default(false),
    help: "send every datagram twice to all players that report, not only where the path loses some",
  },
  limits: {
    schema: numbers(limitsSchema).optional(),
    value: "<json>",
    help: 'caps that differ from their defaults, such as {"sessions": 500}; docs/relay.md lists them',
  },
  drainSeconds: {
    schema: number({ min: 0, max: 3600 }).default(10),
    value: "<number>",
    help: "time for sessions to leave after Ctrl-C or SIGTERM; a second one ends at once",
  },
} satisfies Settings;

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\./.test(host);
}

function certificates(cert: string | undefined, key: string | undefined, host: string): Promise<Certificates> {
  if (cert !== undefined && key !== undefined) return loadCertificate({ cert, key });
  if (cert !== undefined || key !== undefined)
    throw new InputError("INVALID_OPTION", "--cert and --key must be given together.");
  return loadOrCreateCertificate({ directory: userFolder("data"), hosts: [host] });
}

/** `unsay relay`: accepts broadcasts and fans them out. */
export const relay = command({
  examples: [
    "unsay relay                                  for this machine alone",
    "unsay relay --host 0.0.0.0 --cert c.pem --key k.pem --auth-keys keys/ --public-get /",
    "unsay relay --port 4444 --upstream http://localhost:4443 --ops-port 9090",
  ],
  settings,
  options: {
    allowedHosts: "allowHost",
    allowedOrigins: "allowOrigin",
    "auth.audience": "authAudience",
    "auth.keys": "authKeys",
    "auth.public.get": "publicGet",
    "auth.public.put": "publicPut",
  },
  async run(config, { signal, logger, print, notice }) {
    if (config.ca !== undefined && config.upstream === undefined)
      throw new InputError("INVALID_OPTION", "--ca is for --upstream, which is missing.");
    if (config.authAudience !== undefined && config.authKeys === undefined)
      throw new InputError("INVALID_OPTION", "--auth-audience is for the tokens of --auth-keys, which is missing.");
    collectLessOften();
    const identity = await certificates(config.cert, config.key, config.host);
    const relay = new Relay({
      host: config.host,
      port: config.port,
      certificate: identity,
      repeat: config.repeat || "auto",
      ...(config.elements && { handler: servingElements() }),
      ...authOf(config),
      ...(config.allowHost && { allowedHosts: config.allowHost }),
      ...(config.allowOrigin && { allowedOrigins: config.allowOrigin }),
      ...(config.upstream !== undefined && {
        upstream: { url: config.upstream, ...(config.ca !== undefined && { ca: await readAuthorities(config.ca) }) },
      }),
      ...(config.limits && { limits: config.limits }),
      ...(config.opsPort !== undefined && { opsPort: config.opsPort }),
      logger,
    });
    if (identity.expiresAt <= Date.now())
      notice(`The certificate ${config.cert} has expired; no client will trust it.`);
    reportCertificate(identity, notice);
    const selfReference = new Promise<never>((_, reject) => {
      const say = changes(notice);
      relay.on("problem", (error) => {
        if (error instanceof UnsayError && error.code === "UPSTREAM_IS_SELF")
          reject(new InputError(error.code, `--upstream is ${config.upstream}: ${error.message}`));
        else if (error instanceof UnsayError && error.code === "INVALID_KEY")
          notice(error.message.replace(/^auth\.keys: /, "--auth-keys: "));
        else say(`The upstream relay does not serve this one yet: ${error.message}`);
      });
    });
    selfReference.catch(() => {});
    try {
      const address = await relay.listen();
      const host = isIPv6(address.host) ? `[${address.host}]` : address.host;
      print(`relay listening on http://${host}:${address.port}`);
      if (relay.quicFailure) print(`WebSocket alone, without QUIC: ${relay.quicFailure.message}`);
      print(`certificate sha256 ${relay.fingerprint}`);
      if (relay.opsPort !== undefined) print(`operations on http://127.0.0.1:${relay.opsPort}`);
      const { auth } = authOf(config);
      if (auth === undefined && !isLoopback(address.host))
        notice(
          `Every client that reaches ${host}:${address.port} may publish and watch; --auth-keys and --public-get limit that.`,
        );
      await Promise.race([aborted(signal), selfReference]);
      const { sessions } = relay.stats();
      if (sessions > 0)
        print(
          `waiting up to ${config.drainSeconds} s for ${sessions} session${sessions === 1 ? "" : "s"}; again to end at once`,
        );
      await relay.drain(config.drainSeconds * 1e3);
      return 0;
    } finally {
      await relay.close();
      identity.close();
    }
  },
});

/** Says that a changed certificate can't be used, perhaps because half of it is written, and once it can. */
function reportCertificate(identity: Certificates, notice: (sentence: string) => void): void {
  let say = changes(notice);
  let isRefused = false;
  identity.on("error", ({ message }) => {
    isRefused = true;
    say(`The changed certificate is not used so far: ${message}`);
  });
  identity.on("rotate", () => {
    if (isRefused) notice("The changed certificate is used now.");
    isRefused = false;
    say = changes(notice);
  });
}

function servingElements(): RequestListener {
  const elements = elementHandler(loadPage);
  return (request, response) => {
    if (elements(request, response)) return;
    response.writeHead(404, { "content-type": "text/plain" }).end("Not found.\n");
  };
}

function authOf({
  authKeys,
  authAudience,
  publicPut,
  publicGet,
}: Resolved<typeof settings>): Pick<RelayOptions, "auth"> {
  if ([authKeys, authAudience, publicPut, publicGet].every((each) => each === undefined)) return {};
  return {
    auth: {
      ...(authKeys !== undefined && { keys: authKeys }),
      ...(authAudience && { audience: authAudience }),
      public: { ...(publicPut && { put: publicPut }), ...(publicGet && { get: publicGet }) },
    },
  };
}
