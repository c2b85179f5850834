import { createPrivateKey, createPublicKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { expect, test } from "vitest";
import { InputError } from "../../base/index.js";
import { createCertificate } from "./certificate.js";
import { pairOf, whyQuicRefuses } from "./pem-pair.js";

const [own, other] = await Promise.all([createCertificate(), createCertificate()]);
const key = createPrivateKey(own.key);
const pkcs8 = { type: "pkcs8" } as const;
const locked = { format: "pem", cipher: "aes-256-cbc", passphrase: "secret" } as const;
const text = (bytes: string | Buffer): string => Buffer.from(bytes).toString("utf8");
const elsewhere = generateKeyPairSync("ec", { namedCurve: "secp256k1" }).privateKey;
const ed448 = generateKeyPairSync("ed448").privateKey;

const pair = (cert: string, secret: string) => pairOf({ path: "c.pem", text: cert }, { path: "k.pem", text: secret });

test("a certificate and its key are taken from their files, whatever stands around them", () => {
  const sec1 = text(key.export({ type: "sec1", format: "pem" }));
  const both = `Bag Attributes: <Empty>\n${own.key}\n${own.cert}`;
  for (const [cert, secret] of [
    [own.cert, own.key],
    [own.cert, sec1],
    [`\uFEFF${own.cert}`, `\uFEFF${own.key}`],
    [own.cert.replaceAll("\n", "\r\n"), own.key.replaceAll("\n", "\r\n")],
    [both, both],
  ] as const) {
    const taken = pair(cert, secret);
    expect(new X509Certificate(taken.cert).fingerprint256).toBe(new X509Certificate(own.cert).fingerprint256);
    expect(createPrivateKey(taken.key).equals(key)).toBe(true);
    // The library of QUIC reads no file that begins with anything else.
    expect(taken.cert).toMatch(/^-----BEGIN CERTIFICATE-----/);
  }
});

test.each<[name: string, cert: string, secret: string, sentence: RegExp]>([
  ["an empty certificate", " \n", own.key, /^The certificate c\.pem is empty\.$/],
  [
    "a certificate in DER",
    text(new X509Certificate(own.cert).raw),
    own.key,
    /c\.pem is in DER instead of PEM; "openssl/,
  ],
  ["a key for a certificate", own.key, own.key, /c\.pem holds a private key instead of a certificate\.$/],
  ["a text for a certificate", "This is a text.", own.key, /c\.pem holds no certificate in PEM\.$/],
  ["half a certificate", own.cert.slice(0, 200), own.key, /c\.pem ends within its certificate\.$/],
  ["a damaged certificate", own.cert.replace(/\n.{20}/, "\nAAAAAAAAAAAAAAAAAAAA"), own.key, /c\.pem is damaged\.$/],
  ["an empty key", own.cert, "", /^The key k\.pem is empty\.$/],
  ["a key in DER", own.cert, text(key.export({ ...pkcs8, format: "der" })), /k\.pem is in DER instead of PEM/],
  ["a short key in DER", own.cert, text(ed448.export({ ...pkcs8, format: "der" })), /k\.pem is in DER instead of PEM/],
  ["a key with a passphrase", own.cert, text(key.export({ ...pkcs8, ...locked })), /k\.pem has a passphrase; "openssl/],
  ["an older key with one", own.cert, text(key.export({ type: "sec1", ...locked })), /k\.pem has a passphrase/],
  ["a certificate for a key", own.cert, own.cert, /k\.pem holds a certificate instead of a private key\.$/],
  [
    "a public key",
    own.cert,
    text(createPublicKey(key).export({ type: "spki", format: "pem" })),
    /k\.pem holds a public key instead of a private key\.$/,
  ],
  ["half a key", own.cert, own.key.slice(0, 100), /k\.pem ends within its private key\.$/],
  ["a damaged key", own.cert, own.key.replace(/\n.{20}/, "\nAAAAAAAAAAAAAAAAAAAA"), /k\.pem is damaged\.$/],
  ["a key of another curve", own.cert, text(elsewhere.export({ ...pkcs8, format: "pem" })), /a kind \(secp256k1\)/],
  ["a key of another kind", own.cert, text(ed448.export({ ...pkcs8, format: "pem" })), /a kind \(ed448\) that QUIC/],
  ["another key", own.cert, other.key, /^The certificate c\.pem does not belong to the key k\.pem\.$/],
  [
    "a chain in the wrong order",
    other.cert + own.cert,
    own.key,
    /k\.pem; the chain must begin with the server's own\.$/,
  ],
])("%s is refused with a sentence that names the file", (_, cert, secret, sentence) => {
  const refused = (): unknown => pair(cert, secret);
  expect(refused).toThrow(InputError);
  expect(refused).toThrow(expect.objectContaining({ code: "CERTIFICATE_UNUSABLE" }));
  expect(refused).toThrow(sentence);
  expect(refused).not.toThrow(/error:|OpenSSL|routines/);
});

test("what the library of QUIC holds against a certificate becomes a sentence, and nothing else does", () => {
  const version = "rustls error: invalid peer certificate: Other(OtherError(UnsupportedCertVersion))";
  expect(whyQuicRefuses(version)?.message).toBe(
    "The certificate can't be used for QUIC: it is of X.509 version 1, and must be of version 3.",
  );
  expect(whyQuicRefuses("rustls error: unexpected")?.code).toBe("CERTIFICATE_UNUSABLE");
  expect(whyQuicRefuses("Permission denied")).toBeUndefined();
});
