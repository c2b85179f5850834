import { request } from "node:http";
import { TransportError } from "../../base/index.js";
import { describe } from "../carrier-error.js";
import { readReason } from "../refusal.js";

/** A hash in hex, or a relay's reason, takes far less. */
const MAX_ANSWER = 4096;

interface Answer {
  readonly status: number;
  readonly text: string;
}

/**
 * Fetches the SHA-256 of a server's certificate, which MoQ servers provide over plain HTTP for development.
 *
 * @throws TransportError `CONNECT_FAILED`, `CONNECT_TIMEOUT`, `FINGERPRINT_FAILED` for a server without one, or the
 * server's refusal.
 */
export async function fetchFingerprint(url: URL, timeoutMs: number, signal: AbortSignal): Promise<Uint8Array> {
  const address = new URL("/certificate.sha256", url);
  const fail = (code: string, why: string, cause?: unknown): TransportError =>
    new TransportError(code, `Cannot fetch ${address.href}: ${why}.`, { cause });
  const timeout = AbortSignal.timeout(timeoutMs);
  const { status, text } = await get(address, AbortSignal.any([signal, timeout])).catch((cause: unknown) => {
    if (timeout.aborted) throw fail("CONNECT_TIMEOUT", `no answer in ${timeoutMs} ms`, cause);
    if (signal.aborted) throw new TransportError("ABORTED", `Connecting to ${url.host} was given up.`, { cause });
    throw fail("CONNECT_FAILED", describe(cause).detail, cause);
  });
  if (status !== 200)
    throw readReason(text) ?? fail("FINGERPRINT_FAILED", `the server answered with HTTP status ${status}`);
  if (!/^[0-9a-f]{64}$/i.test(text)) throw fail("FINGERPRINT_FAILED", "the server's answer is no SHA-256 in hex");
  return Uint8Array.from(Buffer.from(text, "hex"));
}

/** Not by `fetch`, which refuses some ports of others' protocols, such as 6000. */
function get(address: URL, signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request(address, { signal, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (piece: string) => {
        text += piece;
        if (text.length > MAX_ANSWER) response.destroy(new Error("the server's answer is too long"));
      });
      response.once("error", reject);
      response.once("end", () => resolve({ status: response.statusCode ?? 0, text: text.trim() }));
    });
    asked.once("error", reject);
    asked.end();
  });
}
