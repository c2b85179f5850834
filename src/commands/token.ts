import { open, unlink } from "node:fs/promises";
import { z } from "zod";
import { whyUnusable } from "../../base/bytes/bounded-file.js";
import { InputError } from "../../base/index.js";
import { ALGORITHMS, generateKey, parseKeys, publicKeyOf, signToken, type TokenKey } from "../../relay/index.js";
import { readTrusted } from "../../transport/index.js";
import { command, refuseIgnored } from "../command.js";
import { list, number, type Resolved, type Settings, written } from "../config.js";
import { onOneLine } from "../fail.js";

const settings = {
  action: {
    schema: z.enum(["generate", "sign"], { error: "it must be generate or sign" }),
    value: "<name>",
    help: "generate: make a key; sign: make a token with it",
  },
  key: {
    schema: written,
    value: "<file>",
    help: "the key (JSON Web Key); it can sign any token",
  },
  algorithm: {
    schema: z.enum(ALGORITHMS).default("HS256"),
    value: "<name>",
    help: `generate: ${ALGORITHMS.join(", ")}`,
  },
  public: {
    schema: written.optional(),
    value: "<file>",
    help: "generate: also write the public key for relays; not for HS*",
  },
  root: { schema: z.string().default(""), value: "<path>", help: "sign: root of the paths below" },
  put: {
    schema: list.optional(),
    value: "<path,...>",
    help: "sign: prefixes to publish under; / for all below the root",
  },
  get: { schema: list.optional(), value: "<path,...>", help: "sign: prefixes to watch; / for all below the root" },
  audience: {
    schema: list.optional(),
    value: "<name,...>",
    help: "sign: relays it is for, by their --auth-audience",
  },
  expires: {
    schema: number({ min: 1, integer: true }).optional(),
    value: "<seconds>",
    help: "sign: validity; default: for ever",
  },
} satisfies Settings;

/** Settings for one of the two actions. */
const TAKEN_BY = {
  public: ["generate"],
  root: ["sign"],
  put: ["sign"],
  get: ["sign"],
  audience: ["sign"],
  expires: ["sign"],
} satisfies { readonly [K in keyof typeof settings]?: readonly string[] };

/** `unsay token`: creates keys, and tokens for a relay with `--auth-keys`. */
export const token = command({
  positional: "action",
  examples: [
    "unsay token generate --algorithm EdDSA --key secret.jwk --public keys/public.jwk",
    "unsay token sign --key secret.jwk --root live --put stage --get / --expires 3600",
  ],
  settings,
  async run(config, { flags, print }) {
    refuseIgnored(config.action, { config, flags }, TAKEN_BY);
    if (config.action === "generate") {
      await generate(config);
      print(onOneLine(`made a key for ${config.algorithm} in ${config.key}`));
    } else print(await sign(config));
    return 0;
  },
});

async function generate({ algorithm, key: path, public: publicPath }: Resolved<typeof settings>): Promise<void> {
  if (path === publicPath) throw new InputError("INVALID_OPTION", "--public must be another file than --key.");
  const key = await generateKey(algorithm);
  const shared = publicPath === undefined ? undefined : publicKeyOf(key);
  // An existing key is in use somewhere, so it is not overwritten. Either both files are written or none.
  if (publicPath !== undefined) await write(publicPath, shared, 0o644);
  try {
    await write(path, key, 0o600);
  } catch (error) {
    if (publicPath !== undefined) await unlink(publicPath);
    throw error;
  }
}

async function write(path: string, key: TokenKey | undefined, mode: number): Promise<void> {
  let isMade = false;
  try {
    const file = await open(path, "wx", mode);
    isMade = true;
    try {
      await file.writeFile(`${JSON.stringify(key, null, 2)}\n`);
      // Regardless of the process's mask.
      await file.chmod(mode);
    } finally {
      await file.close();
    }
  } catch (cause) {
    // Half a key would be in the way of the next attempt.
    if (isMade) await unlink(path);
    const exists = (cause as NodeJS.ErrnoException).code === "EEXIST";
    throw new InputError(
      exists ? "FILE_EXISTS" : "FILE_UNWRITABLE",
      exists ? `${path} exists already and is not overwritten.` : `${path} cannot be written: ${whyUnusable(cause)}.`,
      { cause },
    );
  }
}

async function sign({ key: path, root, put, get, audience, expires }: Resolved<typeof settings>): Promise<string> {
  const text = await readTrusted(path).catch((cause: unknown) => {
    if (cause instanceof InputError) throw cause;
    throw new InputError("INVALID_KEY", `The key ${path} cannot be read: ${whyUnusable(cause)}.`, { cause });
  });
  const [key, ...more] = parseKeys(text, `The key ${path}`);
  if (key === undefined || more.length > 0)
    throw new InputError("INVALID_KEY", `The key ${path} must be one key, not a set of them.`);
  if (put === undefined && get === undefined)
    throw new InputError("INVALID_CLAIMS", "--put or --get must grant at least one path.");
  const iat = Math.floor(Date.now() / 1000);
  return signToken(key, {
    root,
    ...(put && { put }),
    ...(get && { get }),
    iat,
    ...(audience && { aud: audience }),
    ...(expires !== undefined && { exp: iat + expires }),
  });
}
