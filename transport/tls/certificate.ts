import { createHash, webcrypto, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import type { JsonGeneralName } from "@peculiar/x509";

/** A certificate chain and its private key, both as PEM text. */
export interface Certificate {
  /** The certificate chain, the server's own first. */
  readonly cert: string;
  /** The private key (PKCS #8). */
  readonly key: string;
}

/** Validity of a self-signed certificate: browsers pin by hash only certificates valid for less than 14 days. */
const CERTIFICATE_DAYS = 13;

const DAY_MS = 86_400_000;

/**
 * Creates a self-signed ECDSA P-256 certificate for `localhost`, `127.0.0.1`, `::1` and the given host names, valid for
 * 13 days from one hour ago, so that a client whose clock is a little behind accepts it too.
 */
export async function createCertificate(hosts: readonly string[] = [], now = Date.now()): Promise<Certificate> {
  // Only relays need these, and loading them takes a fifth of a second of processor time.
  await import("reflect-metadata");
  const x509 = await import("@peculiar/x509");
  const keys = (await webcrypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, [
    "sign",
    "verify",
  ])) as CryptoKeyPair;
  const names = [...new Set(["localhost", "127.0.0.1", "::1", ...hosts])];
  const notBefore = now - DAY_MS / 24;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      name: "CN=unsay",
      keys,
      signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
      notBefore: new Date(notBefore),
      notAfter: new Date(notBefore + CERTIFICATE_DAYS * DAY_MS),
      extensions: [
        new x509.BasicConstraintsExtension(false),
        new x509.SubjectAlternativeNameExtension(
          names.map((value): JsonGeneralName => ({ type: isIP(value) === 0 ? "dns" : "ip", value })),
        ),
      ],
    },
    webcrypto as unknown as Crypto,
  );
  const key = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  return {
    cert: certificate.toString("pem"),
    key: x509.PemConverter.encode(key, "PRIVATE KEY"),
  };
}

/** The SHA-256 of a PEM chain's first certificate in lower-case hex, which clients pin. */
export function certificateHash(cert: string): string {
  return createHash("sha256").update(new X509Certificate(cert).raw).digest("hex");
}
