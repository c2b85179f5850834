import "reflect-metadata";
import { webcrypto } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";
import { afterEach, expect, test } from "vitest";
import { type Certificate, connect, listen, type SessionServer } from "../index.js";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const DAY_MS = 86_400_000;
const EC = { name: "ECDSA", namedCurve: "P-256" };
const signingAlgorithm = { name: "ECDSA", hash: "SHA-256" };
const crypto = webcrypto as unknown as Crypto;

/** An authority, and a certificate for this machine signed by it, valid for longer than a pinned one may be. */
async function authority(name: string): Promise<{ ca: string; certificate: Certificate }> {
  const dates = { notBefore: new Date(Date.now() - DAY_MS), notAfter: new Date(Date.now() + 90 * DAY_MS) };
  const keys = await crypto.subtle.generateKey(EC, true, ["sign", "verify"]);
  const own = await x509.X509CertificateGenerator.createSelfSigned(
    {
      name: `CN=${name}`,
      keys,
      signingAlgorithm,
      ...dates,
      extensions: [new x509.BasicConstraintsExtension(true, 0, true)],
    },
    crypto,
  );
  const serverKeys = await crypto.subtle.generateKey(EC, true, ["sign", "verify"]);
  const signed = await x509.X509CertificateGenerator.create(
    {
      subject: "CN=relay",
      issuer: own.subject,
      publicKey: serverKeys.publicKey,
      signingKey: keys.privateKey,
      signingAlgorithm,
      ...dates,
      extensions: [
        new x509.BasicConstraintsExtension(false),
        new x509.SubjectAlternativeNameExtension([
          { type: "dns", value: "localhost" },
          { type: "ip", value: "127.0.0.1" },
        ]),
      ],
    },
    crypto,
  );
  const key = x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", serverKeys.privateKey), "PRIVATE KEY");
  return { ca: own.toString("pem"), certificate: { cert: signed.toString("pem"), key } };
}

function serve(server: SessionServer): void {
  cleanups.push(() => server.close());
  void (async () => {
    for (let request = await server.accept(); request; request = await server.accept())
      void request.accept().catch(() => undefined);
  })();
}

test("the ca option trusts a private authority over every carrier, and no other authority", async () => {
  const [ours, other] = await Promise.all([authority("ours"), authority("other")]);
  const httpServer = createSecureServer(ours.certificate);
  await new Promise<void>((resolve) => httpServer.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => httpServer.close());
  const { port } = httpServer.address() as AddressInfo;
  serve(await listen({ backend: "qmux", host: "127.0.0.1", port: 0, httpServer }));
  serve(await listen({ backend: "quic", host: "127.0.0.1", port, certificate: ours.certificate }));
  const http2 = await listen({ backend: "http2", host: "127.0.0.1", port: 0, certificate: ours.certificate });
  serve(http2);

  const before = { ...process.env };
  const ports = { quic: port, qmux: port, http2: http2.address.port };
  for (const backend of ["quic", "qmux", "http2"] as const) {
    for (const host of ["localhost", "127.0.0.1"]) {
      const url = `https://${host}:${ports[backend]}/`;
      const session = await connect(url, { backends: [backend], ca: ours.ca });
      expect(session.backend).toBe(backend);
      session.close();
      for (const options of [{}, { ca: other.ca }])
        await expect(connect(url, { backends: [backend], ...options })).rejects.toMatchObject({
          code: "CERTIFICATE_UNTRUSTED",
        });
    }
  }
  // With several authorities, each counts.
  const session = await connect(`https://localhost:${port}/`, { ca: `${other.ca}\n${ours.ca}` });
  expect(session.backend).toBe("quic");
  session.close();
  expect(process.env).toEqual(before);
});

test.each(["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"])("both carriers heed %s", async (variable) => {
  const { ca, certificate } = await authority("ours");
  const folder = mkdtempSync(join(tmpdir(), "unsay-authorities-"));
  writeFileSync(join(folder, "ca.pem"), ca);
  const httpServer = createSecureServer(certificate);
  await new Promise<void>((resolve) => httpServer.listen(0, "127.0.0.1", resolve));
  const { port } = httpServer.address() as AddressInfo;
  serve(await listen({ backend: "qmux", host: "127.0.0.1", port: 0, httpServer }));
  serve(await listen({ backend: "quic", host: "127.0.0.1", port, certificate }));
  const before = process.env[variable];
  cleanups.push(() => {
    if (before === undefined) delete process.env[variable];
    else process.env[variable] = before;
    httpServer.close();
    rmSync(folder, { recursive: true });
  });
  process.env[variable] = join(folder, "ca.pem");
  for (const backend of ["quic", "qmux"] as const) {
    const session = await connect(`https://localhost:${port}/`, { backends: [backend] });
    expect(session.backend).toBe(backend);
    session.close();
  }
});

test("a file of authorities that is missing, cannot be read or holds none is named, over every carrier, and not tried again", async () => {
  const before = process.env.SSL_CERT_FILE;
  const folder = mkdtempSync(join(tmpdir(), "unsay-authorities-"));
  const text = join(folder, "text.pem");
  writeFileSync(text, "This is not a certificate.");
  cleanups.push(() => {
    rmSync(folder, { recursive: true });
    if (before === undefined) delete process.env.SSL_CERT_FILE;
    else process.env.SSL_CERT_FILE = before;
  });
  for (const [path, why] of [
    [folder, "cannot be read: it is a directory"],
    [join(folder, "none.pem"), "cannot be read: no such file or directory"],
    [text, "holds no PEM certificate"],
  ] as const) {
    process.env.SSL_CERT_FILE = path;
    for (const backend of ["quic", "qmux", "http2"] as const)
      await expect(connect("https://127.0.0.1:1/", { backends: [backend] })).rejects.toMatchObject({
        code: "CA_UNUSABLE",
        retryable: false,
        message: `SSL_CERT_FILE is ${path}, which ${why}.`,
      });
  }
});

test("a temporary folder that takes no file is named, and QUIC does not try again", async () => {
  const before = process.env.TMPDIR;
  cleanups.push(() => {
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
  });
  const { ca } = await authority("ours");
  process.env.TMPDIR = "/proc/none";
  await expect(connect("https://127.0.0.1:1/", { backends: ["quic"], ca })).rejects.toMatchObject({
    code: "CA_UNUSABLE",
    retryable: false,
    message:
      "The temporary folder /proc/none takes no file with the certificate authorities for QUIC: no such file or directory.",
  });
});
