import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import { InputError } from "../../base/index.js";
import type { Certificate } from "./certificate.js";

/** A file as messages name it. */
export interface NamedText {
  readonly path: string;
  readonly text: string;
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;
const PRIVATE_KEY = /-----BEGIN ([A-Z]+ )?PRIVATE KEY-----[\s\S]*?-----END \1?PRIVATE KEY-----/;
/** Curves that the library of QUIC supports. */
const CURVES: ReadonlySet<unknown> = new Set(["prime256v1", "secp384r1", "secp521r1"]);

/**
 * The certificate chain and the private key in two PEM files, without anything that stands around them there.
 *
 * @throws InputError `CERTIFICATE_UNUSABLE` that names the file at fault and says why.
 */
export function pairOf(cert: NamedText, key: NamedText): Certificate {
  const chain = certificatesIn(cert);
  const secret = keyIn(key);
  const [own, ...others] = chain.map((block) => parsed(block, cert));
  if (!own?.checkPrivateKey(secret.key)) {
    const isBehind = others.some((each) => each.checkPrivateKey(secret.key));
    const order = isBehind ? "; the chain must begin with the server's own" : "";
    throw unusable(`The certificate ${cert.path} does not belong to the key ${key.path}${order}`);
  }
  const pair = { cert: chain.join("\n"), key: secret.pem };
  try {
    createSecureContext(pair);
  } catch (cause) {
    throw unusable(`The certificate ${cert.path} can't be used: ${whyRefused(cause)}`, cause);
  }
  return pair;
}

function certificatesIn({ path, text }: NamedText): readonly string[] {
  const blocks = text.match(CERTIFICATE);
  if (blocks !== null) return blocks;
  const why = PRIVATE_KEY.test(text)
    ? "holds a private key instead of a certificate"
    : lacking(text, "certificate", "openssl x509");
  throw unusable(`The certificate ${path} ${why}`);
}

function parsed(block: string, { path }: NamedText): X509Certificate {
  try {
    return new X509Certificate(block);
  } catch (cause) {
    throw unusable(`The certificate ${path} is damaged`, cause);
  }
}

function keyIn({ path, text }: NamedText): { readonly pem: string; readonly key: KeyObject } {
  const [pem] = PRIVATE_KEY.exec(text) ?? [];
  if (pem === undefined) {
    const [, other] = /-----BEGIN (CERTIFICATE|PUBLIC KEY)-----/.exec(text) ?? [];
    const why =
      other === undefined
        ? lacking(text, "private key", "openssl pkey")
        : `holds a ${other.toLowerCase()} instead of a private key`;
    throw unusable(`The key ${path} ${why}`);
  }
  if (pem.includes("ENCRYPTED"))
    throw unusable(`The key ${path} has a passphrase; "openssl pkey -in ${path}" prints it without one`);
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (cause) {
    throw unusable(`The key ${path} is damaged`, cause);
  }
  const { asymmetricKeyType: type = "unknown", asymmetricKeyDetails: details } = key;
  const isTaken = type === "rsa" || type === "ed25519" || (type === "ec" && CURVES.has(details?.namedCurve));
  if (!isTaken)
    throw unusable(
      `The key ${path} is of a kind (${details?.namedCurve ?? type}) that QUIC does not take; it takes RSA, ECDSA with P-256, P-384 or P-521, and Ed25519`,
    );
  return { pem, key };
}

/** Why a text has no PEM block of a kind. */
function lacking(text: string, what: string, tool: string): string {
  if (text.trim() === "") return "is empty";
  if (isDer(text)) return `is in DER instead of PEM; "${tool} -inform der" converts it`;
  const isCut = text.includes("-----BEGIN ") && text.includes(`${what.toUpperCase()}-----`);
  return isCut ? `ends within its ${what}` : `holds no ${what} in PEM`;
}

/** Whether it is a sequence in DER: its length takes several bytes, or the version of a key follows. */
function isDer(text: string): boolean {
  return text.startsWith("0") && (text.charCodeAt(1) >= 0x80 || text.startsWith("\u0002\u0001", 2));
}

/** Reason for which a TLS library refuses a certificate that is one. */
function whyRefused(cause: unknown): string {
  const said = cause instanceof Error ? cause.message : String(cause);
  if (/key too small/.test(said)) return "its key is too short";
  if (/md too weak/.test(said)) return "it is signed with a hash that is too weak";
  return "TLS does not take it";
}

/** Reason for which the QUIC library refuses a certificate; undefined for an error about anything else. */
export function whyQuicRefuses(said: string): InputError | undefined {
  if (!said.includes("rustls")) return undefined;
  const why = said.includes("UnsupportedCertVersion")
    ? "it is of X.509 version 1, and must be of version 3"
    : "it is not one that TLS 1.3 takes";
  return unusable(`The certificate can't be used for QUIC: ${why}`);
}

function unusable(sentence: string, cause?: unknown): InputError {
  return new InputError("CERTIFICATE_UNUSABLE", `${sentence}.`, { cause });
}
