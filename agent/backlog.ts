import type { UnsayError } from "../base/index.js";

/** The sentence for audio that was refused because too much of it waits already; undefined for any other refusal. */
export function tooMuch(sender: "agent" | "bot", { code, message }: UnsayError): string | undefined {
  const isFull = code === "BUFFER_FULL" || code === "QUEUE_FULL";
  return isFull ? `The ${sender} sent more audio than can wait: ${message}` : undefined;
}
